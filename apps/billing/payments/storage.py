"""The SQL of payments and refunds."""

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from uuid import UUID

from apps.billing.payments.payment import Payment, Refund
from apps.kit.database import Connection

COLUMNS = ", ".join(field.name for field in fields(Payment))
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(fields(Payment), start=1))
_NEXT = len(fields(Payment)) + 1
REFUND_COLUMNS = ", ".join(field.name for field in fields(Refund))
_values = attrgetter(*(field.name for field in fields(Payment)))
_refund_values = attrgetter(*(field.name for field in fields(Refund)))


async def insert_payment(
    connection: Connection, payment: Payment, allocations: Sequence[tuple[UUID, int]]
) -> None:
    """Inserts it with what it pays: (invoice, amount), which come to the payment's own sum."""
    await connection.execute(
        f"""
        WITH paid AS (INSERT INTO payment ({COLUMNS}) VALUES ({_PLACES}))
        INSERT INTO allocation (payment_id, invoice_id, amount)
        SELECT $1, * FROM unnest(${_NEXT}::uuid[],
            ${_NEXT + 1}::bigint[])""",  # noqa: S608 - columns of ours
        *_values(payment),
        [invoice_id for invoice_id, _ in allocations],
        [amount for _, amount in allocations],
    )


async def select_payment(connection: Connection, payment_id: UUID) -> Payment | None:
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM payment WHERE payment_id = $1",  # noqa: S608 - columns of ours
        payment_id,
    )
    return Payment(**row) if row else None


async def select_payments(
    connection: Connection, account_id: UUID, after: UUID | None, limit: int
) -> list[Payment]:
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM payment WHERE account_id = $1 AND ($2::uuid IS NULL OR payment_id >
            $2)
        ORDER BY payment_id LIMIT $3""",  # noqa: S608 - columns of ours
        account_id,
        after,
        limit,
    )
    return [Payment(**row) for row in rows]


async def select_payments_with_credit(
    connection: Connection, account_id: UUID, payer_id: str
) -> list[Payment]:
    """Gives a party's payments that something is left of, the oldest first."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM payment
        WHERE account_id = $1 AND payer_id = $2 AND amount > refunded + allocated
        ORDER BY received_at, payment_id""",  # noqa: S608 - columns of ours
        account_id,
        payer_id,
    )
    return [Payment(**row) for row in rows]


async def insert_refund(connection: Connection, refund: Refund) -> None:
    await connection.execute(
        f"""
        WITH refunded AS (INSERT INTO refund ({REFUND_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6))
        UPDATE payment SET refunded = refunded + $3, version = version + 1 WHERE
            payment_id = $2""",  # noqa: S608
        *_refund_values(refund),
    )


async def select_refunds(connection: Connection, payment_id: UUID) -> list[Refund]:
    rows = await connection.fetch(
        f"SELECT {REFUND_COLUMNS} FROM refund WHERE payment_id = $1 ORDER BY refund_id",  # noqa: S608
        payment_id,
    )
    return [Refund(**row) for row in rows]
