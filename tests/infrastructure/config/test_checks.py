"""Numbers of an environment: the least and the most that is taken, and what is not."""

from typing import Any

import pytest
from msgspec import structs

from infrastructure.config.checks import (
    LARGEST_BROKER_GIB,
    check_environment,
    layout_faults,
    size_faults,
)
from infrastructure.config.files import read_config
from infrastructure.config.model import (
    EnvironmentSettings,
    EnvironmentStack,
    GithubSettings,
    Replicas,
    SettingsError,
)
from infrastructure.config.parse import parse_stack
from infrastructure.config.production import production_faults

pytestmark = pytest.mark.infrastructure


def replaced(target: Any, path: list[str], value: Any) -> Any:
    """Returns a copy of the settings with another value at the path."""
    if not path:
        return value
    name, *rest = path
    if isinstance(target, dict):
        return {**target, name: replaced(target[name], rest, value)}
    return structs.replace(target, **{name: replaced(getattr(target, name), rest, value)})


def settings(name: str, **changes: Any) -> EnvironmentSettings:
    """Returns an environment's settings; `part__key` changes a key of a part."""
    stack = parse_stack(name, read_config(name))
    assert isinstance(stack, EnvironmentStack)
    config = stack.config
    for path, value in changes.items():
        config = replaced(config, path.split("__"), value)
    return config


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({"data__instances__main__storage_gib": 20}, True),
        ({"data__instances__main__storage_gib": 19}, False),
        ({"data__backup_retention_days": 1}, True),
        ({"data__backup_retention_days": 35}, True),
        ({"data__backup_retention_days": 0}, False),
        ({"data__backup_retention_days": 36}, False),
        ({"data__instances__main__generation": 1}, True),
        ({"data__instances__main__generation": 999}, True),
        ({"data__instances__main__generation": 0}, False),
        ({"data__instances__main__generation": 1_000}, False),
        ({"stream__storage_limit_gib": LARGEST_BROKER_GIB}, True),
        ({"stream__storage_limit_gib": LARGEST_BROKER_GIB + 1}, False),
        ({"secrets_version": 1}, True),
        ({"secrets_version": 0}, False),
        ({"rate_limit_requests": 10}, True),
        ({"rate_limit_requests": 9}, False),
        ({"rate_limit_requests": 2_000_000_000}, True),
        ({"rate_limit_requests": 2_000_000_001}, False),
        ({"budget_usd": 1}, True),
        ({"budget_usd": 0}, False),
        ({"replicas": Replicas(minimum=1, maximum=1)}, True),
        ({"replicas": Replicas(minimum=0, maximum=1)}, False),
        ({"replicas": Replicas(minimum=2, maximum=1)}, False),
        ({"github": GithubSettings(repository="a/b", owner_id=1, repository_id=1)}, True),
        ({"github": GithubSettings(repository="a/b", owner_id=1, repository_id=0)}, False),
        ({"data__instances__main__engine_version": "16"}, True),
        ({"data__instances__main__engine_version": "15"}, False),
        ({"data__instances__main__upgraded_from": "17"}, True),
        ({"data__instances__main__upgraded_from": "18"}, False),
        ({"data__instances__main__upgraded_from": "15"}, False),
    ],
    ids=str,
)
def test_number_is_bounded(changes: dict[str, Any], taken: bool) -> None:
    assert (size_faults(settings("dev", **changes)) == []) is taken


def test_storage_may_grow() -> None:
    for part, name in (("stream", "stream"), ("data__instances__main", "data.instances.main")):
        config: Any = settings("dev")
        for step in part.split("__"):
            config = config[step] if isinstance(config, dict) else getattr(config, step)
        for more, faults in ((0, 1), (1, 0)):
            changed = settings("dev", **{f"{part}__storage_limit_gib": config.storage_gib + more})
            found = [fault for fault in size_faults(changed) if fault.startswith(name)]
            assert len(found) == faults


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, True),
        ({"data__backup_retention_days": 14}, True),
        ({"data__backup_retention_days": 13}, False),
        ({"log_retention_days": 365}, True),
        ({"log_retention_days": 364}, False),
        ({"replicas": None}, True),
        ({"replicas": Replicas(minimum=2, maximum=2)}, True),
        ({"replicas": Replicas(minimum=1, maximum=2)}, False),
    ],
    ids=str,
)
def test_production_asks_for_so_much(changes: dict[str, Any], taken: bool) -> None:
    assert (production_faults(settings("prod", **changes)) == []) is taken


@pytest.mark.parametrize(
    ("cidr", "taken"),
    [("10.7.0.0/16", True), ("10.0.0.0/15", False), ("8.8.0.0/16", False), ("10.0.0.1/16", False)],
)
def test_network_is_a_private_one_of_65536_addresses(cidr: str, taken: bool) -> None:
    region = read_config("dev")["aws:region"]
    assert (layout_faults(region, settings("dev", vpc_cidr=cidr)) == []) is taken


@pytest.mark.parametrize(
    ("name", "changes", "fault"),
    [
        ("dev", {"images_life": 2}, ""),
        ("staging", {"images_life": 2}, "images-life must be from 1 up"),
        ("dev", {"images_from": "staging"}, "images-from is for images: promote"),
        ("dev", {"image_readers": ("123456789012",)}, ""),
    ],
    ids=str,
)
def test_images_are_made_in_one_place(name: str, changes: dict[str, Any], fault: str) -> None:
    region = read_config(name)["aws:region"]
    config = settings(name, **changes)
    if not fault:
        check_environment(name, region, config)
        return
    with pytest.raises(SettingsError, match=fault):
        check_environment(name, region, config)
