"""The OAuth clients by which services sign people in: registered with each release, at the public
URL of the place.
"""

import hashlib
from collections.abc import Mapping

import asyncpg

from apps.catalogue import SERVICES

CONNECT_TIMEOUT_SECONDS = 10.0

UPSERT = """
INSERT INTO clients (id, name, auth_method, secret_hash, grant_types, scopes, redirect_uris,
    post_logout_redirect_uris, backchannel_logout_uri, trusted)
VALUES ($1, $2, 'client_secret_basic', $3, '{authorization_code,refresh_token}', $4, $5, $6, $7,
    true)
ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash,
    previous_secret_hash = CASE WHEN clients.secret_hash <> excluded.secret_hash
        THEN clients.secret_hash ELSE clients.previous_secret_hash END,
    previous_secret_expires_at = CASE WHEN clients.secret_hash <> excluded.secret_hash
        THEN now() + interval '1 day' ELSE clients.previous_secret_expires_at END,
    scopes = excluded.scopes,
    redirect_uris = excluded.redirect_uris,
    post_logout_redirect_uris = excluded.post_logout_redirect_uris,
    backchannel_logout_uri = excluded.backchannel_logout_uri,
    updated_at = now(), version = clients.version + 1
WHERE (clients.secret_hash, clients.scopes, clients.redirect_uris,
        clients.post_logout_redirect_uris, clients.backchannel_logout_uri)
    IS DISTINCT FROM (excluded.secret_hash, excluded.scopes, excluded.redirect_uris,
        excluded.post_logout_redirect_uris, excluded.backchannel_logout_uri)
"""


async def register_sign_in_clients(
    auth_url: str, public_url: str, secrets: Mapping[str, str]
) -> None:
    """Makes each service's sign-in client, or brings it up to date;
    repeating it changes nothing.
    """
    connection = await asyncpg.connect(auth_url, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        for entry in SERVICES.values():
            if entry.sign_in is None:
                continue
            await connection.execute(
                UPSERT,
                entry.name,
                f"The {entry.name}",
                # What auth stores of a client's secret.
                hashlib.sha256(secrets[f"{entry.name.upper()}_CLIENT_SECRET"].encode()).digest(),
                list(entry.sign_in.scopes),
                [public_url + entry.sign_in.redirect_path],
                [public_url + entry.sign_in.signed_out_path],
                public_url + entry.sign_in.back_channel_logout_path,
            )
    finally:
        await connection.close()
