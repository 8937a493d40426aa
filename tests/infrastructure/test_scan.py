"""What ECR found in an image holds up its promotion."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infrastructure import scan as scanning
from infrastructure.scan import ScanError, scan

pytestmark = pytest.mark.infrastructure
INDEX, IMAGE, ATTESTATION = (f"sha256:{digit * 64}" for digit in "123")
REF = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/patient-management/it:source-1-2@{INDEX}"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
OF_IMAGE = {"imageDigest": IMAGE}
MANIFESTS = [
    {"digest": ATTESTATION, "platform": {"os": "unknown", "architecture": "unknown"}},
    {"digest": IMAGE, "platform": {"os": "linux", "architecture": "arm64"}},
]


class Ecr:
    """Tells findings of the image within the index, in pages of one, once it was asked `pending`
    times.
    """

    def __init__(self, *severities: str, pending: int = 0, state: str = "COMPLETE") -> None:
        self.severities = severities or ("LOW",)
        self.pending = pending
        self.state = state

    def batch_get_image(self, **wanted: Any) -> dict[str, Any]:
        assert wanted["imageIds"] == [{"imageDigest": INDEX}]
        manifest = {"manifests": MANIFESTS}
        text = json.dumps(manifest)
        return {"images": [{"imageManifest": text, "imageManifestMediaType": INDEX_TYPE}]}

    def describe_image_scan_findings(self, **wanted: Any) -> dict[str, Any]:
        assert wanted["registryId"] == "123456789012"
        assert wanted["repositoryName"] == "patient-management/it"
        assert wanted["imageId"] == OF_IMAGE
        if self.pending:
            self.pending -= 1
            raise ClientError({"Error": {"Code": "ScanNotFoundException"}}, "it")
        page = int(wanted.get("nextToken", "0"))
        finding = {"name": f"CVE-{page}", "severity": self.severities[page]}
        more = {"nextToken": str(page + 1)} if page + 1 < len(self.severities) else {}
        return {
            "imageScanStatus": {"status": self.state},
            "imageScanFindings": {"findings": [finding]},
            **more,
        }


def judge(ecr: Ecr, *accepted: str) -> dict[str, list[str]]:
    times = iter(range(0, 10_000, 100))
    return scan({"it": REF}, accepted, ecr, clock=lambda: next(times), sleep=lambda seconds: None)


def test_a_critical_finding_on_any_page_holds_the_image_up() -> None:
    assert judge(Ecr("LOW", "HIGH", "CRITICAL")) == {"it": ["CVE-2"]}
    assert judge(Ecr("LOW", "HIGH")) == {}


def test_a_finding_that_is_borne_is_named_one_by_one() -> None:
    assert judge(Ecr("CRITICAL", "CRITICAL"), "CVE-0") == {"it": ["CVE-1"]}
    assert judge(Ecr("CRITICAL", "CRITICAL"), "CVE-0", "CVE-1") == {}


def test_a_scan_is_awaited_and_not_for_ever() -> None:
    assert judge(Ecr("CRITICAL", pending=3)) == {"it": ["CVE-0"]}
    with pytest.raises(ScanError, match="did not end within 600 seconds"):
        judge(Ecr(pending=1000))


@pytest.mark.parametrize("state", ["FAILED", "UNSUPPORTED_IMAGE"])
def test_an_image_that_cannot_be_scanned_is_not_promoted(state: str) -> None:
    with pytest.raises(ScanError, match=state):
        judge(Ecr(state=state))


def test_an_image_without_a_digest_is_not_judged() -> None:
    with pytest.raises(ScanError, match="is no image in ECR by its digest"):
        scan({"it": REF.partition("@")[0]}, (), Ecr())


def test_the_command_fails_on_findings_and_where_nobody_can_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {
        "images": {"it": {"ref": REF}},
        "platform": {"cluster_arn": "arn:aws:ecs:us-east-1:123456789012:cluster/it"},
    }
    monkeypatch.setattr(scanning, "read_outputs", lambda stack: outputs)
    monkeypatch.setattr(boto3, "client", lambda name, region_name: Ecr("CRITICAL"))
    assert scanning.main(["dev"]) == 1
    assert "it: CVE-0" in capsys.readouterr().err
    assert scanning.main(["dev", "--accept", "CVE-0"]) == 0
    monkeypatch.setattr(scanning, "read_outputs", lambda stack: {})
    assert scanning.main(["dev"]) == 1


def test_time_that_is_just_over_is_the_last_that_is_waited_for() -> None:
    times = iter(range(0, 10_000, 100))
    slept: list[float] = []
    with pytest.raises(ScanError, match="did not end"):
        scan({"it": REF}, (), Ecr(pending=1000), clock=lambda: next(times), sleep=slept.append)
    assert len(slept) == 6


def test_refusal_of_aws_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Ecr, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Describe")

    monkeypatch.setattr(Ecr, "describe_image_scan_findings", refuse)
    with pytest.raises(ScanError, match="AccessDenied"):
        judge(Ecr())


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([], "is not there"),
        (
            [{"imageManifest": '{"manifests": []}', "imageManifestMediaType": INDEX_TYPE}],
            "holds no image for Linux",
        ),
    ],
    ids=["gone", "other systems"],
)
def test_image_that_does_not_run_is_not_judged(
    images: list[Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ecr, "batch_get_image", lambda self, **_: {"images": images})
    with pytest.raises(ScanError, match=reason):
        judge(Ecr())


def test_image_that_is_no_index_is_judged_itself() -> None:
    class Single(Ecr):
        def batch_get_image(self, **wanted: Any) -> dict[str, Any]:
            kind = "application/vnd.oci.image.manifest.v1+json"
            return {"images": [{"imageManifest": "{}", "imageManifestMediaType": kind}]}

        def describe_image_scan_findings(self, **wanted: Any) -> dict[str, Any]:
            assert wanted["imageId"] == {"imageDigest": INDEX}
            return super().describe_image_scan_findings(**{**wanted, "imageId": OF_IMAGE})

    assert judge(Single("CRITICAL")) == {"it": ["CVE-0"]}
