"""How a /16 is cut into subnets: pure arithmetic, tested by itself.

The `Exact` strategy of `awsx.ec2.Vpc` wants the subnets, taken zone by zone in their order, to
cover the block without a hole; so what is left over is named `Unused`. Addresses never depend on a
default that may change.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """One kind of subnet, with a block in each zone, in the zones' order."""

    name: str
    type: Literal["Private", "Isolated", "Public", "Unused"]
    blocks: tuple[str, ...]


def plan_subnets(vpc_cidr: str, zones: int) -> tuple[SubnetSpec, ...]:
    """Cuts a /18 for each zone: private /19 (tasks), isolated /20 (data), public /21, /21 to spare.

    The last takes the rest.
    """
    network = ipaddress.IPv4Network(vpc_cidr)
    if network.prefixlen != 16 or not 2 <= zones <= 3:
        raise ValueError(f"{vpc_cidr} over {zones} zones: it is a /16 over two or three")
    quarters = [ZoneBlocks(quarter) for quarter in network.subnets(new_prefix=18)]
    used, last = quarters[:zones], quarters[zones - 1]
    # Every specification needs a block in each zone: the others halve what they have to spare.
    spare = [last.spare if block is last else halves(block.spare)[0] for block in used]
    remainder = halves(network)[1] if zones == 2 else quarters[3].whole
    rest = [remainder if block is last else halves(block.spare)[1] for block in used]
    return (
        SubnetSpec("private", "Private", texts(block.private for block in used)),
        SubnetSpec("isolated", "Isolated", texts(block.isolated for block in used)),
        SubnetSpec("public", "Public", texts(block.public for block in used)),
        SubnetSpec("spare", "Unused", texts(spare)),
        SubnetSpec("rest", "Unused", texts(rest)),
    )


class ZoneBlocks:
    def __init__(self, quarter: ipaddress.IPv4Network) -> None:
        self.whole = quarter
        self.private, second = halves(quarter)
        self.isolated, last = halves(second)
        self.public, self.spare = halves(last)


def halves(network: ipaddress.IPv4Network) -> tuple[ipaddress.IPv4Network, ipaddress.IPv4Network]:
    first, second = network.subnets(prefixlen_diff=1)
    return first, second


def texts(networks: Iterable[ipaddress.IPv4Network]) -> tuple[str, ...]:
    return tuple(str(network) for network in networks)
