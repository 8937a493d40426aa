// A confidential web application on openid-client: PAR, DPoP, sign-in, refresh, user info, introspection, revocation, logout.
import * as client from 'openid-client'
import { done, open, settings } from './talk.mjs'

const { issuer, clientId, secret, callback, goodbye, scope } = settings
const config = await client.discovery(
  new URL(issuer),
  clientId,
  undefined,
  client.ClientSecretPost(secret),
  { execute: [client.allowInsecureRequests] },
)
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
const url = await client.buildAuthorizationUrlWithPAR(
  config,
  {
    redirect_uri: callback,
    scope,
    state,
    nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  },
  { DPoP },
)
const tokens = await client.authorizationCodeGrant(
  config,
  await open(url),
  { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true },
  undefined,
  { DPoP },
)
const subject = tokens.claims().sub
const user = await client.fetchUserInfo(config, tokens.access_token, subject, { DPoP })
const renewed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
const before = await client.tokenIntrospection(config, renewed.access_token)
await client.tokenRevocation(config, renewed.refresh_token)
const after = await client.tokenIntrospection(config, renewed.access_token)
const left = await open(
  client.buildEndSessionUrl(config, {
    post_logout_redirect_uri: goodbye,
    id_token_hint: tokens.id_token,
    state: 'bye',
  }),
)
done({ subject, user, type: tokens.token_type, before, after, left: left.toString() })
