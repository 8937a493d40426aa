"""The verbs of `scripts/operate` that billing runs."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from apps.billing.charges.consumer import consumer_settings
from apps.billing.charges.reconcile import reconcile_events, reconcile_record
from apps.billing.ledger.reconcile import reconcile
from apps.billing.settings import Settings
from apps.kit.database import open_database
from apps.kit.dead_letter_verbs import dead_letter_verbs
from apps.kit.lag_verbs import lag_verbs
from apps.kit.operate import Answer, Handler, Values, limit_of, time_of
from apps.kit.outbox_verbs import outbox_verbs
from apps.kit.relay import connect_to
from protos.billing.v1 import events_pb2
from protos.patient.v1 import events_pb2 as patient_events

SEARCH = """
    SELECT occurred_at, action, subject, client_id, service_id, correlation_id, account_id,
        document_id
    FROM audit
    WHERE ($1::text IS NULL OR subject = $1 OR client_id = $1)
      AND ($2::text IS NULL OR account_id::text = $2 OR document_id = $2
           OR account_id = (SELECT account_id FROM account WHERE patient_id = $2))
      AND ($3::text IS NULL OR action = $3)
      AND ($4::text IS NULL OR client_id = $4)
      AND ($5::text IS NULL OR $5 = 'success')
      AND ($6::timestamptz IS NULL OR occurred_at >= $6)
      AND ($7::timestamptz IS NULL OR occurred_at < $7)
    ORDER BY occurred_at DESC, audit_id DESC LIMIT $8
"""


def describe(destination: str, payload: bytes) -> Mapping[str, Any]:
    """Returns an outbox row's payload as JSON."""
    event = events_pb2.BillingEvent.FromString(payload)
    described: dict[str, Any] = MessageToDict(event, preserving_proto_field_name=True)
    return described


async def check_books(settings: Settings, values: Values) -> Answer:
    """Returns each difference in the books, and between them and the topics; none where
    they are sound.
    """
    async with open_database(settings.database) as database:
        async with database.connection() as connection:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                differences = [
                    *await reconcile(connection),
                    *await reconcile_record(connection, settings),
                    *await reconcile_events(connection, settings),
                ]
    return [
        {
            "code": one.code,
            "subject": one.subject,
            "expected": one.expected,
            "found": one.found,
        }
        for one in differences
    ]


async def search_audit(settings: Settings, values: Values) -> Answer:
    """Returns the newest matching changes of accounts, newest first."""
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
        {**row, "occurred_at": row["occurred_at"].isoformat(timespec="milliseconds")}
        for row in map(dict, rows)
    ]


HANDLERS: Mapping[str, Handler[Settings]] = {
    **outbox_verbs(describe),
    **dead_letter_verbs(lambda settings, topic: patient_events.PatientEvent()),
    **lag_verbs(consumer_settings),
    "audit search": search_audit,
    "reconcile": check_books,
}
