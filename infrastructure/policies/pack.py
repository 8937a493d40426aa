"""The rules as `pulumi-policy` takes them: the same run in `pulumi up --policy-pack`, in the plan and in tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi_policy as policy

from infrastructure.plan.record import Recording, Resource
from infrastructure.policies.data import DATA_RULES
from infrastructure.policies.rule import Rule
from infrastructure.policies.running import RUNNING_RULES
from infrastructure.policies.stacks import STACK_RULES, StackRule, Thing

Report = Callable[[str, str | None], None]


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    resource: str
    message: str


def policies() -> list[policy.ResourceValidationPolicy | policy.StackValidationPolicy]:
    return [
        *(resource_policy(rule) for rule in (*DATA_RULES, *RUNNING_RULES)),
        *(stack_policy(rule) for rule in STACK_RULES),
    ]


def resource_policy(rule: Rule) -> policy.ResourceValidationPolicy:
    def validate(args: policy.ResourceValidationArgs, report: Report) -> None:
        if args.resource_type in rule.types:
            for fault in rule.check(args.props):
                report(f"[{', '.join(rule.controls)}] {fault}", None)

    return policy.ResourceValidationPolicy(
        rule.name, f"{rule.why} ({', '.join(rule.controls)})", validate
    )


def stack_policy(rule: StackRule) -> policy.StackValidationPolicy:
    def validate(args: policy.StackValidationArgs, report: Report) -> None:
        things = [
            Thing(
                each.resource_type,
                each.name,
                each.urn,
                each.props,
                [other.urn for other in each.dependencies],
            )
            for each in args.resources
        ]
        for urn, fault in rule.check(things):
            report(f"[{', '.join(rule.controls)}] {fault}", urn)

    return policy.StackValidationPolicy(
        rule.name, f"{rule.why} ({', '.join(rule.controls)})", validate
    )


def examine(recording: Recording) -> list[Finding]:
    """Runs every rule over what a stack declares."""
    return [*examine_resources(recording.resources), *examine_stack(recording.resources)]


def examine_resources(resources: Sequence[Resource]) -> list[Finding]:
    found: list[Finding] = []
    for rule in (*DATA_RULES, *RUNNING_RULES):
        check: Any = resource_policy(rule).validate
        for each in resources:
            texts: list[str] = []
            args = policy.ResourceValidationArgs(
                each.type, each.inputs, each.urn, each.name, OPTIONS, provider=None
            )
            check(args, lambda text, urn=None, texts=texts: texts.append(text))
            found += [Finding(rule.name, each.name, text) for text in texts]
    return found


def examine_stack(resources: Sequence[Resource]) -> list[Finding]:
    things = [
        Thing(each.type, each.name, each.urn, each.inputs, list(each.dependencies))
        for each in resources
    ]
    names = {each.urn: each.name for each in resources}
    return [
        Finding(rule.name, names.get(urn, urn), f"[{', '.join(rule.controls)}] {fault}")
        for rule in STACK_RULES
        for urn, fault in rule.check(things)
    ]


OPTIONS = policy.PolicyResourceOptions(
    protect=False,
    ignore_changes=[],
    delete_before_replace=None,
    aliases=[],
    custom_timeouts=policy.PolicyCustomTimeouts(0, 0, 0),
    additional_secret_outputs=[],
    parent="",
)
