"""The places that the driver looks at, on AWS's API: moto's where it has the service, the SDK's
stubs where not.
"""

import io
import json
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from infrastructure.preview.base import Runner, read_base
from infrastructure.preview.errors import AccessDeniedError, PreviewError, StackMissingError
from infrastructure.preview.leftovers import (
    Databases,
    Images,
    Leftover,
    Leftovers,
    LogGroups,
    Topics,
)
from infrastructure.preview.names import Preview, RefusedError

pytestmark = pytest.mark.infrastructure

ONE, TWELVE = Preview(1), Preview(12)
CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/patient-dev/0a1b2c3d-1"


def names(leftovers: list[Leftover]) -> list[tuple[int, str]]:
    return sorted((leftover.preview.number, leftover.name) for leftover in leftovers)


def test_log_groups_are_found_by_the_whole_name_of_their_stack(session: boto3.Session) -> None:
    logs = session.client("logs")
    for group in (
        "pr-1/gateway",
        "pr-12/gateway",
        "dev/gateway",
        "pr-1x/gateway",
        "pr-/gateway",
        "pr-7",
        "pr-49000/x",
    ):
        logs.create_log_group(logGroupName=f"/patient-management/{group}")
    kind = LogGroups(logs, "/patient-management/")
    assert names(kind.find()) == [
        (1, "/patient-management/pr-1/gateway"),
        (12, "/patient-management/pr-12/gateway"),
    ]
    kind.remove(ONE)
    kind.remove(ONE)
    left = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
    assert "/patient-management/pr-1/gateway" not in left
    assert len(left) == 6


def push(ecr: Any, repository: str, tag: str, content: str) -> None:
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": content},
        "layers": [],
    }
    ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag)


def test_images_go_by_tag_and_only_from_the_previews_repositories(session: boto3.Session) -> None:
    ecr = session.client("ecr")
    for repository in ("preview/gateway", "patient-management/gateway"):
        ecr.create_repository(repositoryName=repository)
        push(ecr, repository, "pr-1-source-aa", "one")
    push(ecr, "preview/gateway", "pr-12-source-bb", "twelve")
    push(ecr, "preview/gateway", "pr-12-source-aa", "one")
    kind = Images(ecr, "preview/")
    kind.remove(ONE)
    assert names(kind.find()) == [
        (12, "preview/gateway:pr-12-source-aa"),
        (12, "preview/gateway:pr-12-source-bb"),
    ]
    assert len(ecr.list_images(repositoryName="patient-management/gateway")["imageIds"]) == 1


def test_topics_of_one_preview_go_and_the_bases_stay(session: boto3.Session) -> None:
    kafka = session.client("kafka")
    listed = {
        "Topics": [
            {"TopicName": name}
            for name in ("patient", "pr-1.patient", "pr-12.patient", "pr-1.patient.dlq")
        ]
    }
    with Stubber(kafka) as stub:
        for _ in range(2):
            stub.add_response("list_topics", listed, {"ClusterArn": CLUSTER})
        stub.add_response("delete_topic", {}, {"ClusterArn": CLUSTER, "TopicName": "pr-1.patient"})
        stub.add_client_error("delete_topic", "NotFoundException")
        kind = Topics(kafka, CLUSTER)
        assert names(kind.find()) == [
            (1, "pr-1.patient"),
            (1, "pr-1.patient.dlq"),
            (12, "pr-12.patient"),
        ]
        kind.remove(ONE)
        stub.assert_no_pending_responses()


def test_denied_list_of_topics_is_a_fault_of_its_own(session: boto3.Session) -> None:
    kafka = session.client("kafka")
    with Stubber(kafka) as stub:
        stub.add_client_error(
            "list_topics", "AccessDeniedException", "not authorized to perform: kafka:ListTopics"
        )
        with pytest.raises(AccessDeniedError, match="kafka:ListTopics"):
            Topics(kafka, CLUSTER).find()


def answer(body: object, **more: object) -> dict[str, object]:
    data = json.dumps(body).encode()
    return {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(data), len(data)), **more}


def test_runner_is_told_an_action_and_a_number_and_never_a_name(session: boto3.Session) -> None:
    client = session.client("lambda")
    with Stubber(client) as stub:
        wanted = {"FunctionName": "runner", "Payload": b'{"action": "drop", "pr": 12}'}
        stub.add_response("invoke", answer({"ran": ["drop"]}), wanted)
        Databases(Runner("runner", client).run).remove(TWELVE)
        stub.assert_no_pending_responses()


def test_runner_that_fails_is_loud(session: boto3.Session) -> None:
    client = session.client("lambda")
    with Stubber(client) as stub:
        failed = answer(
            {"errorMessage": "drop failed: exit codes {'release': 1}"}, FunctionError="Unhandled"
        )
        stub.add_response("invoke", failed)
        with pytest.raises(PreviewError, match="exit codes"):
            Databases(Runner("runner", client).run).remove(TWELVE)


def test_databases_of_previews_are_told_from_all_others() -> None:
    kind = Databases(
        lambda action, preview: {
            "databases": ["patient", "pr_1_patient", "pr_12_auth", "pr_x_auth"]
        }
    )
    assert names(kind.find()) == [(1, "pr_1_patient"), (12, "pr_12_auth")]


def test_place_that_cannot_be_looked_at_is_named(session: boto3.Session) -> None:
    kafka = session.client("kafka")
    session.client("logs").create_log_group(logGroupName="/patient-management/pr-1/gateway")
    with Stubber(kafka) as stub:
        stub.add_client_error("list_topics", "AccessDeniedException")
        found = Leftovers(
            (Topics(kafka, CLUSTER), LogGroups(session.client("logs"), "/patient-management/"))
        ).find()
    assert [leftover.name for leftover in found.leftovers] == ["/patient-management/pr-1/gateway"]
    assert found.unseen[0].startswith("topic: not looked at")


class Outputs:
    def __init__(self, platform: object) -> None:
        self.platform = platform

    def outputs(self, name: str) -> dict[str, object]:
        return {"platform": self.platform}


@pytest.mark.parametrize("platform", [{"preview_runner_name": ""}, {}, None, "s3cret"])
def test_base_without_previews_is_refused_with_the_key_that_switches_them_on(
    platform: object,
) -> None:
    with pytest.raises(RefusedError, match="patient-management:previews"):
        read_base(Outputs(platform), "dev")


def test_base_that_is_older_than_its_previews_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(RefusedError, match=r"dev shows no domain, stream_arn: bring it up"):
        read_base(Outputs({"preview_runner_name": "runner"}), "dev")


def test_base_that_is_not_published_is_refused_with_the_command_that_does_it() -> None:
    class Nothing:
        def outputs(self, name: str) -> dict[str, object]:
            raise StackMissingError("no stack named 'dev' found")

    with pytest.raises(RefusedError, match=r"scripts/preview publish --base dev"):
        read_base(Nothing(), "dev")
