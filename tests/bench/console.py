"""Each page of the console with many patients in the record: the time until a page is complete,
through the gateway.

Starts a platform of its own, writes the patients straight to the tables, and makes the demo's
clinic by the API. Each page is asked for by one person, one after the other.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from apps.kit.context import new_id
from apps.patient.storage.mrn import format_mrn, with_mrn
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.versions import Change, change_of
from apps.patient.storage.writing import TextCache, Writer
from tests.bench.arguments import make_parser
from tests.bench.record import AUTHOR
from tests.console.sessions import Visitor, admin_client, make_users, sign_in

ROOT = Path(__file__).parents[2]
BATCH = 500
MAX_PATIENTS = 1_000_000
RUNS = 40
WARM_RUNS = 5
MAX_P95_MS = 100.0
DEMO = "urn:patient-management:demo"
SYLLABLES = (
    "ba",
    "co",
    "di",
    "fe",
    "ga",
    "hu",
    "ja",
    "ki",
    "lo",
    "mu",
    "na",
    "pe",
    "ri",
    "so",
    "tu",
)


def word(number: int, length: int) -> str:
    """Makes a name of syllables: the same number gives the same name."""
    parts = []
    for _ in range(length):
        number, rest = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[rest])
    return "".join(parts).capitalize()


def make_patients(count: int) -> Iterator[Change]:
    """Makes people with names, birth dates, telephone numbers and addresses, as many
    as a region has.
    """
    for number in range(count):
        mrn = format_mrn(50_000_000 + number)
        patient = {
            "resourceType": "Patient",
            "active": True,
            "name": [
                {
                    "use": "official",
                    "family": word(number, 4),
                    "given": [word(number * 7 % 3375, 3)],
                }
            ],
            "gender": ("female", "male")[number % 2],
            "birthDate": f"{1930 + number % 90}-{1 + number % 12:02d}-{1 + number % 28:02d}",
            "telecom": [{"system": "phone", "value": f"+34 6{number:08d}"}],
            "address": [{"city": word(number % 200, 3), "postalCode": f"{number % 50000:05d}"}],
        }
        base = os.environ["PLATFORM_URL"] + "/fhir/R4"
        yield change_of(with_mrn(patient, mrn), id=new_id(), method="POST", base_url=base, mrn=mrn)


async def write_patients(count: int) -> None:
    """Writes them in batches, without events."""
    connection = await asyncpg.connect(os.environ["PLATFORM_PATIENT_DATABASE_URL"])
    writer = Writer(NumberBlocks("resource_number"), TextCache())
    changes = make_patients(count)
    try:
        for _ in range(0, count, BATCH):
            async with connection.transaction():
                some = [change for change, _ in zip(changes, range(BATCH), strict=False)]
                await writer.write(connection, some, AUTHOR)
                await connection.execute("DELETE FROM outbox")
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def find_id(http: Any, path: str) -> str:
    """Gives the id of the first resource that a search finds."""
    return str(http.get(f"/fhir/R4/{path}").raise_for_status().json()["entry"][0]["resource"]["id"])


def pages_of(patient: str, paying: str, observation: str, condition: str) -> dict[str, str]:
    """Gives the pages of staff by name; those with `POST` first are searches by form."""
    chart = f"/patients/{patient}"
    return {
        "home": "/",
        "patients": "/patients",
        "patients by name": "POST /patients q=Bacodife",
        "patients by two words": "POST /patients q=Bacodife Bacodi",
        "patients with a slip": "POST /patients q=Bacodifx",
        "patients by birth date": "POST /patients q=1950-09-21",
        "register": "/patients/new",
        "similar while typing": "POST /patients/similar family=Bacodife&birth_date=1930-01-01",
        "chart": chart,
        "timeline": f"{chart}/timeline",
        "results": f"{chart}/results",
        "result": f"{chart}/results/{observation}",
        "entry": f"{chart}/entries/Condition/{condition}",
        "summary": f"{chart}/summary",
        "edit": f"{chart}/edit",
        "write": f"{chart}/write/condition",
        "money": f"/patients/{paying}/money",
        "statement": f"/patients/{paying}/money/statement",
        "divide a payment": f"/patients/{paying}/money/allocate",
        "coverages": f"/patients/{paying}/money/coverages",
        "cash desk": "/cash-desk",
        "reminders": "/reminders",
        "write-offs": "/write-offs",
        "figures": "/figures",
        "people": "/administration",
        "audit": "/administration/audit",
        "prices": "/administration/prices",
        "settings": "/administration/settings",
        "operations": "/operations",
    }


OWN_PAGES = {
    "my record": "/my",
    "my results": "/my/results",
    "my bills": "/my/bills",
    "who opened": "/my/accesses",
}


def ask(visitor: Visitor, csrf: str, what: str) -> float:
    """Asks for a page, and gives the milliseconds until it is complete."""
    path, _, form = what.removeprefix("POST ").partition(" ")
    start = time.perf_counter()
    if what.startswith("POST "):
        fields = dict(pair.split("=", 1) for pair in form.split("&"))
        answer = visitor.post(path, {"csrf": csrf, **fields})
    else:
        answer = visitor.get(path)
    assert answer.status_code == 200, f"{what}: {answer.status_code}"
    return (time.perf_counter() - start) * 1000


def measure(visitor: Visitor, name: str, what: str) -> float:
    """Prints p50 and p95 of a page, and gives the p95 in milliseconds."""
    csrf = visitor.csrf
    for _ in range(WARM_RUNS):
        ask(visitor, csrf, what)
    times = sorted(ask(visitor, csrf, what) for _ in range(RUNS))
    p95 = times[int(len(times) * 0.95) - 1]
    print(f"{name:24} {times[len(times) // 2]:8.1f} {p95:8.1f}", flush=True)
    return p95


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--patients", type=int, default=100_000)
    arguments = parser.parse_args()
    if not 0 <= arguments.patients <= MAX_PATIENTS:
        parser.error(f"--patients: from 0 to {MAX_PATIENTS}")
    if "PLATFORM_URL" not in os.environ:
        up = [ROOT / "scripts" / "up", "--run", sys.executable, "-m", "tests.bench.console"]
        return subprocess.run([*map(str, up), *sys.argv[1:]], check=False).returncode
    asyncio.run(write_patients(arguments.patients))
    subprocess.run([str(ROOT / "scripts" / "demo")], check=True, stdout=subprocess.DEVNULL)
    with closing(admin_client()) as http:
        patient, paying = (find_id(http, f"Patient?identifier={DEMO}|{each}") for each in (8, 4))
        observation = find_id(http, f"Observation?patient={patient}&code=4548-4&_count=1")
        condition = find_id(http, f"Condition?patient={patient}&_count=1")
        emails = make_users(
            http, [{"roles": ["admin"]}, {"roles": ["patient"], "patientId": paying}]
        )
    admin, own = (sign_in(each) for each in emails)
    print(f"{'page':24} {'p50 ms':>8} {'p95 ms':>8}")
    slow = [
        name
        for visitor, pages in (
            (admin, pages_of(patient, paying, observation, condition)),
            (own, OWN_PAGES),
        )
        for name, what in pages.items()
        if measure(visitor, name, what) > MAX_P95_MS
    ]
    print(f"over {MAX_P95_MS:.0f} ms: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
