"""The list of revocations as auth sends it."""

from typing import Any

import pytest

from apps.kit.revocations import Revocations, parse_revocations
from apps.kit.scopes import Principal


@pytest.mark.parametrize(
    "document", [[], {}, {"tokens": []}, {"tokens": [], "subjects": {"a": "b"}}, None]
)
def test_malformed_list_of_revocations_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="not a list"):
        parse_revocations(document)


def test_revocations_survive_the_way_through_json() -> None:
    revocations = Revocations(frozenset({"b", "a"}), {"s": 1}, {"c": 2}, {"f": 3})
    assert parse_revocations(revocations.as_json()) == revocations


@pytest.mark.parametrize("name", ["subjects", "clients", "families"])
def test_revocation_covers_the_tokens_up_to_its_very_second(name: str) -> None:
    void: dict[str, Any] = {name: {"one": 100}}
    revocations = Revocations(**void)
    voided = {
        issued_at: revocations.covers(
            Principal(
                subject="one" if name == "subjects" else "s",
                client_id="one" if name == "clients" else "c",
                family="one" if name == "families" else None,
                audience="a",
                scopes=frozenset(),
                roles=(),
                token_id="t",
                issued_at=issued_at,
                expires_at=1_000,
            )
        )
        for issued_at in (99, 100, 101)
    }
    assert voided == {99: True, 100: True, 101: False}
