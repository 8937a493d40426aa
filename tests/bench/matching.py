"""`Patient/$match` at size: milliseconds a call, on a database of its own filled with
made-up people.

Names repeat as in a town: a few are frequent, most are rare. Half of the descriptions are of
somebody who is there, with what receptionists mistype; the other half are of strangers who share a
name and a birth date with some.
"""

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from typing import Any

import asyncpg

from apps.kit.context import new_id
from apps.patient.storage.mrn import format_mrn, with_mrn
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.versions import Author, Change, change_of
from apps.patient.storage.writing import TextCache, Writer
from infrastructure.local.postgres import open_postgres
from tests.bench.arguments import make_parser
from tests.bench.record_database import made_database
from tests.patient.patient_service import PUBLIC_URL, Service, open_service

BASE = f"{PUBLIC_URL}/fhir/R4"
AUTHOR = Author("bench", "bench", "bench", "")
MAX_PATIENTS = 1_000_000
BATCH = 200
FIRST_DAY = date(1930, 1, 1)
DAYS = 90 * 365
_SYLLABLES = ("ka", "lo", "mi", "ra", "ne", "to", "sa", "vi", "bo", "du", "el", "an", "or", "is")


def names(count: int, syllables: int, generator: random.Random) -> list[str]:
    made = {
        "".join(generator.choices(_SYLLABLES, k=syllables)).capitalize() for _ in range(count * 3)
    }
    return sorted(made)[:count]


def people(seed: int) -> Iterator[dict[str, Any]]:
    """Yields Patients without an end, the same for the same seed."""
    generator = random.Random(seed)
    families, givens = names(4_000, 4, generator), names(400, 3, generator)
    # Zipf's law: the n-th name is borne by 1/n as many as the first.
    family_weights = [1 / rank for rank in range(1, len(families) + 1)]
    given_weights = [1 / rank for rank in range(1, len(givens) + 1)]
    number = 0
    while True:
        number += 1
        day = FIRST_DAY + timedelta(days=generator.randrange(DAYS))
        yield {
            "resourceType": "Patient",
            "name": [
                {
                    "family": generator.choices(families, family_weights)[0],
                    "given": generator.choices(givens, given_weights, k=2),
                }
            ],
            "gender": generator.choice(("female", "male")),
            "birthDate": day.isoformat(),
            "telecom": [{"system": "phone", "value": f"555 {number:07d}"}],
            "address": [
                {
                    "line": [f"{generator.randrange(200)} Main Street"],
                    "city": "Springfield",
                    "postalCode": f"{generator.randrange(100):05d}",
                }
            ],
        }


def mistyped(patient: dict[str, Any], generator: random.Random) -> dict[str, Any]:
    """Returns a description with one mistake, or of a stranger who shares name and birth date."""
    name = patient["name"][0]
    family, given, day = name["family"], name["given"][0], patient["birthDate"]
    kind = generator.randrange(6)
    if kind == 0:
        family = family[:1] + family[2:3] + family[1:2] + family[3:]
    elif kind == 1:
        day = f"{day[:4]}-{day[8:]}-{day[5:7]}" if int(day[8:]) <= 12 else day
    elif kind == 2:
        family, given = given, family
    described: dict[str, Any] = {
        "resourceType": "Patient",
        "name": [{"family": family, "given": [given]}],
        "birthDate": day,
        "gender": patient["gender"],
    }
    if kind < 3:
        described["telecom"] = patient["telecom"]
    return described


async def fill(url: str, patients: Iterator[dict[str, Any]], count: int) -> None:
    connection = await asyncpg.connect(url)
    writer = Writer(NumberBlocks("resource_number"), TextCache())
    try:
        for start in range(0, count, BATCH):
            changes: list[Change] = []
            for offset, patient in enumerate(islice(patients, min(BATCH, count - start))):
                mrn = format_mrn(60_000_000 + start + offset)
                changes.append(
                    change_of(
                        with_mrn(patient, mrn), id=new_id(), method="POST", base_url=BASE, mrn=mrn
                    )
                )
            async with connection.transaction():
                await writer.write(connection, changes, AUTHOR)
                # Nobody takes what is to be sent.
                await connection.execute("DELETE FROM outbox")
    finally:
        await connection.close()


def measure(service: Service, described: list[dict[str, Any]]) -> tuple[list[float], int]:
    """Returns the milliseconds of each call, and how many found somebody."""
    times, found = [], 0
    for resource in described:
        body = {
            "resourceType": "Parameters",
            "parameter": [{"name": "resource", "resource": resource}],
        }
        start = time.perf_counter()
        answer = service.call("POST", "/fhir/R4/Patient/$match", json=body)
        times.append((time.perf_counter() - start) * 1000)
        assert answer.status_code == 200, answer.text[:500]
        found += bool(answer.json()["total"])
    return times, found


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=400)
    arguments = parser.parse_args()
    if not 1_000 <= arguments.patients <= MAX_PATIENTS or not 20 <= arguments.calls <= 100_000:
        parser.error(f"--patients from 1000 to {MAX_PATIENTS}, --calls from 20 to 100000")
    generator = random.Random(7)
    sample = list(islice(people(1), 0, arguments.patients, max(1, arguments.patients // 400)))
    described = [mistyped(generator.choice(sample), generator) for _ in range(arguments.calls)]
    with made_database(open_postgres) as url, open_service(url) as service:
        asyncio.run(fill(url, people(1), arguments.patients))
        measure(service, described[:20])
        times, found = measure(service, described)
    cuts = statistics.quantiles(times, n=100)
    print(f"{arguments.patients} patients, {arguments.calls} calls, {found} found somebody")
    print(f"p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, p99 {cuts[98]:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
