"""How much slower other requests are while sign-ins run flat out: the p99 with and without them,
median of three.

Inside `scripts/up --run`. Target: at most 20 ms more. The load is a process of its own, as its
clients would be.
"""

import asyncio
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Sequence

import aiohttp

from tests.bench.arguments import make_parser, parse_for_platform

ROUNDS = 3
ROUND_SECONDS = 8.0
# Spread evenly: what is measured is the wait, not a queue of our own making.
REQUESTS_PER_SECOND = 50
SIGN_INS_AT_ONCE = 8
LIMIT_MS = 20.0


def url(path: str) -> str:
    return os.environ["PLATFORM_URL"] + path


def credentials() -> dict[str, str]:
    return {"email": os.environ["PLATFORM_USER"], "password": os.environ["PLATFORM_PASSWORD"]}


async def sign_in_until(session: aiohttp.ClientSession, ends_at: float) -> int:
    done = 0
    while time.monotonic() < ends_at:
        async with session.post(url("/auth/login"), json=credentials()) as answer:
            done += answer.status == 200
    return done


def sign_in_flat_out(seconds: float, done: "multiprocessing.Queue[int]") -> None:
    async def run() -> int:
        async with aiohttp.ClientSession() as session:
            ends_at = time.monotonic() + seconds
            return sum(
                await asyncio.gather(
                    *(sign_in_until(session, ends_at) for _ in range(SIGN_INS_AT_ONCE))
                )
            )

    done.put(asyncio.run(run()))


async def probe(session: aiohttp.ClientSession, token: str, seconds: float) -> list[float]:
    """The times, in milliseconds, of requests to the auth service that need the
    database and a token.
    """
    headers = {"Authorization": f"Bearer {token}"}

    async def one() -> float:
        started = time.perf_counter()
        async with session.get(url("/auth/v1/clients"), headers=headers) as answer:
            await answer.read()
            assert answer.status == 200, answer.status
        return (time.perf_counter() - started) * 1000

    tasks = []
    started_at = time.monotonic()
    for number in range(int(seconds * REQUESTS_PER_SECOND)):
        await asyncio.sleep(max(0.0, started_at + number / REQUESTS_PER_SECOND - time.monotonic()))
        tasks.append(asyncio.create_task(one()))
    return await asyncio.gather(*tasks)


def p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


async def main() -> int:
    parse_for_platform(make_parser(__doc__))
    differences = []
    async with aiohttp.ClientSession() as session:
        async with session.post(url("/auth/login"), json=credentials()) as answer:
            token = (await answer.json())["token"]
        await probe(session, token, 2.0)
        for number in range(ROUNDS):
            quiet = p99(await probe(session, token, ROUND_SECONDS))
            done: multiprocessing.Queue[int] = multiprocessing.Queue()
            load = multiprocessing.Process(
                target=sign_in_flat_out, args=(ROUND_SECONDS + 1.0, done)
            )
            load.start()
            await asyncio.sleep(1.0)
            busy = p99(await probe(session, token, ROUND_SECONDS))
            sign_ins = await asyncio.to_thread(done.get)
            load.join()
            differences.append(busy - quiet)
            rate = sign_ins / (ROUND_SECONDS + 1.0)
            print(
                f"round {number + 1}: p99 {quiet:.1f} ms, {busy:.1f} ms at {rate:.0f} sign-ins a "
                f"second",
                flush=True,
            )
    difference = statistics.median(differences)
    print(
        f"p99 of other requests during sign-ins: {difference:+.1f} ms (limit {LIMIT_MS:.0f}, "
        f"median of {ROUNDS})"
    )
    return int(difference > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
