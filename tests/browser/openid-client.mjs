// A single-page application on openid-client. The test calls the functions that it leaves in `window.app`.
import * as client from 'openid-client'

const { authority, client_id, scope } = settings
const callback = `${location.origin}/callback`
const execute = [client.allowInsecureRequests]
const config = await client.discovery(new URL(authority), client_id, undefined, client.None(), { execute })

window.app = {
  metadata: config.serverMetadata(),
  async start() {
    const kept = { verifier: client.randomPKCECodeVerifier(), state: client.randomState() }
    sessionStorage.kept = JSON.stringify(kept)
    location.href = client.buildAuthorizationUrl(config, {
      redirect_uri: callback,
      scope,
      state: kept.state,
      code_challenge: await client.calculatePKCECodeChallenge(kept.verifier),
      code_challenge_method: 'S256',
    })
  },
  async finish() {
    const { verifier, state } = JSON.parse(sessionStorage.kept)
    const checks = { pkceCodeVerifier: verifier, expectedState: state, idTokenExpected: true }
    app.tokens = await client.authorizationCodeGrant(config, new URL(location.href), checks)
    app.subject = app.tokens.claims().sub
  },
  userInfo: () => client.fetchUserInfo(config, app.tokens.access_token, app.subject),
  refresh: () => client.refreshTokenGrant(config, app.tokens.refresh_token),
  revoke: (token) => client.tokenRevocation(config, token),
}
