"""The very second at which a token is good, and the first at which it is not."""

from typing import Any

import pytest

from apps.kit.claims import ACCESS_TOKEN_SECONDS, CLOCK_LEEWAY_SECONDS, read_principal, read_time
from apps.kit.errors import Unauthorized, Unavailable
from apps.kit.token_verifier import MAX_TOKEN_CHARS, Verifier
from tests.kit.signed_tokens import ISSUER, RSA, Clock, make_verifier, sign


async def reason_for(verifier: Verifier, token: str) -> str:
    """Returns why the token is refused; empty where it is good."""
    try:
        await verifier.verify(token)
    except Unauthorized as problem:
        return problem.detail
    return ""


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = float(int(clock.now))
    return clock


@pytest.mark.parametrize("seen_before", [False, True])
async def test_token_ends_at_its_expiry(clock: Clock, seen_before: bool) -> None:
    verifier = await make_verifier(clock=clock)
    token = sign(exp=int(clock.now) + 100)
    if seen_before:
        assert await reason_for(verifier, token) == ""
    clock.now += 99
    last = sign(exp=int(clock.now) + 1)
    assert await reason_for(verifier, token if seen_before else last) == ""
    clock.now += 1
    assert await reason_for(verifier, token) == "expired"


def test_claims_end_at_their_expiry(clock: Clock) -> None:
    end = int(clock.now) + 100
    token = sign(exp=end)

    def subject(now: float) -> str:
        return read_principal(token, RSA, issuer=ISSUER, audiences=(ISSUER,), now=now).subject

    assert subject(end - 0.5) == "user-1"
    with pytest.raises(Unauthorized):
        subject(end)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_token_begins_within_the_leeway_of_clocks(clock: Clock, claim: str) -> None:
    verifier = await make_verifier(clock=clock)
    begins = int(clock.now) + CLOCK_LEEWAY_SECONDS
    for seconds, reason in ((0, ""), (1, "not valid yet")):
        claims: dict[str, Any] = {claim: begins + seconds}
        assert await reason_for(verifier, sign(**claims)) == reason


def test_times_are_those_that_a_double_holds_exactly() -> None:
    assert read_time({"exp": 2**53 - 1}, "exp") == 2**53 - 1
    for time in (2**53, -(2**53), float("nan"), float("inf")):
        with pytest.raises(Unauthorized):
            read_time({"exp": time}, "exp")


async def test_longest_token_is_read(clock: Clock) -> None:
    verifier = await make_verifier(clock=clock)
    # Three characters of the claims are four of the token.
    padding = (MAX_TOKEN_CHARS - len(sign(header={"cty": ""}, padding=""))) * 3 // 4
    tokens = [
        sign(header={"cty": "x" * count}, padding="x" * (padding + more))
        for count in range(3)
        for more in range(-5, 3)
    ]
    longest = next(token for token in tokens if len(token) == MAX_TOKEN_CHARS)
    assert await reason_for(verifier, longest) == ""
    assert await reason_for(verifier, longest + "x") == "too long"


async def test_revocations_are_good_for_as_long_as_a_token(clock: Clock) -> None:
    verifier = await make_verifier(clock=clock)
    clock.now += ACCESS_TOKEN_SECONDS
    token = sign(exp=int(clock.now) + 600)
    assert await reason_for(verifier, token) == ""
    clock.now += 0.001
    with pytest.raises(Unavailable):
        await verifier.verify(token)
