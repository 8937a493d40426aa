"""The method of reminders: a list of overdue invoices by age, for whoever writes to the debtors."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from apps.billing.access import READ
from apps.billing.books import Books
from apps.billing.invoicing.storage import select_overdue
from apps.billing.money import render_money
from apps.billing.pages import read_page_size, read_token, write_token
from apps.billing.parsing import Fields
from apps.kit.errors import BadRequest
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb


class ReminderMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (RpcMethod("ListReminders", READ, self.list_reminders),)

    async def list_reminders(
        self, message: pb.ListRemindersRequest, caller: Caller
    ) -> pb.ListRemindersResponse:
        fields = Fields()
        as_of = fields.day("as_of", message.as_of) or datetime.now(UTC).date()
        if not 0 <= message.minimum_days_overdue <= 36_500:
            fields.refuse("minimum_days_overdue", "invalid_days", "0 to 36500")
        fields.check()
        size = read_page_size(message.page_size)
        after = _read_overdue_token(message.page_token)
        # Overdue for a day from the day after it was due.
        due_before = as_of - timedelta(days=max(message.minimum_days_overdue, 1) - 1)
        async with self._books.database.connection() as connection:
            invoices = await select_overdue(connection, due_before, after, size + 1)
        reminders = []
        for invoice in invoices[:size]:
            assert invoice.due_on is not None
            days = (as_of - invoice.due_on).days
            reminders.append(
                pb.Reminder(
                    invoice_id=str(invoice.invoice_id),
                    account_id=str(invoice.account_id),
                    number=invoice.number or "",
                    payer_id=invoice.payer_id,
                    open=render_money(invoice.open, invoice.currency),
                    due_on=invoice.due_on.isoformat(),
                    days_overdue=days,
                    level=1 if days <= 30 else 2 if days <= 60 else 3,
                )
            )
        token = ""
        if len(invoices) > size:
            last = invoices[size - 1]
            token = write_token(str(last.due_on), str(last.invoice_id))
        return pb.ListRemindersResponse(reminders=reminders, next_page_token=token)


def _read_overdue_token(token: str) -> tuple[date, UUID] | None:
    key = read_token(token, (str, str))
    if key is None:
        return None
    try:
        return date.fromisoformat(str(key[0])), UUID(str(key[1]))
    except ValueError:
        raise BadRequest("invalid_page_token", pointer="page_token") from None
