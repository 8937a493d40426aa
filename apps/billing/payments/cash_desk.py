"""The cash desk's day: opened with what is in the drawer, counted, closed with its
difference posted.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.billing.access import APPROVE
from apps.billing.books import Books, Change, expect_version
from apps.billing.ledger.postings import LedgerAccount, make_posting
from apps.billing.ledger.storage import post
from apps.billing.money import render_money
from apps.billing.parsing import Fields, parse_id
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import Conflict, NotFound, Unprocessable
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb

STATUSES = {
    "open": pb.CASH_DAY_STATUS_OPEN,
    "counted": pb.CASH_DAY_STATUS_COUNTED,
    "closed": pb.CASH_DAY_STATUS_CLOSED,
}
COLUMNS = """
    cash_day_id, desk, currency, status, version, opening, taken, counted, opened_by, closed_by,
        opened_at, closed_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CashDay:
    cash_day_id: UUID
    desk: str
    currency: str
    # open | counted | closed
    status: str
    version: int
    opening: int
    taken: int
    counted: int | None
    opened_by: str
    closed_by: str | None
    opened_at: datetime
    closed_at: datetime | None

    @property
    def expected(self) -> int:
        return self.opening + self.taken

    @property
    def difference(self) -> int:
        return (self.counted or 0) - self.expected if self.counted is not None else 0


async def take_cash(connection: Connection, currency: str, amount: int) -> UUID:
    """Notes cash that came in, or went out below zero, on the open day; raises Unprocessable
    where none is open.
    """
    cash_day_id: UUID | None = await connection.fetchval(
        """
        UPDATE cash_day SET taken = taken + $2, version = version + 1 WHERE currency = $1 AND status
            = 'open'
        RETURNING cash_day_id""",
        currency,
        amount,
    )
    if cash_day_id is None:
        raise Unprocessable("cash_desk_closed", "open the cash desk's day first", pointer="method")
    return cash_day_id


class CashDeskMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("OpenCashDay", APPROVE, self.open_cash_day),
            RpcMethod("CountCashDay", APPROVE, self.count_cash_day),
            RpcMethod("CloseCashDay", APPROVE, self.close_cash_day),
            RpcMethod("GetCashDay", APPROVE, self.get_cash_day),
        )

    async def open_cash_day(self, message: pb.OpenCashDayRequest, caller: Caller) -> pb.CashDay:
        currency = message.opening.currency or self._books.settings.currency
        fields = Fields()
        desk = fields.text("desk", message.desk, required=True, limit=64)
        opening = fields.amount("opening", message.opening, currency, minimum=0)
        fields.check()

        async def open_day(change: Change) -> pb.CashDay:
            row = await change.connection.fetchrow(
                f"""
                INSERT INTO cash_day (cash_day_id, desk, currency, status, opening, opened_by)
                VALUES ($1, $2, $3, 'open', $4, $5) ON CONFLICT DO NOTHING
                    RETURNING {COLUMNS}""",  # noqa: S608
                new_id(),
                desk,
                currency,
                opening,
                caller.actor.subject,
            )
            if row is None:
                raise Conflict("cash_day_open", f"a day in {currency} is not closed yet")
            change.audit("cash_day.opened", None, row["cash_day_id"])
            return render_cash_day(CashDay(**row))

        return await self._books.change(message, caller, pb.CashDay, open_day)

    async def count_cash_day(self, message: pb.CountCashDayRequest, caller: Caller) -> pb.CashDay:
        cash_day_id = parse_id(message.cash_day_id, "cash_day_unknown")

        async def count(change: Change) -> pb.CashDay:
            day = await lock_cash_day(change.connection, cash_day_id)
            if day.status == "closed":
                raise Unprocessable("cash_day_closed", "the day is closed")
            fields = Fields()
            counted = fields.amount("counted", message.counted, day.currency, minimum=0)
            fields.check()
            change.audit("cash_day.counted", None, cash_day_id)
            return render_cash_day(
                await update_cash_day(change.connection, cash_day_id, "counted", counted, None)
            )

        return await self._books.change(message, caller, pb.CashDay, count)

    async def close_cash_day(self, message: pb.CloseCashDayRequest, caller: Caller) -> pb.CashDay:
        cash_day_id = parse_id(message.cash_day_id, "cash_day_unknown")

        async def close(change: Change) -> pb.CashDay:
            day = await lock_cash_day(change.connection, cash_day_id)
            expect_version(day.version, message.expected_version)
            if day.status != "counted":
                raise Unprocessable("cash_day_not_counted", f"the day is {day.status}")
            closed = await update_cash_day(
                change.connection, cash_day_id, "closed", day.counted, caller.actor.subject
            )
            change.audit("cash_day.closed", None, cash_day_id)
            cash = LedgerAccount("cash", day.currency)
            difference = LedgerAccount("cash_difference", day.currency)
            posting = make_posting(
                "cash_difference",
                [(cash, day.difference), (difference, -day.difference)],
                document_id=cash_day_id,
            )
            await post(change.connection, caller, [posting])
            return render_cash_day(closed)

        return await self._books.change(message, caller, pb.CashDay, close, turns=("payments",))

    async def get_cash_day(self, message: pb.GetCashDayRequest, caller: Caller) -> pb.CashDay:
        """Answers the day of that id; without one, the day that is not closed yet."""
        async with self._books.database.connection() as connection:
            if not message.cash_day_id:
                return render_cash_day(await select_current_cash_day(connection))
            cash_day_id = parse_id(message.cash_day_id, "cash_day_unknown")
            return render_cash_day(await select_cash_day(connection, cash_day_id))


async def select_cash_day(connection: Connection, cash_day_id: UUID, lock: str = "") -> CashDay:
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM cash_day WHERE cash_day_id = $1 {lock}",  # noqa: S608
        cash_day_id,
    )
    if row is None:
        raise NotFound("cash_day_unknown")
    return CashDay(**row)


async def select_current_cash_day(connection: Connection) -> CashDay:
    """Returns the day that was opened last and is not closed; raises NotFound where
    there is none.
    """
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM cash_day WHERE status <> 'closed' ORDER BY opened_at DESC LIMIT 1"  # noqa: S608
    )
    if row is None:
        raise NotFound("cash_day_unknown")
    return CashDay(**row)


async def lock_cash_day(connection: Connection, cash_day_id: UUID) -> CashDay:
    return await select_cash_day(connection, cash_day_id, "FOR NO KEY UPDATE")


async def update_cash_day(
    connection: Connection,
    cash_day_id: UUID,
    status: str,
    counted: int | None,
    closed_by: str | None,
) -> CashDay:
    row = await connection.fetchrow(
        f"""
        UPDATE cash_day SET status = $2, counted = $3, closed_by = $4, version = version + 1,
            closed_at = CASE $2 WHEN 'closed' THEN now() END
        WHERE cash_day_id = $1 RETURNING {COLUMNS}""",  # noqa: S608 - columns of ours
        cash_day_id,
        status,
        counted,
        closed_by,
    )
    return CashDay(**row)


def render_cash_day(day: CashDay) -> pb.CashDay:
    message = pb.CashDay(
        cash_day_id=str(day.cash_day_id),
        desk=day.desk,
        status=STATUSES[day.status],
        opening=render_money(day.opening, day.currency),
        expected=render_money(day.expected, day.currency),
        difference=render_money(day.difference, day.currency),
        version=day.version,
    )
    message.opened_at.FromDatetime(day.opened_at)
    if day.counted is not None:
        message.counted.CopyFrom(render_money(day.counted, day.currency))
    if day.closed_at:
        message.closed_at.FromDatetime(day.closed_at)
    return message
