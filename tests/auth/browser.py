"""A browser without a screen: follows forms, keeps cookies; and an application that sends
people to sign in.
"""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from authlib.common.security import generate_token
from authlib.integrations.httpx_client import OAuth2Client

from tests.auth.conftest import PASSWORD, Auth

CALLBACK = "https://app.example/callback"
SCOPE = "openid profile email fhirUser offline_access user/Patient.rs"
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
ACTION = re.compile(r'<form method="post" action="([^"]+)">')


class Browser:
    def __init__(self, auth: Auth) -> None:
        self.http = auth.opened(httpx.Client(base_url=auth.url, headers={"Accept": "text/html"}))

    def get(self, url: str) -> httpx.Response:
        """Follows redirects for as long as they stay on the service."""
        return self._follow(self.http.get(url))

    def send(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """The page's form with what it hides and these fields."""
        action = ACTION.search(page.text)
        assert action, page.text
        hidden = {name: unescape(value) for name, value in HIDDEN.findall(page.text)}
        return self._follow(self.http.post(unescape(action[1]), data={**hidden, **fields}))

    def _follow(self, response: httpx.Response) -> httpx.Response:
        while response.is_redirect and response.headers["location"].startswith("/"):
            response = self.http.get(response.headers["location"])
        return response

    def sign_in(
        self, email: str, password: str = PASSWORD, page: httpx.Response | None = None
    ) -> httpx.Response:
        return self.send(page or self.get("/oauth2/sign-in"), email=email, password=password)

    def enrolment(self, password: str = PASSWORD) -> httpx.Response:
        """The page to set up a second factor, the password proven again where it asks for that."""
        page = self.get("/oauth2/enrol")
        return self.send(page, password=password) if "Confirm your password" in page.text else page


class App:
    """Authlib's own OAuth client, with PKCE."""

    def __init__(
        self,
        auth: Auth,
        *scopes: str,
        secret: bool = True,
        callback: str = CALLBACK,
        **changes: Any,
    ) -> None:
        self.auth = auth
        self.scopes = scopes or tuple(SCOPE.split())
        self.callback = callback
        self.client = auth.client(
            *self.scopes,
            grant_types=("authorization_code", "refresh_token"),
            redirect_uris=(callback,),
            auth_method="client_secret_basic" if secret else "none",
            **changes,
        )
        self.oauth: Any = OAuth2Client(
            self.client[0],
            self.client[1] or None,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            code_challenge_method="S256",
            redirect_uri=callback,
            scope=" ".join(self.scopes),
            token_endpoint=f"{auth.url}/oauth2/token",
        )
        auth.opened(self.oauth)
        self.verifier = generate_token(48)

    def url(self, **changes: str) -> str:
        made, self.state = self.oauth.create_authorization_url(
            f"{self.auth.url}/oauth2/authorize", code_verifier=self.verifier, **changes
        )
        return str(made)

    def authorize(self, browser: Browser, **changes: str) -> str:
        """To the end of it, with consent where it is asked for: the address that the
        browser is sent to.
        """
        answer = browser.get(self.url(**changes))
        if "decision" in answer.text:
            answer = browser.send(answer, decision="allow")
        assert answer.is_redirect, answer.text
        return answer.headers["location"]

    def authorize_as(self, browser: Browser, email: str) -> str:
        """For a trusted application: signing in is all there is to do."""
        return browser.sign_in(email, page=browser.get(self.url())).headers["location"]

    def redeem(self, location: str, **changes: str) -> dict[str, Any]:
        token: dict[str, Any] = self.oauth.fetch_token(
            authorization_response=location,
            state=self.state,
            **{"code_verifier": self.verifier, **changes},
        )
        return token


def parameters(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def signed_in(auth: Auth, role: str = "clinician", **changes: Any) -> tuple[Browser, Any]:
    user, browser = auth.user(role, **changes), Browser(auth)
    browser.sign_in(user.email)
    return browser, user
