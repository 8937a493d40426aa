"""Verifies access tokens (RFC 9068) against the auth service's keys (RFC 7517), which it holds
and keeps fresh.

With auth away the keys at hand still serve; the list of revocations stands for a token's life, then
all is refused.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from apps.kit.backoff import Backoff
from apps.kit.claims import ACCESS_TOKEN_SECONDS, Key, parse_keys, read_key_id, read_principal
from apps.kit.credentials import ServiceCredentials
from apps.kit.dpop import ProofError, ReplayMemory, read_proof
from apps.kit.errors import Problem, Unauthorized, Unavailable
from apps.kit.revocations import Revocations
from apps.kit.scopes import Principal
from apps.kit.settings import Environment
from apps.kit.verifier_source import HttpSource, Source

MAX_TOKEN_CHARS = 8192
MAX_CACHED_TOKENS = 4096
REVOCATIONS_PERIOD_SECONDS = 15.0
KEYS_PERIOD_SECONDS = 300.0
# A flood of made-up key ids asks the auth service for its keys no oftener than this.
UNKNOWN_KEY_PERIOD_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class VerifierSettings:
    """`audiences`: any one of them must be the token's. The client's secret reads the list
    of revocations.
    """

    issuer: str
    audiences: tuple[str, ...]
    auth_url: str
    client_id: str
    client_secret: str = field(repr=False)


def read_verifier_settings(
    environment: Environment, service: str, *audiences: str
) -> VerifierSettings:
    """Reads the settings for people's and clients' tokens, whose audience is the public URL, and
    for those of `audiences`.
    """
    public_url = environment.url("PUBLIC_URL")
    return VerifierSettings(
        issuer=public_url,
        audiences=(*audiences, public_url),
        auth_url=environment.url("AUTH_URL"),
        client_id=f"service-{service}",
        client_secret=environment.require(f"{service.upper()}_CLIENT_SECRET"),
    )


_FETCH_ERRORS = (
    Problem,
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
)


class Verifier:
    """Holds keys, revocations and the tokens seen before: those cost a dictionary look-up."""

    def __init__(
        self, issuer: str, audiences: tuple[str, ...], source: Source, clock: Clock = time.time
    ) -> None:
        self._issuer = issuer
        self._audiences = audiences
        self._source = source
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._keys_tried_at = self._keys_had_at = float("-inf")
        self._keys_attempt: asyncio.Task[None] | None = None
        self._revocations = Revocations()
        self._revocations_had_at = float("-inf")
        self._failing: frozenset[str] = frozenset()
        self._cache: dict[str, Principal] = {}
        self._proofs = ReplayMemory()

    @property
    def has_keys(self) -> bool:
        """Tokens can be verified: keys and a list of revocations were had once."""
        return bool(self._keys) and self._revocations_had_at > float("-inf")

    @property
    def degraded(self) -> tuple[str, ...]:
        return ("auth",) if self._failing else ()

    async def verify(self, token: str) -> Principal:
        """Returns the principal of a bearer token.

        Raises Unauthorized, and Unavailable where keys were never had or revocations are too old to
        go by. A token that is bound to a key is refused: `verify_with_proof` accepts it.
        """
        principal = await self.verify_forwarded(token)
        if principal.key_thumbprint is not None:
            raise Unauthorized("invalid_token", "bound to a key: send it with a DPoP proof")
        return principal

    async def verify_with_proof(
        self, token: str, proofs: Sequence[str], *, method: str, path: str
    ) -> Principal:
        """Returns the principal of a token that is bound to a key (RFC 9449, 7.1). `proofs`: the
        `DPoP` headers.
        """
        principal = await self.verify_forwarded(token)
        if principal.key_thumbprint is None or len(proofs) != 1:
            raise Unauthorized("invalid_token", "this needs a bound token and one DPoP proof")

        now = self._clock()
        try:
            proof = read_proof(
                proofs[0], method=method, url=self._issuer + path, now=now, access_token=token
            )
        except ProofError as error:
            raise Unauthorized("invalid_dpop_proof", str(error)) from None
        if proof.thumbprint != principal.key_thumbprint:
            raise Unauthorized("invalid_token", "bound to another key")
        if not self._proofs.is_new(proof, now):
            raise Unauthorized("invalid_dpop_proof", "the proof was used before")
        return principal

    async def verify_forwarded(self, token: str) -> Principal:
        """Returns the principal of a token that another service of ours has already accepted
        with its proof.

        For a person's token that comes beside the calling service's own.
        """
        now = self._clock()
        if now - self._revocations_had_at > ACCESS_TOKEN_SECONDS:
            raise Unavailable("verification_unavailable", "revocations are unknown")
        principal = self._cache.get(token)
        if principal is not None:
            if now < principal.expires_at:
                return principal
            del self._cache[token]
            raise Unauthorized("invalid_token", "expired")
        return await self._verify_new(token, now)

    async def _verify_new(self, token: str, now: float) -> Principal:
        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthorized("invalid_token", "too long")
        kid = read_key_id(token)
        key = self._keys.get(kid) or await self._look_for_key(kid)
        principal = read_principal(
            token, key, issuer=self._issuer, audiences=self._audiences, now=now
        )
        if self._revocations.covers(principal):
            raise Unauthorized("invalid_token", "revoked")
        while len(self._cache) >= MAX_CACHED_TOKENS:
            del self._cache[next(iter(self._cache))]
        self._cache[token] = principal
        return principal

    async def _look_for_key(self, kid: str) -> Key:
        if self._keys_attempt or self._clock() - self._keys_tried_at >= UNKNOWN_KEY_PERIOD_SECONDS:
            await self._try_for_keys()
        key = self._keys.get(kid)
        if key is not None:
            return key
        if not self._keys:
            raise Unavailable("verification_unavailable", "the keys are unknown")
        raise Unauthorized("invalid_token", "signed by an unknown key")

    async def refresh(self) -> None:
        """Makes one round of the background poll: revocations always, keys when they are due."""
        await self._attempt("revocations", self._refresh_revocations)
        if self._clock() - self._keys_had_at >= KEYS_PERIOD_SECONDS or "keys" in self._failing:
            await self._try_for_keys()

    async def close(self) -> None:
        """Ends an attempt that still runs."""
        if self._keys_attempt:
            self._keys_attempt.cancel()
            await asyncio.wait([self._keys_attempt])

    async def _try_for_keys(self) -> None:
        """Makes one attempt at a time: whoever comes while it runs takes its outcome and makes
        none of their own.
        """
        if self._keys_attempt is None:
            self._keys_attempt = asyncio.create_task(self._attempt_keys())
        # A caller who hangs up does not end the attempt that others wait for.
        await asyncio.shield(self._keys_attempt)

    async def _attempt_keys(self) -> None:
        try:
            await self._attempt("keys", self._refresh_keys)
        finally:
            # At its end: one that hung for as long as the period would be followed by
            # the next at once.
            self._keys_tried_at = self._clock()
            self._keys_attempt = None

    async def _refresh_keys(self) -> None:
        keys = parse_keys(await self._source.fetch_keys())
        if keys.keys() != self._keys.keys():
            # A key that was withdrawn takes the tokens it signed with it.
            self._cache.clear()
        self._keys = keys
        self._keys_had_at = self._clock()

    async def _refresh_revocations(self) -> None:
        revocations = await self._source.fetch_revocations()
        if revocations != self._revocations:
            self._revocations = revocations
            self._cache = {
                token: principal
                for token, principal in self._cache.items()
                if not revocations.covers(principal)
            }
        self._revocations_had_at = self._clock()

    async def _attempt(self, what: str, fetch: Callable[[], Awaitable[None]]) -> None:
        try:
            await fetch()
        except _FETCH_ERRORS as error:
            if what not in self._failing:
                log.warning("auth gives no %s", what, extra={"error": type(error).__name__})
            self._failing |= {what}
        else:
            self._failing -= {what}


@asynccontextmanager
async def keep_fresh(verifier: Verifier) -> AsyncIterator[Verifier]:
    """Polls in the background while the block runs; never fails when auth is away."""

    async def poll() -> None:
        backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, factor=1.5)
        while True:
            await verifier.refresh()
            if verifier.has_keys:
                await asyncio.sleep(REVOCATIONS_PERIOD_SECONDS)
            else:
                await asyncio.sleep(backoff.next_seconds())

    task = asyncio.create_task(poll())
    try:
        yield verifier
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await verifier.close()


@asynccontextmanager
async def open_verifier(
    settings: VerifierSettings, session: aiohttp.ClientSession
) -> AsyncIterator[Verifier]:
    """Opens a verifier that asks the auth service over HTTP."""
    credentials = ServiceCredentials(
        settings.auth_url, settings.client_id, settings.client_secret, session
    )
    source = HttpSource(settings.auth_url, credentials, session)
    verifier = Verifier(settings.issuer, settings.audiences, source)
    async with keep_fresh(verifier):
        yield verifier
