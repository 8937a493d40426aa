"""What a deployment of dev is refused: action, resource, context.

`bounded`: within its own boundary.
"""

from typing import Any

from infrastructure.plan.paper import ACCOUNT
from tests.infrastructure.aws_calls import TAG, arn

STATES = "arn:aws:s3:::states/.pulumi"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/patient-management/dev/dev-gateway-task-1234567"
OTHERS = {f"aws:ResourceTag/{TAG}": "prod"}
ADMIN = {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}
ZONE = "arn:aws:route53:::hostedzone/zone"
NAMES = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
KEY = arn("kms", "key/1")
DATA_ALIAS = {"kms:ResourceAliases": ["alias/patient-management/prod"]}
DENIED_ACTIONS: list[tuple[str, str, Any]] = [
    # More rights than it has.
    ("iam:CreateRole", ROLE, {}),
    ("iam:CreateRole", ROLE, ADMIN),
    ("iam:PutRolePolicy", ROLE, {}),
    ("iam:AttachRolePolicy", ROLE, ADMIN),
    ("iam:PutRolePermissionsBoundary", ROLE, ADMIN),
    ("iam:DeleteRolePermissionsBoundary", ROLE, "bounded"),
    ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/anything", "bounded"),
    ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/patient-management/prod/x", "bounded"),
    ("iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/patient-management/prod/x", {}),
    ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/preview/x", "bounded"),
    ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/github-deploy-1234567", "bounded"),
    ("iam:AttachRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/github-preview-1234567", "bounded"),
    ("iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/github-look-1234567", {}),
    (
        "iam:CreatePolicyVersion",
        f"arn:aws:iam::{ACCOUNT}:policy/patient-management/dev/patient-dev-app-1234567",
        {},
    ),
    ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/github-deploy-limits-1234567", {}),
    (
        "iam:SetDefaultPolicyVersion",
        f"arn:aws:iam::{ACCOUNT}:policy/preview/patient-dev-preview-1234567",
        {},
    ),
    (
        "iam:DeletePolicy",
        f"arn:aws:iam::{ACCOUNT}:policy/patient-management/dev/patient-dev-app-1234567",
        {},
    ),
    ("iam:UpdateOpenIDConnectProviderThumbprint", f"arn:aws:iam::{ACCOUNT}:oidc-provider/any", {}),
    ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/somebody", {}),
    ("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/somebody", {}),
    ("iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    (
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/somebodys",
        {"iam:PassedToService": "ecs-tasks.amazonaws.com"},
    ),
    (
        "iam:CreateServiceLinkedRole",
        f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x",
        {"iam:AWSServiceName": "x"},
    ),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/anything", {}),
    # Data, its own environment's included.
    (
        "secretsmanager:GetSecretValue",
        arn("secretsmanager", "secret:patient-management/dev/X-a1b2c3"),
        {},
    ),
    (
        "secretsmanager:GetSecretValue",
        arn("secretsmanager", "secret:patient-management/dev/answers/users/1-a"),
        {},
    ),
    (
        "secretsmanager:GetSecretValue",
        arn("secretsmanager", "secret:patient-management/prod/answers/clients/1-a"),
        {},
    ),
    ("secretsmanager:BatchGetSecretValue", "*", {}),
    (
        "secretsmanager:PutSecretValue",
        arn("secretsmanager", "secret:patient-management/dev/X-a1b2c3"),
        {},
    ),
    (
        "secretsmanager:PutResourcePolicy",
        arn("secretsmanager", "secret:patient-management/dev/X-a1b2c3"),
        {},
    ),
    ("rds-db:connect", arn("rds-db", "dbuser:db-1/patient"), {}),
    ("rds:ModifyDBSnapshotAttribute", arn("rds", "snapshot:patient-dev-1-main-final"), {}),
    ("rds:StartExportTask", "*", {}),
    ("rds:DownloadDBLogFilePortion", arn("rds", "db:patient-dev-main"), {}),
    ("kafka-cluster:ReadData", arn("kafka", "topic/patient-dev/1/patient"), {}),
    ("kafka-cluster:WriteData", arn("kafka", "topic/patient-dev/1/patient"), {}),
    ("logs:GetLogEvents", arn("logs", "log-group:/patient-management/dev/gateway:*"), {}),
    ("kms:Decrypt", KEY, {}),
    ("kms:Decrypt", "data", {}),
    ("kms:Decrypt", KEY, {"kms:ResourceAliases": ["alias/patient-management/dev"]}),
    ("kms:Decrypt", KEY, {"kms:ResourceAliases": ["alias/patient-management/state-prod"]}),
    ("kms:CreateGrant", "data", {"kms:GrantIsForAWSResource": "false"}),
    ("kms:PutKeyPolicy", "data", {}),
    ("kms:ScheduleKeyDeletion", "data", {}),
    ("kms:CreateAlias", arn("kms", "alias/patient-management/state-dev"), {}),
    ("kms:UpdateAlias", arn("kms", "alias/patient-management/state-dev"), {}),
    ("ecs:ExecuteCommand", arn("ecs", "task/patient-dev-1234567/1"), {}),
    ("ecs:RunTask", arn("ecs", "task-definition/dev-release:1"), {}),
    ("s3:GetObject", "arn:aws:s3:::patient-dev-log-1a2b3c4/AWSLogs/1/log.gz", {}),
    # Another environment's, by name.
    ("rds:DeleteDBInstance", arn("rds", "db:patient-prod-main"), {}),
    ("rds:ModifyDBInstance", arn("rds", "db:patient-prod-main"), {}),
    ("rds:DeleteDBInstance", arn("rds", "db:somebodys"), {}),
    ("kafka:DeleteCluster", arn("kafka", "cluster/patient-prod/1"), {}),
    ("kafka:DeleteTopic", arn("kafka", "topic/patient-prod/1/patient"), {}),
    ("kafka-cluster:DeleteTopic", arn("kafka", "topic/patient-prod/1/patient"), {}),
    ("ecs:UpdateService", arn("ecs", "service/patient-prod-1234567/prod-gateway-1234567"), {}),
    ("ecs:DeleteCluster", arn("ecs", "cluster/patient-prod-1234567"), {}),
    ("lambda:UpdateFunctionCode", arn("lambda", "function:patient-management-prod-runner"), {}),
    ("lambda:InvokeFunction", arn("lambda", "function:patient-management-prod-runner"), {}),
    (
        "secretsmanager:DeleteSecret",
        arn("secretsmanager", "secret:patient-management/prod/X-a1b2c3"),
        {},
    ),
    ("logs:DeleteLogGroup", arn("logs", "log-group:/patient-management/prod/gateway"), {}),
    ("s3:PutBucketPolicy", "arn:aws:s3:::patient-prod-log-1a2b3c4", {}),
    ("s3:DeleteBucket", "arn:aws:s3:::patient-dev-log-1a2b3c4", {}),
    ("s3:PutObject", f"{STATES}/stacks/patient-management/prod.json", {}),
    ("s3:DeleteObject", f"{STATES}/stacks/patient-management/prod.json", {}),
    ("s3:GetObject", f"{STATES}/stacks/patient-management/prod.json", {}),
    ("s3:PutObject", f"{STATES}/locks/organization/patient-management/prod/1.json", {}),
    ("s3:PutObject", f"{STATES}/meta.yaml", {}),
    ("s3:PutObject", "arn:aws:s3:::another/.pulumi/stacks/patient-management/dev.json", {}),
    (
        "elasticloadbalancing:DeleteLoadBalancer",
        arn("elasticloadbalancing", "loadbalancer/app/patient-prod-1/1"),
        {},
    ),
    (
        "elasticloadbalancing:CreateRule",
        arn("elasticloadbalancing", "listener/app/patient-prod-1/1/2"),
        {},
    ),
    ("sns:DeleteTopic", arn("sns", "patient-prod-1234567"), {}),
    ("cloudwatch:PutDashboard", f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/patient-prod", {}),
    ("route53:ChangeResourceRecordSets", ZONE, {NAMES: ["patients.example.org"]}),
    ("route53:ChangeResourceRecordSets", ZONE, {NAMES: ["a.dev.example.org", "example.org"]}),
    ("route53:ChangeResourceRecordSets", ZONE + "s", {NAMES: ["dev.example.org"]}),
    # What production runs too.
    ("ecr:DeleteRepository", arn("ecr", "repository/patient-management/gateway"), {}),
    ("ecr:BatchDeleteImage", arn("ecr", "repository/patient-management/gateway"), {}),
    ("ecr:SetRepositoryPolicy", arn("ecr", "repository/patient-management/gateway"), {}),
    # Another environment's, by its tag.
    ("kms:DescribeKey", KEY, OTHERS),
    ("kms:TagResource", KEY, OTHERS),
    ("kms:CreateAlias", KEY, OTHERS),
    ("ec2:DeleteVpc", arn("ec2", "vpc/vpc-1"), OTHERS),
    ("ec2:CreateTags", arn("ec2", "vpc/vpc-1"), OTHERS),
    ("ec2:AuthorizeSecurityGroupIngress", arn("ec2", "security-group/sg-1"), OTHERS),
    ("ec2:ModifySubnetAttribute", arn("ec2", "subnet/subnet-1"), OTHERS),
    ("acm:DeleteCertificate", arn("acm", "certificate/1"), OTHERS),
    ("acm-pca:IssueCertificate", arn("acm-pca", "certificate-authority/1"), OTHERS),
    ("servicediscovery:DeleteNamespace", arn("servicediscovery", "namespace/1"), OTHERS),
    ("wafv2:UpdateWebACL", arn("wafv2", "regional/webacl/patient-prod-1/1"), OTHERS),
    ("cloudwatch:DeleteAlarms", arn("cloudwatch", "alarm:prod-gateway-5xx-1234567"), OTHERS),
    (
        "application-autoscaling:DeregisterScalableTarget",
        arn("application-autoscaling", "scalable-target/1"),
        OTHERS,
    ),
    # Other people's things in the account.
    ("ec2:RunInstances", arn("ec2", "instance/*"), {}),
    ("ec2:TerminateInstances", arn("ec2", "instance/i-1"), {}),
    ("lambda:DeleteFunction", arn("lambda", "function:somebodys"), {}),
    ("s3:PutBucketPolicy", "arn:aws:s3:::somebodys", {}),
    ("dynamodb:DeleteTable", arn("dynamodb", "table/somebodys"), {}),
    ("organizations:LeaveOrganization", "*", {}),
]
