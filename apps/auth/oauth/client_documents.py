"""An application as administrators see it, and its change by such a document: by API and by
`scripts/operate`.
"""

from typing import Any

from apps.auth.oauth.client_changes import update_client
from apps.auth.oauth.clients import Client
from apps.auth.oauth.registration import FIELDS, parse_registration
from apps.auth.oauth.revocations import revoke_client
from apps.kit.database import Connection
from apps.kit.errors import Conflict, Unprocessable

FIXED = ("authMethod", "grantTypes")


def as_json(client: Client) -> dict[str, Any]:
    """Returns what is told of a client: never its secret."""
    return {
        "id": client.id,
        "name": client.name,
        "authMethod": client.auth_method,
        "grantTypes": client.grant_types,
        "scopes": client.scopes,
        "redirectUris": client.redirect_uris,
        "postLogoutRedirectUris": client.post_logout_redirect_uris,
        "jwks": client.jwks,
        "jwksUri": client.jwks_uri,
        "backchannelLogoutUri": client.backchannel_logout_uri,
        "dpopBound": client.dpop_bound,
        "pushedRequestsOnly": client.pushed_requests_only,
        "trusted": client.trusted,
        "disabled": client.disabled_at is not None,
        "createdAt": client.created_at,
    }


def check_changeable(client: Client) -> None:
    """Raises Conflict for the client of one of our own services, which would be cut off
    from the others.
    """
    if client.audiences:
        raise Conflict("service_client", "a service's own client: the release looks after it")


async def change_client(connection: Connection, client: Client, body: dict[str, Any]) -> Client:
    """Changes what `body` names of FIELDS. Tokens that go beyond narrowed scopes end.

    Raises Unprocessable for what may not change, and for a value that no client may have.
    """
    before = as_json(client)
    for field in FIXED:
        if field in body and body[field] not in (before[field], list(before[field])):
            raise Unprocessable("fixed_field", "make another client", pointer=f"/{field}")
    known = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in before.items()
        if name in FIELDS
    }
    wish = parse_registration({**known, **body})
    changes = {
        name: value for name, value in wish.items() if name not in ("auth_method", "grant_types")
    }
    changed = await update_client(connection, client.id, **changes)
    if not set(client.scopes) <= set(changed.scopes):
        await revoke_client(connection, client.id)
    return changed
