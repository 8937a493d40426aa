from pathlib import Path

import pytest
from rich.console import Console

from apps.client.progress import Meter, lines, measure, show_progress

FILES = [Path("a"), Path("b"), Path("c")]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_goes_by_the_size_of_the_files() -> None:
    clock = Clock()
    meter = Meter(dict(zip(FILES, (100, 200, 700), strict=True)), clock)
    assert meter.describe() == "0 resources/s"
    clock.now += 10
    meter.advance(Path("a"), 500)
    assert (meter.per_second, meter.seconds_left) == (50, 90)
    assert meter.describe() == "50 resources/s, 1:30 left"


def test_off_a_terminal_there_is_a_line_every_few_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    meter = Meter(dict.fromkeys(FILES, 100), clock)
    advance = lines(meter, 3, Console(width=200))
    clock.now += 4
    advance(Path("a"), 10)
    assert capsys.readouterr().out == ""
    clock.now += 1
    advance(Path("b"), 20)
    assert capsys.readouterr().out == (
        "loaded 2 of 3 files, 20 resources, 4 resources/s, 0:02 left\n"
    )
    advance(Path("c"), 30)
    assert capsys.readouterr().out.startswith("loaded 3 of 3 files, 30 resources,")


def test_on_a_terminal_a_bar_shows_rate_and_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Console(force_terminal=True, width=120)
    with show_progress([tmp_path / "missing", *FILES], screen) as advance:
        advance(FILES[0], 40)
    printed = capsys.readouterr().out
    assert "1/4" in printed
    assert "resources/s" in printed
    assert "left" in printed


def test_file_that_is_missing_counts_as_small(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * 1000)
    assert measure([large, tmp_path / "missing"]).sizes == {large: 1000, tmp_path / "missing": 1}
