"""Runs every rule over recorded resources, without the engine: for the plan and for tests."""

from collections.abc import Sequence
from dataclasses import dataclass

from infrastructure.policies.data import DATA_RULES
from infrastructure.policies.running import RUNNING_RULES
from infrastructure.policies.stacks import STACK_RULES, Thing
from infrastructure.recording import Recording, Resource

RESOURCE_RULES = (*DATA_RULES, *RUNNING_RULES)


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation of `rule` by the resource with this logical name."""

    rule: str
    resource: str
    message: str


def examine(recording: Recording) -> list[Finding]:
    """Returns what any rule finds in the resources of a stack."""
    return [*examine_resources(recording.resources), *examine_stack(recording.resources)]


def examine_resources(resources: Sequence[Resource]) -> list[Finding]:
    return [
        Finding(rule.name, each.name, rule.message(fault))
        for rule in RESOURCE_RULES
        for each in resources
        if each.type in rule.types
        for fault in rule.check(each.inputs)
    ]


def examine_stack(resources: Sequence[Resource]) -> list[Finding]:
    things = [
        Thing(
            type=each.type,
            name=each.name,
            urn=each.urn,
            props=each.inputs,
            dependencies=list(each.dependencies),
        )
        for each in resources
    ]
    names = {each.urn: each.name for each in resources}
    return [
        Finding(rule.name, names.get(urn, urn), rule.message(fault))
        for rule in STACK_RULES
        for urn, fault in rule.check(things)
    ]
