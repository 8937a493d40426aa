"""AWS's limits: the last value that is taken and the first that is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from infrastructure.config.limits import (
    LimitError,
    check_database_name,
    check_fargate_size,
    check_group_description,
    check_name,
    check_port,
    check_priority,
    check_retention,
    check_security_groups,
)

pytestmark = pytest.mark.infrastructure

BALANCER = "aws:lb/loadBalancer:LoadBalancer"
Check = Callable[..., None]


def check_suffixed(kind: str, name: str) -> None:
    check_name(kind, name, suffixed=True)


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (check_fargate_size, (256, 512)),
        (check_fargate_size, (512, 4096)),
        (check_fargate_size, (16384, 122880)),
        (check_name, (BALANCER, "x" * 32)),
        (check_suffixed, (BALANCER, "x" * 24)),
        (check_name, ("aws:other:Kind", "x" * 2000)),
        (check_database_name, ("d" * 63,)),
        (check_database_name, ("pr_1_patient",)),
        (check_port, (1024,)),
        (check_port, (65535,)),
        (check_retention, (1,)),
        (check_retention, (3653,)),
        (check_group_description, ("x" * 255,)),
        (check_security_groups, (5,)),
        (check_priority, (1,)),
        (check_priority, (50_000,)),
    ],
)
def test_value_within_the_limit_is_taken(check: Check, values: tuple[Any, ...]) -> None:
    check(*values)


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (check_fargate_size, (256, 4096)),
        (check_fargate_size, (512, 5120)),
        (check_fargate_size, (300, 512)),
        (check_name, (BALANCER, "x" * 33)),
        (check_suffixed, (BALANCER, "x" * 25)),
        (check_database_name, ("d" * 64,)),
        (check_database_name, ("1d",)),
        (check_database_name, ("Patient",)),
        (check_database_name, ("",)),
        (check_port, (1023,)),
        (check_port, (65536,)),
        (check_retention, (2,)),
        (check_retention, (0,)),
        (check_group_description, ("",)),
        (check_group_description, ("x" * 256,)),
        (check_group_description, ("it's",)),
        (check_security_groups, (6,)),
        (check_priority, (0,)),
        (check_priority, (50_001,)),
    ],
)
def test_value_beyond_the_limit_is_refused(check: Check, values: tuple[Any, ...]) -> None:
    with pytest.raises(LimitError):
        check(*values)
