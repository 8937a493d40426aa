"""The order in which services are made: Service Connect tells a task only of names before it."""

from dataclasses import replace

import pytest

from apps.catalogue import SERVICES
from infrastructure.network.edges import in_order

pytestmark = pytest.mark.infrastructure


def test_who_is_called_comes_before_who_calls() -> None:
    order = [entry.name for entry in in_order(SERVICES)]
    assert sorted(order) == sorted(SERVICES)
    for entry in SERVICES.values():
        assert all(order.index(called) < order.index(entry.name) for called in entry.calls)


def test_services_that_call_each_other_are_named() -> None:
    ring = {**SERVICES, "auth": replace(SERVICES["auth"], calls=("patient",))}
    with pytest.raises(ValueError, match=r"wait for each other: .*auth.*patient"):
        in_order(ring)
