"""The driver on the real `pulumi` command, where it is on the PATH: its state in a folder, its
resources nowhere.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infrastructure.preview.driver import LOCK_STALE_MINUTES, Driver, PreviewRequest
from infrastructure.preview.errors import PreviewError, StackLockedError
from infrastructure.preview.leftovers import Leftovers
from infrastructure.preview.names import Preview
from infrastructure.preview.publish import deployment
from infrastructure.preview.stacks import PulumiStacks

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        shutil.which("pulumi") is None, reason="there is no pulumi command on the PATH"
    ),
]

LIMIT_SECONDS = 60
PROJECT = f"""
name: patient-management
runtime: {{name: python, options: {{virtualenv: {sys.prefix}}}}}
"""
PROGRAM = """
import os, time
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

class Slow(ResourceProvider):
    def create(self, props):
        if props["stop"]:
            open(props["stop"], "w").close()
            time.sleep(600)
        return CreateResult(props["name"], props)

class Thing(Resource):
    def __init__(self, name, stop):
        super().__init__(Slow(), name, {"name": name, "stop": stop})

class Seen(pulumi.ComponentResource):
    def __init__(self, name, domain):
        super().__init__("test:index:Seen", name, {"domain": domain})

base = pulumi.StackReference(f"{pulumi.get_organization()}/{pulumi.get_project()}/dev")
domain = base.require_output("platform")["domain"]
Thing("first", "")
Thing("second", os.environ.get("STOP", ""))
pulumi.export("url", pulumi.Output.concat("https://", pulumi.get_stack(), ".", domain))
pulumi.export("password", pulumi.Output.secret("not to be read"))
"""
PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

def refuse(args, report):
    if args.name == "refused":
        report("this one may not be")

rule = ResourceValidationPolicy("rule", "A rule of the tests", refuse, EnforcementLevel.MANDATORY)
PolicyPack("patient-management", [rule])
"""
UP = """
import sys
from pathlib import Path
from infrastructure.preview.stacks import PulumiStacks
PulumiStacks(Path(sys.argv[1]), sys.argv[2], "passphrase", {"STOP": sys.argv[3]}).up("pr-7", print)
"""
PREVIEW = Preview(7)
WANTED = PreviewRequest(region="us-east-1", lifetime=timedelta(days=3))


class Engine:
    def __init__(self, folder: Path, policies_environment: Path) -> None:
        self.folder, self.project = folder, folder / "project"
        pack = self.project / "infrastructure" / "policies"
        for place in (folder / "state", pack):
            place.mkdir(parents=True)
        (self.project / "Pulumi.yaml").write_text(PROJECT)
        (self.project / "__main__.py").write_text(PROGRAM)
        (pack / "PulumiPolicy.yaml").write_text(
            f"runtime: {{name: python, options: {{virtualenv: {policies_environment}}}}}"
        )
        (pack / "__main__.py").write_text(PACK)
        self.backend = f"file://{folder / 'state'}"
        self.stacks = PulumiStacks(self.project, self.backend, "passphrase", {})
        self.said: list[str] = []

    def driver(self, later: timedelta = timedelta()) -> Driver:
        return Driver(
            base="dev",
            stacks=self.stacks,
            leftovers=Leftovers(()),
            say=self.said.append,
            now=lambda: datetime.now(UTC) + later,
        )

    def kill_midway(self) -> None:
        """A first `up` that is killed while a resource is being made."""
        stop = self.folder / "being-made"
        arguments = [sys.executable, "-c", UP, str(self.project), self.backend, str(stop)]
        running = subprocess.Popen(arguments, start_new_session=True, stdout=subprocess.DEVNULL)
        end = time.monotonic() + LIMIT_SECONDS
        while not stop.exists():
            assert running.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        os.killpg(running.pid, signal.SIGKILL)
        # The engine gives its providers process groups of their own: they would outlive the test.
        subprocess.run(["pkill", "-KILL", "-s", str(running.pid)], check=False)
        running.wait()

    def files_of(self, preview: Preview) -> list[str]:
        return [
            path.name
            for path in (self.folder / "state").rglob(f"*{preview.stack}*")
            if path.is_file()
        ]


@pytest.fixture
def engine(tmp_path: Path, policies_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of the tests")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    made = Engine(tmp_path, policies_environment)
    # As the base's deployment shows its outputs: imported, never updated.
    made.stacks.open("dev")
    made.stacks.write_outputs(
        "dev", deployment("dev", {"platform": {"domain": "dev.example.org"}, "images": {}})
    )
    return made


def test_preview_comes_by_the_rules_with_its_bases_outputs_and_goes_without_a_trace(
    engine: Engine,
) -> None:
    program = engine.project / "__main__.py"
    program.write_text(PROGRAM.replace('Thing("second"', 'Thing("refused"'))
    with pytest.raises(PreviewError):
        engine.driver().up(PREVIEW, WANTED)
    assert any("this one may not be" in line for line in engine.said)
    # A failed one is continued.
    program.write_text(PROGRAM)
    brought = engine.driver().up(PREVIEW, WANTED)
    assert brought.outputs == {"url": "https://pr-7.dev.example.org"}
    assert brought.operations["create"] > 0
    assert engine.stacks.config("pr-7")["patient-management:base"] == "dev"
    assert {listed.name for listed in engine.stacks.listed()} == {"dev", "pr-7"}
    engine.driver().down(PREVIEW)
    assert [listed.name for listed in engine.stacks.listed()] == ["dev"]
    assert engine.files_of(PREVIEW) == []


def test_killed_first_up_is_locked_then_begun_anew_by_another_machine(engine: Engine) -> None:
    engine.stacks.open("pr-7")
    engine.stacks.configure("pr-7", {"patient-management:base": "dev"})
    engine.kill_midway()
    # On another machine there are no settings of it.
    (engine.project / "Pulumi.pr-7.yaml").unlink()
    with pytest.raises(StackLockedError) as caught:
        engine.driver().down(PREVIEW)
    assert caught.value.since
    assert abs(datetime.now(UTC) - caught.value.since) < timedelta(minutes=5)
    assert engine.stacks.interrupted("pr-7")
    later = engine.driver(timedelta(minutes=LOCK_STALE_MINUTES + 5))
    assert later.up(PREVIEW, WANTED).operations["create"] == 3
    assert not engine.stacks.interrupted("pr-7")
    later.down(PREVIEW)
    assert engine.files_of(PREVIEW) == []
