"""Billing's outbox as operators see it: what waits to be published, what was refused for good."""

from collections.abc import Awaitable, Callable, Sequence

from apps.billing.access import OPERATE
from apps.billing.books import Books, Change
from apps.kit.database import Connection
from apps.kit.errors import NotFound
from apps.kit.outbox import delete_parked, retry_parked, select_parked, select_queues
from apps.kit.rpc import Caller, RpcMethod
from apps.kit.version import service_version
from protos.billing.v1 import billing_pb2 as pb

# Of a bigint, and never more than one holds.
MAX_DIGITS = 18
Settle = Callable[[Connection, Sequence[int] | None], Awaitable[int]]


class OutboxMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("ListOutbox", OPERATE, self.list_outbox),
            RpcMethod("RetryOutboxRow", OPERATE, self.retry_row),
            RpcMethod("DiscardOutboxRow", OPERATE, self.discard_row),
        )

    async def list_outbox(
        self, message: pb.ListOutboxRequest, caller: Caller
    ) -> pb.ListOutboxResponse:
        async with self._books.snapshot() as connection:
            queues = await select_queues(connection)
            parked = await select_parked(connection)
        answer = pb.ListOutboxResponse(version=service_version())
        for queue in queues:
            added = answer.queues.add(
                destination=queue.destination, waiting=queue.waiting, parked=queue.parked
            )
            if queue.oldest_at is not None:
                added.oldest_at.FromDatetime(queue.oldest_at)
        for row in parked:
            shown = answer.parked.add(
                id=row.id,
                destination=row.destination,
                patient_id=row.patient_id,
                event_id=row.event_id,
                attempts=row.attempts,
                reason=row.reason,
            )
            shown.created_at.FromDatetime(row.created_at)
        return answer

    async def retry_row(
        self, message: pb.RetryOutboxRowRequest, caller: Caller
    ) -> pb.RetryOutboxRowResponse:
        """Sends a refused row again; raises NotFound where no such row was refused."""

        async def operation(change: Change) -> pb.RetryOutboxRowResponse:
            await settle(change, "outbox_row_retried", retry_parked, message.row_id)
            return pb.RetryOutboxRowResponse(row_id=message.row_id)

        return await self._books.change(message, caller, pb.RetryOutboxRowResponse, operation)

    async def discard_row(
        self, message: pb.DiscardOutboxRowRequest, caller: Caller
    ) -> pb.DiscardOutboxRowResponse:
        """Deletes a refused row for good; raises NotFound where no such row was refused."""

        async def operation(change: Change) -> pb.DiscardOutboxRowResponse:
            await settle(change, "outbox_row_discarded", delete_parked, message.row_id)
            return pb.DiscardOutboxRowResponse(row_id=message.row_id)

        return await self._books.change(message, caller, pb.DiscardOutboxRowResponse, operation)


async def settle(change: Change, action: str, by: Settle, row: str) -> None:
    is_number = row.isascii() and row.isdigit() and len(row) <= MAX_DIGITS
    if not is_number or not await by(change.connection, [int(row)]):
        raise NotFound("outbox_row_unknown", "no row with this id was refused")
    change.audit(action, None, row)
