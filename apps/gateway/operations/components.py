"""What operations share in the document: schemes, parameters, headers, refusals and schemas."""

from collections.abc import Mapping

from apps.gateway.operations.model import Schema, array, record, ref, text
from apps.kit.idempotency import MAX_KEY_CHARS

PROBLEM_JSON = "application/problem+json"
FHIR_JSON = "application/fhir+json"
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer"}
_INSTANT = text(format="date-time")
_DAY = text(format="date")
_TEXTS = array(text())

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


_USER = {
    "id": text(),
    "email": text(),
    "name": text(),
    "roles": _TEXTS,
    "patientId": _TEXT_OR_NULL,
    "practitionerId": _TEXT_OR_NULL,
    "emailVerified": _FLAG,
    "secondFactor": _FLAG,
    "disabled": _FLAG,
    "createdAt": _INSTANT,
    "passwordLink": text(description="On creation only: where the person sets a password."),
}
_NEW_CLIENT = {
    "name": text(minLength=1, maxLength=200),
    "authMethod": text(
        enum=["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
    ),
    "grantTypes": array(text(), minItems=1),
    "scopes": array(text(), minItems=1),
    "redirectUris": _TEXTS,
    "postLogoutRedirectUris": _TEXTS,
    "jwks": {"type": ["object", "null"]},
    "jwksUri": _TEXT_OR_NULL,
    "backchannelLogoutUri": _TEXT_OR_NULL,
    "dpopBound": _FLAG,
    "pushedRequestsOnly": _FLAG,
    "trusted": _FLAG,
}
_CLIENT = {
    "id": text(),
    **_NEW_CLIENT,
    # A service's own client has none.
    "grantTypes": _TEXTS,
    "scopes": _TEXTS,
    "disabled": _FLAG,
    "createdAt": _INSTANT,
    "secret": text(description="On creation only, and never again."),
}
_PATIENT = {
    "name": _TEXT_OR_NULL,
    "address": _TEXT_OR_NULL,
    "email": _TEXT_OR_NULL,
    # The record may know a year or a month alone.
    "dateOfBirth": {"type": ["string", "null"], "examples": ["1985-12-10", "1985-12", "1985"]},
    "registeredDate": _DAY,
}
_BREAKDOWN = record({"groups": array({"type": "object"}), "suppressed": _COUNT})
_PARTITION = {
    "topic": text(),
    "partition": _COUNT,
    "nextOffset": {"type": ["integer", "null"]},
    "endOffset": {"type": ["integer", "null"]},
    "lag": {"type": ["integer", "null"]},
}
_LETTER = {
    "id": text(),
    "topic": text(),
    "partition": _COUNT,
    "offset": _COUNT,
    "reason": text(),
    "recordedAt": _INSTANT,
    "resolution": _TEXT_OR_NULL,
    "note": _TEXT_OR_NULL,
    "key": text(),
    "value": text(format="byte"),
    "headers": {"type": "object"},
}
_EVENT = (
    *("id", "occurredAt", "event", "outcome", "reason"),
    *("actor", "client", "subject", "address", "requestId"),
)
_TOKEN_REQUEST = (
    *("scope", "code", "redirect_uri", "code_verifier", "refresh_token", "device_code"),
    *("client_id", "client_secret", "client_assertion_type", "client_assertion"),
)


def _closed(schema: Schema) -> Schema:
    """Returns the schema of a body in which an unknown member is refused."""
    return {**schema, "additionalProperties": False}


SCHEMAS: Mapping[str, Schema] = {
    "Problem": {
        "description": "RFC 9457.",
        **record(
            {
                "type": text(),
                "title": text(),
                "status": _COUNT,
                "requestId": text(),
                "code": text(description="Stable, for programs."),
                "detail": text(),
                "instance": text(),
                "errors": array(
                    record(
                        {"pointer": text(), "code": text(), "message": text()},
                        *("pointer", "code", "message"),
                    )
                ),
            },
            *("code", "detail", "instance", "errors"),
        ),
    },
    "OAuthError": record({"error": text(), "error_description": text()}, "error_description"),
    "Token": record(
        {
            "access_token": text(),
            "token_type": text(enum=["Bearer", "DPoP"]),
            "expires_in": _COUNT,
            "scope": text(),
            "refresh_token": text(),
            "id_token": text(),
        },
        *("scope", "refresh_token", "id_token"),
    ),
    "TokenRequest": record(
        {
            "grant_type": text(
                enum=[
                    "client_credentials",
                    "authorization_code",
                    "refresh_token",
                    "urn:ietf:params:oauth:grant-type:device_code",
                    "urn:ietf:params:oauth:grant-type:token-exchange",
                ]
            ),
            **dict.fromkeys(_TOKEN_REQUEST, text()),
        },
        *_TOKEN_REQUEST,
    ),
    "SimplePatient": record({"id": text(), **_PATIENT}, "registeredDate"),
    "SimplePatientInput": record(
        {
            "name": text(minLength=1),
            "address": text(minLength=1),
            "email": text(format="email"),
            "dateOfBirth": _DAY,
            "registeredDate": {
                "type": ["string", "null"],
                "format": "date",
                "description": "On creation only; today where it is left out.",
            },
        },
        "registeredDate",
    ),
    "User": record(_USER, "passwordLink"),
    "NewUser": _closed(
        record(
            {
                "email": text(format="email"),
                "roles": array(text(), minItems=1),
                "name": text(maxLength=200),
                "patientId": _TEXT_OR_NULL,
                "practitionerId": _TEXT_OR_NULL,
                "invite": _FLAG,
            },
            *("name", "patientId", "practitionerId", "invite"),
        )
    ),
    "UserChange": _closed(
        record(
            {
                "name": text(maxLength=200),
                "roles": array(text(), minItems=1),
                "patientId": _TEXT_OR_NULL,
                "practitionerId": _TEXT_OR_NULL,
                "disabled": _FLAG,
            },
            *("name", "roles", "patientId", "practitionerId", "disabled"),
        )
    ),
    "Session": record(
        {
            "id": text(),
            "device": text(),
            "address": text(),
            "signedInAt": _INSTANT,
            "seenAt": _INSTANT,
        }
    ),
    "Consent": record(
        {"clientId": text(), "clientName": text(), "scopes": _TEXTS, "grantedAt": _INSTANT}
    ),
    "Client": record(_CLIENT, "secret"),
    "NewClient": _closed(
        record(_NEW_CLIENT, *(_NEW_CLIENT.keys() - {"name", "grantTypes", "scopes"}))
    ),
    "ClientChange": _closed(record({**_NEW_CLIENT, "disabled": _FLAG}, *_NEW_CLIENT, "disabled")),
    "SecretRotation": _closed(
        record(
            {"overlapSeconds": {"type": "integer", "minimum": 0, "maximum": 604800}},
            "overlapSeconds",
        )
    ),
    "IdentityEvent": record(dict.fromkeys(_EVENT, _TEXT_OR_NULL)),
    "Series": record(
        {
            "interval": text(),
            "timezone": text(),
            "from": {"type": ["string", "null"], "format": "date-time"},
            "to": {"type": ["string", "null"], "format": "date-time"},
            "total": _COUNT,
            "points": array(record({"start": _INSTANT, "count": _COUNT})),
        }
    ),
    "Breakdown": _BREAKDOWN,
    "Demographics": record(
        {
            "total": _COUNT,
            "smallestGroup": _COUNT,
            **dict.fromkeys(("genders", "ageGroups", "postalPrefixes"), ref("Breakdown")),
        }
    ),
    "Lag": record(
        {
            "lag": {"type": ["integer", "null"]},
            "deadLetters": {"type": ["integer", "null"]},
            "partitions": array(record(_PARTITION)),
        }
    ),
    "AnalyticsDeadLetter": record(_LETTER, "key", "value", "headers"),
}
