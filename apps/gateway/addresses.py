"""Where a request came from, as far as it can be believed."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

UNKNOWN = "unknown"
# A household or host has a whole /64 of IPv6: it counts as one.
IPV6_PREFIX_BITS = 64


def client_address(peer: str, forwarded_for: list[str], trusted: tuple[Network, ...]) -> str:
    """The rightmost address that no trusted proxy has; `forwarded_for` are the header's values in their order.

    Everything left of it was written by somebody whom nobody vouches for.
    """
    address = peer
    if not trusted:
        return address
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while hops and _is_trusted(address, trusted):
        parsed = _parse(hops.pop())
        if parsed is None:
            return address
        address = str(parsed)
    return address


@lru_cache(maxsize=4096)
def limit_key(address: str) -> str:
    """What the rate limit counts by: the address, of IPv6 the network."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, IPV6_PREFIX_BITS), strict=False))
    return address


@lru_cache(maxsize=4096)
def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _parse(text: str) -> Address | None:
    """An address, with the port that some balancers add: `203.0.113.7:1234`, `[2001:db8::1]:1234`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
