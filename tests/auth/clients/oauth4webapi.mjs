// An application on oauth4webapi: sign-in, refresh, user info, introspection if it has a secret, revocation, logout; and a device by its code.
import * as oauth from 'oauth4webapi'
import { done, open, settings } from './talk.mjs'

const { issuer, clientId, secret, callback, goodbye, scope } = settings
const proof = secret ? oauth.ClientSecretBasic(secret) : oauth.None()
const insecure = { [oauth.allowInsecureRequests]: true }
const url = new URL(issuer)
const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, insecure))
const client = { client_id: clientId }
const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const nonce = oauth.generateRandomNonce()
const start = new URL(as.authorization_endpoint)
start.search = new URLSearchParams({
  response_type: 'code',
  client_id: clientId,
  redirect_uri: callback,
  scope,
  state,
  nonce,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
})
const parameters = oauth.validateAuthResponse(as, client, await open(start), state)
const tokens = await oauth.processAuthorizationCodeResponse(
  as,
  client,
  await oauth.authorizationCodeGrantRequest(as, client, proof, parameters, callback, verifier, insecure),
  { expectedNonce: nonce, requireIdToken: true },
)
const subject = oauth.getValidatedIdTokenClaims(tokens).sub
const user = await oauth.processUserInfoResponse(
  as,
  client,
  subject,
  await oauth.userInfoRequest(as, client, tokens.access_token, insecure),
)
const renewed = await oauth.processRefreshTokenResponse(
  as,
  client,
  await oauth.refreshTokenGrantRequest(as, client, proof, tokens.refresh_token, insecure),
)
const introspect = async () =>
  oauth.processIntrospectionResponse(
    as,
    client,
    await oauth.introspectionRequest(as, client, proof, renewed.access_token, insecure),
  )
const before = secret ? await introspect() : null
await oauth.processRevocationResponse(
  await oauth.revocationRequest(as, client, proof, renewed.refresh_token, insecure),
)
const after = secret ? await introspect() : null
const refused = await oauth.userInfoRequest(as, client, 'not.a.token', insecure)

const begun = await oauth.processDeviceAuthorizationResponse(
  as,
  client,
  await oauth.deviceAuthorizationRequest(as, client, proof, { scope }, insecure),
)
await open(begun.verification_uri_complete)
const device = await oauth.processDeviceCodeResponse(
  as,
  client,
  await oauth.deviceCodeGrantRequest(as, client, proof, begun.device_code, insecure),
)
const end = new URL(as.end_session_endpoint)
end.search = new URLSearchParams({ client_id: clientId, post_logout_redirect_uri: goodbye, state: 'bye' })
const left = await open(end)
done({
  subject,
  user,
  refused: refused.status,
  before,
  after,
  device: oauth.getValidatedIdTokenClaims(device).sub,
  left: left.toString(),
})
