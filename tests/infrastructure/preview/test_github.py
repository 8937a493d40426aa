"""GitHub's roles: who takes them on, what a look may see, and what a preview hands over to ECS."""

import json
from typing import Any

import pytest

from infrastructure.config.files import read_config
from infrastructure.plan.paper import Paper
from infrastructure.plan.record import record
from infrastructure.recording import Recording
from tests.infrastructure.conftest import GITHUB
from tests.infrastructure.preview.policies import allowed

pytestmark = pytest.mark.infrastructure


def policy(recording: Recording, kind: str, name: str) -> Any:
    return json.loads(recording.one(f"aws:iam/{kind}", name).inputs["policy"])


def test_each_role_is_taken_on_by_its_own_environment_of_the_one_repository(
    open_dev: Recording,
) -> None:
    subjects = {}
    for part in ("deploy", "look", "preview"):
        role = open_dev.one("aws:iam/role:Role", f"github-{part}")
        condition = json.loads(role.inputs["assumeRolePolicy"])["Statement"][0]["Condition"]
        assert set(condition) == {"StringEquals"}
        equals = condition["StringEquals"]
        assert equals["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
        subjects[part] = equals["token.actions.githubusercontent.com:sub"]
    of = "repo:example-org/patient-management:environment:"
    assert subjects == {
        "deploy": [of + "dev"],
        "look": [of + "dev-preview"],
        "preview": [of + "preview", of + "preview-fork"],
    }


def test_repository_with_ids_is_trusted_by_both_forms_of_its_subject() -> None:
    # https://docs.github.com/actions/concepts/security/openid-connect
    github = {
        "repository": "example-org/patient-management",
        "state-bucket": "states",
        "owner-id": 65,
        "repository-id": 1207,
    }
    stack = record(
        "dev",
        read_config("dev") | {"patient-management:github": json.dumps(github)},
        Paper(),
    )
    role = stack.one("aws:iam/role:Role", "github-preview")
    (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
    assert statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == [
        "repo:example-org/patient-management:environment:preview",
        "repo:example-org/patient-management:environment:preview-fork",
        "repo:example-org@65/patient-management@1207:environment:preview",
        "repo:example-org@65/patient-management@1207:environment:preview-fork",
    ]


def test_who_looks_reads_no_data_and_changes_nothing(open_dev: Recording) -> None:
    # ReadOnlyAccess, at its widest.
    widest = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    looks = [policy(open_dev, "policy:Policy", "github-look-data"), widest]
    for action in (
        "secretsmanager:GetSecretValue",
        "logs:GetLogEvents",
        "rds-db:connect",
        "kafka-cluster:ReadData",
    ):
        assert not allowed(looks, action, "anything")
    # Of objects the states' alone, and of keys that of its own state.
    assert allowed(
        looks, "s3:GetObject", "arn:aws:s3:::states/.pulumi/stacks/patient-management/dev.json"
    )
    assert not allowed(looks, "s3:GetObject", "arn:aws:s3:::patient-dev-log-1/AWSLogs/1/log.gz")
    opens, topics = sorted(
        (each for each in looks[0]["Statement"] if each["Effect"] == "Allow"),
        key=lambda each: str(each["Sid"]),
    )
    assert opens["Action"] == "kms:Decrypt"
    assert opens["Condition"] == {
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/patient-management/state-dev"]}
    }
    # What a look for drift asks of a topic, and nothing that is in one.
    stream = open_dev.outputs["platform"]["stream_arn"]
    assert topics["Resource"] == [stream, stream.replace(":cluster/", ":topic/") + "/*"]
    for action, where in (
        ("Connect", stream),
        ("DescribeTopic", stream.replace(":cluster/", ":topic/") + "/patient"),
        (
            "DescribeTopicDynamicConfiguration",
            stream.replace(":cluster/", ":topic/") + "/patient.dlq",
        ),
    ):
        assert allowed(looks[:1], f"kafka-cluster:{action}", where)
    assert not allowed(
        looks, "kafka-cluster:WriteData", stream.replace(":cluster/", ":topic/") + "/patient"
    )


def test_preview_hands_over_the_role_of_proxies_certificates_where_its_base_has_them(
    open_dev: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if dev took none.
    monkeypatch.setattr("infrastructure.config.checks.takes_previews", lambda environment: False)
    settings = {
        "patient-management:github": json.dumps(GITHUB),
        "patient-management:previews": "true",
    }
    # Its sizes leave previews no connections where it has two of everything.
    settings["patient-management:replicas"] = json.dumps({"minimum": 1, "maximum": 1})
    staging = record(
        "staging", read_config("staging") | settings, Paper(), {"dev": open_dev.outputs}
    )
    role = staging.outputs["platform"]["connect_role_arn"]
    to_ecs = {"iam:PassedToService": "ecs.amazonaws.com"}
    assert allowed(
        [policy(staging, "policy:Policy", "github-preview-all")], "iam:PassRole", role, to_ecs
    )
    assert not allowed(
        [policy(open_dev, "policy:Policy", "github-preview-all")], "iam:PassRole", role, to_ecs
    )
