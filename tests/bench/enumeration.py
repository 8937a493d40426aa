"""Whether the time of a refused sign-in tells if the user exists: the two distributions,
in milliseconds.

Inside `scripts/up --run`, against the auth service itself, each attempt on another account and from
another address (the lockout would answer otherwise). Fails where the medians differ by more than
the scatter of one of them.
"""

import asyncio
import os
import random
import secrets
import statistics
import sys
import time

import aiohttp
import asyncpg

from apps.auth.people.users import create_user
from tests.bench.arguments import make_parser, parse_for_platform

ATTEMPTS = 150
PASSWORD = "correct horse battery"


async def make_users() -> list[str]:
    emails = [f"{secrets.token_hex(6)}@example.org" for _ in range(ATTEMPTS)]
    connection = await asyncpg.connect(os.environ["PLATFORM_AUTH_DATABASE_URL"])
    try:
        for email in emails:
            await create_user(connection, email=email, roles=("analyst",), password=PASSWORD)
    finally:
        await connection.close()
    return emails


async def attempt(session: aiohttp.ClientSession, email: str) -> float:
    address = ".".join(str(random.randrange(1, 255)) for _ in range(4))
    body = {"email": email, "password": "not the password"}
    started = time.perf_counter()
    url = os.environ["PLATFORM_AUTH_URL"] + "/auth/login"
    async with session.post(url, json=body, headers={"X-Forwarded-For": address}) as answer:
        await answer.read()
        assert answer.status == 401, answer.status
    return (time.perf_counter() - started) * 1000


async def main() -> int:
    parse_for_platform(make_parser(__doc__))
    known = await make_users()
    # In turns, so that whatever else the machine does meets both alike.
    wanted = [(email, True) for email in known] + [
        (f"{secrets.token_hex(6)}@example.org", False) for _ in known
    ]
    random.shuffle(wanted)
    times: dict[bool, list[float]] = {True: [], False: []}
    async with aiohttp.ClientSession() as session:
        for email, exists in wanted:
            times[exists].append(await attempt(session, email))
    for exists, taken in times.items():
        low, middle, high = statistics.quantiles(taken, n=4)
        name = "known user" if exists else "unknown user"
        print(
            f"{name:<13} n={len(taken)} quartiles {low:.2f} {middle:.2f} {high:.2f}, longest "
            f"{max(taken):.1f} ms"
        )
    low, _, high = statistics.quantiles(times[True], n=4)
    difference = abs(statistics.median(times[True]) - statistics.median(times[False]))
    print(
        f"difference of the medians: {difference:.2f} ms; scatter (quartile to quartile): "
        f"{high - low:.2f} ms"
    )
    return int(difference > high - low)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
