"""The most that any role of a preview may ever do, whatever its own policies say: they come with the pull request."""

import pulumi
import pulumi_aws as aws

from infrastructure.roles import PREVIEW_PATH, Statement, document

Text = pulumi.Input[str]


def boundary(
    name: str, region: str, account_id: Text, key_arn: Text, opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    def arn(service: str, rest: str) -> pulumi.Output[str]:
        return pulumi.Output.concat(f"arn:aws:{service}:{region}:", account_id, f":{rest}")

    statements: list[Statement] = [
        {"Effect": "Allow", "Action": "rds-db:connect", "Resource": arn("rds-db", "dbuser:*/pr_*")},
        {"Effect": "Allow", "Action": "kafka-cluster:Connect", "Resource": arn("kafka", "cluster/*")},
        {"Effect": "Allow", "Action": "kafka-cluster:WriteDataIdempotently", "Resource": arn("kafka", "cluster/*")},
        {
            "Effect": "Allow",
            "Action": [
                "kafka-cluster:AlterGroup",
                "kafka-cluster:DescribeGroup",
                "kafka-cluster:DescribeTopic",
                "kafka-cluster:ReadData",
                "kafka-cluster:WriteData",
            ],
            "Resource": [arn("kafka", "topic/*/*/pr-*"), arn("kafka", "group/*/*/pr-*")],
        },
        {
            "Effect": "Allow",
            "Action": ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"],
            "Resource": arn("secretsmanager", f"secret:{PREVIEW_PATH.strip('/')}/*"),
        },
        {
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": key_arn,
            "Condition": {"StringEquals": {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}},
        },
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": arn("logs", "log-group:/patient-management/pr-*"),
        },
        {
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": [arn("ecr", "repository/patient-management/*"), arn("ecr", "repository/preview/*")],
        },
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    ]
    return aws.iam.Policy(name, path=PREVIEW_PATH, policy=document(statements), opts=opts).arn
