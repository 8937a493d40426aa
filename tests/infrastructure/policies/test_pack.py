"""The policy pack in the environment that Pulumi runs it in: the same rules, the same findings."""

import ast
import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infrastructure.config.files import ROOT
from infrastructure.policies.examine import RESOURCE_RULES, examine
from infrastructure.policies.stacks import STACK_RULES
from infrastructure.recording import Recording

pytestmark = pytest.mark.infrastructure
LIMIT_SECONDS = 300
# Hands recorded resources to each policy as the engine does, and prints what they report.
HARNESS = """
import json, sys
import google.protobuf
import pulumi_policy as policy
from infrastructure.policies.pack import policies

options = policy.PolicyResourceOptions(
    protect=False, ignore_changes=[], delete_before_replace=None, aliases=[],
    custom_timeouts=policy.PolicyCustomTimeouts(0, 0, 0), additional_secret_outputs=[], parent="",
)
given = json.load(sys.stdin)
by_urn = {
    each["urn"]: policy.PolicyResource(
        each["type"], each["inputs"], each["urn"], each["name"], options, None, None, [], {}
    )
    for each in given
}
for each in given:
    by_urn[each["urn"]].dependencies += [
        by_urn[urn] for urn in each["dependencies"] if urn in by_urn
    ]
found = []
for made in policies():
    def report(text, urn=None, current=None, name=made.name):
        found.append([name, urn or current, text])
    if isinstance(made, policy.StackValidationPolicy):
        made.validate(policy.StackValidationArgs([*by_urn.values()]), report)
        continue
    for each in given:
        made.validate(
            policy.ResourceValidationArgs(
                each["type"], each["inputs"], each["urn"], each["name"], options, None
            ),
            lambda text, urn=None: report(text, urn, each["urn"]),
        )
json.dump({"protobuf": google.protobuf.__version__, "names": [made.name for made in policies()],
           "descriptions": [made.description for made in policies()], "found": found}, sys.stdout)
"""


def run_pack(environment: Path, recording: Recording) -> dict[str, Any]:
    resources = [
        {
            "type": each.type,
            "name": each.name,
            "urn": each.urn,
            "inputs": each.inputs,
            "dependencies": list(each.dependencies),
        }
        for each in recording.resources
    ]
    done = subprocess.run(
        [environment / "bin" / "python", "-c", HARNESS],
        input=json.dumps(resources, default=str),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def broken_stack(dev: Recording) -> Recording:
    """Breaks a rule of one resource and two rules of the stack."""
    broken = copy.deepcopy(dev)
    broken.resources = [each for each in broken.resources if each.type != "aws:ec2/flowLog:FlowLog"]
    for each in broken.resources:
        if each.type == "aws:kms/key:Key":
            each.inputs = {**each.inputs, "enableKeyRotation": False}
        if each.type == "aws:ecs/service:Service":
            each.dependencies = []
    return broken


def test_pack_in_its_own_environment_finds_what_the_rules_find(
    policies_environment: Path, dev: Recording
) -> None:
    broken = broken_stack(dev)
    expected = {(each.rule, each.resource, each.message) for each in examine(broken)}
    names = {each.urn: each.name for each in broken.resources}

    answer = run_pack(policies_environment, broken)

    found = {(rule, names[urn], text) for rule, urn, text in answer["found"]}
    assert found == expected
    assert {rule for rule, _, _ in found} >= {"key-rotates", "order", "vpc-flows"}


def test_pack_has_every_rule_and_names_its_controls(
    policies_environment: Path, dev: Recording
) -> None:
    answer = run_pack(policies_environment, dev)
    assert answer["found"] == []
    assert answer["names"] == [each.name for each in (*RESOURCE_RULES, *STACK_RULES)]
    assert all("(" in each for each in answer["descriptions"])
    # Apart for this reason alone: once it takes protobuf 6 the pack needs no environment of its
    # own.
    assert answer["protobuf"].startswith("5.")


def test_rules_can_be_imported_without_the_policy_library() -> None:
    importers = {
        path.relative_to(ROOT / "infrastructure").as_posix()
        for path in sorted((ROOT / "infrastructure").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom | ast.Import)
        and any(
            name.startswith("pulumi_policy")
            for name in (getattr(node, "module", "") or "", *(alias.name for alias in node.names))
        )
    }
    assert importers == {"policies/__main__.py", "policies/pack.py"}
