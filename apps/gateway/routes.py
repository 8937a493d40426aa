"""The public paths: the service that answers each, and what a caller needs. The console answers all others."""

from collections.abc import Mapping

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from apps.gateway.billing import billing_routes
from apps.gateway.body import SMALL_BODY_BYTES
from apps.gateway.proxy import Forwarded
from apps.gateway.settings import Settings
from apps.kit.scopes import parse_smart_scope
from apps.kit.web import (
    AUTHENTICATED,
    PUBLIC,
    Endpoint,
    Operation,
    PolicedRoute,
    Policy,
    scopes,
    smart,
)

# Nothing that the auth service reads is longer. It comes whole before the service is called.
FORM_BYTES = SMALL_BODY_BYTES

ACCOUNT = scopes("account")
ADMIN = scopes("admin")
ANALYTICS = scopes("analytics.read")
# Which scope a request needs, the patient service knows: for a Bundle or a conditional request it depends on the body.
ANY_SMART = Policy(
    "a SMART scope",
    lambda principal, request: any(parse_smart_scope(scope) for scope in principal.scopes),
)


class PagePath(Convertor[str]):
    """Any path but those of the programs' interfaces: a mistyped call gets an error, not a page."""

    regex = r"(?!(?i:api|analytics|auth|billing|fhir|oauth2|\.well-known)(?:/|$)).*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("page", PagePath())

PATIENTS: Mapping[str, Mapping[str, Policy]] = {
    "/api/patients": {"GET": smart("s", "Patient"), "POST": smart("c", "Patient")},
    "/api/patients/{id}": {
        "GET": smart("r", "Patient"),
        "PUT": smart("u", "Patient"),
        "DELETE": smart("d", "Patient"),
    },
}
OUTBOX: Mapping[str, Mapping[str, Policy]] = {
    "/api/outbox": {"GET": ADMIN},
    "/api/outbox/{id}/retry": {"POST": ADMIN},
    "/api/outbox/{id}/discard": {"POST": ADMIN},
}
FHIR: Mapping[str, Mapping[str, Policy]] = {
    "/fhir/R4/metadata": {"GET": PUBLIC},
    "/fhir/R4/{path:path}": dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), ANY_SMART),
}
# A search over all types, and Bundles, which may be larger than anything else.
FHIR_ROOT: Mapping[str, Mapping[str, Policy]] = {"/fhir/R4": {"GET": ANY_SMART, "POST": ANY_SMART}}

# The auth service itself tells who may what at these (RFC 6749, 7009, 7662, OpenID Connect).
AUTH: Mapping[str, Mapping[str, Policy]] = {
    "/.well-known/openid-configuration": {"GET": PUBLIC},
    "/.well-known/oauth-authorization-server": {"GET": PUBLIC},
    "/.well-known/smart-configuration": {"GET": PUBLIC},
    "/.well-known/jwks.json": {"GET": PUBLIC},
    "/fhir/R4/.well-known/smart-configuration": {"GET": PUBLIC},
    "/oauth2/token": {"POST": PUBLIC},
    "/oauth2/revoke": {"POST": PUBLIC},
    "/oauth2/introspect": {"POST": PUBLIC},
    "/oauth2/par": {"POST": PUBLIC},
    "/oauth2/device_authorization": {"POST": PUBLIC},
    "/oauth2/userinfo": {"GET": scopes("openid"), "POST": scopes("openid")},
    "/auth/v1/users": {"GET": ADMIN, "POST": ADMIN},
    "/auth/v1/users/{id}": {"GET": ADMIN, "PATCH": ADMIN, "DELETE": ADMIN},
    "/auth/v1/users/{id}/unlock": {"POST": ADMIN},
    "/auth/v1/users/{id}/sessions": {"GET": ADMIN, "DELETE": ADMIN},
    "/auth/v1/users/{id}/password-link": {"POST": ADMIN},
    "/auth/v1/users/{id}/second-factor": {"DELETE": ADMIN},
    "/auth/v1/clients": {"GET": ADMIN, "POST": ADMIN},
    "/auth/v1/clients/{id}": {"GET": ADMIN, "PATCH": ADMIN, "DELETE": ADMIN},
    "/auth/v1/clients/{id}/secret": {"POST": ADMIN},
    "/auth/v1/audit": {"GET": ADMIN},
    "/auth/v1/names": {"GET": AUTHENTICATED},
    "/auth/v1/me": {"GET": ACCOUNT},
    "/auth/v1/me/sessions": {"GET": ACCOUNT, "DELETE": ACCOUNT},
    "/auth/v1/me/sessions/{session}": {"DELETE": ACCOUNT},
    "/auth/v1/me/consents": {"GET": ACCOUNT},
    "/auth/v1/me/consents/{client}": {"DELETE": ACCOUNT},
    "/auth/v1/launches": {"POST": smart("r", "Patient")},
}
# For people in a browser. Clients start at the first two, and find those in the document.
PAGES: Mapping[str, Mapping[str, Policy]] = {
    **{
        f"/oauth2/{name}": {"GET": PUBLIC, "POST": PUBLIC}
        for name in (
            "authorize",
            "logout",
            "sign-in",
            "second-factor",
            "enrol",
            "password",
            "reset",
            "device",
            "confirm-password",
            "forgotten",
            "email",
            "email/confirm",
            "sessions",
            "consents",
            "passkeys",
            "recovery-codes",
        )
    },
    **{
        f"/oauth2/passkeys/{step}": {"POST": PUBLIC}
        for step in ("register/options", "register", "sign-in/options", "sign-in")
    },
    "/oauth2/account": {"GET": PUBLIC},
    "/oauth2/style.css": {"GET": PUBLIC},
    "/oauth2/account.js": {"GET": PUBLIC},
    "/oauth2/external": {"GET": PUBLIC},
    "/oauth2/external/callback": {"GET": PUBLIC},
}
PASSWORD_LOGIN: Mapping[str, Mapping[str, Policy]] = {
    "/auth/login": {"POST": PUBLIC},
    "/auth/validate": {"GET": AUTHENTICATED},
}

ANALYTICS_PATHS: Mapping[str, Mapping[str, Policy]] = {
    **{
        f"/analytics/v1/{name}": {"GET": ANALYTICS}
        for name in (
            "registrations",
            "patients",
            "patients/active",
            "demographics",
            "encounters",
            "conditions/top",
            "medications/top",
            "procedures/top",
            "immunizations/top",
            "immunizations/coverage",
            "prevalence",
            "billing",
            "billing/revenue",
            "billing/payment-days",
            "billing/cancellations",
            "aging",
            "events",
            "lag",
        )
    },
    "/analytics/v1/dead-letters": {"GET": ADMIN},
    "/analytics/v1/dead-letters/{id}": {"GET": ADMIN},
    "/analytics/v1/dead-letters/{id}/redrive": {"POST": ADMIN},
    "/analytics/v1/dead-letters/{id}/discard": {"POST": ADMIN},
}


# The console itself asks for a session, and tells who may do what.
CONSOLE: Mapping[str, Mapping[str, Policy]] = {"/{path:page}": {"GET": PUBLIC, "POST": PUBLIC}}


def console_routes(settings: Settings) -> list[PolicedRoute]:
    """Every other path is the console's: these come after all others."""
    return _forwarded("console", CONSOLE, settings.limits.body_bytes)


def public_routes(settings: Settings) -> list[PolicedRoute]:
    """Returns the routes in the order in which they are tried.

    The most frequent come first, a wildcard after its exceptions.
    """
    body_bytes = settings.limits.body_bytes
    return [
        *_forwarded("patient", PATIENTS, body_bytes),
        *_forwarded("auth", AUTH, FORM_BYTES),
        *_forwarded("patient", FHIR, body_bytes),
        *_forwarded("patient", FHIR_ROOT, settings.limits.bundle_bytes),
        *_forwarded("patient", OUTBOX, body_bytes),
        *billing_routes(body_bytes),
        *_forwarded("analytics", ANALYTICS_PATHS, body_bytes),
        *_forwarded("auth", PAGES, FORM_BYTES),
        *_forwarded("auth", PASSWORD_LOGIN if settings.password_login_enabled else {}, FORM_BYTES),
    ]


def _forwarded(
    name: str, table: Mapping[str, Mapping[str, Policy]], max_body_bytes: int
) -> list[PolicedRoute]:
    async def forward(request: Request) -> Response:
        return Forwarded(request.state.proxy, name, max_body_bytes)

    endpoint: Endpoint = forward
    return [
        PolicedRoute(
            path,
            *(Operation(method, endpoint, policy) for method, policy in operations.items()),
            max_body_bytes=max_body_bytes,
        )
        for path, operations in table.items()
    ]
