"""The table of verbs in the operators' page."""

from dataclasses import replace
from pathlib import Path

import pytest

from apps.operations import Argument
from apps.verbs import VERBS
from infrastructure.operate import documentation
from infrastructure.operate.documentation import (
    BEGIN,
    END,
    main,
    replace_table,
    row_of,
    usage_of,
)


@pytest.mark.parametrize("page", ["none", f"{BEGIN}\n", f"{END}\n", f"{END}\n{BEGIN}\n"])
def test_page_without_the_tables_place_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="has no"):
        replace_table(page)


def test_table_is_replaced_and_the_rest_of_the_page_stays() -> None:
    page = replace_table(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert page.startswith(f"before\n{BEGIN}\n| verb |")
    assert page.endswith(f"|\n{END}\nafter\n")
    assert "\nold\n" not in page
    assert replace_table(page) == page


def test_check_tells_whether_the_page_is_current_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "operators.md"
    page.write_text(f"{BEGIN}\nold\n{END}\n")
    monkeypatch.setattr(documentation, "PAGE", page)
    assert main(["--check"]) == 1
    assert "run scripts/verbs" in capsys.readouterr().out
    assert "old" in page.read_text()
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_verb_of_several_services_says_so_and_one_of_this_machine_too() -> None:
    verb = replace(VERBS["users unlock"], arguments=(), summary="Does it.")
    assert row_of(verb) == "| `users unlock` | Does it. |"
    several = replace(verb, services=("auth", "patient"), places=("local",))
    assert row_of(several) == (
        "| `users unlock [--in auth\\|patient]` | Does it. On this machine only. |"
    )


@pytest.mark.parametrize(
    ("argument", "usage"),
    [
        (Argument(name="user_id", help=""), "USER_ID"),
        (Argument(name="id", help="", many=True, required=False), "[ID...]"),
        (Argument(name="all_of", help="", kind="flag", required=False), "[--all-of]"),
        (Argument(name="role", help="", option=True), "--role ROLE"),
    ],
    ids=["by place", "several", "flag", "option"],
)
def test_argument_is_written_as_in_a_usage_line(argument: Argument, usage: str) -> None:
    assert usage_of(argument) == usage
