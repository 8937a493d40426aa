"""What a person let an application have; asked for again only where it wants more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from apps.auth.oauth.clients import Client
from apps.auth.texts import Texts
from apps.kit.database import Connection
from apps.kit.scopes import parse_smart_scope
from apps.kit.texts import N_

DESCRIPTIONS: Mapping[str, str] = {
    "openid": N_("Know who you are"),
    "profile": N_("See your name"),
    "email": N_("See your e-mail address"),
    "fhirUser": N_("Know which record is yours"),
    "launch": N_("Know which patient it was opened for"),
    "launch/encounter": N_("Know which visit it was opened for"),
    "account": N_("See and end your sessions, and what other applications may do for you"),
    "offline_access": N_("Stay connected while you are away, for up to 30 days"),
    "launch/patient": N_("Know which patient's record it shows"),
    "admin": N_("Administer users and applications"),
    "billing.read": N_("See accounts, charges, invoices and payments"),
    "billing.approve": N_("Approve refunds and write-offs"),
    "billing.write": N_("Change accounts, charges, invoices and payments"),
    "analytics.read": N_("See statistics"),
}
VERBS: Mapping[str, str] = {
    "c": N_("create"),
    "r": N_("read"),
    "u": N_("change"),
    "d": N_("delete"),
    "s": N_("search"),
}
# By whose records they are: of all kinds, and of one.
RECORDS: Mapping[str, tuple[str, str]] = {
    "own": (
        N_("{verbs} your own health records"),
        N_("{verbs} your own records of the kind {kind}"),
    ),
    "chosen": (
        N_("{verbs} the chosen patient's health records"),
        N_("{verbs} the chosen patient's records of the kind {kind}"),
    ),
    "all": (N_("{verbs} all health records"), N_("{verbs} all records of the kind {kind}")),
}


def describe(texts: Texts, scope: str, *, is_chosen: bool = False) -> str:
    """Returns the scope in words for the person who is asked. `is_chosen`: they chose a patient,
    who is not they.
    """
    smart = parse_smart_scope(scope)
    if smart is None:
        return texts.gettext(DESCRIPTIONS.get(scope, scope))
    verbs = texts.list([texts.gettext(VERBS[letter]) for letter in smart.interactions])
    whose = "all" if smart.context != "patient" else "chosen" if is_chosen else "own"
    every, one = RECORDS[whose]
    kind = smart.resource_type
    template = every if kind == "*" else one
    text = texts.gettext(template, verbs=verbs.capitalize(), kind=kind)
    limits = texts.list([f"{name} {value}" for name, value in smart.parameters])
    return texts.gettext("{text} with {limits}", text=text, limits=limits) if limits else text


async def has_consented(
    connection: Connection, user_id: str, client: Client, scopes: frozenset[str], redirect_uri: str
) -> bool:
    if client.auth_method == "none" and not redirect_uri.startswith("https:"):
        # Any program on the device may listen there (RFC 8252, 8.6): the person says so each time.
        # A client with credentials is known by those: nobody else can use the code.
        return False
    if client.trusted:
        return True
    granted = await connection.fetchval(
        "SELECT scopes FROM consents WHERE user_id = $1 AND client_id = $2", user_id, client.id
    )
    return granted is not None and scopes <= set(granted)


async def save_consent(
    connection: Connection, user_id: str, client_id: str, scopes: frozenset[str]
) -> None:
    await connection.execute(
        "INSERT INTO consents (user_id, client_id, scopes) VALUES ($1, $2, $3) "
        "ON CONFLICT (user_id, client_id) DO UPDATE SET scopes = excluded.scopes, granted_at = "
        "now()",
        user_id,
        client_id,
        sorted(scopes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What a person let an application have. `wishes`: the scopes in words."""

    client_id: str
    client_name: str
    scopes: tuple[str, ...]
    wishes: tuple[str, ...]
    granted_at: datetime


async def select_consents(connection: Connection, user_id: str, texts: Texts) -> list[Consent]:
    """Returns the user's consents by the names of the applications."""
    rows = await connection.fetch(
        "SELECT client_id, name, consents.scopes, granted_at FROM consents "
        "JOIN clients ON clients.id = client_id WHERE user_id = $1 ORDER BY name, client_id",
        user_id,
    )
    return [
        Consent(
            client_id=row["client_id"],
            client_name=row["name"],
            scopes=tuple(row["scopes"]),
            wishes=tuple(sorted({describe(texts, scope) for scope in row["scopes"]})),
            granted_at=row["granted_at"],
        )
        for row in rows
    ]
