"""The parts of the program that are plain functions: subnets, digests, names, limits, the
firewall's rules.
"""

import ipaddress
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.auth.admin.client_routes import CLIENTS
from apps.auth.oauth.registration import is_redirect_uri
from apps.auth.paths import AUTHORIZE, ENROL, LOGOUT, SECOND_FACTOR, SIGN_IN
from apps.catalogue import SERVICES
from apps.gateway.settings import RATE_LIMIT_REQUESTS_PER_MINUTE
from apps.kit.http_server import KEEP_ALIVE_SECONDS
from infrastructure.config import limits
from infrastructure.config.files import ROOT, read_config
from infrastructure.config.model import EnvironmentStack
from infrastructure.config.parse import parse_stack
from infrastructure.ecs.image_source import (
    IMAGES,
    RELEASE,
    parts,
    source_digest,
    source_files,
    stage,
)
from infrastructure.ecs.task import probe_url
from infrastructure.network import subnets
from infrastructure.network.balancer import IDLE_SECONDS
from infrastructure.network.firewall import COMMON, EXEMPTIONS, rules

pytestmark = pytest.mark.infrastructure


@given(second=st.integers(0, 255), zones=st.integers(2, 3))
def test_subnets_cover_the_vpc_zone_by_zone_without_a_hole(second: int, zones: int) -> None:
    specs = subnets.plan_subnets(f"10.{second}.0.0/16", zones)
    blocks = [ipaddress.IPv4Network(spec.blocks[zone]) for zone in range(zones) for spec in specs]
    address = int(ipaddress.IPv4Address(f"10.{second}.0.0"))
    for block in blocks:
        assert int(block.network_address) == address
        address += block.num_addresses
    assert address == int(ipaddress.IPv4Address(f"10.{second}.0.0")) + 65_536


def test_a_service_is_changed_by_its_own_source_and_by_what_it_shares(tmp_path: Path) -> None:
    for service in IMAGES:
        for file in source_files(service):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, tmp_path / file)
    before = {service: source_digest(service, tmp_path) for service in IMAGES}
    assert before == {service: source_digest(service) for service in IMAGES}

    def changed_by(path: str) -> set[str]:
        (tmp_path / path).write_text((tmp_path / path).read_text() + "\n")
        after = {service: source_digest(service, tmp_path) for service in IMAGES}
        found = {service for service in IMAGES if after[service] != before[service]}
        before.update(after)
        return found

    assert changed_by("apps/billing/__init__.py") == {"billing"}
    assert changed_by("apps/auth/__init__.py") == {"auth", RELEASE}
    assert changed_by("apps/kit/__init__.py") == set(IMAGES)
    assert changed_by("apps/Dockerfile") == set(IMAGES)
    (tmp_path / "apps/billing/__pycache__").mkdir(exist_ok=True)
    (tmp_path / "apps/billing/__pycache__/it.pyc").write_bytes(b"left behind")
    assert changed_by("apps/patient/__init__.py") == {"patient"}


def test_a_context_holds_the_services_files_and_nothing_else(tmp_path: Path) -> None:
    context = stage("billing", tmp_path)
    found = {path.relative_to(context) for path in context.rglob("*") if path.is_file()}
    assert found == set(source_files("billing"))
    assert {path.parts[1] for path in found if path.parts[0] == "apps" and len(path.parts) > 2} == {
        "kit",
        "billing",
    }


def test_the_release_has_every_services_migrations() -> None:
    found = {f"apps/{name}/migrations" for name in SERVICES} - {"apps/auth/migrations"}
    assert found | {"apps/auth"} <= set(parts(RELEASE))


def test_the_firewall_counts_by_name_what_would_block_the_product() -> None:
    common = next(rule for rule in rules(100) if rule["name"] == COMMON)
    overrides = common["statement"]["managed_rule_group_statement"]["rule_action_overrides"]
    assert {each["name"]: each["action_to_use"] for each in overrides} == {
        "SizeRestrictions_BODY": {"count": {}},
        "CrossSiteScripting_BODY": {"count": {}},
        "GenericRFI_QUERYARGUMENTS": {"count": {}},
        "EC2MetaDataSSRF_QUERYARGUMENTS": {"count": {}},
        "GenericRFI_BODY": {"count": {}},
    }
    assert common["override_action"] == {"none": {}}


def one_or_more(statement: dict[str, Any]) -> list[dict[str, Any]]:
    """AWS takes an `or` of two or more only."""
    if "or_statement" not in statement:
        return [statement]
    found: list[dict[str, Any]] = statement["or_statement"]["statements"]
    assert len(found) > 1
    return found


@pytest.mark.parametrize(
    ("name", "labels", "paths"),
    [
        (
            "bodies-elsewhere",
            {"SizeRestrictions_Body", "CrossSiteScripting_Body"},
            {"/fhir/R4", "/api"},
        ),
        (
            "addresses-in-queries-elsewhere",
            {"GenericRFI_QueryArguments", "EC2MetaDataSSRF_QueryArguments"},
            {"/oauth2/"},
        ),
        (
            "addresses-in-bodies-elsewhere",
            {"GenericRFI_Body"},
            {"/oauth2/", "/auth/v1/clients", "/fhir/R4", "/api"},
        ),
    ],
)
def test_what_was_counted_is_blocked_everywhere_but_where_it_is_needed(
    name: str, labels: set[str], paths: set[str]
) -> None:
    rule = next(rule for rule in rules(100) if rule["name"] == name)
    assert rule["action"] == {"block": {}}
    labelled, outside = rule["statement"]["and_statement"]["statements"]
    keys = {each["label_match_statement"]["key"] for each in one_or_more(labelled)}
    assert keys == {f"awswaf:managed:aws:core-rule-set:{label}" for label in labels}
    matched = [
        each["byte_match_statement"] for each in one_or_more(outside["not_statement"]["statement"])
    ]
    assert {each["search_string"] for each in matched} == paths
    assert {each["positional_constraint"] for each in matched} == {"STARTS_WITH"}
    # After the set that leaves the labels, each rule at a priority of its own.
    priorities = [each["priority"] for each in rules(100)]
    assert len(set(priorities)) == len(priorities)
    assert rule["priority"] > next(
        each["priority"] for each in rules(100) if each["name"] == COMMON
    )


def test_what_native_apps_are_sent_back_to_is_an_address_that_only_exempt_paths_take() -> None:
    assert is_redirect_uri("http://127.0.0.1:49152/callback")
    queries, bodies = (each.paths for each in EXEMPTIONS if each.name.startswith("addresses"))
    # The pages of the sign-in carry the authorization request on, in `next`.
    assert all(
        path.startswith(queries) for path in (AUTHORIZE, LOGOUT, SIGN_IN, SECOND_FACTOR, ENROL)
    )
    assert all(path.startswith(bodies) for path in (AUTHORIZE, "/oauth2/token", CLIENTS))


def test_the_firewall_blocks_by_rate_before_anything_else() -> None:
    first = min(rules(100), key=lambda rule: rule["priority"])
    assert first["statement"]["rate_based_statement"]["limit"] == 100
    assert first["action"]["block"]["custom_response"]["response_code"] == 429


def test_the_probe_of_grpc_asks_for_liveness() -> None:
    billing = SERVICES["billing"]
    assert probe_url(billing, billing.liveness) == "grpc://127.0.0.1:9001/livez"


def test_the_balancer_lets_go_of_a_connection_before_the_service_does() -> None:
    assert IDLE_SECONDS < KEEP_ALIVE_SECONDS


def test_the_firewall_lets_through_what_the_gateway_gives_a_client() -> None:
    stack = parse_stack("dev", read_config("dev"))
    assert isinstance(stack, EnvironmentStack)
    assert stack.config.rate_limit_requests >= 5 * RATE_LIMIT_REQUESTS_PER_MINUTE


@given(cpu=st.sampled_from(sorted(limits.FARGATE_MEMORY_MIB)), memory=st.integers(1, 130_000))
def test_fargate_has_only_its_own_sizes(cpu: int, memory: int) -> None:
    if memory in limits.FARGATE_MEMORY_MIB[cpu]:
        limits.check_fargate_size(cpu, memory)
    else:
        with pytest.raises(limits.LimitError):
            limits.check_fargate_size(cpu, memory)


@pytest.mark.parametrize("text", ["Carried by what calls AWS's APIs", "ä", "", "x" * 256])
def test_a_security_groups_description_is_what_ec2_takes(text: str) -> None:
    limits.check_group_description("Client of patient (5432/tcp) #1 [a+b=c]: {d;e} & !$*")
    with pytest.raises(limits.LimitError):
        limits.check_group_description(text)


@pytest.mark.parametrize("name", ["pr-1_patient", "1patient", "Patient", "x" * 64, ""])
def test_a_databases_name_is_plain(name: str) -> None:
    with pytest.raises(limits.LimitError):
        limits.check_database_name(name)


def test_a_target_groups_name_leaves_room_for_its_suffix() -> None:
    limits.check_name("aws:lb/targetGroup:TargetGroup", "pr-48999-gateway", suffixed=True)
    limits.check_name("aws:lb/targetGroup:TargetGroup", "x" * 24, suffixed=True)
    with pytest.raises(limits.LimitError):
        limits.check_name("aws:lb/targetGroup:TargetGroup", "x" * 25, suffixed=True)


def test_the_catalogues_own_sizes_and_ports_are_ones_that_aws_has() -> None:
    for entry in SERVICES.values():
        limits.check_fargate_size(entry.resources.cpu, entry.resources.memory)
        limits.check_port(entry.port)


def test_no_module_hides_one_of_pythons_library_where_pulumi_starts_python() -> None:
    modules = {path.stem for path in (ROOT / "infrastructure").iterdir()}
    assert "environment" in modules
    assert modules & set(sys.stdlib_module_names) == set()
