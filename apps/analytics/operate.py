"""The verbs of `scripts/operate` that analytics runs."""

import base64
from collections.abc import Mapping

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from apps.analytics.dead_letters import (
    Letter,
    mark_letter,
    read_record,
    redrive_letter,
    select_letters,
)
from apps.analytics.rebuild import rebuild
from apps.analytics.settings import Settings
from apps.kit.broker import open_consumer, open_producer
from apps.kit.database import open_database
from apps.kit.errors import NotFound
from apps.kit.operate import Answer, Handler, Values
from protos.patient.v1 import events_pb2


def ids_of(values: Values) -> list[str] | None:
    """Returns the ids of the letters that are meant, None for all."""
    ids = values.get("ids")
    return ids if isinstance(ids, list) else None


def describe(letter: Letter) -> dict[str, object]:
    return {
        "id": letter.id,
        "reason": letter.reason,
        "recorded": letter.recorded_at.isoformat(timespec="seconds"),
    }


async def list_letters(settings: Settings, values: Values) -> Answer:
    async with open_database(settings.database) as database, database.connection() as connection:
        return [describe(letter) for letter in await select_letters(connection, None)]


async def show_letter(settings: Settings, values: Values) -> Answer:
    id = str(values["id"])
    async with open_database(settings.database) as database, database.connection() as connection:
        letters = await select_letters(connection, [id])
    if not letters:
        raise NotFound("not_found", f"there is no dead letter {id}")
    letter = letters[0]
    async with open_consumer(settings.broker, letter.topic) as client:
        record = await read_record(client, letter)
    if record is None:
        return {**describe(letter), "event": "gone from its topic"}
    return {
        **describe(letter),
        "key": (record.key or b"").decode("utf-8", "replace"),
        "headers": {name: value.decode("latin-1") for name, value in record.headers},
        "event": describe_event(record.value or b""),
    }


def describe_event(value: bytes) -> object:
    """Returns the event as JSON or, if it cannot be decoded, its bytes in base64."""
    try:
        message = events_pb2.PatientEvent.FromString(value)
    except DecodeError:
        return {"unreadable": base64.b64encode(value).decode()}
    return MessageToDict(message, preserving_proto_field_name=True)


async def redrive_letters(settings: Settings, values: Values) -> Answer:
    answers = []
    async with open_database(settings.database) as database:
        async with database.connection() as connection:
            letters = await select_letters(connection, ids_of(values))
        for topic in sorted({letter.topic for letter in letters}):
            async with open_consumer(settings.broker, topic) as client:
                for letter in (each for each in letters if each.topic == topic):
                    outcome = await redrive_letter(database, client, letter)
                    answers.append({"id": letter.id, "outcome": outcome})
    return answers


async def discard_letters(settings: Settings, values: Values) -> Answer:
    async with open_database(settings.database) as database, database.transaction() as connection:
        letters = await select_letters(connection, ids_of(values))
        discarded = [await mark_letter(connection, letter, "discarded") for letter in letters]
    return {"discarded": sum(discarded)}


async def rebuild_figures(settings: Settings, values: Values) -> Answer:
    async with (
        open_database(settings.database) as database,
        open_producer(settings.broker) as producer,
    ):
        return {"events read": await rebuild(settings, database, producer)}


HANDLERS: Mapping[str, Handler[Settings]] = {
    "dead-letters list": list_letters,
    "dead-letters show": show_letter,
    "dead-letters redrive": redrive_letters,
    "dead-letters discard": discard_letters,
    "figures rebuild": rebuild_figures,
}
