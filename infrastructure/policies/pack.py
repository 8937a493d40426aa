"""The rules as `pulumi-policy` takes them, for `pulumi up --policy-pack infrastructure/policies`.

Only this module and `__main__` import pulumi-policy, which is installed in an environment of its
own (`scripts/setup policies`): it needs protobuf 5, and everything else here runs on protobuf 6.
`examine` runs the same rules without it.
"""

from collections.abc import Callable

import pulumi_policy as policy

from infrastructure.policies.data import DATA_RULES
from infrastructure.policies.rule import Rule
from infrastructure.policies.running import RUNNING_RULES
from infrastructure.policies.stacks import STACK_RULES, StackRule, Thing

Report = Callable[[str, str | None], None]


def policies() -> list[policy.ResourceValidationPolicy | policy.StackValidationPolicy]:
    """Returns one policy a rule, under the rule's own name."""
    return [
        *(resource_policy(rule) for rule in (*DATA_RULES, *RUNNING_RULES)),
        *(stack_policy(rule) for rule in STACK_RULES),
    ]


def resource_policy(rule: Rule) -> policy.ResourceValidationPolicy:
    def validate(args: policy.ResourceValidationArgs, report: Report) -> None:
        if args.resource_type in rule.types:
            for fault in rule.check(args.props):
                report(rule.message(fault), None)

    return policy.ResourceValidationPolicy(rule.name, rule.description, validate)


def stack_policy(rule: StackRule) -> policy.StackValidationPolicy:
    def validate(args: policy.StackValidationArgs, report: Report) -> None:
        things = [
            Thing(
                type=each.resource_type,
                name=each.name,
                urn=each.urn,
                props=each.props,
                dependencies=[other.urn for other in each.dependencies],
            )
            for each in args.resources
        ]
        for urn, fault in rule.check(things):
            report(rule.message(fault), urn)

    return policy.StackValidationPolicy(rule.name, rule.description, validate)
