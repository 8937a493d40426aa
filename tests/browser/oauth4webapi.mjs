// A single-page application on oauth4webapi. The test calls the functions that it leaves in `window.app`.
import * as oauth from 'oauth4webapi'

const { authority, client_id, scope } = settings
const callback = `${location.origin}/callback`
const insecure = { [oauth.allowInsecureRequests]: true }
const url = new URL(authority)
const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, insecure))
const client = { client_id }
const proof = oauth.None()

window.app = {
  metadata: as,
  async start() {
    const kept = { verifier: oauth.generateRandomCodeVerifier(), state: oauth.generateRandomState() }
    sessionStorage.kept = JSON.stringify(kept)
    const query = new URLSearchParams({
      response_type: 'code',
      client_id,
      redirect_uri: callback,
      scope,
      state: kept.state,
      code_challenge: await oauth.calculatePKCECodeChallenge(kept.verifier),
      code_challenge_method: 'S256',
    })
    location.href = `${as.authorization_endpoint}?${query}`
  },
  async finish() {
    const { verifier, state } = JSON.parse(sessionStorage.kept)
    const answer = oauth.validateAuthResponse(as, client, new URL(location.href), state)
    const response = await oauth.authorizationCodeGrantRequest(as, client, proof, answer, callback, verifier, insecure)
    app.tokens = await oauth.processAuthorizationCodeResponse(as, client, response, { requireIdToken: true })
    app.subject = oauth.getValidatedIdTokenClaims(app.tokens).sub
  },
  async userInfo() {
    const response = await oauth.userInfoRequest(as, client, app.tokens.access_token, insecure)
    return oauth.processUserInfoResponse(as, client, app.subject, response)
  },
  async refresh() {
    const response = await oauth.refreshTokenGrantRequest(as, client, proof, app.tokens.refresh_token, insecure)
    return oauth.processRefreshTokenResponse(as, client, response)
  },
  async revoke(token) {
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, proof, token, insecure))
  },
}
