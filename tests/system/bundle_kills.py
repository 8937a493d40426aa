"""Kills the patient service and PostgreSQL while transactions are written, and then looks
at each of them.

`python -m tests.system.bundle_kills --kills 50` starts a platform of its own, and ends with status
1 where a Bundle is there in part, where one that was answered is not there, or where history, audit
or events tell anything else.
"""

import argparse
import asyncio
import random
import sys
from collections import defaultdict
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from apps.client.client import open_client
from apps.client.settings import ClientSettings
from apps.kit.broker import BrokerSettings
from apps.kit.context import new_id
from apps.kit.replay import replay
from apps.patient.codec import decode
from apps.patient.storage.bodies import unpack
from protos.patient.v1 import events_pb2 as pb
from tests.system.kills import Stack, disturb, open_stack
from tests.system.kills_load import Desk

VICTIMS = ("patient", "postgres")
WORKERS = 4
OBSERVATIONS = 10
TAG_SYSTEM = "urn:kills"
SETTLE_SECONDS = 60.0

# type/id and version.
Change = tuple[str, int]


@dataclass
class Written:
    """A Bundle that was sent, under one request id. `answered`: the changes that the answer named,
    None without one.
    """

    marker: str
    size: int
    # An audit entry for each.
    actions: list[str]
    answered: set[Change] | None = None


@dataclass
class Found:
    """What stands of one Bundle afterwards."""

    versions: set[Change] = field(default_factory=set)
    events: set[Change] = field(default_factory=set)
    audited: list[str] = field(default_factory=list)


def tagged(resource: dict[str, Any], marker: str) -> dict[str, Any]:
    return {**resource, "meta": {"tag": [{"system": TAG_SYSTEM, "code": marker}]}}


def observation(subject: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "kills"},
        "subject": {"reference": subject},
    }


def entry(method: str, url: str, resource: dict[str, Any], full_url: str) -> dict[str, Any]:
    return {
        "fullUrl": full_url,
        "resource": resource,
        "request": {"method": method, "url": url},
    }


def registration(marker: str) -> dict[str, Any]:
    """Returns a Bundle of a new patient with observations."""
    patient = f"urn:uuid:{new_id()}"
    person = {"resourceType": "Patient", "name": [{"family": "Bundlekills"}]}
    entries = [entry("POST", "Patient", tagged(person, marker), patient)]
    for _ in range(OBSERVATIONS):
        made = tagged(observation(patient), marker)
        entries.append(entry("POST", "Observation", made, f"urn:uuid:{new_id()}"))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def revision(marker: str, patient: str, observations: list[str]) -> dict[str, Any]:
    """Returns a Bundle that changes the patient and the observations and adds another."""
    person = {"resourceType": "Patient", "id": patient.partition("/")[2]}
    entries = [entry("PUT", patient, tagged(person, marker), f"urn:uuid:{new_id()}")]
    for reference in observations:
        changed = {**observation(patient), "id": reference.partition("/")[2], "status": "amended"}
        entries.append(entry("PUT", reference, tagged(changed, marker), f"urn:uuid:{new_id()}"))
    added = tagged(observation(patient), marker)
    entries.append(entry("POST", "Observation", added, f"urn:uuid:{new_id()}"))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def changes_of(answer: dict[str, Any]) -> set[Change]:
    """Returns what a transaction's answer says was made."""
    found = set()
    for item in answer["entry"]:
        reference, _, version = item["response"]["location"].partition("/_history/")
        found.add(("/".join(reference.rsplit("/", 2)[-2:]), int(version)))
    return found


async def work(
    desk: Desk, written: list[Written], done: asyncio.Event, chance: random.Random
) -> None:
    """Sends Bundles until `done`: some once, some under a key until there is an answer."""
    known: list[str] = []
    while not done.is_set():
        marker = new_id()
        if known and chance.random() < 0.6:
            patient = next(name for name in known if name.startswith("Patient/"))
            others = [name for name in known if name != patient][:OBSERVATIONS]
            body, actions = revision(marker, patient, others), ["create", "update"]
        else:
            body, actions = registration(marker), ["create"]
        sent = Written(marker, len(body["entry"]), actions)
        written.append(sent)
        headers = {"X-Request-Id": marker}
        if chance.random() < 0.5:
            answer = await desk.insist("POST", "/fhir/R4", json=body, headers=headers)
        else:
            response = await desk.send("POST", "/fhir/R4", json=body, headers=headers)
            answer = response.body if response is not None and response.status == 200 else None
        if answer is not None:
            sent.answered = changes_of(answer)
            known = [reference for reference, _ in sorted(sent.answered, reverse=True)]
        await asyncio.sleep(0)


async def look(stack: Stack) -> dict[str, Found]:
    """Returns what the database and the topic have of each Bundle, by its request id."""
    found: dict[str, Found] = defaultdict(Found)
    connection = await asyncpg.connect(stack.platform.database_urls["patient"])
    try:
        rows = await connection.fetch(
            """
            SELECT type || '/' || id AS reference, version_id, coalesce(packed, convert_to(body,
                'UTF8')) AS body
            FROM resource UNION ALL
            SELECT type || '/' || id, version_id, coalesce(packed, convert_to(body, 'UTF8'))
            FROM resource_history"""
        )
        for row in rows:
            tags = decode(unpack(row["body"]) or "{}").get("meta", {}).get("tag", ())
            for tag in tags:
                if tag["system"] == TAG_SYSTEM:
                    found[tag["code"]].versions.add((row["reference"], row["version_id"]))
        audited = await connection.fetch(
            "SELECT request_id, action FROM audit_event"
            " WHERE action IN ('create', 'update') ORDER BY action"
        )
        for row in audited:
            found[row["request_id"]].audited.append(row["action"])
        waiting = await connection.fetch("SELECT payload FROM outbox WHERE destination = 'kafka'")
    finally:
        await connection.close()
    payloads = [row["payload"] for row in waiting]
    broker = BrokerSettings(bootstrap_servers=stack.platform.kafka.bootstrap_servers)
    async with aclosing(replay(broker, ["patient"])) as batches:
        async for records in batches:
            payloads += [record.value or b"" for record in records]
    for payload in payloads:
        event = pb.PatientEvent.FromString(payload)
        subject = (
            f"{event.clinical.resource_type}/{event.clinical.resource_id}"
            if event.HasField("clinical")
            else f"Patient/{event.patient_id}"
        )
        found[event.correlation_id].events.add((subject, event.version_id))
    return found


def differences_of(written: list[Written], found: dict[str, Found]) -> list[str]:
    """Says which Bundles are neither wholly there nor wholly absent, or not as they
    were answered.
    """
    differences = []
    for sent in written:
        stands = found.get(sent.marker, Found())
        if len(stands.versions) not in (0, sent.size):
            differences.append(f"{sent.marker}: {len(stands.versions)} of {sent.size} are there")
        if stands.events != stands.versions:
            differences.append(f"{sent.marker}: the events are of others than what is there")
        if stands.audited != (sent.actions if stands.versions else []):
            differences.append(f"{sent.marker}: the audit has {stands.audited}")
        if sent.answered is not None and sent.answered != stands.versions:
            differences.append(f"{sent.marker}: was answered, and is not there so")
    return differences


async def run(stack: Stack, kills: int, seed: int) -> tuple[list[str], list[Written]]:
    """Returns what is not all or nothing after the kills, and what was sent."""
    chance, done = random.Random(seed), asyncio.Event()
    platform = stack.platform
    settings = ClientSettings(
        url=platform.url,
        client_id=platform.accounts.client_id,
        client_secret=platform.accounts.client_secret,
    )
    written: list[Written] = []
    async with open_client(settings=settings) as client:
        workers = [
            asyncio.create_task(work(Desk(client), written, done, random.Random(seed + number)))
            for number in range(WORKERS)
        ]
        try:
            await disturb(stack, kills, chance, VICTIMS)
            await asyncio.sleep(2)
            done.set()
            async with asyncio.timeout(SETTLE_SECONDS):
                await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
    return differences_of(written, await look(stack)), written


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.bundle_kills", description=__doc__
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.kills < 0:
        parser.error("--kills is not below 0")
    with open_stack() as stack:
        found, written = asyncio.run(run(stack, options.kills, options.seed))
        answered = sum(sent.answered is not None for sent in written)
        print(f"{dict(stack.kills)}: {len(written)} Bundles, {answered} answered", flush=True)
    print("\n".join(found) if found else "nothing differs", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
