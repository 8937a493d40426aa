"""What counts as one client among IP addresses."""

from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

# A household or a host has a whole /64 of IPv6.
IPV6_HOST_BITS = 64


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Returns the address by which a client is counted: over IPv6 its /64, over IPv4 the
    address itself.

    Any other text is returned as it is.
    """
    try:
        known = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    return str(known.ipv4_mapped or IPv6Address(int(known) >> IPV6_HOST_BITS << IPV6_HOST_BITS))
