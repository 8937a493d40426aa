"""Actions that may stand on `*`: by AWS's service authorization reference they name no resource, or
only look at names.

Makers are here where AWS itself names what is made. None of them changes a thing that exists, or
tells what is in it.
"""

NAMELESS = frozenset(
    {
        "acm-pca:CreateCertificateAuthority",
        "acm:RequestCertificate",
        "application-autoscaling:Describe*",
        "ec2:Describe*",
        "ec2:GetManagedPrefixListEntries",
        "ecr:DescribeRepositories",
        "ecr:GetAuthorizationToken",
        # A task's definition alone runs nothing: that takes a service, and the right to hand over
        # its roles.
        "ecs:*TaskDefinition",
        "ecs:DeregisterTaskDefinition",
        "ecs:RegisterTaskDefinition",
        "ecs:CreateCluster",
        "ecs:Describe*",
        "ecs:List*",
        "elasticloadbalancing:Describe*",
        "iam:Get*",
        "iam:List*",
        "iam:ListRoles",
        "kafka:CreateCluster",
        "kafka:CreateConfiguration",
        "kafka:Describe*",
        "kafka:GetBootstrapBrokers",
        "kafka:List*",
        "kms:CreateKey",
        "kms:ListAliases",
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "rds:Describe*",
        # Names and dates of secrets, never a value.
        "secretsmanager:ListSecrets",
        "route53:ListHostedZones*",
        "servicediscovery:CreateHttpNamespace",
        "servicediscovery:Get*",
        "servicediscovery:List*",
        "tag:GetResources",
    }
)
