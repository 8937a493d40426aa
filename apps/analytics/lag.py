"""How far the figures are behind the topic: for `/lag`, for readiness, and for the alarm."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from apps.analytics.settings import Settings
from apps.analytics.storage import count_dead_letters, select_offsets
from apps.kit.database import Database
from apps.kit.errors import Unavailable
from apps.kit.web import log_failure

MEASURE_PERIOD_SECONDS = 15.0
METRIC_NAMESPACE = "PatientManagement"
# So long a dead letter counts as new, and the alarm stays on: it then goes off by itself, to ring again at the next.
NEW_SECONDS = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PartitionLag:
    partition: int
    next_offset: int
    end_offset: int

    @property
    def lag(self) -> int:
        return max(0, self.end_offset - self.next_offset)


@dataclass(frozen=True, slots=True)
class Lag:
    """In events. `dead_letters`: how many could not be read since the beginning, `new_dead_letters`: just now."""

    partitions: tuple[PartitionLag, ...]
    dead_letters: int
    new_dead_letters: int

    @property
    def total(self) -> int:
        return sum(partition.lag for partition in self.partitions)


class EndOffsets(Protocol):
    async def end_offsets(self) -> Mapping[int, int]: ...


async def measure_lag(database: Database, source: EndOffsets, topic: str) -> Lag:
    """Raises Unavailable where the broker or the database is away."""
    ends = await source.end_offsets()
    async with database.connection() as connection:
        offsets = await select_offsets(connection, topic)
        dead_letters, new = await count_dead_letters(connection, NEW_SECONDS)
    partitions = (
        PartitionLag(number, offsets.get(number, 0), end) for number, end in sorted(ends.items())
    )
    return Lag(tuple(partitions), dead_letters, new)


class LagMonitor:
    """Measures again and again. It is `failing` while the broker does not answer."""

    def __init__(self, settings: Settings, database: Database, source: EndOffsets) -> None:
        self._settings = settings
        self._database = database
        self._source = source
        self.failing = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_PERIOD_SECONDS)
            await self.measure()

    async def measure(self) -> None:
        try:
            lag = await measure_lag(self._database, self._source, self._settings.topic)
        except Unavailable as error:
            self.failing = error.code != "database_unavailable"
        except Exception as error:
            log_failure(error, "lag not measured")
        else:
            self.failing = False
            if self._settings.emits_metrics:
                log.info("lag", extra=metric_line(lag, self._settings, int(time.time() * 1000)))


def metric_line(lag: Lag, settings: Settings, timestamp_ms: int) -> dict[str, object]:
    """CloudWatch's embedded metric format: it makes metrics of the log line.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    metrics = [{"Name": name, "Unit": "Count"} for name in ("Lag", "DeadLetters", "NewDeadLetters")]
    directive = {
        "Namespace": METRIC_NAMESPACE,
        "Dimensions": [["Environment", "ConsumerGroup"]],
        "Metrics": metrics,
    }
    return {
        "_aws": {"Timestamp": timestamp_ms, "CloudWatchMetrics": [directive]},
        "Environment": settings.environment,
        "ConsumerGroup": settings.consumer_group,
        "Lag": lag.total,
        "DeadLetters": lag.dead_letters,
        "NewDeadLetters": lag.new_dead_letters,
    }
