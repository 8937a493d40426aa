"""Billing's consumer as operators see it: how far it is behind, and the events that it
could not read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from apps.billing.access import OPERATE
from apps.billing.books import Books, Change
from apps.billing.parsing import Fields
from apps.kit.broker import BrokerSettings
from apps.kit.dead_letters import (
    check_reason,
    find_letter,
    list_letters,
    read_content,
    select_letter,
    select_unsettled_letter,
    send_again,
)
from apps.kit.event_batch import Publisher
from apps.kit.event_storage import StoredDeadLetter, resolve_dead_letters
from apps.kit.lag import EndOffsets, measure_lag
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumedTopics:
    """The topics that billing reads, where they end, and how a record is read and
    sent once more.
    """

    names: Sequence[str]
    ends: EndOffsets
    broker: BrokerSettings
    publisher: Publisher


class DeadLetterMethods:
    def __init__(self, books: Books, topics: ConsumedTopics) -> None:
        self._books = books
        self._topics = topics

    def table(self) -> tuple[RpcMethod, ...]:
        return (
            RpcMethod("ListDeadLetters", OPERATE, self.list_dead_letters),
            RpcMethod("GetDeadLetter", OPERATE, self.get_dead_letter),
            RpcMethod("RedriveDeadLetter", OPERATE, self.redrive_dead_letter),
            RpcMethod("DiscardDeadLetter", OPERATE, self.discard_dead_letter),
            RpcMethod("GetConsumerLag", OPERATE, self.get_consumer_lag),
        )

    async def list_dead_letters(
        self, message: pb.ListDeadLettersRequest, caller: Caller
    ) -> pb.ListDeadLettersResponse:
        letters = await list_letters(self._books.database)
        return pb.ListDeadLettersResponse(dead_letters=map(render_letter, letters))

    async def get_dead_letter(
        self, message: pb.GetDeadLetterRequest, caller: Caller
    ) -> pb.DeadLetterRecord:
        stored = await find_letter(self._books.database, message.dead_letter_id)
        content = await read_content(self._topics.broker, stored.letter)
        return pb.DeadLetterRecord(
            dead_letter=render_letter(stored),
            key=(content.key or b"").decode(errors="replace"),
            value=content.value or b"",
            headers=dict(content.headers),
        )

    async def redrive_dead_letter(
        self, message: pb.RedriveDeadLetterRequest, caller: Caller
    ) -> pb.DeadLetter:
        """Sends a record again; raises Conflict where somebody has settled it."""

        async def operation(change: Change) -> pb.DeadLetter:
            letter = await select_unsettled_letter(change.connection, message.dead_letter_id)
            await send_again(self._topics.broker, self._topics.publisher, letter)
            await resolve_dead_letters(change.connection, [letter], "redriven", "")
            change.audit("dead_letter_redriven", None, letter.id)
            return render_letter(await select_letter(change.connection, letter.id))

        return await self._books.change(message, caller, pb.DeadLetter, operation)

    async def discard_dead_letter(
        self, message: pb.DiscardDeadLetterRequest, caller: Caller
    ) -> pb.DeadLetter:
        """Takes a record off the list; raises Conflict where somebody has settled it."""
        fields = Fields()
        reason = message.reason.strip()
        if not reason:
            fields.refuse("reason", "required", "say why it is discarded")
        fields.check()
        check_reason(reason)

        async def operation(change: Change) -> pb.DeadLetter:
            letter = await select_unsettled_letter(change.connection, message.dead_letter_id)
            await resolve_dead_letters(change.connection, [letter], "discarded", reason)
            change.audit("dead_letter_discarded", None, letter.id)
            return render_letter(await select_letter(change.connection, letter.id))

        return await self._books.change(message, caller, pb.DeadLetter, operation)

    async def get_consumer_lag(
        self, message: pb.GetConsumerLagRequest, caller: Caller
    ) -> pb.ConsumerLag:
        topics = self._topics
        measured = await measure_lag(self._books.database, topics.ends, topics.names)
        return pb.ConsumerLag(
            lag=measured.total,
            dead_letters=measured.dead_letters,
            partitions=[
                pb.PartitionLag(
                    topic=each.topic,
                    partition=each.partition,
                    next_offset=each.next_offset,
                    end_offset=each.end_offset,
                    lag=each.lag,
                )
                for each in measured.partitions
            ],
        )


def render_letter(stored: StoredDeadLetter) -> pb.DeadLetter:
    letter = stored.letter
    message = pb.DeadLetter(
        dead_letter_id=letter.id,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.record_offset,
        reason=letter.reason,
        resolution=stored.resolution,
        note=stored.note,
    )
    message.recorded_at.FromDatetime(stored.recorded_at)
    return message
