"""IAM actions that are not written in full, each with what it stands for.

IAM counts 6,144 characters in a policy. Actions are written in full wherever they fit. Two kinds do
not: reading, of which the provider does more with every version than its manual says, and the
policy of previews, which is its role's boundary as well, so that it cannot be split.
"""

from collections.abc import Mapping

# Names and settings of what exists, never what is in it.
READ_ANYTHING = (
    "application-autoscaling:Describe*",
    "ec2:Describe*",
    "ecs:Describe*",
    "ecs:List*",
    "elasticloadbalancing:Describe*",
    "iam:Get*",
    "iam:List*",
    "kafka:Describe*",
    "kafka:List*",
    "rds:Describe*",
    "route53:ListHostedZones*",
    "servicediscovery:Get*",
    "servicediscovery:List*",
)
# A bucket's settings: a bucket's ARN names no object.
READ_BUCKET = "s3:Get*"
# AWS's own word for a data key, with and without its plain text, or of a pair.
DATA_KEYS = "kms:GenerateDataKey*"
# The whole key, for the account: IAM decides on.
WHOLE_KEY = "kms:*"

# The previews' policy alone: pattern -> the actions that it is for.
PREVIEW_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "ec2:*SecurityGroup*": (
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "CreateSecurityGroup",
        "DeleteSecurityGroup",
        "ModifySecurityGroupRules",
        "RevokeSecurityGroupEgress",
        "RevokeSecurityGroupIngress",
    ),
    "ec2:*SecurityGroup*es*": (
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "ModifySecurityGroupRules",
        "RevokeSecurityGroupEgress",
        "RevokeSecurityGroupIngress",
    ),
    "ecr:*Image*": ("BatchGetImage", "DescribeImages", "PutImage"),
    "ecr:*Layer*": (
        "BatchCheckLayerAvailability",
        "CompleteLayerUpload",
        "GetDownloadUrlForLayer",
        "InitiateLayerUpload",
        "UploadLayerPart",
    ),
    "ecs:*TaskDefinition": ("DeregisterTaskDefinition", "RegisterTaskDefinition"),
    "ecs:*eService": ("CreateService", "DeleteService", "UpdateService"),
    "elasticloadbalancing:Delete*": ("DeleteRule", "DeleteTargetGroup"),
    "elasticloadbalancing:Modify*": (
        "ModifyRule",
        "ModifyTargetGroup",
        "ModifyTargetGroupAttributes",
    ),
    "kafka-cluster:*Topic*": (
        "AlterTopic",
        "AlterTopicDynamicConfiguration",
        "CreateTopic",
        "DeleteTopic",
        "DescribeTopic",
        "DescribeTopicDynamicConfiguration",
    ),
    "kafka:*Topic": ("CreateTopic", "DeleteTopic", "DescribeTopic", "UpdateTopic"),
    "logs:*KmsKey": ("AssociateKmsKey",),
    "logs:*Log*": ("CreateLogGroup", "DeleteLogGroup"),
    "logs:*RetentionPolicy": ("PutRetentionPolicy",),
    "logs:*Tag*": ("ListTagsForResource", "TagResource"),
    "secretsmanager:*Secret*": ("CreateSecret", "DeleteSecret", "DescribeSecret", "UpdateSecret"),
}
