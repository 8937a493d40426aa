"""The verbs `dead-letters list|show|redrive|discard` of `scripts/operate`, for every service
that reads topics.
"""

import base64
from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message

from apps.kit.broker import BrokerSettings, open_producer
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.dead_letters import discard, find_letter, list_letters, read_content, redrive
from apps.kit.errors import NotFound
from apps.kit.event_storage import DeadLetter, StoredDeadLetter
from apps.kit.operate import Answer, Handler, OperateSettings, Values

# Of the service's settings and a topic, an empty message of what travels there.
MakeEvent = Callable[[Any, str], Message]


class ConsumingSettings(OperateSettings, Protocol):
    @property
    def database(self) -> DatabaseSettings: ...
    @property
    def broker(self) -> BrokerSettings: ...


def dead_letter_verbs(make_event: MakeEvent) -> dict[str, Handler[Any]]:
    """Returns the functions by the verb's name."""

    async def list_dead_letters(settings: ConsumingSettings, values: Values) -> Answer:
        async with open_database(settings.database) as database:
            return [describe(stored) for stored in await list_letters(database)]

    async def show_dead_letter(settings: ConsumingSettings, values: Values) -> Answer:
        async with open_database(settings.database) as database:
            stored = await find_letter(database, str(values["id"]))
        try:
            content = await read_content(settings.broker, stored.letter)
        except NotFound as error:
            return {**describe(stored), "event": error.detail}
        event = make_event(settings, stored.letter.topic)
        return {
            **describe(stored),
            "key": (content.key or b"").decode("utf-8", "replace"),
            "headers": {name: value.decode("latin-1") for name, value in content.headers},
            "event": describe_event(event, content.value or b""),
        }

    async def redrive_dead_letters(settings: ConsumingSettings, values: Values) -> Answer:
        async with (
            open_database(settings.database) as database,
            open_producer(settings.broker) as producer,
        ):
            letters = await letters_of(database, values)
            return {"sent again": await redrive(database, settings.broker, producer, letters)}

    async def discard_dead_letters(settings: ConsumingSettings, values: Values) -> Answer:
        async with open_database(settings.database) as database:
            letters = await letters_of(database, values)
            reason = str(values.get("reason", ""))
            return {"discarded": await discard(database, letters, reason)}

    return {
        "dead-letters list": list_dead_letters,
        "dead-letters show": show_dead_letter,
        "dead-letters redrive": redrive_dead_letters,
        "dead-letters discard": discard_dead_letters,
    }


def describe(stored: StoredDeadLetter) -> dict[str, object]:
    return {
        "id": stored.letter.id,
        "reason": stored.letter.reason,
        "recorded": stored.recorded_at.isoformat(timespec="seconds"),
        "resolution": stored.resolution,
    }


def describe_event(event: Message, value: bytes) -> object:
    """Returns the event as JSON or, if it cannot be decoded, its bytes in base64."""
    try:
        event.ParseFromString(value)
    except DecodeError:
        return {"unreadable": base64.b64encode(value).decode()}
    return MessageToDict(event, preserving_proto_field_name=True)


async def letters_of(database: Database, values: Values) -> list[DeadLetter]:
    """Returns the letters that are meant and that nobody has settled: these, or all.
    Raises NotFound.
    """
    ids = values.get("ids")
    if isinstance(ids, list):
        found = [await find_letter(database, id) for id in ids]
    else:
        found = await list_letters(database)
    return [stored.letter for stored in found if not stored.resolution]
