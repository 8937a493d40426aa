"""What a person let an application have; asked for again only where it wants more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from apps.auth.oauth.clients import Client
from apps.kit.database import Connection
from apps.kit.scopes import parse_smart_scope

DESCRIPTIONS: Mapping[str, str] = {
    "openid": "Know who you are",
    "profile": "See your name",
    "email": "See your e-mail address",
    "fhirUser": "Know which record is yours",
    "launch": "Know which patient it was opened for",
    "launch/encounter": "Know which visit it was opened for",
    "account": "See and end your sessions, and what other applications may do for you",
    "offline_access": "Stay connected while you are away, for up to 30 days",
    "launch/patient": "Know which patient's record it shows",
    "admin": "Administer users and applications",
    "billing.read": "See accounts, charges, invoices and payments",
    "billing.approve": "Approve refunds and write-offs",
    "billing.write": "Change accounts, charges, invoices and payments",
    "analytics.read": "See statistics",
}
VERBS = {"c": "create", "r": "read", "u": "change", "d": "delete", "s": "search"}
CHOSEN = "the chosen patient's"
CONTEXTS = {"patient": "your own", "user": "all", "system": "all"}


def describe(scope: str, *, is_chosen: bool = False) -> str:
    """Returns the scope in words for the person who is asked. `is_chosen`: they chose a patient,
    who is not they.
    """
    smart = parse_smart_scope(scope)
    if smart is None:
        return DESCRIPTIONS.get(scope, scope)
    verbs = [VERBS[letter] for letter in smart.interactions]
    what = (
        "health records"
        if smart.resource_type == "*"
        else f"records of the kind {smart.resource_type}"
    )
    whose = CHOSEN if is_chosen and smart.context == "patient" else CONTEXTS[smart.context]
    limits = " and ".join(f"{name} {value}" for name, value in smart.parameters)
    verb = verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} and {verbs[-1]}"
    text = f"{verb.capitalize()} {whose} {what}"
    return f"{text} with {limits}" if limits else text


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


async def select_consents(connection: Connection, user_id: str) -> list[Consent]:
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
            wishes=tuple(sorted({describe(scope) for scope in row["scopes"]})),
            granted_at=row["granted_at"],
        )
        for row in rows
    ]
