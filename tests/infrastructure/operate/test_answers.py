import pytest

from infrastructure.operate.answers import RefusedError, answer_of, render


def test_list_is_a_table() -> None:
    rows = [{"id": 1, "roles": ["a", "b"], "on": True}, {"id": 22, "roles": [], "on": False}]
    assert render(rows) == "id  roles  on\n1   a, b   yes\n22  -      no"
    assert render([]) == "none"


def test_object_is_lines() -> None:
    answer = {"id": "x", "event": {"type": "patient.created", "demographics": {"year": 1980}}}
    assert render(answer) == (
        "id: x\nevent:\n  type: patient.created\n  demographics:\n    year: 1980"
    )


def test_row_stays_one_line_whatever_it_holds() -> None:
    assert render([{"name": "a\nb\x1b"}]).count("\n") == 1


def test_refusal_is_raised() -> None:
    assert answer_of({"answer": []}) == []
    with pytest.raises(RefusedError, match="there is none"):
        answer_of({"refused": "there is none"})
