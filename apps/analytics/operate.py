"""The verbs of `scripts/operate` that analytics runs."""

from collections.abc import Mapping

from google.protobuf.message import Message

from apps.analytics.consumer.rebuild import rebuild
from apps.analytics.consumer.reconcile import reconcile
from apps.analytics.settings import Settings
from apps.kit.broker import open_producer
from apps.kit.database import open_database
from apps.kit.dead_letter_verbs import dead_letter_verbs
from apps.kit.lag_verbs import lag_verbs
from apps.kit.operate import Answer, Handler, Values
from protos.billing.v1 import events_pb2 as billing_events
from protos.patient.v1 import events_pb2 as patient_events


def make_event(settings: Settings, topic: str) -> Message:
    """Returns an empty message of the topic's."""
    if topic == settings.billing_topic:
        return billing_events.BillingEvent()
    return patient_events.PatientEvent()


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
    **dead_letter_verbs(make_event),
    **lag_verbs(lambda settings: settings.consumer),
    "figures rebuild": rebuild_figures,
    "reconcile": check_figures,
}
