"""The base of all images: pinned by digest where images are pushed, and brought up to date by one
command.
"""

from pathlib import Path

import pytest

from infrastructure.ecs import base_image
from infrastructure.ecs.base_image import BaseImageError, check_pinned, dockerfile_text, main
from infrastructure.ecs.image_source import source_digest, stage

pytestmark = pytest.mark.infrastructure
TAG = "registry.example.org/python:3.14-slim"
OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/Dockerfile").write_text(f"ARG PYTHON={TAG}\n\nFROM ${{PYTHON}} AS packages\n")
    return tmp_path


def test_the_command_pins_the_digest_of_now(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def ask(tag: str) -> str:
        asked.append(tag)
        return NEW

    assert main([], root, lambda tag: OLD) == 0
    assert main(["--check"], root, lambda tag: OLD) == 0
    assert main(["--check"], root, ask) == 1
    assert f"{TAG}@{NEW}: run scripts/base-image" in capsys.readouterr().err
    assert f"ARG PYTHON={TAG}@{OLD}\n" in (root / "apps/Dockerfile").read_text()
    assert main([], root, ask) == 0
    assert (root / "apps/Dockerfile").read_text().splitlines()[0] == f"ARG PYTHON={TAG}@{NEW}"
    assert asked == [TAG, TAG]


def test_a_registry_that_tells_nothing_changes_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(tag: str) -> str:
        raise BaseImageError("no network")

    before = (root / "apps/Dockerfile").read_text()
    assert main([], root, refuse) == 2
    assert (root / "apps/Dockerfile").read_text() == before
    assert "no network" in capsys.readouterr().err


def test_without_docker_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BaseImageError, match="docker buildx cannot be asked"):
        base_image.ask_registry(TAG)


def test_a_tag_alone_is_not_pushed(root: Path) -> None:
    with pytest.raises(BaseImageError, match="scripts/base-image"):
        check_pinned(root, {})
    with pytest.raises(BaseImageError):
        check_pinned(root, {"BASE_IMAGE": f"{TAG}@sha256:short"})
    check_pinned(root, {"BASE_IMAGE": f"{TAG}@{NEW}"})
    main([], root, lambda tag: OLD)
    check_pinned(root, {})


def test_another_base_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_digest("gateway")
    monkeypatch.setenv("BASE_IMAGE", f"{TAG}@{NEW}")
    assert source_digest("gateway") != before
    staged = stage("gateway", tmp_path)
    assert f"ARG PYTHON={TAG}@{NEW}\n" in (staged / "apps/Dockerfile").read_text()
    assert dockerfile_text() == (staged / "apps/Dockerfile").read_text()


def test_pushing_asks_for_a_digest_and_a_preview_of_changes_does_not() -> None:
    program = Path("infrastructure/__main__.py").read_text()
    assert "if not pulumi.runtime.is_dry_run():" in program
    assert program.index("check_pinned()") < program.index("run()\n")
