"""What bringing each kind of resource up, keeping it and taking it away asks of AWS.

By AWS's service authorization reference and the provider's own calls.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Needed:
    """Calls that a resource of the type `kind` needs, all of one service on one thing.

    `service`: with `:` at its end it is of no region; `a>b` is an action of a on a thing of b.
    `thing`: the end of the ARN, `{name}` being what the thing is called (with Pulumi's suffix where
    no name is given). An action with `!` names no resource.
    """

    kind: str
    service: str
    thing: str
    actions: str


NEEDED = (
    Needed(
        "acm/certificate:Certificate",
        "acm",
        "certificate/1",
        "RequestCertificate! DescribeCertificate DeleteCertificate AddTagsToCertificate "
        "ListTagsForCertificate RemoveTagsFromCertificate",
    ),
    Needed(
        "acm/certificateValidation:CertificateValidation",
        "acm",
        "certificate/1",
        "DescribeCertificate",
    ),
    Needed(
        "acmpca/certificateAuthority:CertificateAuthority",
        "acm-pca",
        "certificate-authority/1",
        "CreateCertificateAuthority! DescribeCertificateAuthority ListTags "
        "GetCertificateAuthorityCsr TagCertificateAuthority UpdateCertificateAuthority "
        "DeleteCertificateAuthority",
    ),
    Needed(
        "acmpca/certificate:Certificate",
        "acm-pca",
        "certificate-authority/1",
        "IssueCertificate GetCertificate",
    ),
    Needed(
        "acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate",
        "acm-pca",
        "certificate-authority/1",
        "ImportCertificateAuthorityCertificate GetCertificateAuthorityCertificate",
    ),
    Needed(
        "appautoscaling/target:Target",
        "application-autoscaling",
        "scalable-target/1",
        "RegisterScalableTarget DeregisterScalableTarget TagResource ListTagsForResource "
        "DescribeScalableTargets!",
    ),
    Needed(
        "appautoscaling/policy:Policy",
        "application-autoscaling",
        "scalable-target/1",
        "PutScalingPolicy DeleteScalingPolicy DescribeScalingPolicies!",
    ),
    Needed(
        "budgets/budget:Budget",
        "budgets",
        "budget/{name}",
        "ModifyBudget ViewBudget TagResource ListTagsForResource",
    ),
    Needed(
        "cloudwatch/dashboard:Dashboard",
        "cloudwatch:",
        "dashboard/{name}",
        "PutDashboard GetDashboard DeleteDashboards",
    ),
    Needed(
        "cloudwatch/logGroup:LogGroup",
        "logs",
        "log-group:{name}",
        "CreateLogGroup PutRetentionPolicy AssociateKmsKey TagResource "
        "ListTagsForResource DescribeLogGroups! DeleteLogGroup",
    ),
    Needed(
        "cloudwatch/logMetricFilter:LogMetricFilter",
        "logs",
        "log-group:{logGroupName}",
        "PutMetricFilter DescribeMetricFilters DeleteMetricFilter",
    ),
    Needed(
        "cloudwatch/metricAlarm:MetricAlarm",
        "cloudwatch",
        "alarm:{name}",
        "PutMetricAlarm DescribeAlarms TagResource ListTagsForResource DeleteAlarms",
    ),
    Needed(
        "docker-build:index:Image",
        "ecr",
        "{repository}",
        "GetAuthorizationToken! BatchCheckLayerAvailability InitiateLayerUpload "
        "UploadLayerPart CompleteLayerUpload PutImage BatchGetImage "
        "GetDownloadUrlForLayer DescribeImages",
    ),
    Needed(
        "ec2/defaultSecurityGroup:DefaultSecurityGroup",
        "ec2",
        "security-group/1",
        "DescribeSecurityGroups! RevokeSecurityGroupIngress RevokeSecurityGroupEgress",
    ),
    Needed(
        "ec2/eip:Eip",
        "ec2",
        "elastic-ip/1",
        "AllocateAddress DescribeAddresses! DisassociateAddress ReleaseAddress",
    ),
    Needed(
        "ec2/flowLog:FlowLog",
        "ec2",
        "vpc-flow-log/1",
        "CreateFlowLogs DescribeFlowLogs! DeleteFlowLogs",
    ),
    Needed(
        "ec2/flowLog:FlowLog",
        "ec2",
        "vpc/1",
        "CreateFlowLogs",
    ),
    Needed(
        "ec2/flowLog:FlowLog",
        "logs",
        "-",
        "CreateLogDelivery! DeleteLogDelivery! ListLogDeliveries!",
    ),
    Needed(
        "ec2/internetGateway:InternetGateway",
        "ec2",
        "internet-gateway/1",
        "CreateInternetGateway AttachInternetGateway DetachInternetGateway "
        "DeleteInternetGateway CreateTags",
    ),
    Needed(
        "ec2/natGateway:NatGateway",
        "ec2",
        "natgateway/1",
        "CreateNatGateway DescribeNatGateways! DeleteNatGateway",
    ),
    Needed(
        "ec2/route:Route",
        "ec2",
        "route-table/1",
        "CreateRoute ReplaceRoute DeleteRoute",
    ),
    Needed(
        "ec2/routeTable:RouteTable",
        "ec2",
        "route-table/1",
        "CreateRouteTable DescribeRouteTables! DeleteRouteTable",
    ),
    Needed(
        "ec2/routeTableAssociation:RouteTableAssociation",
        "ec2",
        "route-table/1",
        "AssociateRouteTable ReplaceRouteTableAssociation DisassociateRouteTable",
    ),
    Needed(
        "ec2/securityGroup:SecurityGroup",
        "ec2",
        "security-group/1",
        "CreateSecurityGroup RevokeSecurityGroupEgress CreateTags DeleteSecurityGroup",
    ),
    Needed(
        "ec2/securityGroup:SecurityGroup",
        "ec2",
        "vpc/1",
        "CreateSecurityGroup",
    ),
    Needed(
        "ec2/subnet:Subnet",
        "ec2",
        "subnet/1",
        "CreateSubnet ModifySubnetAttribute DescribeSubnets! CreateTags DeleteSubnet",
    ),
    Needed(
        "ec2/subnet:Subnet",
        "ec2",
        "vpc/1",
        "CreateSubnet",
    ),
    Needed(
        "ec2/vpc:Vpc",
        "ec2",
        "vpc/1",
        "CreateVpc ModifyVpcAttribute DescribeVpcAttribute! CreateTags DeleteTags DeleteVpc",
    ),
    Needed(
        "ec2/vpcEndpoint:VpcEndpoint",
        "ec2",
        "vpc-endpoint/1",
        "CreateVpcEndpoint ModifyVpcEndpoint DescribeVpcEndpoints! DeleteVpcEndpoints",
    ),
    Needed(
        "ecr/lifecyclePolicy:LifecyclePolicy",
        "ecr",
        "repository/{repository}",
        "PutLifecyclePolicy GetLifecyclePolicy DeleteLifecyclePolicy",
    ),
    Needed(
        "ecr/repository:Repository",
        "ecr",
        "repository/{name}",
        "CreateRepository DescribeRepositories ListTagsForResource TagResource "
        "PutImageTagMutability PutImageScanningConfiguration",
    ),
    Needed(
        "ecs/cluster:Cluster",
        "ecs",
        "cluster/{name}",
        "CreateCluster! DescribeClusters! UpdateCluster TagResource DeleteCluster",
    ),
    Needed(
        "ecs/clusterCapacityProviders:ClusterCapacityProviders",
        "ecs",
        "cluster/{name}",
        "PutClusterCapacityProviders DescribeClusters!",
    ),
    Needed(
        "ecs/service:Service",
        "ecs",
        "service/{label}-1a2b3c4/{name}",
        "CreateService UpdateService DescribeServices! TagResource DeleteService",
    ),
    Needed(
        "ecs/taskDefinition:TaskDefinition",
        "ecs",
        "task-definition/{name}:1",
        "RegisterTaskDefinition! DescribeTaskDefinition! TagResource "
        "DeregisterTaskDefinition! ListTaskDefinitions!",
    ),
    Needed(
        "iam/role:Role",
        "iam",
        "role{path}{name}",
        "CreateRole PutRolePermissionsBoundary GetRole TagRole UpdateAssumeRolePolicy "
        "UpdateRole PassRole ListRolePolicies DeleteRole UntagRole",
    ),
    Needed(
        "iam/rolePolicy:RolePolicy",
        "iam",
        "role{path}{name}",
        "PutRolePolicy GetRolePolicy DeleteRolePolicy",
    ),
    Needed(
        "iam/rolePolicyAttachment:RolePolicyAttachment",
        "iam",
        "role{path}{name}",
        "AttachRolePolicy ListAttachedRolePolicies DetachRolePolicy",
    ),
    Needed(
        "kms/alias:Alias",
        "kms",
        "{name}",
        "CreateAlias UpdateAlias ListAliases! DeleteAlias",
    ),
    Needed(
        "kms/alias:Alias",
        "kms",
        "key/1",
        "CreateAlias UpdateAlias DeleteAlias",
    ),
    Needed(
        "kms/key:Key",
        "kms",
        "key/1",
        "CreateKey! EnableKeyRotation DescribeKey GetKeyPolicy GetKeyRotationStatus "
        "ListResourceTags TagResource UpdateKeyDescription",
    ),
    Needed(
        "lambda/function:Function",
        "lambda",
        "function:{name}",
        "CreateFunction GetFunction ListVersionsByFunction UpdateFunctionCode TagResource "
        "UpdateFunctionConfiguration DeleteFunction",
    ),
    Needed(
        "lambda/permission:Permission",
        "lambda",
        "function:{function}",
        "AddPermission GetPolicy RemovePermission",
    ),
    Needed(
        "cloudwatch/eventRule:EventRule",
        "events",
        "rule/{name}",
        "PutRule DescribeRule ListTagsForResource TagResource DeleteRule",
    ),
    Needed(
        "cloudwatch/eventTarget:EventTarget",
        "events",
        "rule/{rule}",
        "PutTargets ListTargetsByRule RemoveTargets",
    ),
    Needed(
        "lambda/invocation:Invocation",
        "lambda",
        "function:{functionName}",
        "InvokeFunction",
    ),
    Needed(
        "lb/listener:Listener",
        "elasticloadbalancing",
        "loadbalancer/app/{label}-1a2b3c4/1",
        "CreateListener",
    ),
    Needed(
        "lb/listener:Listener",
        "elasticloadbalancing",
        "listener/app/{label}-1a2b3c4/1/2",
        "ModifyListener ModifyListenerAttributes AddTags DeleteListener",
    ),
    Needed(
        "lb/listenerRule:ListenerRule",
        "elasticloadbalancing",
        "listener/app/{label}-1a2b3c4/1/2",
        "CreateRule",
    ),
    Needed(
        "lb/listenerRule:ListenerRule",
        "elasticloadbalancing",
        "listener-rule/app/{label}-1a2b3c4/1/2/3",
        "ModifyRule SetRulePriorities AddTags DeleteRule",
    ),
    Needed(
        "lb/loadBalancer:LoadBalancer",
        "elasticloadbalancing",
        "loadbalancer/app/{name}/1",
        "CreateLoadBalancer ModifyLoadBalancerAttributes SetSecurityGroups SetSubnets "
        "AddTags RemoveTags DescribeLoadBalancers! DeleteLoadBalancer",
    ),
    Needed(
        "lb/targetGroup:TargetGroup",
        "elasticloadbalancing",
        "targetgroup/{name}/1",
        "CreateTargetGroup ModifyTargetGroup ModifyTargetGroupAttributes AddTags "
        "DescribeTargetGroups! DeleteTargetGroup",
    ),
    Needed(
        "msk/cluster:Cluster",
        "kafka",
        "cluster/{clusterName}/1",
        "CreateCluster! DescribeClusterV2! GetBootstrapBrokers! DescribeCluster! "
        "UpdateBrokerStorage UpdateClusterConfiguration UpdateSecurity TagResource "
        "ListTagsForResource! DeleteCluster",
    ),
    Needed(
        "msk/cluster:Cluster",
        "logs",
        "-",
        "CreateLogDelivery! PutResourcePolicy! DescribeResourcePolicies!",
    ),
    Needed(
        "msk/configuration:Configuration",
        "kafka",
        "configuration/{name}/1",
        "CreateConfiguration! DescribeConfiguration! UpdateConfiguration DeleteConfiguration",
    ),
    Needed(
        "msk/topic:Topic",
        "kafka",
        "topic/{label}/1/{name}",
        "CreateTopic DescribeTopic UpdateTopic DeleteTopic",
    ),
    Needed(
        "msk/topic:Topic",
        "kafka-cluster>kafka",
        "topic/{label}/1/{name}",
        "CreateTopic DescribeTopic DescribeTopicDynamicConfiguration AlterTopic "
        "AlterTopicDynamicConfiguration DeleteTopic",
    ),
    Needed(
        "msk/topic:Topic",
        "kafka-cluster>kafka",
        "cluster/{label}/1",
        "Connect",
    ),
    Needed(
        "rds/instance:Instance",
        "rds",
        "db:{name}",
        "CreateDBInstance ModifyDBInstance RebootDBInstance DescribeDBInstances! "
        "DeleteDBInstance AddTagsToResource ListTagsForResource",
    ),
    Needed(
        "rds/instance:Instance",
        "rds",
        "pg:{label}-1a2b3c4",
        "CreateDBInstance",
    ),
    Needed(
        "rds/instance:Instance",
        "rds",
        "subgrp:{label}-1a2b3c4",
        "CreateDBInstance",
    ),
    Needed(
        "rds/instance:Instance",
        "rds",
        "og:default:postgres-18",
        "CreateDBInstance",
    ),
    Needed(
        "rds/instance:Instance",
        "rds",
        "snapshot:{label}-1a2b3c4-main-final",
        "CreateDBSnapshot",
    ),
    Needed(
        "rds/instance:Instance",
        "secretsmanager",
        "secret:rds!db-1",
        "CreateSecret TagResource",
    ),
    Needed(
        "rds/parameterGroup:ParameterGroup",
        "rds",
        "pg:{label}-1a2b3c4",
        "CreateDBParameterGroup ModifyDBParameterGroup AddTagsToResource "
        "DescribeDBParameterGroups! DeleteDBParameterGroup",
    ),
    Needed(
        "rds/subnetGroup:SubnetGroup",
        "rds",
        "subgrp:{name}",
        "CreateDBSubnetGroup ModifyDBSubnetGroup AddTagsToResource DeleteDBSubnetGroup",
    ),
    Needed(
        "route53/record:Record",
        "route53",
        "hostedzone/zone",
        "ChangeResourceRecordSets ListResourceRecordSets GetHostedZone",
    ),
    Needed(
        "route53/record:Record",
        "route53",
        "change/1",
        "GetChange",
    ),
    Needed(
        "route53/record:Record",
        "route53",
        "-",
        "ListHostedZones!",
    ),
    Needed(
        "s3/bucket:Bucket",
        "s3",
        "{bucket}",
        "CreateBucket GetBucketTagging PutBucketTagging ListBucket TagResource",
    ),
    Needed(
        "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "s3",
        "{bucket}",
        "PutLifecycleConfiguration GetLifecycleConfiguration",
    ),
    Needed(
        "s3/bucketPolicy:BucketPolicy",
        "s3",
        "{bucket}",
        "PutBucketPolicy GetBucketPolicy",
    ),
    Needed(
        "s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "s3",
        "{bucket}",
        "PutBucketPublicAccessBlock GetBucketPublicAccessBlock",
    ),
    Needed(
        "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "s3",
        "{bucket}",
        "PutEncryptionConfiguration GetEncryptionConfiguration",
    ),
    Needed(
        "s3/bucketVersioning:BucketVersioning",
        "s3",
        "{bucket}",
        "PutBucketVersioning GetBucketVersioning",
    ),
    Needed(
        "secretsmanager/secret:Secret",
        "secretsmanager",
        "secret:{namePrefix}1-a1b2c3",
        "CreateSecret DescribeSecret GetResourcePolicy UpdateSecret TagResource DeleteSecret",
    ),
    Needed(
        "servicediscovery/httpNamespace:HttpNamespace",
        "servicediscovery",
        "namespace/1",
        "CreateHttpNamespace! TagResource! GetOperation! ListTagsForResource! "
        "UpdateHttpNamespace DeleteNamespace",
    ),
    Needed(
        "sns/topic:Topic",
        "sns",
        "{name}",
        "CreateTopic SetTopicAttributes GetTopicAttributes ListTagsForResource "
        "TagResource DeleteTopic",
    ),
    Needed(
        "sns/topicPolicy:TopicPolicy",
        "sns",
        "{label}-1a2b3c4",
        "SetTopicAttributes",
    ),
    Needed(
        "sns/topicSubscription:TopicSubscription",
        "sns",
        "{label}-1a2b3c4",
        "Subscribe GetSubscriptionAttributes Unsubscribe",
    ),
    Needed(
        "vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "ec2",
        "security-group/1",
        "AuthorizeSecurityGroupEgress RevokeSecurityGroupEgress ModifySecurityGroupRules "
        "DescribeSecurityGroupRules!",
    ),
    Needed(
        "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "ec2",
        "security-group/1",
        "AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress "
        "ModifySecurityGroupRules DescribeSecurityGroupRules!",
    ),
    Needed(
        "wafv2/webAcl:WebAcl",
        "wafv2",
        "regional/webacl/{name}/1",
        "CreateWebACL GetWebACL UpdateWebACL DeleteWebACL TagResource ListTagsForResource",
    ),
    Needed(
        "wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration",
        "wafv2",
        "regional/webacl/{label}-1a2b3c4/1",
        "PutLoggingConfiguration GetLoggingConfiguration DeleteLoggingConfiguration",
    ),
    Needed(
        "wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration",
        "logs",
        "-",
        "CreateLogDelivery! DeleteLogDelivery! PutResourcePolicy! DescribeResourcePolicies! "
        "DescribeLogGroups!",
    ),
    Needed(
        "wafv2/webAclAssociation:WebAclAssociation",
        "wafv2",
        "regional/webacl/{label}-1a2b3c4/1",
        "AssociateWebACL",
    ),
    Needed(
        "wafv2/webAclAssociation:WebAclAssociation",
        "wafv2>elasticloadbalancing",
        "loadbalancer/app/{label}-1a2b3c4/1",
        "AssociateWebACL GetWebACLForResource DisassociateWebACL",
    ),
    Needed(
        "wafv2/webAclAssociation:WebAclAssociation",
        "elasticloadbalancing",
        "loadbalancer/app/{label}-1a2b3c4/1",
        "SetWebACL",
    ),
)
