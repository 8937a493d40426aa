// A confidential application on oidc-client-ts in Node. It has no call for introspection: that goes by the endpoint that it discovered.
import { InMemoryWebStorage, OidcClient, WebStorageStateStore } from 'oidc-client-ts'
import { done, open, send, settings } from './talk.mjs'

const { issuer, clientId, secret, callback, goodbye, scope } = settings
const client = new OidcClient({
  authority: issuer,
  client_id: clientId,
  client_secret: secret,
  client_authentication: 'client_secret_post',
  redirect_uri: callback,
  post_logout_redirect_uri: goodbye,
  scope,
  loadUserInfo: true,
  filterProtocolClaims: false,
  stateStore: new WebStorageStateStore({ store: new InMemoryWebStorage() }),
})
const begun = await client.createSigninRequest({ state: 'mine' })
const signedIn = await client.processSigninResponse((await open(begun.url)).toString())
const renewed = await client.useRefreshToken({
  state: { ...signedIn, data: signedIn.userState, profile: signedIn.profile },
})
const { introspection_endpoint: endpoint } = await client.metadataService.getMetadata()
const introspect = async () =>
  JSON.parse((await send(endpoint, { token: renewed.access_token }, [clientId, secret], 'post')).body)
const before = await introspect()
await client.revokeToken(renewed.refresh_token, 'refresh_token')
const after = await introspect()
const leaving = await client.createSignoutRequest({ id_token_hint: signedIn.id_token, state: 'bye' })
const left = await open(leaving.url)
const goneBy = await client.processSignoutResponse(left.toString())
done({
  state: signedIn.userState,
  user: signedIn.profile,
  renewed: renewed.access_token !== signedIn.access_token,
  before,
  after,
  left: `${left.origin}${left.pathname}`,
  error: goneBy.error,
})
