"""`scripts/plan` shows a stack without account, credentials or network."""

import re
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from apps.catalogue import SERVICES
from infrastructure.config.files import ROOT, read_config
from infrastructure.plan.__main__ import main, plan
from infrastructure.plan.cost import estimate, total
from infrastructure.plan.paper import Paper
from infrastructure.plan.picture import picture
from infrastructure.plan.record import REMOTE, record

pytestmark = pytest.mark.infrastructure
SECTIONS = (
    "Resources by component",
    "Who may talk to whom",
    "What each role may do",
    "Policy findings",
    "Cost",
)


@pytest.mark.parametrize("name", ["dev", "staging", "prod", "pr-123"])
def test_a_plan_has_all_its_parts(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 0
    text = capsys.readouterr().out
    assert all(f"## {section}\n" in text for section in SECTIONS)
    assert "gateway -> patient:4000" in text
    assert "## Policy findings\n\nnone\n" in text
    assert "USD a month" in text
    counted = text.partition(f"## {SECTIONS[0]}\n")[2].partition("\n## ")[0]
    # What there is one of has no number.
    assert re.search("[:,] [2-9] ", counted)
    assert not re.search("[:,] 1 ", counted)


def test_what_a_network_is_made_of_is_its_own_whatever_comes_meanwhile() -> None:
    class Slow(Paper):
        def create(
            self, kind: str, name: str, inputs: dict[str, Any]
        ) -> tuple[str, dict[str, Any]]:
            made = super().create(kind, name, inputs)
            if kind.startswith(REMOTE):
                time.sleep(0.3)
            return made

    recording = record("dev", read_config("dev"), Slow())
    network = recording.one("awsx:ec2:Vpc", "patient-dev")
    children = [each for each in recording.resources if each.urn.startswith("urn:pulumi:plan::")]
    assert len(children) > 10
    assert {each.parent for each in children} == {network.urn}


def test_a_previews_plan_stands_beside_a_full_copys_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["pr-123"])
    text = capsys.readouterr().out
    assert "A full copy of dev would be" in text
    resources = text.partition("## Resources by component")[2].partition("## Who")[0]
    assert not any(
        word in resources for word in ("Vpc", "NatGateway", "LoadBalancer", " Instance", "Cluster")
    )


def test_costs_are_of_the_order_that_the_readme_tells() -> None:
    costs = {name: total(estimate(plan(name)[0])) for name in ("dev", "prod", "pr-123")}
    assert 150 < costs["dev"] < 220
    assert costs["prod"] > 1_000
    assert costs["pr-123"] / 30 < 0.6


def test_a_plan_tells_upper_bounds_and_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    main(["dev"])
    roles = (
        capsys.readouterr()
        .out.partition("## What each role may do")[2]
        .partition("## Policy findings")[0]
    )
    assert "- patient-dev-app: the most that the roles within it may\n" in roles
    assert "- patient-dev-preview: the most that the roles within it may\n" in roles
    assert "  - kms:Decrypt; kms:GenerateDataKey on key/data-of-dev, by kms:ViaService\n" in roles


def test_an_unknown_stack_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nope"]) == 2
    assert "there is no Pulumi.nope.yaml" in capsys.readouterr().err


def test_the_picture_in_the_documents_is_the_programs(tmp_path: Path) -> None:
    drawn = picture(plan("dev")[0])
    assert (ROOT / "docs/architecture.svg").read_text(encoding="utf-8") == drawn, (
        "draw it again: scripts/plan dev --svg docs/architecture.svg"
    )
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(SERVICES) | {"ALB", "auth database", "patient database"} <= texts
    assert any(text and text.startswith("VPC ") for text in texts)
