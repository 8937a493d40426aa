"""The schemas of bodies that the document names."""

from collections.abc import Mapping

from apps.gateway.operations.model import Schema, array, record, ref, text

_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer"}
_INSTANT = text(format="date-time")
_DAY = text(format="date")
_TEXTS = array(text())

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
    "ShownSettings": record(
        {
            "settings": array(
                record({"name": text(), "value": text(), "isSecret": _FLAG, "isSet": _FLAG})
            )
        }
    ),
    "AnalyticsDeadLetter": record(_LETTER, "key", "value", "headers"),
}
