"""Coverages: who pays which share of an account's invoices, in their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from apps.billing.money import render_money
from apps.billing.parsing import Fields
from apps.kit.database import Connection
from protos.billing.v1 import billing_pb2 as pb

MAX_COVERAGES = 10

_SHARES = {
    "percent": pb.COVERAGE_SHARE_PERCENT,
    "fixed": pb.COVERAGE_SHARE_FIXED,
    "copayment": pb.COVERAGE_SHARE_COPAYMENT,
}
_SHARE_NAMES = {value: name for name, value in _SHARES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    payer_id: str
    payer_name: str
    # percent | fixed | copayment
    share: str
    percent_basis_points: int
    # Minor units of the account's currency.
    amount: int
    coverage_id: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    # Coverage.order of the record, 0 where it has none; None for a coverage that was set by call.
    record_order: int | None = None

    def covers(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_to is None or day <= self.valid_to
        )


def parse_coverages(messages: Sequence[pb.Coverage], currency: str) -> list[Coverage]:
    """Raises BadRequest, which names every field that is wrong."""
    fields = Fields()
    if len(messages) > MAX_COVERAGES:
        fields.refuse("coverages", "too_many_coverages", f"at most {MAX_COVERAGES}")
        fields.check()
    coverages = [
        _parse_coverage(fields, f"coverages/{index}", message, currency)
        for index, message in enumerate(messages)
    ]
    fields.check()
    return coverages


def _parse_coverage(fields: Fields, at: str, message: pb.Coverage, currency: str) -> Coverage:
    share = _SHARE_NAMES.get(message.share, "")
    if not share:
        fields.refuse(f"{at}/share", "required", "percent, fixed or copayment")
    if share == "percent" and not message.percent_basis_points:
        fields.refuse(f"{at}/percent_basis_points", "required", "1 to 10000 basis points")
    coverage = Coverage(
        payer_id=fields.fhir_id(f"{at}/payer_id", message.payer_id, required=True),
        payer_name=fields.text(f"{at}/payer_name", message.payer_name),
        share=share,
        percent_basis_points=fields.basis_points(
            f"{at}/percent_basis_points", message.percent_basis_points
        ),
        amount=fields.amount(
            f"{at}/amount", message.amount, currency, minimum=1 if share == "fixed" else 0
        ),
        coverage_id=fields.fhir_id(f"{at}/coverage_id", message.coverage_id),
        valid_from=fields.day(f"{at}/valid_from", message.valid_from),
        valid_to=fields.day(f"{at}/valid_to", message.valid_to),
    )
    if coverage.valid_from and coverage.valid_to and coverage.valid_to < coverage.valid_from:
        fields.refuse(f"{at}/valid_to", "ends_before_it_begins", "valid_to is before valid_from")
    return coverage


def render_coverage(coverage: Coverage, currency: str) -> pb.Coverage:
    return pb.Coverage(
        payer_id=coverage.payer_id,
        payer_name=coverage.payer_name,
        share=_SHARES[coverage.share],
        percent_basis_points=coverage.percent_basis_points,
        amount=render_money(coverage.amount, currency),
        coverage_id=coverage.coverage_id,
        valid_from=coverage.valid_from.isoformat() if coverage.valid_from else "",
        valid_to=coverage.valid_to.isoformat() if coverage.valid_to else "",
    )


async def select_coverages(connection: Connection, account_id: UUID) -> list[Coverage]:
    rows = await connection.fetch(
        """
        SELECT payer_id, payer_name, share, percent_basis_points, amount, coverage_id, valid_from,
            valid_to,
               record_order
        FROM coverage WHERE account_id = $1 ORDER BY position""",
        account_id,
    )
    return [Coverage(**row) for row in rows]


async def replace_coverages(
    connection: Connection, account_id: UUID, coverages: Sequence[Coverage]
) -> None:
    await connection.execute("DELETE FROM coverage WHERE account_id = $1", account_id)
    await connection.executemany(
        """
        INSERT INTO coverage (account_id, position, payer_id, payer_name, share,
            percent_basis_points, amount,
                              coverage_id, valid_from, valid_to, record_order)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
        [
            (
                account_id,
                position,
                coverage.payer_id,
                coverage.payer_name,
                coverage.share,
                coverage.percent_basis_points,
                coverage.amount,
                coverage.coverage_id,
                coverage.valid_from,
                coverage.valid_to,
                coverage.record_order,
            )
            for position, coverage in enumerate(coverages, start=1)
        ],
    )
