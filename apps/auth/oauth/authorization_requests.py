"""Rules for the parameters of an authorization request (OpenID Connect Core, 3.1.2)."""

import re
import time

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oidc.core.errors import RequestNotSupportedError, RequestURINotSupportedError

from apps.auth.oauth.authlib_starlette import StarletteOAuth2Request
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import Client
from apps.auth.oauth.found_tokens import read_id_token_hint
from apps.auth.people.sessions import Session
from apps.kit.operation_outcomes import FHIR_PATH

PROMPTS = {"none", "login", "consent", "select_account"}
# No more digits than a person lives: a number of any length is work, and `int` raises
# at 4,300 digits.
THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
MAX_AGE_SECONDS = re.compile(r"[0-9]{1,10}")


def check_supported(server: IdentityServer, asked: StarletteOAuth2Request, client: Client) -> None:
    """Raises OAuth2Error for what would change the request, were it understood (OpenID Connect
    Core, 3.1.2.6).
    """
    data = asked.payload.data
    if "request" in data:
        raise RequestNotSupportedError()
    if "request_uri" in data:
        raise RequestURINotSupportedError()
    if asked.is_repetitive:
        raise InvalidRequestError("a parameter is repeated")
    if data.get("response_mode", "query") != "query":
        raise InvalidRequestError("the only 'response_mode' is 'query'")
    if not THUMBPRINT.fullmatch(data.get("dpop_jkt", "A" * 43)):
        raise InvalidRequestError("'dpop_jkt' is not a thumbprint")
    check_audience(server, data.get("aud"))
    for resource in asked.payload.datalist.get("resource", []):
        server.audience_of({"resource": [resource]}, client)


def check_audience(server: IdentityServer, aud: str | None) -> None:
    """Raises InvalidRequestError where an application means another FHIR server than ours
    (SMART App Launch).
    """
    issuer = server.settings.issuer
    if aud is not None and aud.rstrip("/") not in (issuer, issuer + FHIR_PATH):
        raise InvalidRequestError("'aud' is not the base of this server's FHIR interface")


def is_expected_person(
    server: IdentityServer, asked: StarletteOAuth2Request, session: Session
) -> bool:
    """Tells whether the person who is signed in is the one that `id_token_hint` names, if
    there is a hint.
    """
    hint = asked.payload.data.get("id_token_hint")
    if hint is None:
        return True
    claims = read_id_token_hint(hint, server)
    return claims is not None and claims.get("sub") == session.user.id


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
