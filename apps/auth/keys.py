"""Signing keys: rows encrypted under the service's key; next -> active -> retired -> gone.

Verifiers ask for the keys every 5 minutes: a key is published for that long before it signs, and
after its last signature for as long as anything that it signed is good.
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc.jwk import ECKey, KeyParameters, RSAKey

from apps.auth.encryption import decrypt, encrypt
from apps.kit.claims import Key
from apps.kit.database import Connection

RSA_BITS = 2048
ROTATE_AFTER_DAYS = 90
PUBLISH_BEFORE_MINUTES = 15
# An id token may be shown again at the logout, an access token lives 10 minutes.
KEEP_RETIRED_HOURS = 24
# One replica at a time makes, activates or retires a key.
ADVISORY_LOCK = 0x6B657973  # "keys"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    id: str
    algorithm: str
    key: Key


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs now, and the public keys that are published (a JWK set)."""

    active: SigningKey
    published: dict[str, Any]

    def public_keys(self) -> list[dict[str, Any]]:
        keys: list[dict[str, Any]] = self.published["keys"]
        return keys


def generate_key(algorithm: str) -> SigningKey:
    kid = secrets.token_urlsafe(12)
    parameters: KeyParameters = {"kid": kid, "alg": algorithm, "use": "sig"}
    key: Key = (
        ECKey.generate_key("P-256", parameters)
        if algorithm == "ES256"
        else RSAKey.generate_key(RSA_BITS, parameters)
    )
    return SigningKey(kid, algorithm, key)


async def insert_key(connection: Connection, secret: bytes, algorithm: str, state: str) -> str:
    # Searching primes takes 100 ms and more.
    made = await asyncio.to_thread(generate_key, algorithm)
    public = msgspec.json.encode(made.key.as_dict(private=False)).decode()
    private = encrypt(secret, made.key.as_pem(private=True), key_purpose(made.id))
    await connection.execute(
        "INSERT INTO signing_keys (id, algorithm, state, public_jwk, private_key, activated_at) "
        "VALUES ($1, $2, $3, $4, $5, CASE WHEN $3 = 'active' THEN now() END)",
        made.id,
        algorithm,
        state,
        public,
        private,
    )
    log.info("signing key made", extra={"kid": made.id, "state": state})
    return made.id


async def advance_keys(
    connection: Connection, secret: bytes, algorithm: str, *, rotate: bool = False
) -> None:
    """Does what is due, in one transaction: the first key; a next one by age, by algorithm or by
    `rotate`; its turn.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
        active = await connection.fetchrow(
            "SELECT id, algorithm, activated_at < now() - make_interval(days => $1) AS old "
            "FROM signing_keys WHERE state = 'active'",
            ROTATE_AFTER_DAYS,
        )
        if active is None:
            await insert_key(connection, secret, algorithm, "active")
            return
        following = await connection.fetchrow(
            "SELECT id, created_at < now() - make_interval(mins => $1) AS known "
            "FROM signing_keys WHERE state = 'next' ORDER BY created_at LIMIT 1",
            PUBLISH_BEFORE_MINUTES,
        )
        if following is None:
            if rotate or active["old"] or active["algorithm"] != algorithm:
                await insert_key(connection, secret, algorithm, "next")
        elif following["known"]:
            await activate_key(connection, following["id"])
        await connection.execute(
            "DELETE FROM signing_keys WHERE state = 'retired' AND retired_at < now() - "
            "make_interval(hours => $1)",
            KEEP_RETIRED_HOURS,
        )


async def activate_key(connection: Connection, kid: str) -> None:
    """Lets `kid` sign from now on, and the active key retire; inside the caller's transaction."""
    await connection.execute(
        "UPDATE signing_keys SET state = 'retired', retired_at = now() WHERE state = 'active'"
    )
    await connection.execute(
        "UPDATE signing_keys SET state = 'active', activated_at = now() WHERE id = $1", kid
    )
    log.info("signing key active", extra={"kid": kid})


def key_purpose(key_id: str) -> str:
    """Returns the purpose under which a signing key is encrypted."""
    return f"signing-key:{key_id}"


async def withdraw_keys(connection: Connection, secret: bytes, algorithm: str) -> None:
    """Makes a new key after a leak, and deletes every other key, with all that they signed."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
        await connection.execute("DELETE FROM signing_keys")
        await insert_key(connection, secret, algorithm, "active")


async def select_keys(connection: Connection) -> list[Any]:
    rows: list[Any] = await connection.fetch(
        "SELECT id, algorithm, state, created_at, activated_at, retired_at FROM signing_keys ORDER "
        "BY created_at"
    )
    return rows


async def select_key_ring(connection: Connection, secret: bytes) -> KeyRing | None:
    """Returns the keys, or None before the first exists.

    Raises DecryptionError if they were encrypted under another service key.
    """
    rows = await connection.fetch(
        "SELECT id, algorithm, state, public_jwk, private_key FROM signing_keys ORDER BY created_at"
    )
    active = next((row for row in rows if row["state"] == "active"), None)
    if active is None:
        return None
    pem = decrypt(secret, active["private_key"], key_purpose(active["id"]))
    kind: type[Key] = ECKey if active["algorithm"] == "ES256" else RSAKey
    key = kind.import_key(pem, {"kid": active["id"], "alg": active["algorithm"], "use": "sig"})
    published = {"keys": [msgspec.json.decode(row["public_jwk"]) for row in rows]}
    return KeyRing(SigningKey(active["id"], active["algorithm"], key), published)
