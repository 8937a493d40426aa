"""Rules for the parameters of an authorization request (OpenID Connect Core, 3.1.2)."""

import re
import time

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oidc.core.errors import RequestNotSupportedError, RequestURINotSupportedError

from apps.auth.oauth.authlib_starlette import StarletteOAuth2Request
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import Client
from apps.auth.people.sessions import Session

PROMPTS = {"none", "login", "consent", "select_account"}
# No more digits than a person lives: a number of any length is work, and `int` raises at 4,300 digits.
MAX_AGE_SECONDS = re.compile(r"[0-9]{1,10}")


def check_supported(server: IdentityServer, asked: StarletteOAuth2Request, client: Client) -> None:
    """Raises OAuth2Error for what would change the request, were it understood (OpenID Connect Core, 3.1.2.6)."""
    data = asked.payload.data
    if "request" in data:
        raise RequestNotSupportedError()
    if "request_uri" in data:
        raise RequestURINotSupportedError()
    if data.get("response_mode", "query") != "query":
        raise InvalidRequestError("the only 'response_mode' is 'query'")
    for resource in asked.payload.datalist.get("resource", []):
        server.audience_of({"resource": resource}, client)


def read_prompts(asked: StarletteOAuth2Request) -> set[str]:
    prompts = set(asked.payload.data.get("prompt", "").split())
    if not prompts <= PROMPTS:
        raise InvalidRequestError("'prompt' has an unknown value")
    if "none" in prompts and len(prompts) > 1:
        raise InvalidRequestError("'prompt' has 'none' beside another value")
    if not MAX_AGE_SECONDS.fullmatch(asked.payload.data.get("max_age", "0")):
        raise InvalidRequestError("'max_age' is not a number of seconds")
    return prompts


def must_sign_in(asked: StarletteOAuth2Request, session: Session, prompts: set[str]) -> bool:
    max_age = asked.payload.data.get("max_age")
    too_old = max_age is not None and time.time() - session.authenticated_at.timestamp() > int(
        max_age
    )
    return too_old or bool(prompts & {"login", "select_account"})
