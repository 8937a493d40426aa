"""The record at size: import, bytes a resource, and each search of a list, on a
database of its own.

Resources are made from Synthea's people (`--people FOLDER`), again and again under other names. The
first are sent as transactions, which gives the rate of import; the rest are written straight to the
tables, which is faster. Searches are measured at 20,000 resources and again at the size that is
asked for: the ratio tells whether they stay flat.
"""

import argparse
import asyncio
import copy
import gzip
import json
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from apps.kit.context import new_id
from apps.patient.fhir.bundles.parsing import Entry
from apps.patient.fhir.bundles.references import mentions_of, resolve
from apps.patient.storage.mrn import format_mrn, with_mrn
from apps.patient.storage.numbers import NumberBlocks
from apps.patient.storage.versions import Author, Change, change_of
from apps.patient.storage.writing import TextCache, Writer
from infrastructure.local.postgres import open_postgres
from tests.bench.arguments import make_parser
from tests.bench.record_database import made_database
from tests.bench.record_service import Measured, measure_mix, measured_service
from tests.patient.patient_service import PUBLIC_URL, Service

BASE = f"{PUBLIC_URL}/fhir/R4"
MAX_RESOURCES = 2_000_000
SMALL = 20_000
WARM_RUNS = 5
RUNS = 100
WARM_IMPORT = 1_000
IMPORTED = 5_000
MIXED = 3_000
PAGES = 1_000
LAST_PAGES = 9
FIRST_BIRTHDAY = date(1930, 1, 1)
BIRTHDAYS = 33_000
AUTHOR = Author("bench", "bench", "bench", "")
# (name, query), each with as many entries on its first page at SMALL resources as at a million,
# because more take longer. {patient}, {family}, {birth}, {identifier} are one person's.
SEARCHES = (
    ("read", "Patient/{patient}"),
    ("patient by family", "Patient?family={family}"),
    ("patient by name, two words", "Patient?name={given} {family}"),
    ("patient by birth date", "Patient?birthdate={birth}"),
    ("patient by identifier", "Patient?identifier={identifier}"),
    ("patients by gender", "Patient?gender=female"),
    ("observations of a patient", "Observation?patient={patient}"),
    ("of a patient by code", "Observation?patient={patient}&code=http://loinc.org|8302-2"),
    ("of a patient by date", "Observation?patient={patient}&date=ge2020"),
    ("of a patient, newest first", "Observation?patient={patient}&_sort=-date"),
    ("observations by code", "Observation?code=http://loinc.org|8302-2"),
    ("observations by date", "Observation?date=ge2020"),
    ("observations by code and date", "Observation?code=8302-2&date=ge2021"),
    ("observations by value", "Observation?code-value-quantity=8302-2$gt180"),
    ("observations, newest first", "Observation?_sort=-date"),
    ("conditions by code", "Condition?code=http://snomed.info/sct|314529007"),
    ("conditions by status", "Condition?clinical-status=active"),
    ("encounters by date", "Encounter?date=2021"),
    ("chain to a name", "Observation?patient.family={family}"),
    ("patients with a condition", "Patient?_has:Condition:patient:code=314529007&gender=female"),
    ("encounters with their patient", "Encounter?date=2021&_include=Encounter:subject"),
)

DEEP = ("Observation?code=8302-2", "Observation?date=ge2020", "Observation?_sort=-date")


def read_people(folder: Path) -> list[list[dict[str, Any]]]:
    files = sorted(folder.glob("*.json.gz"))
    if not files:
        raise SystemExit(f"no *.json.gz in {folder}")
    people = [json.loads(gzip.decompress(path.read_bytes()))["entry"] for path in files]
    return [entries for entries in people if any(_is_patient(item) for item in entries)]


def _is_patient(item: dict[str, Any]) -> bool:
    return bool(item["resource"]["resourceType"] == "Patient")


def renamed(entries: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Returns a person's entries under another name, identifier and birthday."""
    copied = copy.deepcopy(entries)
    for item in copied:
        if _is_patient(item):
            person = item["resource"]
            person["identifier"] = [{"system": "urn:bench", "value": f"person-{number}"}]
            for name in person["name"]:
                name["family"] = f"{name['family']}{number}"
            # Nobody else's: 37 and BIRTHDAYS have no common divisor.
            born = FIRST_BIRTHDAY + timedelta(days=number * 37 % BIRTHDAYS)
            person["birthDate"] = born.isoformat()
    return copied


def changes_of(entries: list[dict[str, Any]], number: int) -> list[Change]:
    ids = {item["fullUrl"]: (item["resource"]["resourceType"], new_id()) for item in entries}
    targets = {url: f"{kind}/{id}" for url, (kind, id) in ids.items()}
    conditional = _Everything()
    changes = []
    for index, item in enumerate(entries):
        resource = item["resource"]
        entry = Entry(
            index=index,
            method="POST",
            full_url=item["fullUrl"],
            path=(),
            pairs=[],
            resource=resource,
        )
        resolve(entry, mentions_of(resource, targets), targets, conditional)
        mrn = None
        if resource["resourceType"] == "Patient":
            mrn = format_mrn(50_000_000 + number)
            resource = with_mrn(resource, mrn)
        id = ids[item["fullUrl"]][1]
        changes.append(change_of(resource, id=id, method="POST", base_url=BASE, mrn=mrn))
    return changes


class _Everything(dict[str, Any]):
    """Every conditional reference leads to nobody who is here."""

    def get(self, key: str, default: Any = None) -> Any:
        if "?identifier=" not in key:
            return default
        system, _, value = key.partition("?identifier=")[2].partition("|")
        return {"identifier": {"system": system, "value": value}}


async def write_straight(
    url: str, people: Iterator[tuple[int, list[dict[str, Any]]]], count: int
) -> None:
    connection = await asyncpg.connect(url)
    writer = Writer(NumberBlocks("resource_number"), TextCache())
    written = 0
    try:
        while written < count:
            number, entries = next(people)
            changes = changes_of(renamed(entries, number), number)
            async with connection.transaction():
                await writer.write(connection, changes, AUTHOR)
                # Nobody takes what is to be sent.
                await connection.execute("DELETE FROM outbox")
            written += len(changes)
    finally:
        await connection.close()


def endless(people: list[list[dict[str, Any]]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    number = 0
    while True:
        yield number, people[number % len(people)]
        number += 1


def measure_import(
    measured: Measured, people: Iterator[tuple[int, list[dict[str, Any]]]], count: int
) -> tuple[int, float, float]:
    """Returns how many resources were sent as transactions, the seconds, and the CPU time
    in milliseconds.
    """
    sent, seconds, cpu_ms = 0, 0.0, measured.cpu_ms()
    while sent < count:
        number, entries = next(people)
        body = {"resourceType": "Bundle", "type": "transaction", "entry": renamed(entries, number)}
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/fhir+json"}
        start = time.perf_counter()
        answer = measured.service.call("POST", "/fhir/R4", content=content, headers=headers)
        seconds += time.perf_counter() - start
        assert answer.status_code == 200, answer.text[:500]
        sent += len(entries)
    return sent, seconds, measured.cpu_ms() - cpu_ms


def print_import(measured: Measured, people: Iterator[tuple[int, list[dict[str, Any]]]]) -> int:
    sent, seconds, cpu_ms = measure_import(measured, people, IMPORTED)
    rate = f"{sent / seconds:.0f} resources/s, {cpu_ms / sent:.3f} CPU-ms a resource"
    print(f"import by transaction: {rate} with PostgreSQL", flush=True)
    return sent


def measure_searches(service: Service) -> dict[str, tuple[float, float, int]]:
    person = known_person(service)
    return {name: measure_search(service, query.format(**person)) for name, query in SEARCHES}


def measure_search(service: Service, query: str) -> tuple[float, float, int]:
    """Returns p50 and p99 in milliseconds and the size of the page."""
    times = []
    size = 0
    for run in range(WARM_RUNS + RUNS):
        start = time.perf_counter()
        answer = service.call("GET", f"/fhir/R4/{query}")
        if run >= WARM_RUNS:
            times.append((time.perf_counter() - start) * 1000)
        assert answer.status_code == 200, f"{query}: {answer.text[:300]}"
        size = len(answer.json().get("entry", (0,)))
    ordered = sorted(times)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99) - 1], size


def deep_page(service: Service, query: str, pages: int) -> float:
    """Returns the milliseconds of pages far behind the first: the median of the last ones."""
    url, times = f"/fhir/R4/{query}&_count=20", []
    for _ in range(pages):
        start = time.perf_counter()
        bundle = service.call("GET", url).json()
        times.append((time.perf_counter() - start) * 1000)
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        if "next" not in links:
            break
        url = links["next"].removeprefix(PUBLIC_URL)
    return statistics.median(times[-LAST_PAGES:])


def known_person(service: Service) -> dict[str, str]:
    middle = "SELECT id FROM resource WHERE type = 'Patient' ORDER BY number DESC OFFSET 2 LIMIT 1"
    id = service.sql(middle)[0]["id"]
    person = service.call("GET", f"/fhir/R4/Patient/{id}").json()
    return {
        "patient": id,
        "family": person["name"][0]["family"],
        "given": person["name"][0]["given"][0],
        "birth": person["birthDate"],
        "identifier": f"urn:bench|{person['identifier'][0]['value']}",
    }


def bytes_a_resource(service: Service) -> float:
    rows = service.sql(
        "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c"
        " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> "
        "'outbox'"
    )
    count = service.sql("SELECT count(*) FROM resource")[0][0]
    return float(rows[0][0]) / int(count)


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--resources", type=int, default=20_000)
    parser.add_argument("--people", type=Path, required=True, help="a folder of Synthea's Bundles")
    arguments = parser.parse_args()
    if not 1_000 <= arguments.resources <= MAX_RESOURCES:
        parser.error(f"--resources: from 1000 to {MAX_RESOURCES}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    people = endless(read_people(arguments.people))
    small = min(arguments.resources, SMALL)
    with made_database(open_postgres) as url, measured_service(url) as measured:
        service = measured.service
        measure_import(measured, people, WARM_IMPORT)
        written = WARM_IMPORT + print_import(measured, people)
        asyncio.run(write_straight(url, people, max(small - written, 0)))
        # Reads add entries to the audit.
        size = bytes_a_resource(service)
        before = measure_searches(service)
        if arguments.resources > small:
            asyncio.run(write_straight(url, people, arguments.resources - small))
            print_import(measured, people)
            size = bytes_a_resource(service)
        print(f"{size:.0f} bytes a resource with all indexes")
        print(f"{'search':34} {'p50 ms':>8} {'p99 ms':>8} {'entries':>8} {'of p50 at':>9} {small}")
        for name, (p50, p99, entries) in measure_searches(service).items():
            ratio = p50 / before[name][0]
            print(f"{name:34} {p50:8.1f} {p99:8.1f} {entries:8} {ratio:9.2f}", flush=True)
        for query in DEEP:
            first, last = (deep_page(service, query, pages) for pages in (1, PAGES))
            print(f"page {PAGES} of {query}: {last:.1f} ms, the first {first:.1f} ms", flush=True)
        mix = measure_mix(measured, known_person(service)["patient"], MIXED)
        print(f"create, read, update, delete 10/60/25/5: {mix:.0f} requests/s a core")
        print(f"memory of the service: {measured.memory_mib():.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
