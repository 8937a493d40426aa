"""The actions of a deployment, by AWS service: what making, keeping and deleting the program's
resources asks.
"""

from infrastructure.iam.actions import READ_ANYTHING, READ_BUCKET


def actions_of(service: str, *names: str) -> list[str]:
    return [f"{service}:{name}" for name in names]


TAGGING = ("TagResource", "UntagResource")
# Actions that take no resource: AWS chooses the name of what they create, or they only read.
NAMELESS = (
    "acm:RequestCertificate", "ec2:GetManagedPrefixListEntries", "ecr:GetAuthorizationToken",
    "ecs:CreateCluster", "ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition",
    "kafka:CreateCluster", "kafka:CreateConfiguration", "kafka:GetBootstrapBrokers",
    "kms:CreateKey",
    "kms:ListAliases",
    # With these MSK, flow logs and the firewall are told where to write.
    "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies", "logs:ListLogDeliveries", "logs:PutResourcePolicy",
    "servicediscovery:CreateHttpNamespace",
    *READ_ANYTHING,
)  # fmt: skip

NETWORK = actions_of(
    "ec2", "AllocateAddress", "AssociateRouteTable", "AttachInternetGateway",
    "AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress", "CreateFlowLogs",
    "CreateInternetGateway", "CreateNatGateway", "CreateRoute", "CreateRouteTable",
    "CreateSecurityGroup", "CreateSubnet", "CreateTags", "CreateVpc", "CreateVpcEndpoint",
    "DeleteFlowLogs", "DeleteInternetGateway", "DeleteNatGateway", "DeleteRoute",
    "DeleteRouteTable", "DeleteSecurityGroup", "DeleteSubnet", "DeleteTags", "DeleteVpc",
    "DeleteVpcEndpoints", "DetachInternetGateway", "DisassociateAddress",
    "DisassociateRouteTable", "ModifySecurityGroupRules", "ModifySubnetAttribute",
    "ModifyVpcAttribute", "ModifyVpcEndpoint", "ReleaseAddress", "ReplaceRoute",
    "ReplaceRouteTableAssociation", "RevokeSecurityGroupEgress", "RevokeSecurityGroupIngress",
)  # fmt: skip
BALANCING = actions_of(
    "elasticloadbalancing", "AddTags", "CreateListener", "CreateLoadBalancer", "CreateRule",
    "CreateTargetGroup", "DeleteListener", "DeleteLoadBalancer", "DeleteRule", "DeleteTargetGroup",
    "ModifyListener", "ModifyListenerAttributes", "ModifyLoadBalancerAttributes", "ModifyRule",
    "ModifyTargetGroup", "ModifyTargetGroupAttributes", "RemoveTags", "SetRulePriorities",
    "SetSecurityGroups", "SetSubnets", "SetWebACL",
)  # fmt: skip
FIREWALL = actions_of(
    "wafv2", "AssociateWebACL", "CreateWebACL", "DeleteLoggingConfiguration", "DeleteWebACL",
    "DisassociateWebACL", "GetLoggingConfiguration", "GetWebACL", "GetWebACLForResource",
    "ListTagsForResource", "PutLoggingConfiguration", "UpdateWebACL", *TAGGING,
)  # fmt: skip
CERTIFICATES = actions_of(
    "acm", "AddTagsToCertificate", "DeleteCertificate", "DescribeCertificate",
    "ListTagsForCertificate", "RemoveTagsFromCertificate",
)  # fmt: skip
AUTHORITIES = actions_of(
    "acm-pca", "DeleteCertificateAuthority", "DescribeCertificateAuthority", "GetCertificate",
    "GetCertificateAuthorityCertificate", "GetCertificateAuthorityCsr",
    "ImportCertificateAuthorityCertificate", "IssueCertificate",
    "ListTags", "TagCertificateAuthority", "UpdateCertificateAuthority",
)  # fmt: skip
ZONE = actions_of("route53", "GetChange", "GetHostedZone", "ListResourceRecordSets")

DATABASES = actions_of(
    "rds", "AddTagsToResource", "CreateDBInstance", "CreateDBParameterGroup", "CreateDBSnapshot",
    "CreateDBSubnetGroup", "DeleteDBInstance", "DeleteDBParameterGroup", "DeleteDBSubnetGroup",
    "ListTagsForResource", "ModifyDBInstance", "ModifyDBParameterGroup", "ModifyDBSubnetGroup",
    "RebootDBInstance", "RemoveTagsFromResource",
)  # fmt: skip
BROKERS = actions_of(
    "kafka", "CreateTopic", "DeleteCluster", "DeleteConfiguration", "DeleteTopic", "DescribeTopic",
    "UpdateBrokerStorage", "UpdateClusterConfiguration", "UpdateConfiguration", "UpdateSecurity",
    "UpdateTopic", *TAGGING,
)  # fmt: skip
# MSK makes a topic in its caller's name. Of what is in it, nothing: see `denials`.
TOPICS = actions_of(
    "kafka-cluster", "AlterTopic", "AlterTopicDynamicConfiguration", "Connect", "CreateTopic",
    "DeleteTopic", "DescribeTopic", "DescribeTopicDynamicConfiguration",
)  # fmt: skip
SECRETS = actions_of(
    "secretsmanager", "CreateSecret", "DeleteSecret", "DescribeSecret", "GetResourcePolicy",
    "UpdateSecret", *TAGGING,
)  # fmt: skip
REGISTRY = actions_of(
    "ecr", "BatchCheckLayerAvailability", "BatchGetImage", "CompleteLayerUpload",
    "CreateRepository", "DeleteLifecyclePolicy", "DescribeImageScanFindings", "DescribeImages",
    "DescribeRepositories", "GetDownloadUrlForLayer", "GetLifecyclePolicy", "InitiateLayerUpload",
    "ListTagsForResource", "PutImage", "PutImageScanningConfiguration", "PutImageTagMutability",
    "PutLifecyclePolicy", "UploadLayerPart", *TAGGING,
)  # fmt: skip

CLUSTER = actions_of("ecs", "DeleteCluster", "PutClusterCapacityProviders", "UpdateCluster")
SERVICES = actions_of("ecs", "CreateService", "DeleteService", "UpdateService")
NAMESPACES = actions_of("servicediscovery", "DeleteNamespace", "UpdateHttpNamespace")
SCALING = actions_of(
    "application-autoscaling", "DeleteScalingPolicy", "DeregisterScalableTarget",
    "ListTagsForResource", "PutScalingPolicy", "RegisterScalableTarget", *TAGGING,
)  # fmt: skip
FUNCTIONS = actions_of(
    "lambda", "AddPermission", "CreateFunction", "DeleteFunction", "GetFunction", "GetPolicy",
    "InvokeFunction", "ListVersionsByFunction", "RemovePermission", "UpdateFunctionCode",
    "UpdateFunctionConfiguration", *TAGGING,
)  # fmt: skip
EVENTS = actions_of(
    "events", "DeleteRule", "DescribeRule", "ListTagsForResource", "ListTargetsByRule", "PutRule",
    "PutTargets", "RemoveTargets", *TAGGING,
)  # fmt: skip
LOGS = actions_of(
    "logs", "AssociateKmsKey", "CreateLogGroup", "DeleteLogGroup", "DeleteMetricFilter",
    "DescribeMetricFilters", "ListTagsForResource", "PutMetricFilter", "PutRetentionPolicy",
    *TAGGING,
)  # fmt: skip

ALARMS = actions_of(
    "cloudwatch", "DeleteAlarms", "DescribeAlarms", "ListTagsForResource", "PutMetricAlarm",
    *TAGGING
)  # fmt: skip
NOTICES = actions_of(
    "sns", "CreateTopic", "DeleteTopic", "GetSubscriptionAttributes", "GetTopicAttributes",
    "ListTagsForResource", "SetTopicAttributes", "Subscribe", "Unsubscribe", *TAGGING,
)  # fmt: skip
BUDGET = actions_of("budgets", "ListTagsForResource", "ModifyBudget", "ViewBudget", *TAGGING)
BUCKET = [
    *actions_of(
        "s3", "CreateBucket", "ListBucket", "PutBucketPolicy", "PutBucketPublicAccessBlock",
        "PutBucketTagging", "PutBucketVersioning", "PutEncryptionConfiguration",
        "PutLifecycleConfiguration", "TagResource",
    ),
    READ_BUCKET,
]  # fmt: skip
