"""What a request costs: rate, waiting times and CPU by process, of the list of patients and of
registrations.

`scripts/up --run scripts/bench load [--seconds 10] [--connections 16 64] [--rounds 3]`. A machine's
rates change with what else it does; CPU-ms a request, next to the speed of a fixed loop, can be
compared. The ratios are to the system that this one replaces, and hold on a quiet machine only.
Fails if a median ratio is over its limit.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import re
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import asyncpg
import uvloop

from tests.bench.arguments import make_parser, parse_for_platform

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
WARM_UP_SECONDS = 4.0
DRAINED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reference:
    """What the replaced system took, and the ratio to it that must not be exceeded.

    CPU-ms a request: of the services alone, and of everything, PostgreSQL and Kafka included.
    """

    services_ms: float
    everything_ms: float
    p99_ms: float
    services_limit: float
    everything_limit: float


# Medians of three rounds in turns with this system on one quiet machine with two cores: the same 15
# people, the same request body, the same PostgreSQL 18 and Kafka; Spring Boot 3.4 on OpenJDK 17,
# warmed up for more than four minutes (November 2026). The limits are the ratios that this system
# had in the same rounds. By method and connections.
REFERENCES = {
    ("GET", 16): Reference(0.584, 0.652, 24, services_limit=0.66, everything_limit=0.77),
    ("GET", 64): Reference(0.526, 0.590, 52, services_limit=0.69, everything_limit=0.79),
    ("POST", 16): Reference(1.331, 1.964, 46, services_limit=0.51, everything_limit=0.65),
    ("POST", 64): Reference(1.425, 2.148, 194, services_limit=0.60, everything_limit=0.77),
}


@dataclass(frozen=True, slots=True)
class Cost:
    services_ms: float
    everything_ms: float
    p99_ms: float


class Caller(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again, until `ends_at`. `done`: each
    request's seconds.
    """

    def __init__(self, make: Callable[[], bytes], ends_at: float) -> None:
        self._make, self._ends_at = make, ends_at
        self._seconds: list[float] = []
        self.done: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._data, self._asked_at = b"", time.perf_counter()
        self._transport.write(self._make())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or len(body) < int(
            head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]
        ):
            return
        now = time.perf_counter()
        self._seconds.append(now - self._asked_at)
        if not head.startswith(b"HTTP/1.1 20"):
            self.done.set_exception(RuntimeError(f"{head[:12].decode()}: {body[:200].decode()}"))
            self._transport.close()
        elif now < self._ends_at:
            self._ask()
        else:
            self.done.set_result(self._seconds)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError("the gateway hung up"))


async def call(make: Callable[[], bytes], connections: int, seconds: float) -> list[float]:
    """Each request's time in seconds; raises RuntimeError for an answer that is no success."""
    gateway, loop = urlsplit(os.environ["PLATFORM_URL"]), asyncio.get_running_loop()
    ends_at = time.perf_counter() + seconds
    callers = [Caller(make, ends_at) for _ in range(connections)]
    for caller in callers:
        await loop.create_connection(
            partial(lambda same: same, caller), gateway.hostname or "", gateway.port or 80
        )
    return [
        taken
        for seconds_of_one in await asyncio.gather(*(caller.done for caller in callers))
        for taken in seconds_of_one
    ]


def sign_in() -> str:
    credentials = {
        "email": os.environ["PLATFORM_USER"],
        "password": os.environ["PLATFORM_PASSWORD"],
    }
    url = os.environ["PLATFORM_URL"] + "/auth/login"
    request = Request(url, json.dumps(credentials).encode(), {"Content-Type": "application/json"})  # noqa: S310
    with urlopen(request) as answer:  # noqa: S310 - the platform's own
        token: str = json.load(answer)["token"]
    return token


def requests_of(method: str, token: str) -> Callable[[], bytes]:
    head = f"{method} /api/patients HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
    if method == "GET":
        whole = f"{head}\r\n".encode()
        return lambda: whole
    run, numbers = secrets.token_hex(4), itertools.count()

    def make() -> bytes:
        number = next(numbers)
        body = json.dumps(
            {
                "name": f"Load Test {number}",
                "email": f"u{run}-{number}@example.com",
                "address": "1 Test Street, Springfield",
                "dateOfBirth": "1990-01-01",
                "registeredDate": "2024-01-01",
            }
        )
        headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return f"{head}{headers}{body}".encode()

    return make


def processes() -> dict[str, int]:
    """The services' ids, and those of PostgreSQL and Kafka: children of the runner, as we are."""
    found: dict[str, int] = json.loads(Path(os.environ["PLATFORM_PIDS"]).read_text())
    names = {"postgres": "postgres", "java": "kafka"}
    for pid in ancestors():
        for child in children(pid):
            name = names.get(Path(f"/proc/{child}/comm").read_text().strip())
            if name:
                found.setdefault(name, child)
    return found


def ancestors() -> Iterator[int]:
    pid = os.getpid()
    while pid > 1:
        pid = int(stat_of(pid)[1])
        yield pid


def children(pid: int) -> list[int]:
    return [
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    ]


def stat_of(pid: int) -> list[str]:
    """From the state on (proc(5)): the parent's id is at 1, the times of itself and its ended
    children at 11 to 14.
    """
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_ms(pid: int) -> float:
    """Its own, its ended children's, and its children's (PostgreSQL has one a connection)."""
    ticks = sum(map(int, stat_of(pid)[11:15]))
    for child in children(pid):
        try:
            ticks += sum(map(int, stat_of(child)[11:13]))
        except FileNotFoundError:
            continue
    return ticks * 1000 / TICKS_PER_SECOND


def services_of(pids: dict[str, int]) -> dict[str, int]:
    return {name: pid for name, pid in pids.items() if name not in ("postgres", "kafka")}


def resident_mib(pid: int) -> int:
    match = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match[1]) // 1024 if match else 0


def spin(turns: "multiprocessing.Queue[float]") -> None:
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < 0.5:
        sum(number * number for number in range(20_000))
        done += 20_000
    turns.put(done / (time.perf_counter() - started) / 1e6)


def loop_speed() -> float:
    """Million turns a second of a fixed loop on two cores at once."""
    turns: multiprocessing.Queue[float] = multiprocessing.Queue()
    spinning = [multiprocessing.Process(target=spin, args=(turns,)) for _ in range(2)]
    for process in spinning:
        process.start()
    speed = sum(turns.get() for _ in spinning)
    for process in spinning:
        process.join()
    return speed


async def drained() -> None:
    """Until all that was registered has its account and its event: their work belongs to the
    registrations.
    """
    connection = await asyncpg.connect(os.environ["PLATFORM_PATIENT_DATABASE_URL"])
    try:
        async with asyncio.timeout(DRAINED_SECONDS):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
    await asyncio.sleep(0.5)


async def measure(method: str, connections: int, seconds: float, token: str) -> Cost:
    """Returns what a request costs under load."""
    make = requests_of(method, token)
    await call(make, connections, WARM_UP_SECONDS)
    await drained()
    speed = loop_speed()
    pids = processes()
    before = {name: cpu_ms(pid) for name, pid in pids.items()}
    taken = await call(make, connections, seconds)
    await drained()
    cost = {name: (cpu_ms(pid) - before[name]) / len(taken) for name, pid in pids.items()}
    services = sum(ms for name, ms in cost.items() if name not in ("postgres", "kafka"))
    p50, p99 = (statistics.quantiles(taken, n=100)[index] * 1000 for index in (49, 98))
    print(
        f"{method:<4} {connections:>3} connections: {len(taken) / seconds:5.0f}/s, p50 {p50:.1f}, "
        f"p99 {p99:.1f} ms;"
        f" CPU-ms a request: services {services:.2f}, all {sum(cost.values()):.2f} ("
        + ", ".join(f"{name} {ms:.2f}" for name, ms in cost.items())
        + f"); loop {speed:.0f} M/s",
        flush=True,
    )
    return Cost(services, sum(cost.values()), p99)


def parse() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 64])
    return parse_for_platform(parser)


async def main() -> int:
    options = parse()
    # More than a page.
    await call(requests_of("POST", sign_in()), 4, 2.0)
    measured: dict[tuple[str, int], list[Cost]] = {}
    for _ in range(options.rounds):
        for connections in options.connections:
            for method in ("GET", "POST"):
                # Tokens live ten minutes.
                found = await measure(method, connections, options.seconds, sign_in())
                measured.setdefault((method, connections), []).append(found)
    memory = {name: resident_mib(pid) for name, pid in services_of(processes()).items()}
    print(
        f"memory after the load: {sum(memory.values())} MiB (RSS; "
        + ", ".join(f"{name} {mib}" for name, mib in memory.items())
        + ")"
    )
    # Each of them prints its line.
    is_over = [judge(*row, costs) for row, costs in measured.items()]
    return int(any(is_over))


def judge(method: str, connections: int, costs: list[Cost]) -> bool:
    """Prints the medians and their ratios to the replaced system; tells whether one is
    over its limit.
    """
    services = statistics.median(cost.services_ms for cost in costs)
    everything = statistics.median(cost.everything_ms for cost in costs)
    p99 = statistics.median(cost.p99_ms for cost in costs)
    line = (
        f"{method:<4} {connections:>3} connections, median CPU-ms a request:"
        f" services {services:.2f}, all {everything:.2f}"
    )
    reference = REFERENCES.get((method, connections))
    if reference is None:
        print(line)
        return False

    services_ratio = services / reference.services_ms
    everything_ratio = everything / reference.everything_ms
    print(
        f"{line}; ratio to the replaced system: services {services_ratio:.2f} (limit "
        f"{reference.services_limit}),"
        f" all {everything_ratio:.2f} (limit {reference.everything_limit}), p99 "
        f"{p99 / reference.p99_ms:.2f}"
    )
    return (
        services_ratio > reference.services_limit or everything_ratio > reference.everything_limit
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main()))
