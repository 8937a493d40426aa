"""Discovery: OpenID Connect, OAuth (RFC 8414) and SMART App Launch, and the keys."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.client_keys import CLIENT_ALGORITHMS
from apps.auth.oauth.authorization_requests import PROMPTS
from apps.auth.oauth.grants import AUTH_METHODS, CONFIDENTIAL_METHODS
from apps.auth.oauth.registration import GRANT_TYPES
from apps.auth.people.roles import PLAIN_SCOPES, ROLES
from apps.auth.state import state_of
from apps.kit.dpop import ALGORITHMS as DPOP_ALGORITHMS
from apps.kit.texts import LANGUAGES
from apps.kit.web import PUBLIC, JSONResponse, Operation, PolicedRoute

CACHE_SECONDS = 300
SYSTEM_SCOPES = {"system/*.cruds", "system/*.rs"}
PATIENT_SCOPES = {"patient/*.cruds", "patient/*.rs"}
SMART_CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "permission-offline",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
    "sso-openid-connect",
)


def oauth_metadata(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth2/authorize",
        "token_endpoint": f"{issuer}/oauth2/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "revocation_endpoint": f"{issuer}/oauth2/revoke",
        "introspection_endpoint": f"{issuer}/oauth2/introspect",
        "scopes_supported": sorted(
            (PLAIN_SCOPES - {"billing.system"})
            | SYSTEM_SCOPES
            | PATIENT_SCOPES
            | set().union(*ROLES.values())
        ),
        "response_types_supported": ["code"],
        "ui_locales_supported": list(LANGUAGES),
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": list(CONFIDENTIAL_METHODS),
        "introspection_endpoint_auth_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "pushed_authorization_request_endpoint": f"{issuer}/oauth2/par",
        "require_pushed_authorization_requests": False,
        "device_authorization_endpoint": f"{issuer}/oauth2/device_authorization",
        "dpop_signing_alg_values_supported": list(DPOP_ALGORITHMS),
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
            "email_verified",
            "updated_at",
            "fhirUser",
            "auth_time",
            "amr",
            "nonce",
            "sid",
        ],
        "prompt_values_supported": sorted(PROMPTS),
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def smart_configuration(issuer: str) -> dict[str, Any]:
    return {
        **oauth_metadata(issuer),
        "capabilities": list(SMART_CAPABILITIES),
    }


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
