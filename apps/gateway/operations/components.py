"""What operations share in the document: schemes, parameters, headers and refusals."""

from collections.abc import Mapping

from apps.gateway.operations.model import Schema, ref, text
from apps.kit.idempotency import MAX_KEY_CHARS

PROBLEM_JSON = "application/problem+json"
FHIR_JSON = "application/fhir+json"
_COUNT: Schema = {"type": "integer"}

SCOPES = {
    "account": "See and end the own sessions and consents",
    "admin": "Users and clients",
    "billing.read": "Read accounts, invoices and the ledger",
    "billing.write": "Change them",
    "billing.approve": "Approve write-offs, and open and close the cash desk",
    "analytics.read": "Read figures",
    "user/*.cruds": "Create, read, update, delete and search every type,"
    " as the person's role allows",
    "system/*.cruds": "Create, read, update, delete and search every type, for a client of its own",
    "patient/*.rs": "Read and search the patient's own record",
}
SECURITY_SCHEMES = {
    "oauth2": {
        "type": "oauth2",
        "flows": {
            "clientCredentials": {"tokenUrl": "/oauth2/token", "scopes": SCOPES},
            "authorizationCode": {
                "authorizationUrl": "/oauth2/authorize",
                "tokenUrl": "/oauth2/token",
                "scopes": SCOPES,
            },
        },
    }
}


def _limit(default: int) -> Schema:
    schema = {"type": "integer", "minimum": 1, "maximum": 100, "default": default}
    return {"name": "limit", "in": "query", "description": "How many.", "schema": schema}


def _query(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _header(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": schema}


PARAMETERS: Mapping[str, Schema] = {
    "limit": _limit(20),
    "top": _limit(10),
    "cursor": _query("cursor", "From the page before.", text()),
    "interval": _query(
        "interval",
        "How wide a point is.",
        text(enum=["hour", "day", "week", "month", "quarter", "year"], default="day"),
    ),
    "from": _query(
        "from", "A date, or a date-time with its offset.", text(examples=["2026-01-01"])
    ),
    "to": _query(
        "to",
        "A date (the last day counted), or a date-time with its offset.",
        text(examples=["2026-03-31"]),
    ),
    "timezone": _query(
        "timezone",
        "The IANA time zone that intervals begin by; UTC without it.",
        text(examples=["Europe/Berlin"]),
    ),
    "idempotencyKey": _header(
        "Idempotency-Key",
        "The same key and body give the first answer again; kept for 24 hours.",
        text(minLength=1, maxLength=MAX_KEY_CHARS),
    ),
    "ifMatch": _header(
        "If-Match",
        "The version that is meant; another one is 412.",
        text(examples=['W/"3"']),
    ),
}
HEADERS = {
    "ETag": {
        "description": 'The version, `W/"<version>"`: send it back in `If-Match`.',
        "schema": text(),
    },
    "Location": {"description": "Where it is.", "schema": text()},
    "Link": {"description": '`rel="next"`: the next page.', "schema": text()},
    "Retry-After": {"description": "Seconds.", "schema": _COUNT},
    "WWW-Authenticate": {"description": "RFC 6750.", "schema": text()},
}
# By status: the name among the components, what it says, and its header.
REFUSALS: Mapping[str, tuple[str, str, str]] = {
    "400": ("BadRequest", "The request cannot be read", ""),
    "401": ("Unauthorized", "No token, or one that is of no use", "WWW-Authenticate"),
    "403": ("Forbidden", "The token does not allow it", ""),
    "404": ("NotFound", "There is none", ""),
    "405": ("MethodNotAllowed", "The path does not take this method", ""),
    "406": ("NotAcceptable", "The media type asked for is not served", ""),
    "409": ("Conflict", "It clashes with what is there", ""),
    "410": ("Gone", "It was deleted", ""),
    "412": ("PreconditionFailed", "Another version, or several matches", ""),
    "413": ("ContentTooLarge", "The body is too large", ""),
    "415": ("UnsupportedMediaType", "The body's media type is not taken", ""),
    "422": ("Unprocessable", "Each fault is named by its place", ""),
    "429": ("TooManyRequests", "Too many requests from this client", "Retry-After"),
    "501": ("NotImplemented", "Not served yet", ""),
    "503": ("Unavailable", "Busy, or a part is being restarted", "Retry-After"),
}


def responses() -> dict[str, Schema]:
    """Returns the refusals: problem details, and `Fhir…` with an OperationOutcome."""
    found: dict[str, Schema] = {}
    for name, description, header in REFUSALS.values():
        headers = {header: {"$ref": f"#/components/headers/{header}"}} if header else {}
        common = {"description": description, **({"headers": headers} if headers else {})}
        problem = {PROBLEM_JSON: {"schema": ref("Problem")}}
        outcome = {FHIR_JSON: {"schema": ref("fhir.OperationOutcome")}}
        found[name] = {**common, "content": problem}
        found[f"Fhir{name}"] = {**common, "content": outcome}
    return found
