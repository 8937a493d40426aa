"""Addresses that clients registered are never of our own network."""

from ipaddress import ip_address
from typing import Any

import pytest
from joserfc.jwk import ECKey

from apps.auth.outbound import (
    KEYS_LIFE_SECONDS,
    KEYS_RETRY_SECONDS,
    MAX_CACHED_KEY_SETS,
    MAX_RESPONSE_BYTES,
    ClientKeys,
    OutboundError,
    OutboundHttp,
    PublicResolver,
    is_public,
)
from tests.auth.listening import listening


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://100.64.0.1/",
        "http://8.8.8.8/",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://[bad",
        "https:///x",
        "",
    ],
)
async def test_address_of_a_private_network_or_another_scheme_is_refused(url: str) -> None:
    with pytest.raises(OutboundError):
        OutboundHttp(allow_loopback=False).check(url)


async def test_name_that_leads_to_a_private_address_is_refused() -> None:
    http = OutboundHttp(allow_loopback=False)
    try:
        with pytest.raises(OutboundError):
            await http.get_json("https://localhost:1/")
        with pytest.raises(OutboundError):
            await http.post_form("https://localhost:1/", {})
    finally:
        await http.close()


async def test_loopback_is_for_a_developers_machine() -> None:
    http = OutboundHttp(allow_loopback=True)
    http.check("http://127.0.0.1:8000/jwks")
    http.check("http://localhost:8000/jwks")
    for url in ("http://10.0.0.1/", "http://8.8.8.8/", "http://example.com/"):
        with pytest.raises(OutboundError):
            http.check(url)
    OutboundHttp(allow_loopback=False).check("https://8.8.8.8/")


def test_public_is_what_the_internet_routes() -> None:
    assert is_public(ip_address("8.8.8.8")) and is_public(ip_address("2001:4860:4860::8888"))
    assert not is_public(ip_address("::ffff:127.0.0.1"))
    # NAT64 and 6to4 lead to the IPv4 address that is written in them.
    assert not is_public(ip_address("64:ff9b::169.254.169.254"))
    assert not is_public(ip_address("2002:a00:1::"))
    assert is_public(ip_address("64:ff9b::8.8.8.8"))


@pytest.mark.parametrize(
    ("hosts", "fine"),
    [
        (["8.8.8.8"], True),
        (["8.8.8.8", "2001:4860:4860::8888"], True),
        # Whoever answers for the name could have either one taken.
        (["8.8.8.8", "10.0.0.1"], False),
        (["fe80::1%eth0"], False),
        ([], False),
    ],
)
async def test_name_leads_to_public_addresses_alone(
    monkeypatch: pytest.MonkeyPatch, hosts: list[str], fine: bool
) -> None:
    resolver = PublicResolver(allow_loopback=False)

    async def resolve(*_: Any) -> Any:
        return [{"host": host} for host in hosts]

    monkeypatch.setattr(resolver._inner, "resolve", resolve)
    try:
        if fine:
            assert len(await resolver.resolve("app.example")) == len(hosts)
        else:
            with pytest.raises(OSError, match=r"no public address"):
                await resolver.resolve("app.example")
    finally:
        await resolver.close()


async def test_redirects_are_not_followed() -> None:
    http = OutboundHttp(allow_loopback=True)
    for listener in listening():
        listener.status, listener.location = 302, f"{listener.url}/internal"
        with pytest.raises(OutboundError):
            await http.get_json(f"{listener.url}/jwks")
        assert await http.post_form(f"{listener.url}/logout", {"logout_token": "x"}) == 302
        assert [path for path, _ in listener.requests] == ["/jwks", "/logout"]
    await http.close()


async def test_long_answer_is_no_key_set() -> None:
    http = OutboundHttp(allow_loopback=True)
    for listener in listening():
        listener.answer = "x" * (MAX_RESPONSE_BYTES - 2)
        assert await http.get_json(f"{listener.url}/jwks") == listener.answer
        listener.answer += "x"
        with pytest.raises(OutboundError):
            await http.get_json(f"{listener.url}/jwks")
        listener.answer = {"keys": ["x" * 65_536]}
        with pytest.raises(OutboundError):
            await http.get_json(f"{listener.url}/jwks")
    await http.close()


class Address:
    """An address of a client's keys, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answers = True
        self.asked = 0

    def monotonic(self) -> float:
        return self.now

    async def get_json(self, url: str) -> Any:
        self.asked += 1
        if not self.answers:
            raise OutboundError("status 503")
        return {"keys": [ECKey.generate_key("P-256", {"kid": "k"}).as_dict(private=False)]}


async def test_key_that_is_not_in_the_set_is_asked_for_at_a_bounded_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = Address()
    monkeypatch.setattr("apps.auth.outbound.time", address)
    keys = ClientKeys(address)  # type: ignore[arg-type]
    for now, kid, asked in (
        (0.0, "k", 1),
        (KEYS_RETRY_SECONDS - 1, "new", 1),
        (KEYS_RETRY_SECONDS, "new", 2),
        (KEYS_RETRY_SECONDS + KEYS_LIFE_SECONDS - 1, "k", 2),
        (KEYS_RETRY_SECONDS + KEYS_LIFE_SECONDS, "k", 3),
    ):
        address.now = now
        await keys.refresh("https://app.example/jwks", kid)
        assert address.asked == asked


async def test_sets_of_keys_are_bounded_in_number() -> None:
    address = Address()
    keys = ClientKeys(address)  # type: ignore[arg-type]
    urls = [f"https://app.example/{number}" for number in range(MAX_CACHED_KEY_SETS + 1)]
    for url in urls[:-1]:
        await keys.refresh(url, "k")
    assert all(keys.known(url) for url in urls[:-1])
    await keys.refresh(urls[-1], "k")
    assert [url for url in urls if not keys.known(url)] == urls[:1]


async def test_keys_of_an_address_that_fell_silent_verify_for_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = Address()
    monkeypatch.setattr("apps.auth.outbound.time", address)
    keys = ClientKeys(address)  # type: ignore[arg-type]
    url = "https://app.example/jwks"
    await keys.refresh(url, "k")
    assert keys.known(url)
    address.answers = False
    # Asked for every five minutes: a failure makes the keys no younger.
    for minute in range(5, 60, 5):
        address.now = minute * 60.0
        await keys.refresh(url, "k")
        assert keys.known(url), minute
    assert address.asked == 12
    address.now = 60 * 60.0
    await keys.refresh(url, "k")
    assert keys.known(url) is None

    address.answers, address.now = True, address.now + 30
    await keys.refresh(url, "k")
    assert keys.known(url)
