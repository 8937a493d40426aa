"""`python -m infrastructure.scan STACK`: do the images that the stack runs have known grave
weaknesses?

ECR scans what is pushed. A promotion waits for the findings: an image with a CRITICAL one goes
nowhere, unless `--accept` names it, with the reason in the commit that says so.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infrastructure.smoke import BrokenError, read_outputs

LIMIT_SECONDS = 600.0
PAUSE_SECONDS = 10.0
GRAVE = "CRITICAL"
REF = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com"
    r"/(?P<name>[a-z0-9/._-]+):[^@]+@(?P<digest>sha256:[0-9a-f]{64})"
)
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# What ECR answers for an image that it has not looked at yet.
PENDING = ("ScanNotFoundException",)


class ScanError(Exception):
    """The findings cannot be read."""


def grave_findings(ecr: Any, ref: str, wait: Callable[[], None]) -> list[str]:
    """Returns the names of the image's CRITICAL findings. `wait` raises ScanError at the limit."""
    found = REF.fullmatch(ref)
    if found is None:
        raise ScanError(f"{ref} is no image in ECR by its digest")
    repository = {"registryId": found["account"], "repositoryName": found["name"]}
    digest = runnable_digest(ecr, repository, found["digest"])
    while True:
        state, names = read_findings(ecr, repository, digest)
        if state in ("COMPLETE", "ACTIVE"):
            return names
        if state not in ("PENDING", "IN_PROGRESS"):
            raise ScanError(f"{ref}: its scan is {state}")
        wait()


def read_findings(ecr: Any, repository: Mapping[str, str], digest: str) -> tuple[str, list[str]]:
    """Returns the scan's state and the names of its CRITICAL findings."""
    names: list[str] = []
    state = "PENDING"
    token: dict[str, str] = {}
    while True:
        try:
            page = ecr.describe_image_scan_findings(
                **repository, imageId={"imageDigest": digest}, **token
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in PENDING:
                return "PENDING", []
            raise ScanError(str(error)) from error
        state = page["imageScanStatus"]["status"]
        names += [
            each["name"]
            for each in page.get("imageScanFindings", {}).get("findings", [])
            if each["severity"] == GRAVE
        ]
        if "nextToken" not in page:
            return state, names
        token = {"nextToken": page["nextToken"]}


def runnable_digest(ecr: Any, repository: Mapping[str, str], digest: str) -> str:
    """Returns the digest of the image that runs, of an index that holds it: ECR scans no index."""
    answer = ecr.batch_get_image(**repository, imageIds=[{"imageDigest": digest}])
    if not answer["images"]:
        raise ScanError(f"{repository['repositoryName']}@{digest} is not there")
    image = answer["images"][0]
    if image.get("imageManifestMediaType") not in INDEXES:
        return digest
    for manifest in json.loads(image["imageManifest"])["manifests"]:
        # Beside it lies how it was built, of an unknown platform.
        if manifest.get("platform", {}).get("os") == "linux":
            return str(manifest["digest"])
    raise ScanError(f"{repository['repositoryName']}@{digest} holds no image for Linux")


def scan(
    refs: Mapping[str, str],
    accepted: Sequence[str],
    ecr: Any,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, list[str]]:
    """Returns the CRITICAL findings by service that nobody accepted. Raises ScanError."""
    end = clock() + LIMIT_SECONDS

    def wait() -> None:
        if clock() > end:
            raise ScanError(f"the scans did not end within {LIMIT_SECONDS:.0f} seconds")
        sleep(PAUSE_SECONDS)

    found = {
        service: [name for name in grave_findings(ecr, ref, wait) if name not in accepted]
        for service, ref in sorted(refs.items())
    }
    return {service: names for service, names in found.items() if names}


def main(arguments: list[str]) -> int:
    """Returns the exit status: 1 where an image must not be promoted, or nobody can tell."""
    parser = argparse.ArgumentParser(prog="python -m infrastructure.scan", description=__doc__)
    parser.add_argument("stack", help="the stack whose images are promoted: dev")
    parser.add_argument(
        "--accept", action="append", default=[], metavar="CVE", help="a finding that is borne"
    )
    options = parser.parse_args(arguments)
    try:
        outputs = read_outputs(options.stack)
        refs = {service: each["ref"] for service, each in outputs["images"].items()}
        region = outputs["platform"]["cluster_arn"].split(":")[3]
        grave = scan(refs, options.accept, boto3.client("ecr", region_name=region))
    except (ScanError, BrokenError, KeyError) as error:
        sys.stderr.write(f"the images of {options.stack} cannot be judged: {error}\n")
        return 1
    for service, names in grave.items():
        sys.stderr.write(f"{service}: {', '.join(names)}\n")
    if not grave:
        sys.stdout.write(f"no image of {options.stack} has a {GRAVE} finding\n")
    return 1 if grave else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
