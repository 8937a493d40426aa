"""What the runner shows, and what it keeps in files."""

from io import StringIO
from pathlib import Path

import pytest

from infrastructure.local.output import DIM, RED, RESET, Output


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Closed(StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("show_logs", [True, False])
def test_lines_of_a_process_are_in_its_file_and_where_wanted_on_the_screen(
    tmp_path: Path, show_logs: bool
) -> None:
    screen = StringIO()
    output = Output(screen, tmp_path, show_logs=show_logs)
    for name, line in (("auth", "one"), ("patient", "two"), ("auth", "three")):
        output.log_of(name)(line)
    output.close()
    assert (tmp_path / "auth.log").read_text() == "one\nthree\n"
    assert (tmp_path / "patient.log").read_text() == "two\n"
    shown = "auth      | one\npatient   | two\nauth      | three\n"
    assert screen.getvalue() == (shown if show_logs else "")


def test_log_of_a_start_before_is_kept(tmp_path: Path) -> None:
    for line in ("first", "second"):
        output = Output(StringIO(), tmp_path, show_logs=False)
        output.log_of("auth")(line)
        output.close()
    assert (tmp_path / "auth.log").read_text() == "first\nsecond\n"


def test_terminal_gets_colours_and_a_file_none(tmp_path: Path) -> None:
    for screen, red, dim, cyan, reset in (
        (Terminal(), RED, DIM, "\x1b[36m", RESET),
        (StringIO(), "", "", "", ""),
    ):
        output = Output(screen, tmp_path, show_logs=True)
        output.error("no")
        output.progress("done")
        output.log_of("gateway")("up")
        output.text("plain")
        output.close()
        error, progress, log, text = screen.getvalue().splitlines()
        assert error == f"{red}scripts/up: no{reset}"
        assert progress.startswith(f"{dim}  0.")
        assert progress.endswith(f" s{reset}  done")
        assert log == f"{cyan}gateway   |{reset} up"
        assert text == "plain"


def test_files_have_what_nobody_reads_on_the_screen(tmp_path: Path) -> None:
    output = Output(Closed(), tmp_path, show_logs=True)
    output.log_of("auth")("a line")
    output.close()
    assert (tmp_path / "auth.log").read_text() == "a line\n"
