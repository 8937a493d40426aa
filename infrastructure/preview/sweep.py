"""What a killed run made and no state knows of: everything a preview makes carries its stack's name
as a tag.

Deleted in the order in which one thing lets go of the next. What is not in the table is named,
never guessed at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infrastructure.config.naming import PREVIEW_PATH, STACK_TAG
from infrastructure.preview.errors import PreviewError
from infrastructure.preview.leftovers import Leftover, of, translated_aws_errors
from infrastructure.preview.names import Preview, preview_of_stack

# Gone, in AWS's many words: a sweep may meet what the one before it deleted.
GONE = ("NotFound", "NoSuchEntity", "ServiceNotActive", "ClusterNotFound")

Session = boto3.Session


@dataclass(frozen=True, slots=True)
class Kind:
    """`there`: the tagging API still lists what was deleted hours ago, so each place is asked
    itself.
    """

    there: Callable[[Session, str], object]
    delete: Callable[[Session, str], object]


def delete_target_group(session: Session, arn: str) -> None:
    """Deletes it with the rules that lead to it: one whose tags were not yet written is found
    by nothing else.
    """
    client = session.client("elbv2")
    for balancer in client.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0][
        "LoadBalancerArns"
    ]:
        for listener in client.describe_listeners(LoadBalancerArn=balancer)["Listeners"]:
            for rule in client.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]:
                if not rule["IsDefault"] and arn in {
                    action.get("TargetGroupArn") for action in rule["Actions"]
                }:
                    client.delete_rule(RuleArn=rule["RuleArn"])
    client.delete_target_group(TargetGroupArn=arn)


def service_is_there(session: Session, arn: str) -> bool:
    found = session.client("ecs").describe_services(cluster=cluster_of(arn), services=[arn])[
        "services"
    ]
    return any(service["status"] == "ACTIVE" for service in found)


def cluster_of(arn: str) -> str:
    return arn.split(":service/")[1].split("/")[0]


def task_definition_is_there(session: Session, arn: str) -> bool:
    # One that was taken out of use is listed for ever, and costs nothing.
    found = session.client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]
    return bool(found["status"] == "ACTIVE")


def delete_rule_of_group(session: Session, arn: str) -> None:
    client, rule = session.client("ec2"), last(arn)
    found = client.describe_security_group_rules(SecurityGroupRuleIds=[rule])["SecurityGroupRules"][
        0
    ]
    revoke = (
        client.revoke_security_group_egress
        if found["IsEgress"]
        else client.revoke_security_group_ingress
    )
    revoke(GroupId=found["GroupId"], SecurityGroupRuleIds=[rule])


def delete_role(session: Session, arn: str) -> None:
    client, role = session.client("iam"), last(arn)
    for name in client.list_role_policies(RoleName=role)["PolicyNames"]:
        client.delete_role_policy(RoleName=role, PolicyName=name)
    for policy in client.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        client.detach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])
    client.delete_role(RoleName=role)


def last(arn: str) -> str:
    return arn.rpartition("/")[2]


# By `<service>:<type>` of the ARN.
KINDS: dict[str, Kind] = {
    "elasticloadbalancing:listener-rule": Kind(
        lambda session, arn: session.client("elbv2").describe_rules(RuleArns=[arn])["Rules"],
        lambda session, arn: session.client("elbv2").delete_rule(RuleArn=arn),
    ),
    "ecs:service": Kind(
        service_is_there,
        lambda session, arn: session.client("ecs").delete_service(
            cluster=cluster_of(arn), service=arn, force=True
        ),
    ),
    "elasticloadbalancing:targetgroup": Kind(
        lambda session, arn: session.client("elbv2").describe_target_groups(TargetGroupArns=[arn])[
            "TargetGroups"
        ],
        delete_target_group,
    ),
    "ecs:task-definition": Kind(
        task_definition_is_there,
        lambda session, arn: session.client("ecs").deregister_task_definition(taskDefinition=arn),
    ),
    "ec2:security-group-rule": Kind(
        lambda session, arn: session.client("ec2").describe_security_group_rules(
            SecurityGroupRuleIds=[last(arn)]
        )["SecurityGroupRules"],
        delete_rule_of_group,
    ),
    "ec2:security-group": Kind(
        lambda session, arn: session.client("ec2").describe_security_groups(GroupIds=[last(arn)])[
            "SecurityGroups"
        ],
        lambda session, arn: session.client("ec2").delete_security_group(GroupId=last(arn)),
    ),
    "secretsmanager:secret": Kind(
        lambda session, arn: (
            "DeletedDate" not in session.client("secretsmanager").describe_secret(SecretId=arn)
        ),
        lambda session, arn: session.client("secretsmanager").delete_secret(
            SecretId=arn, ForceDeleteWithoutRecovery=True
        ),
    ),
    "servicediscovery:namespace": Kind(
        lambda session, arn: session.client("servicediscovery").get_namespace(Id=last(arn)),
        lambda session, arn: session.client("servicediscovery").delete_namespace(Id=last(arn)),
    ),
    "cloudwatch:alarm": Kind(
        lambda session, arn: session.client("cloudwatch").describe_alarms(
            AlarmNames=[arn.split(":alarm:")[1]]
        )["MetricAlarms"],
        lambda session, arn: session.client("cloudwatch").delete_alarms(
            AlarmNames=[arn.split(":alarm:")[1]]
        ),
    ),
    "iam:role": Kind(
        lambda session, arn: session.client("iam").get_role(RoleName=last(arn)), delete_role
    ),
}
# Found by their names, in places of their own; or they end with their task.
ELSEWHERE = ("logs:log-group", "kafka:topic", "ecr:repository", "ecs:task", "ec2:network-interface")


def kind_of(arn: str) -> str:
    service, resource = arn.split(":", 5)[2], arn.split(":", 5)[5]
    return f"{service}:{resource.replace(':', '/').split('/')[0]}"


@dataclass(frozen=True, slots=True)
class Tagged:
    session: Session
    name: str = "resource"

    def find(self) -> list[Leftover]:
        found = {*self._by_tag(), *self._roles(), *self._namespaces()}
        return [
            Leftover(self.name, preview, arn)
            for arn, preview in sorted(found)
            if self._is_there(arn)
        ]

    def _by_tag(self) -> list[tuple[str, Preview]]:
        with translated_aws_errors("list the tagged resources"):
            client = self.session.client("resourcegroupstaggingapi")
            pages = client.get_paginator("get_resources").paginate(TagFilters=[{"Key": STACK_TAG}])
            return [
                (resource["ResourceARN"], preview)
                for page in pages
                for resource in page["ResourceTagMappingList"]
                if (preview := tagged_preview(resource["Tags"]))
            ]

    def _roles(self) -> list[tuple[str, Preview]]:
        """Returns the tagging API knows no roles; previews' lie under a path of their own."""
        with translated_aws_errors("list the roles"):
            client = self.session.client("iam")
            pages = client.get_paginator("list_roles").paginate(PathPrefix=PREVIEW_PATH)
            roles = [role for page in pages for role in page["Roles"]]
            tagged = [
                (role["Arn"], client.list_role_tags(RoleName=role["RoleName"])["Tags"])
                for role in roles
            ]
            return [(arn, preview) for arn, tags in tagged if (preview := tagged_preview(tags))]

    def _namespaces(self) -> list[tuple[str, Preview]]:
        """Lists namespaces, asked for themselves: not every region's tagging API knows them."""
        with translated_aws_errors("list the namespaces"):
            client = self.session.client("servicediscovery")
            pages = client.get_paginator("list_namespaces").paginate()
            arns = [namespace["Arn"] for page in pages for namespace in page["Namespaces"]]
            tagged = [(arn, client.list_tags_for_resource(ResourceARN=arn)["Tags"]) for arn in arns]
            return [(arn, preview) for arn, tags in tagged if (preview := tagged_preview(tags))]

    def _is_there(self, arn: str) -> bool:
        if kind_of(arn) in ELSEWHERE:
            return False
        # What no kind is known of is named rather than overlooked.
        return kind_of(arn) not in KINDS or bool(
            self._ask(f"look for {arn}", KINDS[kind_of(arn)].there, arn)
        )

    def remove(self, preview: Preview) -> None:
        order = list(KINDS)
        arns = {leftover.name for leftover in of(preview, self.find())}
        unknown = sorted(arn for arn in arns if kind_of(arn) not in KINDS)
        faults = [f"no way is known to delete {arn}" for arn in unknown]
        for arn in sorted(arns - set(unknown), key=lambda arn: (order.index(kind_of(arn)), arn)):
            try:
                self._ask(f"delete {arn}", KINDS[kind_of(arn)].delete, arn)
            except PreviewError as fault:
                # What holds on to another lets go of it later: the rest need not wait.
                faults.append(str(fault))
        if faults:
            raise PreviewError("\n".join(faults))

    def _ask(self, action: str, ask: Callable[[Session, str], object], arn: str) -> object:
        with translated_aws_errors(action):
            try:
                return ask(self.session, arn)
            except ClientError as error:
                if any(word in str(error.response["Error"]["Code"]) for word in GONE):
                    return None
                raise


def tagged_preview(tags: list[Any]) -> Preview | None:
    return next((preview_of_stack(tag["Value"]) for tag in tags if tag["Key"] == STACK_TAG), None)
