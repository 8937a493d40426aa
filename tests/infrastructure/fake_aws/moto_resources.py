"""Each resource that the program declares is really created in moto, so that its real ids and ARNs
flow on.

One dict: resource type -> creator. What moto does not have is on paper, and named in `ON_PAPER`;
anything else fails, so that no resource passes because nobody looked.
"""

import itertools
from collections.abc import Callable
from typing import Any

import boto3

from infrastructure.config import limits
from infrastructure.plan.paper import Paper
from infrastructure.plan.record import REMOTE
from infrastructure.plan.vpc import make_vpc
from tests.infrastructure.fake_aws.aws_json import pascal

BUCKET_ENCRYPTION = (
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
)

REGION = "us-east-1"
Made = tuple[str, dict[str, Any]]
Creator = Callable[["Moto", str, dict[str, Any]], Made]

# What is none of moto's: our own validators and rules look at them.
ON_PAPER = {
    # No call of AWS's but a wait: moto's certificates stay PENDING_VALIDATION.
    "aws:acm/certificateValidation:CertificateValidation",
    # moto runs functions in Docker, and answers "error running docker" where there is none.
    "aws:lambda/invocation:Invocation",
    # 404 "Not yet implemented".
    "aws:msk/configuration:Configuration",
    # NotImplementedError.
    "aws:msk/topic:Topic",
    # A builder's, and no call of AWS's.
    "docker-build:index:Image",
    "random:index/randomId:RandomId",
}


class Moto(Paper):
    """To be used inside `moto.mock_aws()`."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self.clients:
            client: Callable[..., Any] = boto3.client
            self.clients[service] = client(service, region_name=REGION)
        return self.clients[service]

    def unique(self, kind: str, name: str) -> str:
        """Pulumi's own way to name: a suffix, so that two of a name do not collide."""
        limits.check_name(kind, name, suffixed=True)
        return f"{name}-{next(self.numbers):07x}"

    def create(self, kind: str, name: str, inputs: dict[str, Any]) -> Made:
        if kind.startswith(REMOTE):
            return make_vpc(name, inputs, self.child)
        if kind in ON_PAPER:
            return super().create(kind, name, inputs)
        id_, outputs = CREATORS[kind](self, name, inputs)
        return id_, {**inputs, **outputs}

    def read(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if function == "aws:index/getCallerIdentity:getCallerIdentity":
            account = self.client("sts").get_caller_identity()["Account"]
            return {"accountId": account, "id": account}
        if function == "aws:route53/getZone:getZone":
            zones = self.client("route53").list_hosted_zones()["HostedZones"]
            found = next(zone for zone in zones if zone["Name"] == arguments["name"] + ".")
            return {
                "zoneId": found["Id"].split("/")[-1],
                "id": found["Id"],
                "name": arguments["name"],
            }
        if function == "aws:ec2/getManagedPrefixList:getManagedPrefixList":
            lists = self.client("ec2").describe_managed_prefix_lists()["PrefixLists"]
            return {
                "id": next(
                    each["PrefixListId"]
                    for each in lists
                    if each["PrefixListName"] == arguments["name"]
                )
            }
        return super().read(function, arguments)


def policy(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("iam").create_policy(
        PolicyName=cloud.unique("aws:iam/policy:Policy", name),
        Path=inputs["path"],
        PolicyDocument=inputs["policy"],
    )["Policy"]
    return made["Arn"], {"arn": made["Arn"]}


def role(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    boundary = (
        {"PermissionsBoundary": inputs["permissionsBoundary"]}
        if inputs.get("permissionsBoundary")
        else {}
    )
    made = cloud.client("iam").create_role(
        RoleName=cloud.unique("aws:iam/role:Role", name),
        Path=inputs.get("path", "/"),
        AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
        **boundary,
    )["Role"]
    return made["RoleName"], {"arn": made["Arn"], "name": made["RoleName"]}


def role_policy(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("iam").put_role_policy(
        RoleName=inputs["role"], PolicyName=name, PolicyDocument=inputs["policy"]
    )
    return f"{inputs['role']}:{name}", {}


def attachment(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
    return name, {}


def key(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("kms").create_key(
        Policy=inputs["policy"], Description=inputs["description"]
    )["KeyMetadata"]
    return made["KeyId"], {"arn": made["Arn"], "keyId": made["KeyId"]}


def alias(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("kms").create_alias(AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
    return inputs["name"], {}


def bucket(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    physical = cloud.unique("aws:s3/bucket:Bucket", name)
    cloud.client("s3").create_bucket(Bucket=physical)
    return physical, {"bucket": physical, "arn": f"arn:aws:s3:::{physical}"}


def bucket_part(call: str, argument: str, source: Callable[[dict[str, Any]], Any]) -> Creator:
    def make(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
        getattr(cloud.client("s3"), call)(Bucket=inputs["bucket"], **{argument: source(inputs)})
        return inputs["bucket"], {}

    return make


def lifecycle(inputs: dict[str, Any]) -> dict[str, Any]:
    rules = [
        {
            "ID": rule["id"],
            "Status": rule["status"],
            "Filter": {"Prefix": rule["filter"]["prefix"]},
            "Expiration": {"Days": rule["expiration"]["days"]},
        }
        for rule in inputs["rules"]
    ]
    return {"Rules": rules}


def encryption(inputs: dict[str, Any]) -> dict[str, Any]:
    algorithm = inputs["rules"][0]["applyServerSideEncryptionByDefault"]["sseAlgorithm"]
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}]}


def without_bucket(inputs: dict[str, Any]) -> Any:
    return pascal({key_: value for key_, value in inputs.items() if key_ != "bucket"})


def secret(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("secretsmanager").create_secret(
        Name=f"{inputs['namePrefix']}{next(cloud.numbers):07x}", KmsKeyId=inputs["kmsKeyId"]
    )
    return made["ARN"], {"arn": made["ARN"]}


def repository(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    made = cloud.client("ecr").create_repository(repositoryName=inputs["name"])["repository"]
    return inputs["name"], {"arn": made["repositoryArn"], "repositoryUrl": made["repositoryUri"]}


def repository_lifecycle(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("ecr").put_lifecycle_policy(
        repositoryName=inputs["repository"], lifecyclePolicyText=inputs["policy"]
    )
    return name, {}


def authority(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    wanted = inputs["certificateAuthorityConfiguration"]
    arn = cloud.client("acm-pca").create_certificate_authority(
        CertificateAuthorityConfiguration={
            "KeyAlgorithm": wanted["keyAlgorithm"],
            "SigningAlgorithm": wanted["signingAlgorithm"],
            "Subject": {"CommonName": wanted["subject"]["commonName"]},
        },
        CertificateAuthorityType=inputs["type"],
        UsageMode=inputs["usageMode"],
    )["CertificateAuthorityArn"]
    request = cloud.client("acm-pca").get_certificate_authority_csr(CertificateAuthorityArn=arn)[
        "Csr"
    ]
    return arn, {"arn": arn, "certificateSigningRequest": request}


def issued(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    issuer = {"CertificateAuthorityArn": inputs["certificateAuthorityArn"]}
    arn = cloud.client("acm-pca").issue_certificate(
        **issuer,
        Csr=inputs["certificateSigningRequest"].encode(),
        SigningAlgorithm=inputs["signingAlgorithm"],
        TemplateArn=inputs["templateArn"],
        Validity={"Type": inputs["validity"]["type"], "Value": int(inputs["validity"]["value"])},
    )["CertificateArn"]
    made = cloud.client("acm-pca").get_certificate(**issuer, CertificateArn=arn)
    chain = made.get("CertificateChain", "")
    return arn, {"arn": arn, "certificate": made["Certificate"], "certificateChain": chain}


def installed(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    chain = (
        {"CertificateChain": inputs["certificateChain"].encode()}
        if "certificateChain" in inputs
        else {}
    )
    cloud.client("acm-pca").import_certificate_authority_certificate(
        CertificateAuthorityArn=inputs["certificateAuthorityArn"],
        Certificate=inputs["certificate"].encode(),
        **chain,
    )
    return inputs["certificateAuthorityArn"], {}


def function(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    limits.check_name("aws:lambda/function:Function", inputs["name"])
    made = cloud.client("lambda").create_function(
        FunctionName=inputs["name"],
        Runtime=inputs["runtime"],
        Role=inputs["role"],
        Handler=inputs["handler"],
        Timeout=inputs["timeout"],
        Code={"ZipFile": b"PK\x05\x06" + bytes(18)},
        Environment={"Variables": inputs["environment"]["variables"]},
    )
    return inputs["name"], {"arn": made["FunctionArn"], "name": inputs["name"]}


def permission(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    cloud.client("lambda").add_permission(
        FunctionName=inputs["function"],
        StatementId=name,
        Action=inputs["action"],
        Principal=inputs["principal"],
        SourceArn=inputs["sourceArn"],
    )
    return name, {"statementId": name}


def event_rule(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    when = {
        argument: inputs[key_]
        for key_, argument in (
            ("scheduleExpression", "ScheduleExpression"),
            ("eventPattern", "EventPattern"),
        )
        if key_ in inputs
    }
    made = cloud.client("events").put_rule(Name=inputs["name"], **when)
    return inputs["name"], {"arn": made["RuleArn"], "name": inputs["name"]}


def event_target(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    given = {"Id": name, "Arn": inputs["arn"]}
    if "input" in inputs:
        given["Input"] = inputs["input"]
    cloud.client("events").put_targets(Rule=inputs["rule"], Targets=[given])
    return f"{inputs['rule']}-{name}", {"targetId": name}


def namespace(cloud: Moto, name: str, inputs: dict[str, Any]) -> Made:
    discovery = cloud.client("servicediscovery")
    discovery.create_http_namespace(Name=inputs["name"])
    made = next(
        each for each in discovery.list_namespaces()["Namespaces"] if each["Name"] == inputs["name"]
    )
    return made["Id"], {"arn": made["Arn"]}


from tests.infrastructure.fake_aws.monitoring import WATCH  # noqa: E402 - other parts of the one dict
from tests.infrastructure.fake_aws.network import NETWORK  # noqa: E402
from tests.infrastructure.fake_aws.workloads import RUN  # noqa: E402

CREATORS: dict[str, Creator] = {
    "aws:acmpca/certificate:Certificate": issued,
    "aws:acmpca/certificateAuthority:CertificateAuthority": authority,
    "aws:acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate": installed,
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": repository_lifecycle,
    "aws:ecr/repository:Repository": repository,
    "aws:iam/policy:Policy": policy,
    "aws:iam/role:Role": role,
    "aws:iam/rolePolicy:RolePolicy": role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": attachment,
    "aws:kms/alias:Alias": alias,
    "aws:kms/key:Key": key,
    "aws:cloudwatch/eventRule:EventRule": event_rule,
    "aws:cloudwatch/eventTarget:EventTarget": event_target,
    "aws:lambda/function:Function": function,
    "aws:lambda/permission:Permission": permission,
    "aws:s3/bucket:Bucket": bucket,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": bucket_part(
        "put_bucket_lifecycle_configuration", "LifecycleConfiguration", lifecycle
    ),
    "aws:s3/bucketPolicy:BucketPolicy": bucket_part(
        "put_bucket_policy", "Policy", lambda given: given["policy"]
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": bucket_part(
        "put_public_access_block", "PublicAccessBlockConfiguration", without_bucket
    ),
    BUCKET_ENCRYPTION: bucket_part(
        "put_bucket_encryption", "ServerSideEncryptionConfiguration", encryption
    ),
    "aws:s3/bucketVersioning:BucketVersioning": bucket_part(
        "put_bucket_versioning",
        "VersioningConfiguration",
        lambda given: pascal(given["versioningConfiguration"]),
    ),
    "aws:secretsmanager/secret:Secret": secret,
    "aws:servicediscovery/httpNamespace:HttpNamespace": namespace,
    **NETWORK,
    **RUN,
    **WATCH,
}
