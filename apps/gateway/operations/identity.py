"""OAuth 2.0, OpenID Connect and SMART App Launch: what clients call, and where they send people."""

from collections.abc import Mapping
from typing import Any

from apps.gateway.operations.model import (
    Answer,
    Content,
    PublicOperation,
    Schema,
    done,
    form,
    json,
    made,
    query,
    record,
    ref,
    text,
)
from apps.kit.web import AUTHENTICATED, PUBLIC, Policy, scopes, smart

TAG = "Identity"
_PAGE = Content(schemas={"text/html": text()})
_ANY: Schema = {"type": "object"}
_SECONDS: Schema = {"type": "integer"}
# RFC 6749, 5.2.
OAUTH_ERRORS = {
    "400": Answer(text="An OAuth 2.0 error", content=json(ref("OAuthError"))),
    "401": Answer(text="The client is not known", content=json(ref("OAuthError"))),
}
REDIRECT = {
    "302": Answer(text="Back to the client, with a code or an error", headers=("Location",)),
    "200": Answer(text="The sign-in or consent page", content=_PAGE),
    "400": Answer(text="The request cannot be trusted to go back"),
}
SIGNED_OUT = {
    "302": Answer(text="Back to the client", headers=("Location",)),
    "200": Answer(text="Signed out", content=_PAGE),
    "400": Answer(text="The request cannot be trusted"),
}
REQUEST = record(
    {
        "response_type": text(),
        "client_id": text(),
        "redirect_uri": text(),
        "state": text(),
        "code_challenge": text(),
        "code_challenge_method": text(),
        "scope": text(),
    },
    "scope",
)
_EXAMPLE_TOKEN = {"access_token": "eyJ…", "token_type": "Bearer", "expires_in": 600}


def _operation(
    method: str,
    path: str,
    id: str,
    summary: str,
    answers: Mapping[str, Answer],
    *,
    policy: Policy = PUBLIC,
    **more: Any,
) -> PublicOperation:
    return PublicOperation(
        method=method,
        path=path,
        policy=policy,
        id=id,
        tag=TAG,
        summary=summary,
        answers=answers,
        **more,
    )


def _metadata(path: str, id: str, summary: str) -> PublicOperation:
    return _operation("GET", path, id, summary, done("Metadata", _ANY))


DISCOVERY = (
    _metadata(
        "/.well-known/openid-configuration", "openidConfiguration", "OpenID Connect discovery"
    ),
    _metadata(
        "/.well-known/oauth-authorization-server",
        "oauthMetadata",
        "OAuth 2.0 metadata (RFC 8414)",
    ),
    _metadata("/.well-known/smart-configuration", "smartConfiguration", "SMART metadata"),
    _metadata("/.well-known/jwks.json", "jwks", "The keys that verify tokens (RFC 7517)"),
    _metadata(
        "/fhir/R4/.well-known/smart-configuration",
        "smartConfigurationOfFhir",
        "SMART metadata, under the address of FHIR",
    ),
)
TOKENS = (
    _operation(
        "POST",
        "/oauth2/token",
        "token",
        "Get an access token",
        {
            "200": Answer(
                text="A token, good for ten minutes", content=json(ref("Token"), _EXAMPLE_TOKEN)
            ),
            **OAUTH_ERRORS,
        },
        description="The client proves itself by `client_secret_basic`, `client_secret_post` or"
        " `private_key_jwt`; a public client by PKCE.",
        body=form(
            ref("TokenRequest"), {"grant_type": "client_credentials", "scope": "system/Patient.rs"}
        ),
    ),
    _operation(
        "POST",
        "/oauth2/revoke",
        "revoke",
        "Revoke a token (RFC 7009)",
        {"200": Answer(text="It is of no use now"), **OAUTH_ERRORS},
        body=form(record({"token": text(), "token_type_hint": text()}, "token_type_hint")),
    ),
    _operation(
        "POST",
        "/oauth2/introspect",
        "introspect",
        "Ask about a token (RFC 7662)",
        {
            "200": Answer(
                text="Whether it is active, and what it says",
                content=json(record({"active": {"type": "boolean"}}), {"active": False}),
            ),
            **OAUTH_ERRORS,
        },
        body=form(record({"token": text()})),
    ),
    _operation(
        "POST",
        "/oauth2/par",
        "pushRequest",
        "Push an authorization request (RFC 9126)",
        {
            **made(
                "The reference for the browser, good once, for ten minutes",
                record({"request_uri": text(), "expires_in": _SECONDS}),
            ),
            **OAUTH_ERRORS,
        },
        body=form(REQUEST),
    ),
    _operation(
        "POST",
        "/oauth2/device_authorization",
        "authorizeDevice",
        "Begin the sign-in of a device (RFC 8628)",
        {
            **done(
                "Codes for the device and for the person",
                record(
                    {
                        "device_code": text(),
                        "user_code": text(),
                        "verification_uri": text(),
                        "verification_uri_complete": text(),
                        "expires_in": _SECONDS,
                        "interval": _SECONDS,
                    },
                    "verification_uri_complete",
                    "interval",
                ),
            ),
            **OAUTH_ERRORS,
        },
        body=form(record({"client_id": text(), "scope": text()}, "client_id", "scope")),
    ),
)
USERINFO = tuple(
    _operation(
        method,
        "/oauth2/userinfo",
        id,
        summary,
        done("Claims", record({"sub": text()})),
        policy=scopes("openid"),
    )
    for method, id, summary in (
        ("GET", "userinfo", "Who is signed in"),
        ("POST", "userinfoByPost", "Who is signed in, by POST"),
    )
)
LAUNCHES = (
    _operation(
        "POST",
        "/auth/v1/launches",
        "createLaunch",
        "Launch an application for a patient (SMART App Launch 2.2, EHR launch)",
        made(
            "The value for the parameter `launch`, shown once",
            record({"launch": text(), "expiresIn": _SECONDS}),
        ),
        policy=smart("r", "Patient"),
        levels=("user",),
        description="For a person of staff."
        " The value is good once, for five minutes, for that person.",
        parameters=("idempotencyKey",),
        body=json(
            {
                **record(
                    {
                        "patientId": text(),
                        "encounterId": {"type": ["string", "null"]},
                        "clientId": {"type": ["string", "null"]},
                    },
                    "encounterId",
                    "clientId",
                ),
                "additionalProperties": False,
            }
        ),
        refusals=("409", "415", "422"),
    ),
)
# Pages for people in a browser: clients send them to these two, which lead to all others.
FOR_BROWSERS = (
    _operation(
        "GET",
        "/oauth2/authorize",
        "authorize",
        "Start a sign-in: code with PKCE (S256)",
        REDIRECT,
        parameters=tuple(
            query(
                name, "As RFC 6749 and RFC 7636 say.", schema, required=name in REQUEST["required"]
            )
            for name, schema in REQUEST["properties"].items()
        ),
    ),
    _operation(
        "POST",
        "/oauth2/authorize",
        "authorizeForm",
        "The sign-in page's form",
        REDIRECT,
        body=form({"type": "object", "additionalProperties": text()}),
    ),
    *(
        _operation(method, "/oauth2/logout", id, "Sign out (RP-initiated logout)", SIGNED_OUT)
        for method, id in (("GET", "logout"), ("POST", "logoutByPost"))
    ),
)
PASSWORD_LOGIN = (
    _operation(
        "POST",
        "/auth/login",
        "login",
        "The short login",
        done("A token", record({"token": text()}), {"token": "eyJ…"}),
        description="For compatibility; off in production.",
        body=json(
            record({"email": text(minLength=1), "password": text(minLength=1)}),
            {"email": "ada@example.org", "password": "correct horse battery staple"},
        ),
        refusals=("401", "403", "415"),
    ),
    _operation(
        "GET",
        "/auth/validate",
        "validateToken",
        "Whether the bearer's token is good",
        done("It is", record({"valid": {"type": "boolean"}}), {"valid": True}),
        policy=AUTHENTICATED,
    ),
)
OPERATIONS = (*DISCOVERY, *TOKENS, *USERINFO, *LAUNCHES)
