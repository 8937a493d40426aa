"""The keys and revocations that a verifier fetches from auth, and what holds while auth is away."""

import asyncio
from typing import Any

import pytest

from apps.kit.claims import ACCESS_TOKEN_SECONDS
from apps.kit.errors import Unauthorized, Unavailable
from apps.kit.token_verifier import KEYS_PERIOD_SECONDS, UNKNOWN_KEY_PERIOD_SECONDS, keep_fresh
from apps.kit.verifier_source import REQUEST_TIMEOUT_SECONDS
from tests.kit.signed_tokens import EC, OTHER, RSA, Clock, FakeAuth, make_verifier, sign


async def test_token_seen_before_is_refused_once_its_key_is_withdrawn() -> None:
    auth, clock = FakeAuth(), Clock()
    verifier = await make_verifier(auth, clock)
    token = sign(RSA)
    await verifier.verify(token)
    auth.keys = [EC]
    clock.now += KEYS_PERIOD_SECONDS
    await verifier.refresh()
    with pytest.raises(Unauthorized):
        await verifier.verify(token)


async def test_new_key_is_found_without_waiting_for_the_poll() -> None:
    auth, clock = FakeAuth(), Clock()
    verifier = await make_verifier(auth, clock)
    auth.keys = [RSA, EC, OTHER]
    clock.now += UNKNOWN_KEY_PERIOD_SECONDS
    await verifier.verify(sign(OTHER))
    await verifier.verify(sign(RSA))


async def test_flood_of_unknown_keys_asks_auth_once_a_period() -> None:
    auth, clock = FakeAuth(), Clock()
    verifier = await make_verifier(auth, clock)
    clock.now += UNKNOWN_KEY_PERIOD_SECONDS
    for number in range(50):
        with pytest.raises(Unauthorized):
            await verifier.verify(sign(OTHER, {"kid": f"made-up-{number}"}))
    assert auth.keys_asked == 2


class HangingAuth(FakeAuth):
    """Takes a request for keys and answers none until `give_up`; each lasts as long
    as the time-out.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.asked, self.give_up = asyncio.Event(), asyncio.Event()

    async def fetch_keys(self) -> Any:
        self.keys_asked += 1
        if self.keys_asked > 1:
            self.asked.set()
            await self.give_up.wait()
            self.clock.now += REQUEST_TIMEOUT_SECONDS
            raise TimeoutError
        return {"keys": [key.as_dict(private=False) for key in self.keys]}


async def test_unknown_keys_wait_for_one_attempt_together_and_the_poll_waits_for_no_more() -> None:
    clock = Clock()
    auth = HangingAuth(clock)
    verifier = await make_verifier(auth, clock)
    clock.now += KEYS_PERIOD_SECONDS
    waiting = [
        asyncio.create_task(verifier.verify(sign(OTHER, {"kid": f"made-up-{n}"}))) for n in range(5)
    ]
    await asyncio.wait_for(auth.asked.wait(), 5)
    poll = asyncio.create_task(verifier.refresh())
    # Whoever asked first hangs up: the others still have the outcome of the attempt.
    waiting[0].cancel()
    await asyncio.sleep(0)
    auth.give_up.set()
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    await asyncio.wait_for(poll, 5)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, *[Unauthorized] * 4]
    assert auth.keys_asked == 2
    with pytest.raises(Unauthorized):
        await verifier.verify(sign(OTHER, {"kid": "made-up"}))
    assert auth.keys_asked == 2


async def test_attempt_that_hangs_ends_with_the_verifier() -> None:
    clock = Clock()
    auth = HangingAuth(clock)
    async with keep_fresh(await make_verifier(auth, clock)) as verifier:
        clock.now += UNKNOWN_KEY_PERIOD_SECONDS
        waiting = asyncio.create_task(verifier.verify(sign(OTHER)))
        await asyncio.wait_for(auth.asked.wait(), 5)
    assert verifier._keys_attempt is None
    await asyncio.wait([waiting], timeout=5)
    assert waiting.cancelled()


async def test_keys_serve_while_auth_is_down_until_revocations_are_too_old() -> None:
    auth, clock = FakeAuth(), Clock()
    verifier = await make_verifier(auth, clock)
    auth.down = True
    clock.now += ACCESS_TOKEN_SECONDS - 1
    await verifier.refresh()
    await verifier.verify(sign(exp=int(clock.now) + 600))
    assert verifier.has_keys and verifier.degraded == ("auth",)
    clock.now += 2
    with pytest.raises(Unavailable):
        await verifier.verify(sign(exp=int(clock.now) + 600))
    auth.down = False
    await verifier.refresh()
    await verifier.verify(sign(exp=int(clock.now) + 600))
    assert not verifier.degraded


async def test_without_keys_ever_everything_is_unavailable() -> None:
    verifier = await make_verifier(FakeAuth(down=True))
    assert not verifier.has_keys
    with pytest.raises(Unavailable):
        await verifier.verify(sign())


async def test_symmetric_and_nameless_keys_of_a_set_are_left_out() -> None:
    class OddAuth(FakeAuth):
        async def fetch_keys(self) -> Any:
            secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "oct-1", "alg": "HS256"}
            nameless = {k: v for k, v in OTHER.as_dict(private=False).items() if k != "kid"}
            return {
                "keys": [
                    secret,
                    nameless,
                    {"kty": "RSA", "kid": "x", "alg": "RS256"},
                    RSA.as_dict(private=False),
                ]
            }

    verifier = await make_verifier(OddAuth())
    assert list(verifier._keys) == ["rsa-1"]
