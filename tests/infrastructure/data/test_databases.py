"""An instance's life: upgrades, generations, and the way back from a backup."""

import json
from typing import Any

import pytest

from infrastructure.config.files import read_config
from infrastructure.plan.paper import Paper
from infrastructure.plan.record import record
from infrastructure.recording import Recording, Resource

pytestmark = pytest.mark.infrastructure
INSTANCE = "aws:rds/instance:Instance"
PARAMETERS = "aws:rds/parameterGroup:ParameterGroup"


def with_instance(stack: str, label: str, **values: Any) -> Recording:
    """Records the stack with other settings of one instance."""
    config = read_config(stack)
    key = "patient-management:data"
    data = json.loads(config[key])
    data["instances"][label] |= values
    references = {"dev": record("dev", read_config("dev"), Paper()).outputs}
    return record(stack, config | {key: json.dumps(data)}, Paper(), references)


def families(stack: Recording) -> dict[str, str]:
    return {each.name: each.inputs["family"] for each in stack.of(PARAMETERS)}


def instance(stack: Recording, name: str) -> Resource:
    return stack.one(INSTANCE, name)


def test_an_instance_is_upgraded_beside_its_old_parameter_group() -> None:
    upgrade = {"engine-version": "19", "upgraded-from": "18"}
    upgraded = with_instance("staging", "record", **upgrade)
    made = instance(upgraded, "patient-staging-record").inputs

    assert families(upgraded) == {
        "patient-staging": "postgres18",
        "patient-staging-postgres19": "postgres19",
    }
    assert made["engineVersion"] == "19"
    assert made["allowMajorVersionUpgrade"] is True
    group = upgraded.one(PARAMETERS, "patient-staging-postgres19")
    assert made["parameterGroupName"] == group.outputs["name"]
    # The others stay as they are.
    other = instance(upgraded, "patient-staging-identity").inputs
    assert other["engineVersion"] == "18"
    assert "allowMajorVersionUpgrade" not in other


def test_the_old_parameter_group_goes_after_the_upgrade() -> None:
    done = with_instance("dev", "main", **{"engine-version": "19"})
    assert families(done) == {"patient-dev-postgres19": "postgres19"}
    assert "allowMajorVersionUpgrade" not in instance(done, "patient-dev-main").inputs


def test_parameters_are_ones_that_rds_lists_in_every_version(dev: Recording) -> None:
    (group,) = dev.of(PARAMETERS)
    values = {each["name"]: each["value"] for each in group.inputs["parameters"]}
    assert values["log_connections"] == "1"
    assert values["rds.force_ssl"] == "1"


def test_a_restored_instance_has_a_name_of_its_own_everywhere() -> None:
    restored = with_instance(
        "prod", "main", generation=2, restore={"snapshot": "patient-prod-before"}
    )
    made = instance(restored, "patient-prod-main-2").inputs

    assert made["identifier"] == "patient-prod-main-2"
    assert made["snapshotIdentifier"] == "patient-prod-before"
    assert made["finalSnapshotIdentifier"].endswith("-main-2-final")
    groups = {each.inputs["name"] for each in restored.of("aws:cloudwatch/logGroup:LogGroup")}
    assert "/aws/rds/instance/patient-prod-main-2/postgresql" in groups
    assert "/aws/rds/instance/patient-prod-main/postgresql" not in groups


def test_the_services_sign_in_to_the_restored_instance() -> None:
    restored = with_instance(
        "prod", "main", generation=2, restore={"snapshot": "patient-prod-before"}
    )
    resource_id = instance(restored, "patient-prod-main-2").outputs["resourceId"]
    boundary = restored.one("aws:iam/policy:Policy", "patient-prod-app").inputs["policy"]
    policies = [
        each.inputs["policy"]
        for each in restored.of("aws:iam/rolePolicy:RolePolicy")
        if "prod-patient-task" in each.name
    ]
    assert f"dbuser:{resource_id}/patient" in boundary
    assert any(f"dbuser:{resource_id}/patient" in policy for policy in policies)


@pytest.mark.parametrize(
    ("restore", "expected"),
    [
        (
            {"instance": "patient-prod-main"},
            {
                "sourceDbInstanceIdentifier": "patient-prod-main",
                "useLatestRestorableTime": True,
            },
        ),
        (
            {"instance": "patient-prod-main", "time": "2026-01-31T08:00:00Z"},
            {
                "sourceDbInstanceIdentifier": "patient-prod-main",
                "restoreTime": "2026-01-31T08:00:00Z",
            },
        ),
    ],
)
def test_an_instance_is_restored_to_a_point_in_time(
    restore: dict[str, str], expected: dict[str, Any]
) -> None:
    restored = with_instance("prod", "main", generation=2, restore=restore)
    made = instance(restored, "patient-prod-main-2").inputs
    assert made["restoreToPointInTime"] == expected
    assert "snapshotIdentifier" not in made
