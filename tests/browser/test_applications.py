"""Applications in the browser, on libraries of others, from an origin of their own."""

import json
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.auth.clients.conversation import node_modules
from tests.browser.site import Site
from tests.browser.world import World
from tests.console.sessions import PASSWORD
from tests.fhir.packages import Package, fetch

pytestmark = pytest.mark.browser

FHIRCLIENT = Package(
    "fhirclient",
    "2.6.3",
    "0a2ad98b173059e95b9085f1a7194d431e7e65d262ae5e85d6ce32e32bc0d57e"
    "e11c092bf67f7d6951da322d305fef7b9c04e3290eb95fa341e5ab3fc19a09ce",
)
OIDC_APP = """
const settings = %s
const manager = new oidc.UserManager({...settings, redirect_uri: location.origin + '/callback',
  post_logout_redirect_uri: location.origin + '/bye', response_type: 'code', loadUserInfo: true,
  automaticSilentRenew: false})
const show = (text) => { document.title = text;
    document.getElementById('state').textContent = text }
if (location.pathname === '/callback')
  manager.signinCallback().then((user) => { window.user = user; show('signed in') }, (e) =>
      show(String(e)))
else show(location.pathname === '/bye' ? 'signed out' : 'start')
"""
SMART_APP = """
const settings = %s
const show = (text) => { document.title = text;
    document.getElementById('state').textContent = text }
if (location.pathname === '/callback')
  FHIR.oauth2.ready().then((client) => { window.client = client; show('signed in') }, (e) =>
      show(String(e)))
else show(location.pathname === '/bye' ? 'signed out' : 'start')
"""
MODULE_SHELL = """<!doctype html><title>loading</title><h1 id="state">loading</h1>
<script type="importmap">{"imports": {"oauth4webapi": "/oauth4webapi.js",
    "openid-client": "/openid-client/index.js",
  "jose/errors": "/jose/util/errors.js",
      "jose/jwe/compact/decrypt": "/jose/jwe/compact/decrypt.js"}}</script>
<script>const settings = %s</script><script type="module" src="/app.js"></script>"""
# What stands behind an application's own code: where in its flow the page is.
MODULE_END = """
const show = (text) => { document.title = text;
    document.getElementById('state').textContent = text }
if (location.pathname === '/callback') app.finish().then(() => show('signed in'), (e) =>
    show(String(e)))
else show(location.pathname === '/bye' ? 'signed out' : 'start')
"""
# What a library has no call for, by the endpoints that it discovered.
USER_INFO = """async ([metadata, token]) => {
  const headers = { authorization: `Bearer ${token}` }
  return (await fetch(metadata.userinfo_endpoint, { headers })).json()
}"""
SEND_TOKEN = """async ([endpoint, token, client_id]) => {
  const body = new URLSearchParams({ token, client_id })
  return fetch(endpoint, { method: 'POST', body }).then((it) => it.status, () => 'refused by CORS')
}"""
END_SESSION = """([metadata, token]) => {
  const query = new URLSearchParams({ id_token_hint: token,
      post_logout_redirect_uri: location.origin + '/bye' })
  location.href = `${metadata.end_session_endpoint}?${query}`
}"""


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def register(world: World, site: Site, *scopes: str) -> str:
    body = {
        "name": "Chart viewer",
        "authMethod": "none",
        "grantTypes": ["authorization_code", "refresh_token"],
        "scopes": scopes,
        "redirectUris": [f"{site.url}/callback"],
        "postLogoutRedirectUris": [f"{site.url}/bye"],
    }
    made = world.admin.post("/auth/v1/clients", json=body).raise_for_status().json()
    site.wait_for_origin(world)
    return str(made["id"])


@pytest.fixture
def person(world: World) -> dict[str, Any]:
    """A clinician, whom no application has asked for anything yet."""
    found = world.admin.get("/auth/v1/users", params={"q": world.worker("clinician")})
    user: dict[str, Any] = found.raise_for_status().json()["items"][0]
    return user


def sign_in(page: Page, email: str) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def check_public_client(world: World, page: Page, client_id: str, token: str) -> None:
    """A program without a secret cannot ask about tokens (RFC 7662, 2.1): neither in a browser
    nor elsewhere.
    """
    endpoint = f"{world.url}/oauth2/introspect"
    assert page.evaluate(SEND_TOKEN, [endpoint, token, client_id]) == "refused by CORS"
    answer = httpx.post(endpoint, data={"token": token, "client_id": client_id})
    assert answer.status_code == 401 and answer.json()["error"] == "invalid_client"


def check_revoked(world: World, client_id: str, refresh_token: str) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id}
    answer = httpx.post(f"{world.url}/oauth2/token", data=form)
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_grant"


def check_signed_out(world: World, page: Page) -> None:
    expect(page.locator("#state")).to_have_text("signed out")
    page.goto(f"{world.url}/oauth2/account")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_single_page_application_on_oidc_client_ts(
    world: World, person: dict[str, Any], page: Page, site: Site
) -> None:
    client_id = register(world, site, "openid", "profile", "email", "offline_access")
    settings = {
        "authority": world.url,
        "client_id": client_id,
        "scope": "openid profile email offline_access",
    }
    library = node_modules() / "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"
    site.files = {
        "/library.js": ("text/javascript", library.read_text()),
        "/app.js": ("text/javascript", OIDC_APP % json.dumps(settings)),
    }
    page.goto(site.url)
    page.evaluate("() => { manager.signinRedirect() }")
    sign_in(page, person["email"])
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.locator("#state")).to_have_text("signed in")
    profile = page.evaluate("user.profile")
    assert (profile["sub"], profile["email"]) == (person["id"], person["email"])

    before = page.evaluate("user.access_token")
    after = page.evaluate("manager.signinSilent().then((user) => user.access_token)")
    assert after and after != before
    metadata = page.evaluate("manager.metadataService.getMetadata()")
    assert page.evaluate(USER_INFO, [metadata, after])["email"] == person["email"]
    check_public_client(world, page, client_id, after)

    refresh_token = page.evaluate("manager.getUser().then((user) => user.refresh_token)")
    page.evaluate("manager.revokeTokens(['refresh_token'])")
    check_revoked(world, client_id, refresh_token)
    page.evaluate("() => { manager.signoutRedirect() }")
    check_signed_out(world, page)


def files_of_modules() -> dict[str, tuple[str, str]]:
    """The libraries' modules, at the addresses of the import map."""
    modules = node_modules() / "node_modules"
    folders = {
        "/openid-client": modules / "openid-client" / "build",
        "/jose": modules / "jose" / "dist" / "webapi",
    }
    files = {
        f"{address}/{path.relative_to(folder)}": path
        for address, folder in folders.items()
        for path in folder.rglob("*.js")
    }
    files["/oauth4webapi.js"] = modules / "oauth4webapi" / "build" / "index.js"
    return {address: ("text/javascript", path.read_text()) for address, path in files.items()}


@pytest.mark.parametrize("library", ["oauth4webapi", "openid-client"])
def test_single_page_application_on_a_library_of_modules(
    world: World, person: dict[str, Any], page: Page, site: Site, library: str
) -> None:
    scope = "openid profile email offline_access"
    client_id = register(world, site, *scope.split())
    settings = {"authority": world.url, "client_id": client_id, "scope": scope}
    script = (Path(__file__).parent / f"{library}.mjs").read_text() + MODULE_END
    shell = ("text/html", MODULE_SHELL % json.dumps(settings))
    site.files = {
        **files_of_modules(),
        "/app.js": ("text/javascript", script),
        **dict.fromkeys(("/", "/callback", "/bye"), shell),
    }
    page.goto(site.url)
    expect(page.locator("#state")).to_have_text("start")
    page.evaluate("() => { app.start() }")
    sign_in(page, person["email"])
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.locator("#state")).to_have_text("signed in")
    assert page.evaluate("app.subject") == person["id"]
    assert page.evaluate("app.userInfo()")["email"] == person["email"]

    first, id_token = page.evaluate("[app.tokens.access_token, app.tokens.id_token]")
    renewed = page.evaluate("app.refresh()")
    assert renewed["access_token"] != first
    check_public_client(world, page, client_id, renewed["access_token"])
    page.evaluate("token => app.revoke(token)", renewed["refresh_token"])
    check_revoked(world, client_id, renewed["refresh_token"])
    page.evaluate(END_SESSION, [page.evaluate("app.metadata"), id_token])
    check_signed_out(world, page)


def test_smart_application_on_fhirclient(
    world: World, person: dict[str, Any], page: Page, site: Site
) -> None:
    family = f"Quill{secrets.token_hex(4)}"
    body = {"resourceType": "Patient", "name": [{"family": family, "given": ["Ada"]}]}
    made = world.admin.post("/fhir/R4/Patient", json=body).raise_for_status().json()
    scope = "launch/patient patient/*.rs openid fhirUser offline_access"
    client_id = register(world, site, *scope.split())
    settings = {
        "clientId": client_id,
        "scope": scope,
        "iss": f"{world.url}/fhir/R4",
        "redirectUri": "callback",
    }
    with tarfile.open(fetch(FHIRCLIENT)) as archive:
        file = archive.extractfile("package/build/fhir-client.min.js")
        assert file is not None
        library = file.read().decode()
    site.files = {
        "/library.js": ("text/javascript", library),
        "/app.js": ("text/javascript", SMART_APP % json.dumps(settings)),
    }
    page.goto(site.url)
    page.evaluate("() => { FHIR.oauth2.authorize(settings) }")
    sign_in(page, person["email"])
    page.get_by_label("Name or record number").fill(family)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name=family).click()
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.locator("#state")).to_have_text("signed in")
    assert page.evaluate("client.patient.id") == made["id"]
    assert page.evaluate("client.patient.read().then((it) => it.name[0].family)") == family
    token = page.evaluate("client.refresh().then((state) => state.tokenResponse.access_token)")
    assert token
    others = page.evaluate(
        "client.request('Patient').then((it) => it.entry.map((e) => e.resource.id))"
    )
    assert others == [made["id"]]

    found = "iss => fetch(iss + '/.well-known/openid-configuration').then((it) => it.json())"
    metadata = page.evaluate(found, world.url)
    assert page.evaluate(USER_INFO, [metadata, token])["sub"] == person["id"]
    check_public_client(world, page, client_id, token)
    tokens = page.evaluate("client.state.tokenResponse")
    revoke = [metadata["revocation_endpoint"], tokens["refresh_token"], client_id]
    assert page.evaluate(SEND_TOKEN, revoke) == 200
    check_revoked(world, client_id, tokens["refresh_token"])
    page.evaluate(END_SESSION, [metadata, tokens["id_token"]])
    check_signed_out(world, page)
