"""Divides whole amounts exactly: rounding half up, and spreading by the largest remainder. Pure,
and integers only.
"""

from collections.abc import Sequence

BASIS_POINTS = 10_000


def round_half_up(numerator: int, denominator: int) -> int:
    """Divides two numbers that are not negative, and rounds a half up: 5/2 is 3."""
    return (2 * numerator + denominator) // (2 * denominator)


def share_of(amount: int, basis_points: int) -> int:
    """Takes `basis_points` of 10,000 of an amount: 19 % of it are 1900."""
    return round_half_up(amount * basis_points, BASIS_POINTS)


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Divides `amount` in proportion to the weights, so that the parts sum to it exactly.

    What is left after rounding down goes, one unit each, to the largest remainders; of equal ones
    to the first. Neither amount nor weights may be negative. Where all weights are 0, there must be
    nothing to divide.
    """
    whole = sum(weights)
    if whole == 0:
        if amount:
            raise ValueError("nothing to spread an amount over")
        return [0 for _ in weights]
    parts = [amount * weight // whole for weight in weights]
    remainders = [amount * weight % whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda index: -remainders[index])
    for index in order[: amount - sum(parts)]:
        parts[index] += 1
    return parts
