"""What each role may do: its own databases, topics and secrets; each is tried with IAM's own way to
match.
"""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from apps.catalogue import DATABASES, SECRETS, SERVICES, TOPICS
from apps.release.secret_places import split_place
from infrastructure.config.checks import check_app
from infrastructure.config.model import SettingsError
from infrastructure.plan.paper import LOGIN
from infrastructure.plan.record import SIGNATURE
from infrastructure.recording import Recording

pytestmark = pytest.mark.infrastructure


def statements(stack: Recording, role: str) -> list[dict[str, Any]]:
    found = [
        each.inputs["policy"]
        for each in stack.of("aws:iam/rolePolicy:RolePolicy")
        if each.name.startswith(f"{stack.stack.name}-{role}-") or each.name.startswith(role)
    ]
    return [statement for policy in found for statement in json.loads(policy)["Statement"]]


def allowed(given: list[dict[str, Any]], action: str, resource: str) -> bool:
    def listed(value: Any) -> list[str]:
        return value if isinstance(value, list) else [value]

    return any(
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action, each) for each in listed(statement["Action"]))
        and any(fnmatchcase(resource, each) for each in listed(statement["Resource"]))
        for statement in given
    )


def arn_of_role(stack: Recording, database: str, role: str) -> str:
    resource = stack.outputs["platform"]["database_resource_ids"][database]
    return f"arn:aws:rds-db:us-east-1:123456789012:dbuser:{resource}/{role}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_signs_in_as_its_own_role_only(dev: Recording, service: str) -> None:
    may = statements(dev, service)
    for database in DATABASES:
        own = database in SERVICES[service].databases
        assert allowed(may, "rds-db:connect", arn_of_role(dev, database, database)) == own
        assert not allowed(may, "rds-db:connect", arn_of_role(dev, database, f"{database}_owner"))
        assert not allowed(may, "rds-db:connect", arn_of_role(dev, database, "master"))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_produces_and_consumes_what_its_entry_says(dev: Recording, service: str) -> None:
    may, entry = statements(dev, service), SERVICES[service]
    for topic in TOPICS:
        arn = dev.outputs["platform"]["stream_arn"].replace(":cluster/", ":topic/") + f"/{topic}"
        assert allowed(may, "kafka-cluster:WriteData", arn) == (topic in entry.produces)
        assert allowed(may, "kafka-cluster:ReadData", arn) == (topic in entry.consumes)
        assert not allowed(may, "kafka-cluster:DeleteTopic", arn)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_its_own_secrets_only(dev: Recording, service: str) -> None:
    may = statements(dev, service)
    for secret in SECRETS:
        found = dev.one(
            "aws:secretsmanager/secret:Secret", f"dev-{secret.lower().replace('_', '-')}"
        )
        own = secret in SERVICES[service].secrets
        assert allowed(may, "secretsmanager:GetSecretValue", found.outputs["arn"]) == own
        assert not allowed(may, "secretsmanager:PutSecretValue", found.outputs["arn"])


def test_only_the_release_reads_the_master_secret(dev: Recording) -> None:
    master = dev.of("aws:rds/instance:Instance")[0].outputs["masterUserSecrets"][0]["secretArn"]
    readers = {
        each.name
        for each in dev.of("aws:iam/rolePolicy:RolePolicy")
        if allowed(
            json.loads(each.inputs["policy"])["Statement"], "secretsmanager:GetSecretValue", master
        )
    }
    assert readers == {"app-release-task-work"}


def test_only_the_release_of_an_environment_signs_in_as_master(
    stacks: dict[str, Recording],
) -> None:
    for name, stack in stacks.items():
        hosts = stack.of("aws:rds/instance:Instance") or stacks["dev"].of(
            "aws:rds/instance:Instance"
        )
        for host in hosts:
            user = (
                f"arn:aws:rds-db:us-east-1:123456789012:dbuser:{host.outputs['resourceId']}/master"
            )
            may = {
                each.name
                for each in stack.of("aws:iam/rolePolicy:RolePolicy")
                if allowed(json.loads(each.inputs["policy"])["Statement"], "rds-db:connect", user)
            }
            assert may == (set() if name == "pr-1" else {"app-release-task-work"})


def test_no_secret_is_in_plain_text_in_any_resources_inputs(stacks: dict[str, Recording]) -> None:
    # The mocks give a secret in plain text, with its signature beside it: outside the builder's
    # login none may be.
    for stack in stacks.values():
        for each in stack.resources:
            if each.type != "docker-build:index:Image":
                text = json.dumps(each.inputs, default=str)
                assert not [marker for marker in (SIGNATURE, LOGIN) if marker in text], each.urn


def test_secrets_reach_a_container_by_arn(stacks: dict[str, Recording]) -> None:
    for name, stack in stacks.items():
        for service, entry in SERVICES.items():
            task = stack.one("aws:ecs/taskDefinition:TaskDefinition", f"{name}-{service}")
            (container,) = json.loads(task.inputs["containerDefinitions"])
            given = {each["name"]: each["valueFrom"] for each in container["secrets"]}
            assert set(given) == set(entry.secrets)
            assert all(arn.startswith("arn:aws:secretsmanager:") for arn in given.values())
            assert not set(entry.secrets) & {each["name"] for each in container["environment"]}


def test_a_preview_keeps_its_secrets_in_one_and_each_task_is_given_its_own(
    preview: Recording,
) -> None:
    """Secrets Manager bills by the secret: docs/decisions/0112."""
    (made,) = preview.of("aws:secretsmanager/secret:Secret")
    for service, entry in SERVICES.items():
        task = preview.one("aws:ecs/taskDefinition:TaskDefinition", f"pr-1-{service}")
        (container,) = json.loads(task.inputs["containerDefinitions"])
        assert {each["name"]: each["valueFrom"] for each in container["secrets"]} == {
            name: f"{made.outputs['arn']}:{name}::" for name in entry.secrets
        }
        # The service itself may not read what ECS reads for it.
        for each in preview.of("aws:iam/rolePolicy:RolePolicy"):
            if each.name == f"pr-1-{service}-task-work":
                assert "secretsmanager" not in each.inputs["policy"]
    # IAM knows ARNs, no members.
    for each in preview.of("aws:iam/rolePolicy:RolePolicy"):
        assert "::" not in each.inputs["policy"].replace("arn:aws:iam::", "")


@pytest.mark.parametrize("name", ["AUTH_SMTP_URL", "AUTH_EXTERNAL_CLIENT_SECRET"])
def test_credentials_of_others_are_secrets_and_no_settings(
    stacks: dict[str, Recording], name: str
) -> None:
    """A mail server's password and the external provider's secret lie in no configuration and no
    stack's state.
    """
    with pytest.raises(SettingsError, match="is no setting"):
        check_app({name: "value"}, "dev")
    for stack_name, stack in stacks.items():
        task = stack.one("aws:ecs/taskDefinition:TaskDefinition", f"{stack_name}-auth")
        (container,) = json.loads(task.inputs["containerDefinitions"])
        (place,) = [each["valueFrom"] for each in container["secrets"] if each["name"] == name]
        arn, member = split_place(place)
        preview = stack_name == "pr-1"
        made = stack.one(
            "aws:secretsmanager/secret:Secret",
            f"{stack_name}-{'secrets' if preview else name.lower().replace('_', '-')}",
        )
        assert arn == made.outputs["arn"]
        assert member == (name if preview else None)
        execution = stack.one("aws:iam/rolePolicy:RolePolicy", f"{stack_name}-auth-execution-start")
        may = json.loads(execution.inputs["policy"])["Statement"]
        assert allowed(may, "secretsmanager:GetSecretValue", arn)


def test_the_environment_of_a_service_is_the_catalogues(dev: Recording, preview: Recording) -> None:
    def of(stack: Recording, service: str) -> dict[str, str]:
        task = stack.one("aws:ecs/taskDefinition:TaskDefinition", f"{stack.stack.name}-{service}")
        (container,) = json.loads(task.inputs["containerDefinitions"])
        return {each["name"]: each["value"] for each in container["environment"]}

    patient = of(dev, "patient")
    assert patient["BILLING_TARGET"] == "billing:9001"
    assert patient["AUTH_URL"] == "http://auth:4005"
    assert patient["DATABASE_IAM"] == "true"
    assert patient["KAFKA_SECURITY"] == "msk_iam"
    address = dev.outputs["platform"]["database_addresses"]["patient"]
    assert patient["PATIENT_DATABASE_URL"] == f"postgresql://patient@{address}:5432/patient"
    assert (
        of(preview, "patient")["PATIENT_DATABASE_URL"]
        == f"postgresql://pr_1_patient@{address}:5432/pr_1_patient"
    )
    assert of(preview, "analytics")["KAFKA_CONSUMER_GROUP"] == "pr-1.analytics"
    assert of(preview, "analytics")["TOPIC_PATIENT"] == "pr-1.patient"
    gateway = of(dev, "gateway")
    assert gateway["TLS_SELF_SIGNED"] == "true"
    assert gateway["TRUSTED_PROXIES"] == "10.0.48.0/21,10.0.112.0/21"
