"""The verbs of `scripts/operate` that analytics runs."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from apps.analytics.consumer.dead_letters import (
    discard,
    find_letter,
    list_letters,
    read_content,
    redrive,
)
from apps.analytics.consumer.rebuild import rebuild
from apps.analytics.consumer.reconcile import reconcile
from apps.analytics.settings import Settings
from apps.kit.broker import open_consumer, open_producer
from apps.kit.database import Database, open_database
from apps.kit.errors import NotFound
from apps.kit.event_consumer import read_end_offsets
from apps.kit.event_storage import DeadLetter, Place, StoredDeadLetter
from apps.kit.lag import measure_lag
from apps.kit.operate import Answer, Handler, Values
from protos.billing.v1 import events_pb2 as billing_events
from protos.patient.v1 import events_pb2 as patient_events


def describe(stored: StoredDeadLetter) -> dict[str, object]:
    return {
        "id": stored.letter.id,
        "reason": stored.letter.reason,
        "recorded": stored.recorded_at.isoformat(timespec="seconds"),
        "resolution": stored.resolution,
    }


async def letters_of(database: Database, values: Values) -> list[DeadLetter]:
    """Returns the letters that are meant and that nobody has settled: these, or all. Raises NotFound."""
    ids = values.get("ids")
    if isinstance(ids, list):
        found = [await find_letter(database, id) for id in ids]
    else:
        found = await list_letters(database)
    return [stored.letter for stored in found if not stored.resolution]


async def list_dead_letters(settings: Settings, values: Values) -> Answer:
    async with open_database(settings.database) as database:
        return [describe(stored) for stored in await list_letters(database)]


async def show_dead_letter(settings: Settings, values: Values) -> Answer:
    async with open_database(settings.database) as database:
        stored = await find_letter(database, str(values["id"]))
    try:
        content = await read_content(settings.broker, stored.letter)
    except NotFound as error:
        return {**describe(stored), "event": error.detail}
    return {
        **describe(stored),
        "key": (content.key or b"").decode("utf-8", "replace"),
        "headers": {name: value.decode("latin-1") for name, value in content.headers},
        "event": describe_event(settings, stored.letter.topic, content.value or b""),
    }


def describe_event(settings: Settings, topic: str, value: bytes) -> object:
    """Returns the event as JSON or, if it cannot be decoded, its bytes in base64."""
    message: Any = (
        billing_events.BillingEvent()
        if topic == settings.billing_topic
        else patient_events.PatientEvent()
    )
    try:
        message.ParseFromString(value)
    except DecodeError:
        return {"unreadable": base64.b64encode(value).decode()}
    return MessageToDict(message, preserving_proto_field_name=True)


async def redrive_dead_letters(settings: Settings, values: Values) -> Answer:
    async with (
        open_database(settings.database) as database,
        open_producer(settings.broker) as producer,
    ):
        letters = await letters_of(database, values)
        return {"sent again": await redrive(database, settings.broker, producer, letters)}


async def discard_dead_letters(settings: Settings, values: Values) -> Answer:
    async with open_database(settings.database) as database:
        letters = await letters_of(database, values)
        return {"discarded": await discard(database, letters, str(values.get("reason", "")))}


async def show_lag(settings: Settings, values: Values) -> Answer:
    """Returns for each partition what was counted last, where it ends, and how many events lie between."""
    topics = settings.consumer.topics
    async with (
        open_database(settings.database) as database,
        open_consumer(settings.broker, topics) as client,
    ):
        lag = await measure_lag(database, OpenTopics(client, topics), topics)
    return [
        {
            "topic": each.topic,
            "partition": each.partition,
            "next": each.next_offset,
            "end": each.end_offset,
            "waiting": each.lag,
        }
        for each in lag.partitions
    ]


@dataclass(frozen=True, slots=True)
class OpenTopics:
    """Where the topics of a consumer end that was opened for this question alone."""

    client: AIOKafkaConsumer
    topics: Sequence[str]

    async def end_offsets(self) -> Mapping[Place, int]:
        return await read_end_offsets(self.client, self.topics)


async def rebuild_figures(settings: Settings, values: Values) -> Answer:
    async with (
        open_database(settings.database) as database,
        open_producer(settings.broker) as producer,
    ):
        return {"events read": await rebuild(settings, database, producer)}


async def check_figures(settings: Settings, values: Values) -> Answer:
    """Returns each figure that differs from what the topics come to; none where all agree."""
    async with open_database(settings.database) as database:
        differences = await reconcile(settings, database)
    return [{"code": one.code, "subject": one.subject} for one in differences]


HANDLERS: Mapping[str, Handler[Settings]] = {
    "dead-letters list": list_dead_letters,
    "dead-letters show": show_dead_letter,
    "dead-letters redrive": redrive_dead_letters,
    "dead-letters discard": discard_dead_letters,
    "figures lag": show_lag,
    "figures rebuild": rebuild_figures,
    "reconcile": check_figures,
}
