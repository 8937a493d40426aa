"""Checks that the record told all of itself: the newest version of every resource of a patient
is in the topic.
"""

from contextlib import aclosing
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from apps.kit.broker import BrokerSettings
from apps.kit.database import Connection
from apps.kit.replay import replay
from protos.patient.v1 import events_pb2 as pb

MAX_DIFFERENCES = 100
# A change is published within this time, or operators hear of it (kit/outbox.py).
ON_ITS_WAY_SECONDS = 60
ROWS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Difference:
    code: str
    # type/id of a resource
    subject: str
    expected: str
    found: str


async def reconcile(connection: Connection, broker: BrokerSettings, topic: str) -> list[Difference]:
    """Returns at most MAX_DIFFERENCES, in a transaction of the caller's that sees one moment.
    Raises Unavailable.
    """
    told: dict[str, int] = {}
    async with aclosing(replay(broker, [topic])) as batches:
        async for records in batches:
            for record in records:
                _note(told, record.value or b"")
    # After the topic was read: what was sent meanwhile is in neither, and not older than this.
    for row in await connection.fetch("SELECT payload FROM outbox WHERE destination = 'kafka'"):
        _note(told, row["payload"])

    differences: list[Difference] = []
    cursor = connection.cursor(
        """
        SELECT type || '/' || id, version_id FROM resource
        WHERE (patient_id IS NOT NULL OR type = 'Patient')
          AND last_updated < now() - make_interval(secs => $1)""",
        ON_ITS_WAY_SECONDS,
        prefetch=ROWS_AT_ONCE,
    )
    async for resource, version_id in cursor:
        found = told.get(resource, 0)
        if found != version_id:
            differences.append(Difference("event_missing", resource, str(version_id), str(found)))
            if len(differences) == MAX_DIFFERENCES:
                break
    return differences


def _note(told: dict[str, int], payload: bytes) -> None:
    """Keeps the newest version of the resource that an event speaks of."""
    try:
        event = pb.PatientEvent.FromString(payload)
    except DecodeError:
        # An operator's or a test's: the record writes none.
        return
    resource = (
        f"{event.clinical.resource_type}/{event.clinical.resource_id}"
        if event.HasField("clinical")
        else f"Patient/{event.patient_id}"
    )
    told[resource] = max(told.get(resource, 0), event.version_id)
