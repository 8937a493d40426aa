"""The verbs of `scripts/operate` that the patient service runs."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from apps.kit.operate import Answer, Handler, Values, limit_of, time_of
from apps.kit.outbox_verbs import outbox_verbs
from apps.kit.relay import connect_to
from apps.patient.reconcile import reconcile
from apps.patient.settings import Settings
from apps.patient.storage.reindexing import request_reindexing, select_progress
from protos.billing.v1 import billing_pb2
from protos.patient.v1 import events_pb2

SEARCH = """
    SELECT recorded_at, action, actor_id, client_id, request_id, resource_type, resource_id,
        version_id,
           patient_id, query, returned_ids
    FROM audit_event
    WHERE ($1::text IS NULL OR actor_id = $1 OR client_id = $1)
      AND ($2::text IS NULL OR patient_id = $2 OR resource_id = $2 OR $2 = ANY(returned_ids))
      AND ($3::text IS NULL OR action = $3)
      AND ($4::text IS NULL OR client_id = $4)
      AND ($5::text IS NULL OR $5 = 'success')
      AND ($6::timestamptz IS NULL OR recorded_at >= $6)
      AND ($7::timestamptz IS NULL OR recorded_at < $7)
    ORDER BY id DESC LIMIT $8
"""


def describe(destination: str, payload: bytes) -> Mapping[str, Any]:
    """Returns an outbox row's payload as JSON."""
    message: Any = (
        billing_pb2.CreateBillingAccountRequest()
        if destination == "billing"
        else events_pb2.PatientEvent()
    )
    message.ParseFromString(payload)
    described: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return described


async def search_audit(settings: Settings, values: Values) -> Answer:
    """Returns the newest matching reads and changes of records, newest first."""
    async with connect_to(settings.database)() as connection:
        rows = await connection.fetch(
            SEARCH,
            values.get("actor"),
            values.get("subject"),
            values.get("event"),
            values.get("client"),
            values.get("outcome"),
            time_of(values, "since"),
            time_of(values, "until"),
            limit_of(values),
        )
    return [
        {**row, "recorded_at": row["recorded_at"].isoformat(timespec="milliseconds")}
        for row in map(dict, rows)
    ]


async def rebuild_index(settings: Settings, values: Values) -> Answer:
    """Has the service index every resource anew, and shows how many wait for it."""
    async with connect_to(settings.database)() as connection:
        await request_reindexing(connection)
        return await select_progress(connection)


async def show_index(settings: Settings, values: Values) -> Answer:
    """Shows how many resources wait to be indexed anew."""
    async with connect_to(settings.database)() as connection:
        return await select_progress(connection)


async def check_events(settings: Settings, values: Values) -> Answer:
    """Returns each resource whose newest version is not in the topic; none where all are."""
    async with connect_to(settings.database)() as connection:
        async with connection.transaction(isolation="read_committed", readonly=True):
            differences = await reconcile(connection, settings.broker, settings.topic)
    return [
        {
            "code": one.code,
            "subject": one.subject,
            "expected": one.expected,
            "found": one.found,
        }
        for one in differences
    ]


HANDLERS: Mapping[str, Handler[Settings]] = {
    **outbox_verbs(describe),
    "audit search": search_audit,
    "index rebuild": rebuild_index,
    "index status": show_index,
    "reconcile": check_events,
}
