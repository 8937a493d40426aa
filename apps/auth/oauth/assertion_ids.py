"""Ids of signed statements that are good once: client assertions and DPoP proofs."""

from apps.auth.encryption import digest
from apps.kit.database import Connection


async def insert_assertion_id(
    connection: Connection, owner: str, jti: str, life_seconds: float
) -> bool:
    """Notes the id. Returns False if it was used before."""
    inserted = await connection.fetchval(
        "INSERT INTO client_assertions (client_id, jti_hash, expires_at) "
        "VALUES ($1, $2, now() + make_interval(secs => $3)) ON CONFLICT DO NOTHING RETURNING true",
        owner,
        digest(jti),
        float(life_seconds),
    )
    return bool(inserted)
