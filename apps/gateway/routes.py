"""The public paths: the service that answers each, and what a caller needs. The console
answers all others.
"""

from collections.abc import Mapping

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from apps.gateway.billing import billing_routes
from apps.gateway.body import SMALL_BODY_BYTES
from apps.gateway.operations import administration, analytics, identity, outbox, patients
from apps.gateway.operations.model import table_of
from apps.gateway.proxy import Forwarded
from apps.gateway.settings import Settings
from apps.kit.scopes import parse_smart_scope
from apps.kit.web import (
    PUBLIC,
    Endpoint,
    Operation,
    PolicedRoute,
    Policy,
)

# Nothing that the auth service reads is longer. It comes whole before the service is called.
FORM_BYTES = SMALL_BODY_BYTES

# Which scope a request needs, the patient service knows: for a Bundle or a conditional request it
# depends on the body.
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

PATIENTS = table_of(patients.OPERATIONS)
OUTBOX = table_of(outbox.OPERATIONS)
FHIR: Mapping[str, Mapping[str, Policy]] = {
    "/fhir/R4/metadata": {"GET": PUBLIC},
    # The patient service refuses OPTIONS: it knows which methods a path allows.
    "/fhir/R4/{path:path}": dict.fromkeys(
        ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), ANY_SMART
    ),
}
# A search over all types, and Bundles, which may be larger than anything else.
FHIR_ROOT: Mapping[str, Mapping[str, Policy]] = {"/fhir/R4": {"GET": ANY_SMART, "POST": ANY_SMART}}

# The auth service itself tells who may what at most of these (RFC 6749, 7009, 7662,
# OpenID Connect).
AUTH = table_of((*identity.OPERATIONS, *administration.OPERATIONS))
# For people in a browser. Clients start at the documented two.
PAGES: Mapping[str, Mapping[str, Policy]] = {
    **table_of(identity.FOR_BROWSERS),
    **{
        f"/oauth2/{name}": {"GET": PUBLIC, "POST": PUBLIC}
        for name in (
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
    "/oauth2/language": {"POST": PUBLIC},
    "/oauth2/style.css": {"GET": PUBLIC},
    "/oauth2/account.js": {"GET": PUBLIC},
    "/oauth2/external": {"GET": PUBLIC},
    "/oauth2/external/callback": {"GET": PUBLIC},
}
PASSWORD_LOGIN = table_of(identity.PASSWORD_LOGIN)
ANALYTICS_PATHS = table_of(analytics.OPERATIONS)

# The console itself asks for a session, and tells who may do what.
CONSOLE: Mapping[str, Mapping[str, Policy]] = {"/{path:page}": {"GET": PUBLIC, "POST": PUBLIC}}


def console_routes(settings: Settings) -> list[PolicedRoute]:
    """Returns the routes of every other path, the console's: these come after all others."""
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
