"""Finds the address that a request came from."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address


def client_address(peer: str, forwarded_for: list[str], trusted: tuple[Network, ...]) -> str:
    """Returns the rightmost address that is not a trusted proxy's.

    `forwarded_for`: the values of X-Forwarded-For in their order. What stands left of that address
    was written by the client itself.
    """
    address = peer
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while hops and _is_trusted(address, trusted):
        parsed = _parse(hops.pop())
        if parsed is None:
            return address
        address = str(parsed)
    return address


@lru_cache(maxsize=4096)
def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _parse(text: str) -> Address | None:
    """Returns an address, without the port that some balancers add: `203.0.113.7:1234`,
    `[2001:db8::1]:1234`.
    """
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
