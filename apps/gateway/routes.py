"""What is public: each path, the service that answers it, and what a caller needs. Everything else is 404."""

from collections.abc import Mapping

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from apps.gateway.billing import billing_routes
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


def _may_create(scope: str) -> bool:
    smart_scope = parse_smart_scope(scope)
    return smart_scope is not None and "c" in smart_scope.interactions


ADMIN = scopes("admin")
ANALYTICS = scopes("analytics.read")
# What each entry of a Bundle needs is known to the patient service, which reads it.
ANY_CREATE = Policy("*.c", lambda principal, request: any(map(_may_create, principal.scopes)))


class ResourceType(Convertor[str]):
    regex = "[A-Z][A-Za-z]{1,63}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class ResourceId(ResourceType):
    # https://hl7.org/fhir/R4/datatypes.html#id
    regex = "[A-Za-z0-9.-]{1,64}"


class PagePath(Convertor[str]):
    """Any path but those of the programs' interfaces: a mistyped call gets an error, not a page."""

    regex = r"(?!(?i:api|analytics|auth|billing|fhir|oauth2|\.well-known)(?:/|$)).*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("page", PagePath())
register_url_convertor("fhirtype", ResourceType())
register_url_convertor("fhirid", ResourceId())

PATIENT: Mapping[str, Mapping[str, Policy]] = {
    "/api/patients": {"GET": smart("s", "Patient"), "POST": smart("c", "Patient")},
    "/api/patients/{id}": {
        "GET": smart("r", "Patient"),
        "PUT": smart("u", "Patient"),
        "DELETE": smart("d", "Patient"),
    },
    "/fhir/R4/metadata": {"GET": PUBLIC},
    "/fhir/R4/{type:fhirtype}": {"GET": smart("s"), "POST": smart("c")},
    "/fhir/R4/{type:fhirtype}/_search": {"POST": smart("s")},
    "/fhir/R4/Patient/{id:fhirid}/$everything": {"GET": smart("r", "Patient")},
    "/fhir/R4/{type:fhirtype}/{id:fhirid}": {
        "GET": smart("r"),
        "PUT": smart("u"),
        "DELETE": smart("d"),
    },
    "/fhir/R4/{type:fhirtype}/{id:fhirid}/_history": {"GET": smart("r")},
    "/fhir/R4/{type:fhirtype}/{id:fhirid}/_history/{vid:fhirid}": {"GET": smart("r")},
}
BUNDLE: Mapping[str, Mapping[str, Policy]] = {"/fhir/R4": {"POST": ANY_CREATE}}

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
    "/auth/v1/me": {"GET": AUTHENTICATED},
    "/auth/v1/me/sessions": {"GET": AUTHENTICATED, "DELETE": AUTHENTICATED},
    "/auth/v1/me/sessions/{session}": {"DELETE": AUTHENTICATED},
    "/auth/v1/me/consents": {"GET": AUTHENTICATED},
    "/auth/v1/me/consents/{client}": {"DELETE": AUTHENTICATED},
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
    """The oftenest called come first: they are looked through in order."""
    body_bytes = settings.limits.body_bytes
    return [
        *_forwarded("patient", PATIENT, body_bytes),
        *_forwarded("patient", BUNDLE, settings.limits.bundle_bytes),
        *billing_routes(body_bytes),
        *_forwarded("analytics", ANALYTICS_PATHS, body_bytes),
        *_forwarded("auth", AUTH, body_bytes),
        *_forwarded("auth", PAGES, body_bytes),
        *_forwarded("auth", PASSWORD_LOGIN if settings.password_login_enabled else {}, body_bytes),
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
