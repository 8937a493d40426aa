"""Keeps an account's coverages in step with the record's Coverage resources, in the order
that these state.
"""

from collections.abc import Sequence
from uuid import UUID

from apps.billing.accounts.coverage import Coverage, replace_coverages, select_coverages
from apps.billing.accounts.storage import select_account_for_update, update_account
from apps.billing.books import Change
from apps.billing.charges.recording import ensure_account
from apps.billing.charges.rules import COVERING_STATUS, CoverageFact
from apps.billing.charges.storage import advance_sources
from apps.billing.money import MAX_MINOR_UNITS, decimals_of
from apps.kit.database import Connection

WHOLE_BASIS_POINTS = 10_000


async def record_coverage(change: Change, fact: CoverageFact, currency: str) -> None:
    """Brings the coverages in step with this version; an earlier or a known one changes nothing."""
    connection = change.connection
    account = await ensure_account(change, fact.patient_id, currency)
    source = ("Coverage", fact.coverage_id)
    if not await advance_sources(connection, {source: fact.version}):
        return
    # The resource may have been another patient's before.
    holders = await _select_holders(connection, fact.coverage_id)
    for account_id in sorted({account.account_id, *holders}):
        locked = await select_account_for_update(connection, account_id)
        assert locked is not None
        own = account_id == account.account_id
        coverage = coverage_of(fact, locked.currency) if own else None
        before = await select_coverages(connection, account_id)
        after = place(before, fact.coverage_id, coverage)
        if after != before:
            await replace_coverages(connection, account_id, after)
            await update_account(connection, account_id, locked.status)
            change.audit("coverage.recorded", account_id, fact.coverage_id)


def coverage_of(fact: CoverageFact, currency: str) -> Coverage | None:
    """Gives what an active Coverage pays: all but the patient's part. None where it names no payer.

    A part in another currency than the account's is not known here: nothing is then
    asked of the payer.
    """
    if fact.deleted or fact.status != COVERING_STATUS or not fact.payer_id:
        return None
    amount = 0
    if fact.copay_amount is not None:
        scaled = fact.copay_amount.scaleb(decimals_of(currency))
        if fact.copay_currency not in ("", currency) or scaled > MAX_MINOR_UNITS:
            return None
        amount = int(scaled)
        if amount != scaled:
            return None
    percent = WHOLE_BASIS_POINTS - fact.copay_basis_points
    if fact.copay_amount is None and percent == 0:
        return None
    return Coverage(
        payer_id=fact.payer_id,
        payer_name="",
        share="percent" if fact.copay_amount is None else "copayment",
        percent_basis_points=percent if fact.copay_amount is None else 0,
        amount=amount,
        coverage_id=fact.coverage_id,
        valid_from=fact.valid_from,
        valid_to=fact.valid_to,
        record_order=fact.order,
    )


def place(
    coverages: Sequence[Coverage], coverage_id: str, coverage: Coverage | None
) -> list[Coverage]:
    """Replaces the coverage of a resource: by its order among the record's, or by nothing. Pure.

    What was set by call keeps its place.
    """
    others = [one for one in coverages if one.coverage_id != coverage_id]
    if coverage is None:
        return others
    later = (
        index
        for index, one in enumerate(others)
        if one.record_order is not None and _rank(one) > _rank(coverage)
    )
    index = next(later, len(others))
    return [*others[:index], coverage, *others[index:]]


def _rank(coverage: Coverage) -> tuple[bool, int, str]:
    """Sorts by Coverage.order; those without one come last, in the order of their ids."""
    order = coverage.record_order or 0
    return (order == 0, order, coverage.coverage_id)


async def _select_holders(connection: Connection, coverage_id: str) -> set[UUID]:
    """Gives the accounts that have the coverage from the record."""
    rows = await connection.fetch(
        "SELECT account_id FROM coverage WHERE coverage_id = $1 AND record_order IS NOT NULL",
        coverage_id,
    )
    return {row["account_id"] for row in rows}
