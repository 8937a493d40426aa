"""What an invoice comes to: tax by category, shares by coverage, each amount spread by the largest
remainder. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.billing.accounts.coverage import Coverage
from apps.billing.charges.charge import Charge
from apps.billing.rounding import share_of, spread


@dataclass(frozen=True, slots=True)
class Line:
    """A charge on an invoice; `net` and `tax` are this invoice's part of it where it is shared."""

    charge: Charge
    net: int
    tax: int
    tax_basis_points: int
    is_share: bool

    @property
    def total(self) -> int:
        return self.net + self.tax


@dataclass(frozen=True, slots=True)
class Part:
    """One recipient's invoice; `payer_id` is empty for the patient's."""

    payer_id: str
    payer_name: str
    lines: tuple[Line, ...]

    @property
    def net(self) -> int:
        return sum(line.net for line in self.lines)

    @property
    def tax(self) -> int:
        return sum(line.tax for line in self.lines)

    @property
    def total(self) -> int:
        return self.net + self.tax


def draw_up(
    charges: Sequence[Charge], coverages: Sequence[Coverage], tax_rates: Mapping[str, int]
) -> list[Part]:
    """Divides the charges among the patient and the payers; the parts sum to the
    whole, line by line.

    The patient's part comes first, unless payers pay everything; a part of nothing is left out.
    """
    nets = [charge.net or 0 for charge in charges]
    taxes = taxes_of(charges, nets, tax_rates)
    left = [net + tax for net, tax in zip(nets, taxes, strict=True)]
    shares: list[tuple[str, str, list[int]]] = []
    for coverage in coverages:
        payable = [
            amount if coverage.covers(charge.service_on) else 0
            for amount, charge in zip(left, charges, strict=True)
        ]
        taken = spread(payers_part(coverage, sum(payable)), payable)
        left = [amount - part for amount, part in zip(left, taken, strict=True)]
        shares.append((coverage.payer_id, coverage.payer_name, taken))
    shares.insert(0, ("", "", left))

    # A line's tax follows its total, recipient by recipient.
    line_taxes = [
        spread(tax, [amounts[index] for _, _, amounts in shares]) if tax else [0] * len(shares)
        for index, tax in enumerate(taxes)
    ]
    parts = []
    for number, (payer_id, payer_name, amounts) in enumerate(shares):
        lines = tuple(
            Line(
                charge,
                amount - line_taxes[index][number],
                line_taxes[index][number],
                tax_rates[charge.tax_category],
                is_share=amount != nets[index] + taxes[index],
            )
            for index, (charge, amount) in enumerate(zip(charges, amounts, strict=True))
            # What costs nothing stands on the patient's invoice.
            if amount or (number == 0 and nets[index] + taxes[index] == 0)
        )
        parts.append(Part(payer_id, payer_name, lines))
    filled = [part for part in _merged(parts) if part.lines]
    return filled or parts[:1]


def taxes_of(
    charges: Sequence[Charge], nets: Sequence[int], tax_rates: Mapping[str, int]
) -> list[int]:
    """Computes tax on the sum of each category, as EN 16931 does (BR-CO-17), and spreads it
    over the lines.
    """
    taxes = [0] * len(charges)
    for category in dict.fromkeys(charge.tax_category for charge in charges):
        indexes = [index for index, charge in enumerate(charges) if charge.tax_category == category]
        weights = [nets[index] for index in indexes]
        amount = share_of(sum(weights), tax_rates[category])
        for index, part in zip(indexes, spread(amount, weights), strict=True):
            taxes[index] = part
    return taxes


def payers_part(coverage: Coverage, amount: int) -> int:
    """Gives what the payer takes of an amount that is left."""
    match coverage.share:
        case "percent":
            return share_of(amount, coverage.percent_basis_points)
        case "fixed":
            return min(coverage.amount, amount)
        case _:
            return amount - min(coverage.amount, amount)


def _merged(parts: Sequence[Part]) -> list[Part]:
    """Joins the parts of a payer that has two coverages: it gets one invoice."""
    by_payer: dict[str, Part] = {}
    for part in parts:
        known = by_payer.get(part.payer_id)
        if known is None:
            by_payer[part.payer_id] = part
            continue
        lines = {line.charge.charge_item_id: line for line in known.lines}
        for line in part.lines:
            other = lines.get(line.charge.charge_item_id)
            if other is not None:
                line = Line(
                    line.charge,
                    line.net + other.net,
                    line.tax + other.tax,
                    line.tax_basis_points,
                    is_share=True,
                )
            lines[line.charge.charge_item_id] = line
        by_payer[part.payer_id] = Part(part.payer_id, known.payer_name, tuple(lines.values()))
    return list(by_payer.values())


def credit_shares(amount: int, credited: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spreads a credit over lines by what is left of each, as (net, tax); the same for a
    line's net and tax.
    """
    parts = spread(amount, [net + tax for net, tax in credited])
    return [split_credit(part, net, tax) for part, (net, tax) in zip(parts, credited, strict=True)]


def split_credit(amount: int, net: int, tax: int) -> tuple[int, int]:
    """Splits a credit of a line into net and tax, in the proportion of what is left of both."""
    net_part, tax_part = spread(amount, (net, tax))
    return net_part, tax_part
