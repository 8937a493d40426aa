"""`/auth/v1`: users, clients and the audit for administrators, and the own account
for everybody.
"""

from collections.abc import Mapping
from typing import Any

from apps.gateway.operations.model import (
    Answer,
    PublicOperation,
    Schema,
    array,
    done,
    gone,
    json,
    made,
    query,
    record,
    ref,
    text,
)
from apps.kit.web import AUTHENTICATED, Policy, scopes

OWN_ACCOUNT = scopes("account")
ADMIN = scopes("admin")
PATH = "/auth/v1"
_PAGE = ("limit", "cursor")
_INVALID = ("415", "422")
TOLD_ONCE = (
    "Repeated with its Idempotency-Key it is 409 `secret_already_told`: what was told once is not "
    "kept."
)
NEW_USER = {"email": "ada@example.org", "name": "Ada Example", "roles": ["clinician"]}
NEW_CLIENT = {
    "name": "Lab feed",
    "grantTypes": ["client_credentials"],
    "scopes": ["system/Observation.c"],
}


def _operation(
    method: str,
    path: str,
    id: str,
    summary: str,
    answers: Mapping[str, Answer],
    *,
    policy: Policy = ADMIN,
    tag: str = "Administration",
    **more: Any,
) -> PublicOperation:
    return PublicOperation(
        method=method,
        path=PATH + path,
        policy=policy,
        id=id,
        tag=tag,
        summary=summary,
        answers=answers,
        **more,
    )


def _own(
    method: str, path: str, id: str, summary: str, answers: Mapping[str, Answer]
) -> PublicOperation:
    return _operation(method, path, id, summary, answers, policy=OWN_ACCOUNT, tag="Account")


def _page(items: Schema) -> Mapping[str, Answer]:
    schema = record({"items": array(items), "next": text()}, "next")
    return done("A page; `next` is the next one's cursor", schema)


def _items(name: str) -> Mapping[str, Answer]:
    return done("All of them", record({"items": array(ref(name))}))


USERS = (
    _operation(
        "GET",
        "/users",
        "listUsers",
        "List users",
        _page(ref("User")),
        parameters=(
            *_PAGE,
            query("q", "Only users whose address or name contains it.", text(maxLength=200)),
        ),
    ),
    _operation(
        "POST",
        "/users",
        "createUser",
        "Create a user",
        made("Created", ref("User"), None, "Location", "ETag"),
        description="Repeated with its Idempotency-Key it is answered without the `passwordLink`,"
        " which is told once.",
        parameters=("idempotencyKey",),
        body=json(ref("NewUser"), NEW_USER),
        refusals=("409", *_INVALID),
    ),
    _operation(
        "GET", "/users/{id}", "getUser", "Read a user", done("Found", ref("User"), None, "ETag")
    ),
    _operation(
        "PATCH",
        "/users/{id}",
        "updateUser",
        "Change or disable a user",
        done("Changed", ref("User"), None, "ETag"),
        parameters=("ifMatch",),
        body=json(ref("UserChange"), {"roles": ["registrar"]}),
        refusals=_INVALID,
    ),
    _operation(
        "DELETE",
        "/users/{id}",
        "deleteUser",
        "Delete a user",
        gone("Done"),
        description="What they did stays in the audit.",
        parameters=("ifMatch",),
        refusals=("422",),
    ),
    _operation(
        "POST",
        "/users/{id}/unlock",
        "unlockUser",
        "Let a locked-out person try again",
        gone("Done"),
        description="Forgets the failures.",
    ),
    _operation(
        "GET",
        "/users/{id}/sessions",
        "listUserSessions",
        "List a user's sessions",
        _items("Session"),
        description="Those that are live.",
    ),
    _operation(
        "DELETE",
        "/users/{id}/sessions",
        "endUserSessions",
        "End a user's sessions",
        gone("Done"),
        description="And every token.",
    ),
    _operation(
        "POST",
        "/users/{id}/password-link",
        "issuePasswordLink",
        "Issue a one-time link to set a password",
        made("The link", record({"passwordLink": text()})),
        description=TOLD_ONCE,
        parameters=("idempotencyKey",),
        refusals=("409", "422"),
    ),
    _operation(
        "DELETE",
        "/users/{id}/second-factor",
        "dropSecondFactor",
        "Drop a user's second factor",
        gone("Dropped, and the user signed out everywhere"),
        description="For whoever lost device and recovery codes.",
    ),
)
CLIENTS = (
    _operation(
        "GET",
        "/clients",
        "listClients",
        "List clients",
        _page(ref("Client")),
        parameters=(
            *_PAGE,
            query("q", "Only clients whose id or name contains it.", text(maxLength=200)),
        ),
    ),
    _operation(
        "POST",
        "/clients",
        "createClient",
        "Create a client",
        made("Created", ref("Client"), None, "Location", "ETag"),
        description="Repeated with its Idempotency-Key it is answered without the `secret`,"
        " which is told once.",
        parameters=("idempotencyKey",),
        body=json(ref("NewClient"), NEW_CLIENT),
        refusals=("409", *_INVALID),
    ),
    _operation(
        "GET",
        "/clients/{id}",
        "getClient",
        "Read a client",
        done("Found", ref("Client"), None, "ETag"),
    ),
    _operation(
        "PATCH",
        "/clients/{id}",
        "updateClient",
        "Change or disable a client",
        done("Changed", ref("Client"), None, "ETag"),
        parameters=("ifMatch",),
        body=json(ref("ClientChange"), {"disabled": True}),
        refusals=("409", *_INVALID),
    ),
    _operation(
        "DELETE",
        "/clients/{id}",
        "deleteClient",
        "Delete a client",
        gone("Done"),
        description="What it holds ends.",
        parameters=("ifMatch",),
        refusals=("409",),
    ),
    _operation(
        "POST",
        "/clients/{id}/secret",
        "rotateSecret",
        "Rotate a client's secret",
        made("The new secret, shown once", record({"secret": text()})),
        description=TOLD_ONCE,
        parameters=("idempotencyKey", "ifMatch"),
        body=json(ref("SecretRotation"), {"overlapSeconds": 3600}, required=False),
        refusals=("409", *_INVALID),
    ),
)
AUDIT = (
    _operation(
        "GET",
        "/audit",
        "searchAudit",
        "Read the audit of identity",
        _page(ref("IdentityEvent")),
        description="The newest first.",
        parameters=(
            *_PAGE,
            *(
                query(name, f"Only entries of this {name}.", text(maxLength=200))
                for name in ("actor", "subject", "client", "event", "outcome")
            ),
            query("since", "From this time on.", text(format="date-time")),
            query("until", "Before this time.", text(format="date-time")),
        ),
    ),
    _operation(
        "GET",
        "/settings",
        "readAuthSettings",
        "The settings of identity; of secrets only whether they are set",
        done("The settings", ref("ShownSettings")),
    ),
)
ACCOUNT = (
    _own("GET", "/me", "getMe", "The account behind the token", done("The account", ref("User"))),
    _operation(
        "GET",
        "/names",
        "findNames",
        "Names of accounts and applications",
        done("Names by id", {"type": "object"}),
        policy=AUTHENTICATED,
        tag="Account",
        description="Of the ids that an audit names. A patient is told no other patient's.",
        parameters=(
            query(
                "id",
                "May be repeated, up to 100 times.",
                array(text(), maxItems=100),
                required=True,
            ),
        ),
    ),
    _own("GET", "/me/sessions", "listMySessions", "List the own sessions", _items("Session")),
    _own("DELETE", "/me/sessions", "endMySessions", "End the own sessions", gone("Done")),
    _own(
        "DELETE",
        "/me/sessions/{session}",
        "endMySession",
        "End one of the own sessions",
        gone("Done"),
    ),
    _own("GET", "/me/consents", "listMyConsents", "List the own consents", _items("Consent")),
    _own(
        "DELETE",
        "/me/consents/{client}",
        "withdrawMyConsent",
        "Withdraw a consent",
        gone("Done"),
    ),
)
OPERATIONS = (*USERS, *CLIENTS, *AUDIT, *ACCOUNT)
