"""What the code of a pull request is refused: action, resource, context.

`{names}` are the recordings' own.

A name that is nobody's would be shut by itself: `names` raises where a recording does not have it.
"""

from infrastructure.config.naming import MASTER, PREVIEW_PATH, PROJECT
from infrastructure.plan.paper import ACCOUNT, REGION
from infrastructure.recording import Recording
from tests.infrastructure.aws_calls import SUFFIX, TAG, arn
from tests.infrastructure.conftest import GITHUB

THROUGH_SECRETS = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
OURS = {f"aws:ResourceTag/{TAG}": "pr-1"}
BASES = {f"aws:ResourceTag/{TAG}": "dev"}
ASKED = {f"aws:RequestTag/{TAG}": "pr-1"}
TASKS = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
ADMIN = {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}
PREVIEW_ROLE = f"arn:aws:iam::{ACCOUNT}:role{PREVIEW_PATH}pr-1-gateway-task{SUFFIX}"
# Here AWS's own ids name nothing: tags do.
NAMESPACE = arn("servicediscovery", "namespace/1")
GROUP = arn("ec2", "security-group/sg-1")
BALANCING = arn("elasticloadbalancing", "")
TARGETS = f"{BALANCING}targetgroup/pr-1-gateway{SUFFIX}/1"
PublicRoute = tuple[str, str, dict[str, str]]


def names(base: Recording, prod: Recording) -> dict[str, str]:
    platform = base.outputs["platform"]
    listener = str(platform["listener_arn"])
    log = base.one("aws:cloudwatch/logGroup:LogGroup", "dev-gateway")
    stream = str(platform["stream_arn"])
    states = f"arn:aws:s3:::{GITHUB['state-bucket']}"
    previews = base.one("aws:s3/bucket:Bucket", "preview-state").outputs["arn"]
    repository = base.one("aws:ecr/repository:Repository", "patient-management-gateway").inputs[
        "name"
    ]
    return {
        "states": f"{states}/.pulumi/stacks/{PROJECT}",
        "previews": f"{previews}/.pulumi",
        "shown": f"{previews}/.pulumi/stacks/{PROJECT}",
        "secret": secret(base),
        "secret_of_prod": secret(prod),
        "master": master(base),
        "master_of_prod": master(prod),
        "key": platform["key_arn"],
        "key_of_prod": prod.outputs["platform"]["key_arn"],
        "user": arn("rds-db", f"dbuser:{platform['database_resource_ids']['patient']}"),
        "topic": stream.replace(":cluster/", ":topic/"),
        "group": stream.replace(":cluster/", ":group/"),
        "runner": arn(
            "lambda",
            f"function:{base.one('aws:lambda/function:Function', 'app-runner').outputs['name']}",
        ),
        "runner_of_previews": arn("lambda", f"function:{platform['preview_runner_name']}"),
        "cluster": platform["cluster_name"],
        "release": base.one("aws:ecs/taskDefinition:TaskDefinition", "app-release").outputs["arn"],
        "balancer": base.one("aws:lb/loadBalancer:LoadBalancer", "patient-dev").name,
        "listener": listener,
        "listener_of_prod": prod.outputs["platform"]["listener_arn"],
        "rule": listener.replace(":listener/", ":listener-rule/") + "/3",
        "targets": base.one("aws:lb/targetGroup:TargetGroup", "dev-gateway").name,
        "role": base.one("aws:iam/role:Role", "dev-gateway-task").outputs["arn"],
        "boundary": platform["preview_boundary_arn"],
        "repository": arn("ecr", f"repository/{repository}"),
        "log": arn("logs", f"log-group:{log.inputs['name']}"),
    }


def secret(stack: Recording) -> str:
    made = stack.one(
        "aws:secretsmanager/secret:Secret", f"{stack.stack.name}-auth-key-encryption-key"
    )
    return arn("secretsmanager", f"secret:{made.inputs['namePrefix']}1-a1b2c3")


def master(stack: Recording) -> str:
    return str(
        stack.of("aws:rds/instance:Instance")[0].outputs["masterUserSecrets"][0]["secretArn"]
    )


PULL_REQUESTS: list[PublicRoute] = [
    ("s3:GetObject", "{states}/dev.json", {}),
    ("s3:GetObject", "{states}/prod.json", {}),
    ("s3:PutObject", "{shown}/dev.json", {}),
    ("s3:DeleteObject", "{shown}/dev.json", {}),
    ("s3:PutObject", "{previews}/meta.yaml", {}),
    ("secretsmanager:GetSecretValue", "{secret_of_prod}", {}),
    ("secretsmanager:GetSecretValue", "{secret}", {}),
    ("secretsmanager:GetSecretValue", "{master}", {}),
    ("secretsmanager:GetSecretValue", "{master_of_prod}", {}),
    ("kms:Decrypt", "{key}", {}),
    ("kms:Decrypt", "{key_of_prod}", THROUGH_SECRETS),
    ("rds-db:connect", "{user}/patient", {}),
    ("rds-db:connect", "{user}/pr_1_patient", {}),
    ("lambda:InvokeFunction", "{runner}", {}),
    ("ecs:DeleteService", arn("ecs", f"service/{{cluster}}/dev-gateway{SUFFIX}"), {}),
    ("ecs:RunTask", "{release}", {}),
    ("ecs:ExecuteCommand", arn("ecs", "task/{cluster}/1"), {}),
    ("elasticloadbalancing:DeleteRule", "{rule}", BASES),
    ("elasticloadbalancing:ModifyRule", "{rule}", BASES),
    # Not made its own by a tag of its own.
    ("elasticloadbalancing:AddTags", "{rule}", {**BASES, **ASKED}),
    ("elasticloadbalancing:AddTags", "{listener}", ASKED),
    ("elasticloadbalancing:ModifyListener", "{listener}", OURS),
    (
        "elasticloadbalancing:DeleteLoadBalancer",
        f"{BALANCING}loadbalancer/app/{{balancer}}/1",
        OURS,
    ),
    ("elasticloadbalancing:CreateRule", "{listener_of_prod}", ASKED),
    ("elasticloadbalancing:CreateRule", "{listener}", {}),
    (
        "elasticloadbalancing:CreateTargetGroup",
        f"{BALANCING}targetgroup/{{targets}}{SUFFIX}/1",
        ASKED,
    ),
    (
        "elasticloadbalancing:ModifyTargetGroup",
        f"{BALANCING}targetgroup/{{targets}}{SUFFIX}/1",
        BASES,
    ),
    ("servicediscovery:TagResource", NAMESPACE, {**BASES, **ASKED}),
    ("servicediscovery:DeleteNamespace", NAMESPACE, BASES),
    ("ec2:CreateTags", GROUP, ASKED),
    ("ec2:DeleteSecurityGroup", GROUP, BASES),
    ("ec2:AuthorizeSecurityGroupIngress", GROUP, BASES),
    ("iam:CreateRole", "{role}", {}),
    ("iam:CreateRole", PREVIEW_ROLE, {}),
    ("iam:CreateRole", PREVIEW_ROLE, ADMIN),
    ("iam:PutRolePolicy", PREVIEW_ROLE, {}),
    ("iam:DeleteRolePermissionsBoundary", PREVIEW_ROLE, {}),
    ("iam:PutRolePermissionsBoundary", PREVIEW_ROLE, {}),
    ("iam:AttachRolePolicy", PREVIEW_ROLE, {}),
    ("iam:UpdateAssumeRolePolicy", PREVIEW_ROLE, {}),
    ("iam:PassRole", "{role}", TASKS),
    ("iam:PassRole", PREVIEW_ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
    ("iam:CreatePolicyVersion", "{boundary}", {}),
    ("ecr:PutImage", "{repository}", {}),
    ("ecr:BatchDeleteImage", "{repository}", {}),
    ("logs:DeleteLogGroup", "{log}", {}),
    ("logs:GetLogEvents", "{log}:*", {}),
    ("kafka:DeleteTopic", "{topic}/patient", {}),
    ("kafka-cluster:DeleteTopic", "{topic}/patient", {}),
    ("kafka-cluster:ReadData", "{topic}/pr-1.patient", {}),
    ("sts:AssumeRole", "{role}", {}),
]
# Nobody is given these: there is no statement of anybody's that could be widened.
NOBODYS = {
    "ecs:ExecuteCommand",
    "iam:CreatePolicyVersion",
    "iam:DeleteRolePermissionsBoundary",
    "sts:AssumeRole",
}
# What the boundary of previews' roles shuts, whatever policy a pull request writes for them.
BOUNDARY: list[PublicRoute] = [
    ("rds-db:connect", "{user}/patient", {}),
    ("rds-db:connect", "{user}/patient_owner", {}),
    ("rds-db:connect", f"{{user}}/{MASTER}", {}),
    ("kafka-cluster:ReadData", "{topic}/patient", {}),
    ("kafka-cluster:AlterGroup", "{group}/analytics", {}),
    ("secretsmanager:GetSecretValue", "{secret}", {}),
    ("secretsmanager:GetSecretValue", "{secret_of_prod}", {}),
    ("secretsmanager:GetSecretValue", "{master}", {}),
    ("s3:GetObject", "{states}/dev.json", {}),
    ("s3:GetObject", "{shown}/dev.json", {}),
    ("s3:GetObject", "{shown}/pr-1.json", {}),
    ("lambda:InvokeFunction", "{runner}", {}),
    ("lambda:InvokeFunction", "{runner_of_previews}", {}),
    ("iam:CreateRole", PREVIEW_ROLE, {}),
]
