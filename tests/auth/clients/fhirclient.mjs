// A confidential SMART application on fhirclient. It signs in, reads, refreshes; the rest goes by the endpoints that it discovered.
import smart from 'fhirclient'
import { done, open, send, settings } from './talk.mjs'

const { issuer, clientId, secret, callback, goodbye, scope } = settings
const kept = new Map()
const storage = {
  get: async (key) => kept.get(key),
  set: async (key, value) => kept.set(key, value) && value,
  unset: async (key) => kept.delete(key),
}

/** The library as a web server has it for a request of the browser. */
function api(url, redirected = () => {}) {
  const { host, pathname, search } = new URL(url)
  const request = { url: pathname + search, headers: { host }, socket: { encrypted: true } }
  return smart(request, { writeHead: (_, headers) => redirected(headers.location), end() {} }, storage)
}

let start
await api(callback, (location) => (start = location)).authorize({
  iss: `${issuer}/fhir/R4`,
  clientId,
  clientSecret: secret,
  redirectUri: callback,
  scope,
})
const client = await api(await open(start)).ready()
const { access_token: first, id_token: idToken } = client.state.tokenResponse
const read = await client.request('Patient?_count=1')
await client.refresh()
const { access_token: renewed, refresh_token: refreshToken } = client.state.tokenResponse

const found = async (base, name) => (await fetch(`${base}/.well-known/${name}`)).json()
const authorization = await found(`${issuer}/fhir/R4`, 'smart-configuration')
const openid = await found(authorization.issuer, 'openid-configuration')
const headers = { authorization: `Bearer ${renewed}` }
const user = await (await fetch(openid.userinfo_endpoint, { headers })).json()
const credentials = [clientId, secret]
const introspect = async () =>
  JSON.parse((await send(authorization.introspection_endpoint, { token: renewed }, credentials)).body)
const before = await introspect()
const revoked = await send(authorization.revocation_endpoint, { token: refreshToken }, credentials)
const after = await introspect()
const end = new URL(openid.end_session_endpoint)
end.search = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: goodbye, state: 'bye' })
const left = await open(end)
done({
  type: read.resourceType,
  subject: client.getIdToken().sub,
  fhirUser: client.getFhirUser(),
  renewed: renewed !== first,
  user,
  before,
  revoked: revoked.status,
  after,
  left: left.toString(),
})
