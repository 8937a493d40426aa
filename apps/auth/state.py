"""What every endpoint needs of the application: settings, database, keys, hashing. In the
lifespan's state.
"""

import asyncio
import logging
from dataclasses import dataclass, field

import asyncpg
from starlette.requests import Request

from apps.auth.encryption import DecryptionError
from apps.auth.keys import KeyRing, advance_keys, select_key_ring
from apps.auth.outbound import ClientKeys, OutboundHttp
from apps.auth.people.passwords import Hashing
from apps.auth.settings import Settings
from apps.kit.backoff import Backoff
from apps.kit.database import Database
from apps.kit.errors import Problem, Unavailable

KEYS_PERIOD_SECONDS = 15.0
FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 5.0
DECRYPTION_FAILED = (
    "the signing key does not open under AUTH_KEY_ENCRYPTION_KEY: set the one that sealed it, or "
    "replace the keys by "
    "`scripts/operate keys withdraw`, after which everybody signs in again"
)

log = logging.getLogger(__name__)


@dataclass
class AuthState:
    settings: Settings
    database: Database
    hashing: Hashing
    http: OutboundHttp
    client_keys: ClientKeys
    # At most so many connections at once go to recording refusals.
    refusals: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    _ring: KeyRing | None = None
    # The active key does not open under AUTH_KEY_ENCRYPTION_KEY.
    keys_are_undecryptable: bool = False

    def ring(self) -> KeyRing:
        if self._ring is None:
            raise Unavailable("no_signing_key")
        return self._ring

    @property
    def has_keys(self) -> bool:
        return self._ring is not None

    async def load_keys(self) -> KeyRing | None:
        """Returns None while there is none to be had: no key yet, or one that does not open."""
        async with self.database.connection() as connection:
            try:
                self._ring = await select_key_ring(connection, self.settings.key_encryption_key)
                self.keys_are_undecryptable = False
            except DecryptionError as error:
                if not self.keys_are_undecryptable:
                    log.error(DECRYPTION_FAILED, extra={"sealed": str(error)})
                # What was withdrawn signs no more.
                self._ring, self.keys_are_undecryptable = None, True
        return self._ring

    async def refresh_keys(self) -> None:
        """Makes the first key, follows rotation; for as long as the service runs."""
        backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, factor=1.5)
        while True:
            try:
                await self._advance()
            except (Problem, asyncpg.PostgresError) as error:
                log.warning("no look at the signing keys", extra={"error": type(error).__name__})
            await asyncio.sleep(KEYS_PERIOD_SECONDS if self._ring else backoff.next_seconds())

    async def _advance(self) -> None:
        await self.load_keys()
        if self.keys_are_undecryptable:
            # The next key would be sealed under the wrong one, for every replica.
            return
        async with self.database.connection() as connection:
            await advance_keys(
                connection, self.settings.key_encryption_key, self.settings.signing_algorithm
            )
        await self.load_keys()


def state_of(request: Request) -> AuthState:
    state: AuthState = request.state.auth
    return state


def address_of(request: Request) -> str:
    """Returns the client's: the last entry of X-Forwarded-For, which the gateway wrote; else the
    peer's."""
    forwarded = request.headers.getlist("x-forwarded-for")
    if forwarded:
        return forwarded[-1].rpartition(",")[2].strip()[:64]
    return request.client.host if request.client else ""
