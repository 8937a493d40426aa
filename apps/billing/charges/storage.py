"""The SQL of charges."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import get_args
from uuid import UUID

from apps.billing.accounts.account import Account
from apps.billing.books import Change
from apps.billing.charges.charge import Charge, charge_event, net_of
from apps.billing.prices.price import Price
from apps.billing.prices.storage import select_prices_of
from apps.kit.database import Connection

COLUMNS = ", ".join(field.name for field in fields(Charge))
_TYPES: Mapping[type, str] = {
    UUID: "uuid",
    str: "text",
    int: "bigint",
    bool: "boolean",
    Decimal: "numeric",
    datetime: "timestamptz",
}
_ARRAYS = ", ".join(
    # The first of `UUID | None`.
    f"${number}::{_TYPES[(get_args(field.type) or (field.type,))[0]]}[]"
    for number, field in enumerate(fields(Charge), start=1)
)
_values = attrgetter(*(field.name for field in fields(Charge)))


async def insert_charges(connection: Connection, charges: Sequence[Charge]) -> None:
    await connection.execute(
        f"INSERT INTO charge_item ({COLUMNS}) SELECT * FROM unnest({_ARRAYS})",  # noqa: S608 - columns of ours
        *map(list, zip(*map(_values, charges), strict=True)),
    )


async def select_charge(connection: Connection, charge_item_id: UUID) -> Charge | None:
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM charge_item WHERE charge_item_id = $1",  # noqa: S608
        charge_item_id,
    )
    return Charge(**row) if row else None


async def select_charges(
    connection: Connection,
    account_id: UUID,
    *,
    status: str,
    after: UUID | None,
    limit: int,
) -> list[Charge]:
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM charge_item
        WHERE account_id = $1 AND ($2 = '' OR status = $2) AND ($3::uuid IS NULL OR charge_item_id >
            $3)
        ORDER BY charge_item_id LIMIT $4""",  # noqa: S608 - columns of ours
        account_id,
        status,
        after,
        limit,
    )
    return [Charge(**row) for row in rows]


async def select_billable(
    connection: Connection, account_id: UUID, charge_item_ids: Sequence[UUID], limit: int
) -> list[Charge]:
    """Gives the account's charges that are in no draft and no invoice: these, or all; the earliest
    service first.
    """
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM charge_item
        WHERE account_id = $1 AND status = 'billable' AND invoice_id IS NULL
          AND (cardinality($2::uuid[]) = 0 OR charge_item_id = ANY($2))
        ORDER BY occurred_at, charge_item_id LIMIT $3""",  # noqa: S608 - columns of ours
        account_id,
        charge_item_ids,
        limit,
    )
    return [Charge(**row) for row in rows]


async def select_charges_of_invoice(connection: Connection, invoice_id: UUID) -> list[Charge]:
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM charge_item WHERE invoice_id = $1 AND status IN ('billable', 'billed')
        ORDER BY occurred_at, charge_item_id""",  # noqa: S608 - columns of ours
        invoice_id,
    )
    return [Charge(**row) for row in rows]


async def update_charges_invoice(
    connection: Connection,
    charge_item_ids: Sequence[UUID],
    *,
    status: str,
    invoice_id: UUID | None,
) -> None:
    """Puts charges into a draft or an invoice or, with None, makes them billable again."""
    await connection.execute(
        """
        UPDATE charge_item SET status = $2, invoice_id = $3, version = version + 1
        WHERE charge_item_id = ANY($1::uuid[])""",
        charge_item_ids,
        status,
        invoice_id,
    )


async def update_voided(connection: Connection, charge: Charge, reason: str) -> Charge:
    """Voids a charge that was not billed; it leaves its draft."""
    await connection.execute(
        """
        UPDATE charge_item SET status = 'voided', void_reason = $2, invoice_id = NULL, version =
            version + 1
        WHERE charge_item_id = $1""",
        charge.charge_item_id,
        reason,
    )
    return replace(
        charge, status="voided", void_reason=reason, invoice_id=None, version=charge.version + 1
    )


async def update_needs_credit(connection: Connection, charge: Charge, reason: str) -> None:
    await connection.execute(
        """
        UPDATE charge_item SET needs_credit = true, void_reason = $2, version = version + 1
        WHERE charge_item_id = $1""",
        charge.charge_item_id,
        reason,
    )


async def move_charges(connection: Connection, source: Account, target: Account) -> None:
    """Moves what is not billed from a merged patient's account to the other's; it leaves its draft.

    A charge keeps the account that it was recorded for. One of another currency than the
    target's stays.
    """
    await connection.execute(
        """
        UPDATE charge_item SET account_id = $2, invoice_id = NULL, version = version + 1,
            origin_account_id = coalesce(origin_account_id, $1)
        WHERE account_id = $1 AND status IN ('billable', 'unpriced') AND currency = $3""",
        source.account_id,
        target.account_id,
        target.currency,
    )


# An account, and those that were merged into it.
_OWN = """
    WITH RECURSIVE own AS (
        SELECT $1::uuid AS account_id
        UNION SELECT m.account_id FROM account_merge m JOIN own ON m.merged_into = own.account_id)
"""


async def select_holders(connection: Connection, account_id: UUID) -> set[UUID]:
    """Gives the other accounts that hold charges which were recorded for this one, and
    are not billed.
    """
    rows = await connection.fetch(
        f"""
        {_OWN} SELECT DISTINCT account_id FROM charge_item
        WHERE origin_account_id IN (SELECT account_id FROM own) AND account_id <> $1
          AND status IN ('billable', 'unpriced')""",  # noqa: S608 - a text of ours
        account_id,
    )
    return {row["account_id"] for row in rows}


async def move_charges_back(connection: Connection, account_id: UUID) -> None:
    """Moves what was recorded for this account, and is not billed, back to it; it
    leaves its draft.
    """
    await connection.execute(
        f"""
        {_OWN} UPDATE charge_item SET account_id = $1, invoice_id = NULL, version = version + 1,
            origin_account_id = nullif(origin_account_id, $1)
        WHERE origin_account_id IN (SELECT account_id FROM own) AND account_id <> $1
          AND status IN ('billable', 'unpriced')""",  # noqa: S608 - a text of ours
        account_id,
    )


async def move_charge(
    connection: Connection, charge: Charge, account_id: UUID, origin_account_id: UUID | None
) -> None:
    """Moves a charge that is not billed, with its resource, to another patient's account; it
    leaves its draft.
    """
    await connection.execute(
        """
        UPDATE charge_item SET account_id = $2, origin_account_id = $3, invoice_id = NULL, version =
            version + 1
        WHERE charge_item_id = $1""",
        charge.charge_item_id,
        account_id,
        origin_account_id,
    )


async def advance_sources(
    connection: Connection, versions: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], bool]:
    """Notes the latest version seen of each resource (type, id). Returns those that are new, and
    whether each is the first of its resource.
    """
    rows = await connection.fetch(
        """
        INSERT INTO charge_source (source_type, source_id, version)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
        ON CONFLICT (source_type, source_id) DO UPDATE SET version = excluded.version
        WHERE charge_source.version < excluded.version
        RETURNING source_type, source_id, xmax = 0""",  # one that was there has its lock's xmax
        [resource_type for resource_type, _ in versions],
        [resource_id for _, resource_id in versions],
        list(versions.values()),
    )
    return {(row[0], row[1]): row[2] for row in rows}


async def select_charge_of_source(
    connection: Connection, resource_type: str, resource_id: str
) -> Charge | None:
    """Gives the charge that stands for the resource."""
    row = await connection.fetchrow(
        f"""
        SELECT {COLUMNS} FROM charge_item
        WHERE source_type = $1 AND source_id = $2 AND status <> 'voided' AND NOT
            needs_credit""",  # noqa: S608
        resource_type,
        resource_id,
    )
    return Charge(**row) if row else None


async def price_waiting_charges(change: Change, prices: Sequence[Price]) -> int:
    """Prices the charges that waited for one of these; how many."""
    columns = ", ".join(f"c.{field.name}" for field in fields(Charge))
    rows = await change.connection.fetch(
        f"""
        SELECT {columns}, a.patient_id FROM charge_item c JOIN account a USING (account_id)
        WHERE c.status = 'unpriced' AND c.code = ANY($1::text[])
        ORDER BY c.charge_item_id FOR UPDATE OF c""",  # noqa: S608 - columns of ours
        [price.code for price in prices],
    )
    waiting: list[tuple[Charge, str]] = []
    for row in rows:
        values = dict(row)
        patient_id = values.pop("patient_id")
        waiting.append((Charge(**values), patient_id))
    found = await select_prices_of(change.connection, (charge.price_key for charge, _ in waiting))
    count = 0
    for charge, patient_id in waiting:
        price = found.get(charge.price_key)
        if price is None:
            continue
        priced = with_price(charge, price)
        await change.connection.execute(
            """
            UPDATE charge_item SET status = 'billable', unit_price = $2, net = $3, description = $4,
                tax_category = $5,
                revenue_group = $6, version = version + 1
            WHERE charge_item_id = $1""",
            priced.charge_item_id,
            priced.unit_price,
            priced.net,
            priced.description,
            priced.tax_category,
            priced.revenue_group,
        )
        change.emit(charge_event("charge.added", priced, patient_id))
        count += 1
    return count


def with_price(charge: Charge, price: Price) -> Charge:
    """Gives the charge with a version of the price list applied."""
    return replace(
        charge,
        status="billable",
        unit_price=price.unit_price,
        net=net_of(
            charge.quantity,
            price.unit_price,
            charge.discount_basis_points,
            charge.discount_amount,
        ),
        description=charge.description or price.description,
        tax_category=price.tax_category,
        revenue_group=price.revenue_group,
    )
