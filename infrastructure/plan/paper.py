"""A cloud on paper: whatever is asked for exists, under a name that a reader can follow.

For the plan.
"""

import json
from typing import Any
from zlib import crc32

from infrastructure.plan.record import REMOTE
from infrastructure.plan.vpc import make_vpc
from infrastructure.recording import Resource

ACCOUNT = "123456789012"
REGION = "us-east-1"


# A marker: it must be nowhere but in the builder's login.
LOGIN = "a-token"


class Paper:
    def __init__(self) -> None:
        self.made: list[Resource] = []

    def create(self, kind: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if kind.startswith(REMOTE):
            return make_vpc(name, inputs, self.child)
        label = str(inputs.get("name") or inputs.get("family") or name)
        if kind == "aws:s3/bucket:Bucket":
            label = str(inputs.get("bucket", name))
        if kind == "aws:kms/key:Key":
            label = str(inputs["description"]).lower().replace(" ", "-")
        service = kind.split("/")[0].removeprefix("aws:")
        outputs = {"arn": f"arn:aws:{service}:{REGION}:{ACCOUNT}:{label}", "name": label, **inputs}
        outputs |= computed_outputs(kind, name, label, str(inputs.get("path", "/")))
        if kind.startswith("docker-build:"):
            # By digest, in the repository that it is pushed to.
            outputs["ref"] = f"{inputs['tags'][0]}@sha256:{'0' * 64}"
        return str(outputs.get("id", name)), outputs

    def child(self, kind: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        id_, outputs = self.create(kind, name, inputs)
        self.made.append(
            Resource(
                type=kind,
                name=name,
                urn=f"urn:pulumi:plan::{kind}::{name}",
                parent="",
                inputs=inputs,
                outputs=outputs,
                id=id_,
            )
        )
        return id_, outputs

    def children(self) -> list[Resource]:
        made, self.made = self.made, []
        return made

    def read(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if function == "aws:index/getCallerIdentity:getCallerIdentity":
            return {"accountId": ACCOUNT, "arn": "", "id": ACCOUNT, "userId": ""}
        if function == "aws:route53/getZone:getZone":
            return {"zoneId": "zone", "id": "zone", "name": arguments["name"]}
        if function == "aws:ec2/getManagedPrefixList:getManagedPrefixList":
            return {"id": arguments["name"], "name": arguments["name"]}
        if function == "aws:ecr/getAuthorizationToken:getAuthorizationToken":
            return {"userName": "AWS", "password": LOGIN, "authorizationToken": LOGIN}
        raise KeyError(f"nobody answers {function}")


def computed_outputs(kind: str, name: str, label: str, path: str) -> dict[str, Any]:
    """Returns what AWS adds to what it was given, where the program reads it."""
    arn = f"arn:aws:%s:{REGION}:{ACCOUNT}:%s"
    match kind.rpartition(":")[2]:
        case "RandomId":
            return {"hex": f"{crc32(name.encode()):08x}"}
        case "Certificate" if "acm/" in kind:
            record = {
                "resourceRecordName": "_proof",
                "resourceRecordType": "CNAME",
                "resourceRecordValue": "_value",
            }
            return {"domainValidationOptions": [record]}
        case "CertificateAuthority":
            return {"certificateSigningRequest": "request"}
        case "Certificate":
            return {"certificate": "certificate", "certificateChain": ""}
        case "Instance":
            secret = {
                "secretArn": arn % ("secretsmanager", f"secret:rds!{name}"),
                "secretStatus": "active",
            }
            return {
                "address": f"{name}.rds",
                "resourceId": name,
                "identifier": name,
                "masterUserSecrets": [secret],
            }
        case "Configuration":
            return {"latestRevision": 1}
        case "Cluster" if "msk/" in kind:
            return {
                "arn": arn % ("kafka", f"cluster/{name}/id"),
                "bootstrapBrokersSaslIam": f"{name}.kafka:9098",
            }
        case "LoadBalancer":
            return {"arnSuffix": f"app/{name}", "dnsName": f"{name}.elb", "zoneId": "elb"}
        case "TargetGroup":
            return {"arnSuffix": f"targetgroup/{name}"}
        case "Repository":
            return {
                "repositoryUrl": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{label}",
                "arn": arn % ("ecr", label),
            }
        case "Cluster":
            return {"arn": arn % ("ecs", f"cluster/{name}")}
        case "LogGroup":
            return {"arn": arn % ("logs", f"log-group:{label}")}
        case "Record":
            return {"fqdn": name}
        case "Bucket":
            return {"id": label, "bucket": label, "arn": f"arn:aws:s3:::{label}"}
        case "TaskDefinition":
            return {"arn": arn % ("ecs", f"task-definition/{label}:1"), "revision": 1}
        case "Invocation":
            return {"result": json.dumps({"ran": []})}
        case "Key":
            return {"arn": arn % ("kms", f"key/{label}")}
        case "Listener":
            return {"arn": arn % ("elasticloadbalancing", f"listener/app/{name}")}
        case "Role":
            return {"arn": f"arn:aws:iam::{ACCOUNT}:role{path}{name}"}
        case "Policy" if "iam/" in kind:
            return {"arn": f"arn:aws:iam::{ACCOUNT}:policy{path}{name}"}
    return {}
