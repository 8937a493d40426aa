"""Who may talk to whom, from the catalogue alone: the rules of the network, the plan and the
picture all follow it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.catalogue import SERVICES, Service

INTERNET = "internet"
BALANCER = "balancer"
BROKER = "broker"
# Images, logs, secrets: what ECS itself needs on a task's behalf.
AWS = "aws"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    source: str
    target: str
    port: int


def database(name: str) -> str:
    return f"database:{name}"


def calls(services: Mapping[str, Service] = SERVICES) -> tuple[Edge, ...]:
    """Returns the edges between services only."""
    return tuple(
        Edge(entry.name, called, services[called].port)
        for entry in services.values()
        for called in sorted({*entry.calls, *entry.looks_up})
    )


def edges(
    services: Mapping[str, Service] = SERVICES, *, database_port: int, broker_port: int
) -> tuple[Edge, ...]:
    found = [Edge(INTERNET, BALANCER, 443), Edge(INTERNET, BALANCER, 80), *calls(services)]
    for entry in services.values():
        if entry.public:
            found.append(Edge(BALANCER, entry.name, entry.port))
        found.append(Edge(entry.name, AWS, 443))
        found += [Edge(entry.name, database(name), database_port) for name in entry.databases]
        if entry.uses_broker:
            found.append(Edge(entry.name, BROKER, broker_port))
    return tuple(sorted(found))


def in_order(services: Mapping[str, Service]) -> list[Service]:
    """Sorts services: who is called comes before who calls.

    Raises ValueError where services wait for each other in a ring.
    """
    ordered: list[Service] = []
    waiting = dict(services)
    while waiting:
        ready = [entry for entry in waiting.values() if not set(entry.calls) & set(waiting)]
        if not ready:
            raise ValueError(f"these services wait for each other: {', '.join(sorted(waiting))}")
        for entry in ready:
            ordered.append(entry)
            del waiting[entry.name]
    return ordered
