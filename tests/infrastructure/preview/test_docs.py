"""The page that tells a team how to switch previews on names what the workflows ask for."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from infrastructure.config.connections import previews_that_fit
from infrastructure.config.files import read_config
from infrastructure.config.model import EnvironmentSettings
from infrastructure.config.naming import PROJECT
from infrastructure.config.parse import parse_stack
from infrastructure.preview.arguments import parse_arguments, parse_lifetime
from infrastructure.preview.pulls import KEEP_LABEL
from infrastructure.preview.settings import AT_ONCE

pytestmark = pytest.mark.infrastructure

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/previews.md").read_text()
STEPS = PAGE.partition("## Switch it on")[2].partition("\n## ")[0]
WORKFLOWS = {path.stem: path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml")}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def test_switching_on_takes_fewer_than_ten_steps() -> None:
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", STEPS, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) < 10


def test_steps_name_every_variable_that_a_workflow_reads() -> None:
    read = {name for text in WORKFLOWS.values() for name in re.findall(r"\bvars\.([A-Z_]+)", text)}
    assert {name for name in read if f"`{name}`" not in STEPS} == set()
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", STEPS))
    assert named <= read


def test_steps_name_every_environment_that_a_job_is_in() -> None:
    used = set()
    for text in WORKFLOWS.values():
        for job in yaml.safe_load(text)["jobs"].values():
            place = job.get("environment", "")
            name = place["name"] if isinstance(place, dict) else place
            stacks = ("dev", "staging", "prod") if "matrix.stack" in name else ("",)
            parts = re.findall(r"'([a-z-]+)'", name.split("&&")[-1]) if "&&" in name else [name]
            used |= {
                part.replace("${{ matrix.stack }}", stack)
                for part in parts
                for stack in stacks
                if part
            }
    assert {"preview", "preview-fork", "dev", "dev-preview", "prod"} <= used
    assert {name for name in used if f"`{name}`" not in STEPS} == set()


def test_steps_name_the_labels() -> None:
    labels = set(re.findall(r"labels\.\*\.name, '([a-z-]+)'", WORKFLOWS["preview"]))
    assert KEEP_LABEL in labels
    assert {label for label in labels if f"`{label}`" not in STEPS} == set()


def test_settings_in_the_steps_are_an_environments() -> None:
    known = {field.replace("_", "-") for field in EnvironmentSettings.__struct_fields__}
    named = re.findall(rf"^ *{PROJECT}:([a-z-]+):", STEPS, re.MULTILINE)
    assert named
    assert set(named) <= known


def test_number_at_once_is_the_one_that_holds() -> None:
    assert f"{NUMBERS[AT_ONCE]} previews at once at most" in STEPS


def test_dev_has_room_for_so_many_and_the_page_says_for_how_many() -> None:
    config = parse_stack("dev", read_config("dev")).config
    assert isinstance(config, EnvironmentSettings)
    room = previews_that_fit(config)
    assert room >= AT_ONCE
    assert f"dev has room for {NUMBERS[room]}" in STEPS


def test_commands_of_the_page_are_understood() -> None:
    lines = re.findall(r"scripts/preview ([a-z][^`\n&]*)", PAGE)
    commands = [line.partition("#")[0].strip() for line in lines]
    assert {command.split()[0] for command in commands} >= {
        "up",
        "down",
        "list",
        "reap",
        "status",
        "test",
        "publish",
    }
    for command in commands:
        options = parse_arguments(shlex.split(command))
        if "ttl" in options:
            parse_lifetime(options.ttl)
