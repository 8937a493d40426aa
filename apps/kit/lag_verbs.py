"""The verb `figures lag` of `scripts/operate`, for every service that reads topics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer

from apps.kit.broker import open_consumer
from apps.kit.database import open_database
from apps.kit.dead_letter_verbs import ConsumingSettings
from apps.kit.event_consumer import ConsumerSettings, read_end_offsets
from apps.kit.event_storage import Place
from apps.kit.lag import measure_lag
from apps.kit.operate import Answer, Handler, Values


def lag_verbs(consumer_of: Callable[[Any], ConsumerSettings]) -> dict[str, Handler[Any]]:
    """Returns the function by the verb's name."""

    async def show_lag(settings: ConsumingSettings, values: Values) -> Answer:
        """Returns for each partition what was read last, where it ends, and how many
        events lie between.
        """
        topics = consumer_of(settings).topics
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

    return {"figures lag": show_lag}


@dataclass(frozen=True, slots=True)
class OpenTopics:
    """Where the topics of a consumer end that was opened for this question alone."""

    client: AIOKafkaConsumer
    topics: Sequence[str]

    async def end_offsets(self) -> Mapping[Place, int]:
        return await read_end_offsets(self.client, self.topics)
