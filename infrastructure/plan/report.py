"""The plan as text: resources by component, who may talk to whom, what each role may do, findings,
cost.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from infrastructure.plan import prices
from infrastructure.plan.cost import ASSUMPTIONS, DAYS_A_MONTH, Line, estimate, total
from infrastructure.plan.graph import reached
from infrastructure.policies.examine import examine
from infrastructure.recording import Recording

ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
# An upper bound of roles, or what GitHub may do.
POLICY = "aws:iam/policy:Policy"


def report(stack: Recording, base: Recording | None) -> str:
    """Returns the plan's text. `base`: the recording of a preview's base environment, whose
    platform it runs on.
    """
    lines = [
        f"# {stack.stack.name}: {stack.outputs['url']}",
        "",
        "What the program declares, run here with no AWS account: names stand for ids.",
        *section("Resources by component", resources(stack)),
        *section("Who may talk to whom", talk(stack, base or stack)),
        *section("What each role may do", roles(stack)),
        *section("Policy findings", findings(stack)),
        *section("Cost", cost(stack, base)),
    ]
    return "\n".join(lines) + "\n"


def section(title: str, lines: Iterator[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def resources(stack: Recording) -> Iterator[str]:
    """Counts resources by the nearest component above."""
    by_urn = {each.urn: each for each in stack.resources}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for each in stack.resources:
        if each.is_component:
            continue
        above = by_urn.get(each.parent)
        while above is not None and not above.is_component:
            above = by_urn.get(above.parent)
        label = f"{above.type.rpartition(':')[2]} {above.name}" if above else "stack"
        found[label][each.type.rpartition(":")[2]] += 1
    for label in sorted(found):
        kinds = ", ".join(
            f"{count} {kind}" if count > 1 else kind for kind, count in sorted(found[label].items())
        )
        yield f"- {label}: {kinds}"
    yield f"- in all: {sum(sum(kinds.values()) for kinds in found.values())} resources"


def talk(stack: Recording, platform: Recording) -> Iterator[str]:
    for edge in reached(stack, platform):
        yield f"- {edge.source} -> {edge.target}:{edge.port}"


def roles(stack: Recording) -> Iterator[str]:
    attached = {
        each.inputs["policyArn"]
        for each in stack.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    }
    policies = [*stack.of(ROLE_POLICY), *stack.of(POLICY)]
    for each in sorted(policies, key=lambda policy: (policy.type == POLICY, policy.name)):
        bounds = each.type == POLICY and each.outputs["arn"] not in attached
        yield f"- {each.name}" + (": the most that the roles within it may" if bounds else "")
        for statement in json.loads(each.inputs["policy"])["Statement"]:
            yield f"  - {may(statement)} on {where(statement)}{given(statement)}"


def may(statement: Mapping[str, Any]) -> str:
    actions = "; ".join(texts(statement.get("Action", statement.get("NotAction"))))
    denied = "never " if statement["Effect"] == "Deny" else ""
    return f"{denied}{'all but ' if 'NotAction' in statement else ''}{actions}"


def where(statement: Mapping[str, Any]) -> str:
    named = "; ".join(short(texts(statement.get("Resource", statement.get("NotResource")))))
    return f"{'all but ' if 'NotResource' in statement else ''}{named}"


def given(statement: Mapping[str, Any]) -> str:
    keys = [key for each in statement.get("Condition", {}).values() for key in each]
    return f", by {' and '.join(dict.fromkeys(keys))}" if keys else ""


def texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def short(arns: list[str]) -> list[str]:
    """Shortens ARNs: without region and account, which are the same for all."""
    return [":".join(arn.split(":")[5:]) if arn.startswith("arn:") else arn for arn in arns]


def findings(stack: Recording) -> Iterator[str]:
    found = examine(stack)
    for each in found:
        yield f"- {each.rule}: {each.resource}: {each.message}"
    if not found:
        yield "none"


def cost(stack: Recording, base: Recording | None) -> Iterator[str]:
    lines = estimate(stack)
    yield from table(lines)
    whole = total(lines)
    yield ""
    yield f"{whole:.0f} USD a month, {whole / DAYS_A_MONTH:.2f} a day."
    dear = total(estimate(stack, prices.DEAREST_SPOT_SHARE))
    if dear > whole:
        share = 1 - prices.DEAREST_SPOT_SHARE
        yield f"With Spot at {share:.0%} off: {dear:.0f} a month, {dear / DAYS_A_MONTH:.2f} a day."
    if base is not None:
        copy = total(estimate(base))
        name, daily = base.stack.name, copy / DAYS_A_MONTH
        yield f"A full copy of {name} would be {copy:.0f} a month, {daily:.2f} a day."
    yield ""
    yield "Assumed:"
    for assumption in ASSUMPTIONS:
        yield f"- {assumption}"
    yield ""
    yield "Prices:"
    for source in dict.fromkeys(prices.SOURCES.values()):
        yield f"- {source.url}, {source.as_of}"


def table(lines: list[Line]) -> Iterator[str]:
    wide = max(len(line.what) for line in lines)
    long = max(len(line.quantity) for line in lines)
    for line in lines:
        yield f"  {line.what:<{wide}}  {line.quantity:<{long}}  {line.usd_a_month:8.2f}"
