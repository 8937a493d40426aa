"""The size of a page, and the token of the next one."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from apps.billing.pages import read_id_token, read_page_size, read_token, write_token
from apps.kit.errors import BadRequest


@pytest.mark.parametrize(
    ("size", "maximum", "rows"),
    [(0, 100, 20), (0, 5, 5), (0, 1_000, 20), (1, 100, 1), (100, 100, 100)],
)
def test_page_has_the_rows_that_are_asked_for(size: int, maximum: int, rows: int) -> None:
    assert read_page_size(size, maximum=maximum) == rows


@pytest.mark.parametrize("size", [-1, 101])
def test_page_size_is_bounded(size: int) -> None:
    with pytest.raises(BadRequest, match="invalid_page_size"):
        read_page_size(size)


@pytest.mark.parametrize(
    ("key", "kinds"),
    [(("a", 1), (str, int)), ((2**63 - 1,), (int,)), ((1 - 2**63,), (int,)), (("",), (str,))],
)
def test_token_gives_back_its_key(key: tuple[str | int, ...], kinds: Sequence[type]) -> None:
    assert read_token(write_token(*key), kinds) == list(key)


def test_first_page_has_no_token() -> None:
    assert read_token("", (str,)) is None
    assert read_id_token("") is None


@pytest.mark.parametrize(
    "token",
    [
        # Neither base64 nor ASCII nor JSON nor a list.
        "banana",
        "é",
        "bm8",
        "e30",
        # Beyond a bigint.
        write_token(2**63),
        write_token(-(2**63)),
        write_token("1"),
        write_token(1, 2),
        write_token(),
        # JSON's true is no number.
        "W3RydWVd",
        # More lists within each other than can be read.
        pytest.param("W" + "1tb" * 40_000, id="nested lists"),
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(BadRequest, match="invalid_page_token"):
        read_token(token, (int,))


def test_text_that_postgresql_cannot_hold_is_refused() -> None:
    with pytest.raises(BadRequest, match="invalid_page_token"):
        read_token(write_token("a\0"), (str,))


def test_token_of_a_list_by_id_holds_an_id() -> None:
    known = UUID(int=7)
    assert read_id_token(write_token(str(known))) == known
    with pytest.raises(BadRequest, match="invalid_page_token"):
        read_id_token(write_token("banana"))
