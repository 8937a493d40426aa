"""What a request costs: rate, waiting times and CPU by process, of the list of patients and of registrations.

`scripts/up --run scripts/bench load [--seconds 10] [--connections 16 64] [--rounds 3]`. A machine's rates come and go
with what else it does; CPU-ms a request, next to the speed of a fixed loop, can be compared.
Fails where the median is over the limits: what the system that this one replaces took on such a machine.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import asyncpg
import uvloop

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
WARM_UP_SECONDS = 4.0
DRAINED_SECONDS = 60.0
# CPU-ms a request: the five services; with PostgreSQL and Kafka. By method and connections.
LIMITS = {
    ("GET", 16): (0.89, 1.02),
    ("GET", 64): (1.01, 1.15),
    ("POST", 16): (2.49, 3.77),
    ("POST", 64): (2.21, 3.33),
}


class Caller(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again, until `ends_at`. `done`: each request's seconds."""

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
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

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
    """From the state on (proc(5)): the parent's id is at 1, the times of itself and its ended children at 11 to 14."""
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
    """Until all that was registered has its account and its event: their work belongs to the registrations."""
    connection = await asyncpg.connect(os.environ["PLATFORM_PATIENT_DATABASE_URL"])
    try:
        async with asyncio.timeout(DRAINED_SECONDS):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
    await asyncio.sleep(0.5)


async def measure(method: str, connections: int, seconds: float, token: str) -> tuple[float, float]:
    """CPU-ms a request of the five services, and with PostgreSQL and Kafka."""
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
        f"{method:<4} {connections:>3} connections: {len(taken) / seconds:5.0f}/s, p50 {p50:.1f}, p99 {p99:.1f} ms;"
        f" CPU-ms a request: services {services:.2f}, all {sum(cost.values()):.2f} ("
        + ", ".join(f"{name} {ms:.2f}" for name, ms in cost.items())
        + f"); loop {speed:.0f} M/s",
        flush=True,
    )
    return services, sum(cost.values())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench load", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 64])
    return parser.parse_args()


async def main() -> int:
    options = parse()
    # More than a page.
    await call(requests_of("POST", sign_in()), 4, 2.0)
    measured: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(options.rounds):
        for connections in options.connections:
            for method in ("GET", "POST"):
                # Tokens live ten minutes.
                found = await measure(method, connections, options.seconds, sign_in())
                measured.setdefault((method, connections), []).append(found)
    over = 0
    for (method, connections), costs in measured.items():
        services, all_of_it = (statistics.median(values) for values in zip(*costs, strict=True))
        limits = LIMITS.get((method, connections), (float("inf"), float("inf")))
        over += services > limits[0] or all_of_it > limits[1]
        print(
            f"{method:<4} {connections:>3} connections, median: services {services:.2f} (limit {limits[0]:.2f}),"
            f" all {all_of_it:.2f} (limit {limits[1]:.2f}) CPU-ms a request"
        )
    return int(over > 0)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main()))
