from ipaddress import ip_network

import pytest

from apps.gateway.addresses import client_address
from apps.gateway.rate_limit import RateLimiter
from apps.gateway.settings import RequestLimits
from tests.gateway.running import make_token, open_gateway

PRIVATE = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_bucket_empties_and_fills_again_with_time() -> None:
    clock = Clock()
    limiter = RateLimiter(60, clock)
    decisions = [limiter.take("a") for _ in range(61)]
    assert [decision.allowed for decision in decisions] == [True] * 60 + [False]
    assert decisions[0].remaining == 59
    assert (
        decisions[60].remaining,
        decisions[60].retry_after_seconds,
        decisions[60].reset_seconds,
    ) == (0, 1, 60)
    clock.now += 2.0
    assert [limiter.take("a").allowed for _ in range(3)] == [True, True, False]
    clock.now += 3600.0
    assert limiter.take("a").remaining == 59


def test_one_client_does_not_spend_anothers() -> None:
    limiter = RateLimiter(1, Clock())
    assert limiter.take("a").allowed
    assert not limiter.take("a").allowed
    assert limiter.take("b").allowed


def test_table_of_clients_is_bounded_and_forgets_the_one_longest_at_rest() -> None:
    limiter = RateLimiter(1, Clock(), max_clients=3)
    for key in "abc":
        limiter.take(key)
    limiter.take("a")
    limiter.take("d")
    assert not limiter.take("a").allowed
    assert limiter.take("b").allowed
    assert len(limiter._buckets) == 3


def test_ten_thousand_clients_are_known_at_once() -> None:
    limiter = RateLimiter(1, Clock())
    for number in range(10_000):
        limiter.take(str(number))
    assert not limiter.take("0").allowed
    limiter.take("one more")
    assert limiter.take("1").allowed


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["6.6.6.6"], "203.0.113.5"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6", "203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["10.1.1.1, 10.0.0.7"], "10.1.1.1"),
    ],
)
def test_client_is_the_rightmost_untrusted_address(
    peer: str, forwarded_for: list[str], expected: str
) -> None:
    assert client_address(peer, forwarded_for, PRIVATE) == expected


def test_nobody_is_trusted_by_default() -> None:
    assert client_address("10.0.0.1", ["203.0.113.9"], ()) == "10.0.0.1"


async def test_client_over_its_limit_is_429_and_told_when_to_come_back() -> None:
    async with open_gateway(limits=RequestLimits(requests_per_minute=3)) as gateway:
        for remaining in (2, 1, 0):
            async with gateway.call("GET", "/api/patients", scope="user/Patient.s") as answer:
                assert answer.status == 200
                assert answer.headers["RateLimit-Policy"] == '"client";q=3;w=60'
                assert answer.headers["RateLimit"].startswith(f'"client";r={remaining};t=')
        async with gateway.call("GET", "/fhir/R4/Patient", scope="user/Patient.s") as answer:
            assert answer.status == 429
            assert 1 <= int(answer.headers["Retry-After"]) <= 20
            assert (await answer.json(content_type=None))["issue"][0]["code"] == "throttled"
        # By client, not by address.
        other = make_token("user/Patient.s", client_id="client-2", jti="token-2")
        async with gateway.call("GET", "/api/patients", token=other) as answer:
            assert answer.status == 200
        # Nor by the application alone: one user's haste is not the others'.
        colleague = make_token("user/Patient.s", sub="user-2", jti="token-3")
        async with gateway.call("GET", "/api/patients", token=colleague) as answer:
            assert answer.status == 200
        assert len(gateway.patient.seen) == 5


async def test_guesses_at_tokens_count_against_their_address() -> None:
    async with open_gateway(limits=RequestLimits(requests_per_minute=2)) as gateway:
        statuses = []
        for number in range(3):
            async with gateway.call("GET", "/api/patients", token=f"guess-{number}") as answer:
                statuses.append(answer.status)
        assert statuses == [401, 401, 429]
