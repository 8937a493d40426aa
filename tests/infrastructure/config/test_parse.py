"""Unsafe and unknown settings are refused, and the message names the key."""

import json
from typing import Any

import pytest

from infrastructure.config.files import preview_config, read_config
from infrastructure.config.model import EnvironmentStack, PreviewStack, SettingsError
from infrastructure.config.parse import parse_stack

pytestmark = pytest.mark.infrastructure
KEY = "patient-management:"


def changed(stack: str, **values: Any) -> dict[str, str]:
    given = {KEY + key.replace("_", "-"): json.dumps(value) for key, value in values.items()}
    return {**read_config(stack), **given}


def nested(stack: str, part: str, **values: Any) -> dict[str, str]:
    whole = json.loads(read_config(stack)[KEY + part])
    return changed(stack, **{part: {**whole, **values}})


def instance(**values: Any) -> dict[str, str]:
    """Returns dev's configuration with another instance `main`."""
    data = json.loads(read_config("dev")[KEY + "data"])
    data["instances"]["main"] |= values
    return changed("dev", data=data)


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_the_repositorys_own_configurations_are_valid(name: str) -> None:
    assert isinstance(parse_stack(name, read_config(name)), EnvironmentStack)


UNSAFE = {
    "data.multi-az": nested("prod", "data", **{"multi-az": False}),
    "data.deletion-protection": nested("prod", "data", **{"deletion-protection": False}),
    "data.backup-retention-days": nested("prod", "data", **{"backup-retention-days": 7}),
    "deletion-protection": changed("prod", deletion_protection=False),
    "waf": changed("prod", waf=False),
    "service-tls": changed("prod", service_tls=False),
    "interface-endpoints": changed("prod", interface_endpoints=False),
    "nat": changed("prod", nat="single"),
    "insights": changed("prod", insights=False),
    "spot": changed("prod", spot=True),
    "previews": changed("prod", previews=True),
    "images": changed("prod", images="build", images_from=None),
    "replicas.minimum": changed("prod", replicas={"minimum": 1, "maximum": 3}),
    "log-retention-days": changed("prod", log_retention_days=30),
    "availability-zones": changed("prod", availability_zones=["us-east-1a", "us-east-1b"]),
    "app.AUTH_PASSWORD_LOGIN_ENABLED": changed("prod", app={"AUTH_PASSWORD_LOGIN_ENABLED": "true"}),
}


@pytest.mark.parametrize("key", UNSAFE)
def test_production_refuses_what_is_unsafe(key: str) -> None:
    with pytest.raises(SettingsError, match=key.replace(".", r"\.")):
        parse_stack("prod", UNSAFE[key])


INVALID = {
    "vpc-cidr": changed("dev", vpc_cidr="10.0.0.0/20"),
    "availability-zones": changed("dev", availability_zones=["eu-west-1a", "eu-west-1b"]),
    "stream.brokers": nested("dev", "stream", brokers=3),
    "stream.broker-class": nested("dev", "stream", **{"broker-class": "t3.small"}),
    "data.instances": nested("dev", "data", instances={}),
    "log-retention-days": changed("dev", log_retention_days=42),
    "domain": changed("dev", domain="elsewhere.org"),
    "images-from": changed("staging", images_from=None),
    "images-life": changed("dev", images_life=0),
    "image-readers takes accounts": changed("dev", image_readers=["12345"]),
    "image-readers is for images: build": changed("staging", image_readers=["210987654321"]),
    "previews are on dev already": changed("staging", previews=True),
    "stream.kafka-version": nested("dev", "stream", **{"kafka-version": "3.9"}),
    "stream.storage-limit-gib": nested("dev", "stream", **{"storage-limit-gib": 10}),
    "notices-email": changed("dev", notices_email=""),
    "secrets-version": changed("dev", secrets_version=0),
    "data.instances.main.engine-version": instance(**{"engine-version": "18.1"}),
    "data.instances.main.upgraded-from": instance(**{"upgraded-from": "19"}),
    "data.instances.main.generation": instance(generation=0),
    "data.instances.main.restore needs a generation": instance(restore={"snapshot": "one"}),
    "data.instances.main.restore names": instance(
        generation=2, restore={"snapshot": "one", "instance": "patient-dev-main"}
    ),
    "data.instances.main.restore.time": instance(
        generation=2, restore={"instance": "patient-dev-main", "time": "2026-01-31T08:00"}
    ),
    "colour": changed("dev", colour="blue"),
    "app.COLOUR": changed("dev", app={"COLOUR": "blue"}),
    "nat": changed("dev", nat="many"),
    "nat: none needs interface-endpoints": changed("dev", nat="none"),
    "outbound-ports must be of": changed("dev", outbound_ports=[22]),
    "outbound-ports need nat": changed(
        "dev", nat="none", interface_endpoints=True, outbound_ports=[465]
    ),
}


@pytest.mark.parametrize("source", ["prod", "staging", "nowhere"])
def test_images_are_taken_only_from_another_environment_that_builds(source: str) -> None:
    for stack in ("prod", "staging"):
        with pytest.raises(
            SettingsError,
            match=f"images-from must be another environment that builds, not {source}",
        ):
            parse_stack(stack, changed(stack, images_from=source))


def test_endpoints_reach_images_of_their_own_region_only() -> None:
    zones = [f"eu-west-1{letter}" for letter in "abc"]
    elsewhere = {**changed("prod", availability_zones=zones), "aws:region": "eu-west-1"}
    with pytest.raises(SettingsError, match="images-from must lie in this region"):
        parse_stack("prod", elsewhere)


@pytest.mark.parametrize("key", INVALID)
def test_what_is_invalid_is_refused_by_name(key: str) -> None:
    of_staging = (
        "images-from",
        "image-readers is for images: build",
        "previews are on dev already",
    )
    stack = "staging" if key in of_staging else "dev"
    with pytest.raises(SettingsError, match=key.replace(".", r"\.")):
        parse_stack(stack, INVALID[key])


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_every_environment_says_who_hears_alarms(name: str) -> None:
    config = read_config(name)
    del config[KEY + "notices-email"]
    with pytest.raises(SettingsError, match="notices-email"):
        parse_stack(name, config)


def test_a_preview_of_production_is_refused() -> None:
    with pytest.raises(SettingsError, match="base must be dev or staging, never prod"):
        parse_stack("pr-7", preview_config("prod", "us-east-1"))


@pytest.mark.parametrize("name", ["pr-0", "pr-07", "pr-49000", "pr-1x", "pr_1", "production"])
def test_other_names_are_no_stack(name: str) -> None:
    with pytest.raises(SettingsError):
        parse_stack(name, preview_config("dev", "us-east-1"))


def test_a_previews_prefix_ends_at_its_delimiter() -> None:
    one, twelve = (
        parse_stack(f"pr-{number}", preview_config("dev", "us-east-1")) for number in (1, 12)
    )
    assert isinstance(one, PreviewStack)
    assert isinstance(twelve, PreviewStack)
    assert not f"{twelve.prefix}patient".startswith(one.prefix)


def test_a_missing_region_is_named() -> None:
    with pytest.raises(SettingsError, match="aws:region"):
        parse_stack("dev", {})


@pytest.mark.parametrize("bucket", ["s3://states", "states/dev", "States", "no bucket"])
def test_the_states_bucket_is_a_name(bucket: str) -> None:
    github = {"repository": "example-org/patient-management", "state-bucket": bucket}
    with pytest.raises(SettingsError, match=r"github\.state-bucket"):
        parse_stack("dev", changed("dev", github=github))
    github["state-bucket"] = "states-of-ours"
    for ids in ({"owner-id": 65}, {"repository-id": 1207}, {"owner-id": 0, "repository-id": 1}):
        with pytest.raises(SettingsError, match=r"github\.owner-id and github\.repository-id"):
            parse_stack("dev", changed("dev", github={**github, **ids}))
    parsed = parse_stack("dev", changed("dev", github=github))
    assert isinstance(parsed, EnvironmentStack)
    assert parsed.config.github is not None
    assert parsed.config.github.state_bucket == "states-of-ours"
