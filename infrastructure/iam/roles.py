"""IAM roles that one AWS service may take on, with only the statements named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

Statement = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Role:
    """What uses the role waits for `policies`: a task that starts before them is refused its
    secrets.
    """

    arn: pulumi.Output[str]
    name: pulumi.Output[str]
    policies: Sequence[pulumi.CustomResource]

    @property
    def ready_arn(self) -> pulumi.Output[str]:
        """Returns the ARN, known once the policies stand: for what cannot be told to wait, as
        another stack's reader.
        """
        return pulumi.Output.all(self.arn, *(policy.id for policy in self.policies)).apply(
            lambda made: str(made[0])
        )


@dataclass(frozen=True, slots=True)
class PermissionsBoundary:
    """The most that a role may ever do, and its path.

    `account_id`: the service takes the role on only for that account (the confused deputy).
    """

    path: str
    boundary_arn: pulumi.Input[str]
    account_id: pulumi.Input[str] | None = None


def document(statements: pulumi.Input[Sequence[Statement]]) -> pulumi.Output[str]:
    """Returns a policy's JSON. What the statements name may be outputs."""
    return pulumi.Output.json_dumps(
        {"Version": "2012-10-17", "Statement": statements}, sort_keys=True
    )


def role_of_service(
    name: str,
    principal: str,
    policies: Mapping[str, Sequence[Statement]],
    opts: pulumi.ResourceOptions,
    boundary: PermissionsBoundary,
    *,
    managed: Sequence[str] = (),
) -> Role:
    """Makes the role. `managed`: names of AWS's own policies, below `arn:aws:iam::aws:policy/`."""
    trust: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": principal},
        "Action": "sts:AssumeRole",
    }
    if boundary.account_id is not None:
        trust["Condition"] = {"StringEquals": {"aws:SourceAccount": boundary.account_id}}
    role = aws.iam.Role(
        name,
        path=boundary.path,
        assume_role_policy=document([trust]),
        permissions_boundary=boundary.boundary_arn,
        opts=opts,
    )
    child = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(parent=role))
    made: list[pulumi.CustomResource] = [
        aws.iam.RolePolicy(f"{name}-{part}", role=role.id, policy=document(statements), opts=child)
        for part, statements in policies.items()
        if statements
    ]
    made += [
        aws.iam.RolePolicyAttachment(
            f"{name}-{policy.rpartition('/')[2]}",
            role=role.name,
            policy_arn=f"arn:aws:iam::aws:policy/{policy}",
            opts=child,
        )
        for policy in managed
    ]
    return Role(role.arn, role.name, made)
