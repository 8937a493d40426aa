"""The list of revocations as auth sends it."""

from typing import Any

import pytest

from apps.kit.revocations import Revocations, parse_revocations


@pytest.mark.parametrize(
    "document", [[], {}, {"tokens": []}, {"tokens": [], "subjects": {"a": "b"}}, None]
)
def test_malformed_list_of_revocations_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="not a list"):
        parse_revocations(document)


def test_revocations_survive_the_way_through_json() -> None:
    revocations = Revocations(frozenset({"b", "a"}), {"s": 1}, {"c": 2}, {"f": 3})
    assert parse_revocations(revocations.as_json()) == revocations
