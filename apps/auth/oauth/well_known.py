"""Discovery: OpenID Connect, OAuth (RFC 8414) and SMART App Launch, and the keys."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.oauth.authorization_requests import PROMPTS
from apps.auth.people.roles import PLAIN_SCOPES, ROLES
from apps.auth.state import state_of
from apps.kit.claims import ALGORITHMS
from apps.kit.web import PUBLIC, JSONResponse, Operation, PolicedRoute

CACHE_SECONDS = 300
SYSTEM_SCOPES = {"system/*.cruds", "system/*.rs"}
SMART_CAPABILITIES = (
    "launch-standalone",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "context-standalone-patient",
    "permission-offline",
    "permission-patient",
    "permission-user",
    "permission-v2",
    "sso-openid-connect",
)


def oauth_metadata(issuer: str) -> dict[str, Any]:
    auth_methods = ["client_secret_basic", "private_key_jwt", "none"]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth2/authorize",
        "token_endpoint": f"{issuer}/oauth2/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "revocation_endpoint": f"{issuer}/oauth2/revoke",
        "introspection_endpoint": f"{issuer}/oauth2/introspect",
        "scopes_supported": sorted(
            (PLAIN_SCOPES - {"billing.system"}) | SYSTEM_SCOPES | set().union(*ROLES.values())
        ),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": auth_methods,
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": auth_methods,
        "introspection_endpoint_auth_methods_supported": auth_methods[:2],
        "authorization_response_iss_parameter_supported": True,
    }


def openid_configuration(issuer: str, algorithms: set[str]) -> dict[str, Any]:
    return {
        **oauth_metadata(issuer),
        "userinfo_endpoint": f"{issuer}/oauth2/userinfo",
        "end_session_endpoint": f"{issuer}/oauth2/logout",
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted(algorithms),
        "claims_supported": [
            "sub",
            "name",
            "email",
            "updated_at",
            "fhirUser",
            "auth_time",
            "amr",
            "nonce",
        ],
        "prompt_values_supported": sorted(PROMPTS),
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def smart_configuration(issuer: str) -> dict[str, Any]:
    return {**oauth_metadata(issuer), "capabilities": list(SMART_CAPABILITIES)}


def document(content: dict[str, Any]) -> Response:
    # Public and the same for all: browser applications of any origin may read it.
    headers = {
        "Cache-Control": f"public, max-age={CACHE_SECONDS}",
        "Access-Control-Allow-Origin": "*",
    }
    return JSONResponse(content, headers=headers)


async def openid(request: Request) -> Response:
    state = state_of(request)
    # RS256 whatever the keys: OpenID Connect Discovery, 3, does not let it be left out.
    algorithms = {
        "RS256",
        *(key["alg"] for key in (state.ring().public_keys() if state.has_keys else ())),
    }
    return document(openid_configuration(state.settings.issuer, algorithms))


async def oauth(request: Request) -> Response:
    return document(oauth_metadata(state_of(request).settings.issuer))


async def smart(request: Request) -> Response:
    return document(smart_configuration(state_of(request).settings.issuer))


async def jwks(request: Request) -> Response:
    return document(state_of(request).ring().published)


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute("/.well-known/openid-configuration", Operation("GET", openid, PUBLIC)),
        PolicedRoute("/.well-known/oauth-authorization-server", Operation("GET", oauth, PUBLIC)),
        PolicedRoute("/.well-known/smart-configuration", Operation("GET", smart, PUBLIC)),
        PolicedRoute("/fhir/R4/.well-known/smart-configuration", Operation("GET", smart, PUBLIC)),
        PolicedRoute("/.well-known/jwks.json", Operation("GET", jwks, PUBLIC)),
    ]
