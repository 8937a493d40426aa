"""Amounts are divided exactly: nothing is lost, and nobody gets a unit more than one
beyond the share.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.rounding import round_half_up, share_of, spread

amounts = st.integers(0, 10**12)
weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=20).filter(any)


@given(amounts, weights)
def test_parts_sum_to_the_amount_and_stay_within_one_unit_of_their_share(
    amount: int, each: list[int]
) -> None:
    parts = spread(amount, each)
    assert sum(parts) == amount
    whole = sum(each)
    for part, weight in zip(parts, each, strict=True):
        assert amount * weight // whole <= part <= -(-amount * weight // whole)


@pytest.mark.parametrize(
    ("amount", "each", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (1, [1, 1, 1], [1, 0, 0]),
        # The largest remainder, not the first: 0.5, 1.7, 2.8.
        (5, [5, 17, 28], [0, 2, 3]),
        (0, [0, 0], [0, 0]),
        (7, [0, 7], [0, 7]),
    ],
)
def test_what_is_left_goes_to_the_largest_remainders(
    amount: int, each: list[int], parts: list[int]
) -> None:
    assert spread(amount, each) == parts


def test_amount_without_a_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to spread"):
        spread(1, [0, 0])


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounded"), [(5, 2, 3), (4, 3, 1), (1, 2, 1), (0, 7, 0), (9, 3, 3)]
)
def test_a_half_is_rounded_up(numerator: int, denominator: int, rounded: int) -> None:
    assert round_half_up(numerator, denominator) == rounded


def test_share_is_in_basis_points() -> None:
    assert (share_of(10_000, 1_900), share_of(1, 5_000), share_of(1, 4_999)) == (1_900, 1, 0)
