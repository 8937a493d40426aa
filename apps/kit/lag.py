"""Measures how far a consumer is behind its topics: for operators, for readiness and
for the alarms.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from apps.kit.database import Database
from apps.kit.errors import Unavailable
from apps.kit.event_consumer import ConsumerSettings
from apps.kit.event_storage import Place, count_dead_letters, select_offsets
from apps.kit.logs import log_failure

MEASURE_PERIOD_SECONDS = 15.0
METRIC_NAMESPACE = "PatientManagement"
# A dead letter counts as new this long, and its alarm stays on; it then ends, to ring
# again at the next.
NEW_SECONDS = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PartitionLag:
    topic: str
    partition: int
    next_offset: int
    end_offset: int

    @property
    def lag(self) -> int:
        return max(0, self.end_offset - self.next_offset)


@dataclass(frozen=True, slots=True)
class Lag:
    """In events. `dead_letters`: those that nobody settled; `new_dead_letters`: of the
    last NEW_SECONDS.
    """

    partitions: tuple[PartitionLag, ...]
    dead_letters: int
    new_dead_letters: int

    @property
    def total(self) -> int:
        return sum(partition.lag for partition in self.partitions)


class EndOffsets(Protocol):
    async def end_offsets(self) -> Mapping[Place, int]: ...


async def measure_lag(database: Database, source: EndOffsets, topics: Sequence[str]) -> Lag:
    """Returns the lag; raises Unavailable if the broker or the database is away."""
    ends = await source.end_offsets()
    async with database.connection() as connection:
        offsets = await select_offsets(connection, topics)
        dead_letters, new = await count_dead_letters(connection, NEW_SECONDS)
    partitions = (
        PartitionLag(*place, offsets.get(place, 0), end) for place, end in sorted(ends.items())
    )
    return Lag(tuple(partitions), dead_letters, new)


class LagMonitor:
    """Measures each MEASURE_PERIOD_SECONDS. It is `failing` while the broker does not answer.

    `environment`: the stack that the metrics name; None where nobody makes metrics of log lines.
    """

    def __init__(
        self,
        consumer: ConsumerSettings,
        database: Database,
        source: EndOffsets,
        *,
        environment: str | None,
    ) -> None:
        self._consumer = consumer
        self._environment = environment
        self._database = database
        self._source = source
        self.failing = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_PERIOD_SECONDS)
            await self.measure()

    async def measure(self) -> None:
        try:
            lag = await measure_lag(self._database, self._source, self._consumer.topics)
        except Unavailable as error:
            self.failing = error.code != "database_unavailable"
        except Exception as error:
            log_failure(error, "lag not measured")
        else:
            self.failing = False
            if self._environment is not None:
                now_ms = int(time.time() * 1000)
                line = metric_line(lag, self._environment, self._consumer.group, now_ms)
                log.info("lag", extra=line)


def metrics_environment(environment: str, log_format: str) -> str | None:
    """Returns the stack's name where CloudWatch reads the log lines and makes metrics of some."""
    return environment if log_format == "json" and environment != "local" else None


def metric_line(lag: Lag, environment: str, group: str, timestamp_ms: int) -> dict[str, object]:
    """Returns a log line in CloudWatch's embedded metric format, which makes metrics of it.

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
        "Environment": environment,
        "ConsumerGroup": group,
        "Lag": lag.total,
        "DeadLetters": lag.dead_letters,
        "NewDeadLetters": lag.new_dead_letters,
    }
