"""The patient service in a process of its own, and what it and its PostgreSQL use:
Linux's /proc tells.
"""

import asyncio
import multiprocessing
import os
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from apps.catalogue import SERVICES
from apps.kit.database import open_database
from apps.kit.http_server import serve_http
from apps.kit.start import run_service
from apps.patient.app import create_app
from apps.patient.settings import Settings
from apps.patient.storage.planner import PLANNER_SETTINGS
from tests.patient.patient_service import (
    FakeBilling,
    FakePublisher,
    FakeVerifier,
    Service,
    make_settings,
    wait_for,
)
from tests.ports import free_port

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 16
# What a mixed load does, in percent.
MIX = {"create": 10, "read": 60, "update": 25, "delete": 5}


class Forgetful(FakePublisher):
    """Takes events and keeps none."""

    async def publish(self, messages: Any) -> None:
        return


def _serve(database_url: str, port: int) -> None:
    """Runs the service as its own process does, without the services beside it."""
    settings = make_settings(database_url, port)

    async def serve(settings: Settings, stop: asyncio.Event) -> None:
        async with open_database(settings.database, PLANNER_SETTINGS) as database:
            app = create_app(
                settings,
                database=database,
                verifier=FakeVerifier(),
                billing=FakeBilling(),
                publisher=Forgetful(),
            )
            server = SERVICES["patient"].server
            await serve_http(app, settings.host, settings.port, stop, server=server)

    with open(os.devnull, "w") as nowhere:
        # Its log would stand between the figures.
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    run_service(settings, serve)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A service that answers, the id of its process and that of the process of PostgreSQL."""

    service: Service
    pid: int
    postmaster: int

    def cpu_ms(self) -> float:
        """Returns the CPU time of the service and of PostgreSQL so far, in milliseconds."""
        ticks = sum(_fields(str(self.pid))[11:13])
        for entry in os.listdir("/proc"):
            fields = _fields(entry) if entry.isdigit() else []
            if fields and self.postmaster in (int(entry), fields[1]):
                # Of the postmaster also what its ended children had used.
                ticks += sum(fields[11 : 15 if int(entry) == self.postmaster else 13])
        return ticks * 1000 / TICKS_A_SECOND

    def memory_mib(self) -> float:
        """Returns the resident memory of the service in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


def _fields(pid: str) -> list[int]:
    """Returns the numbers of /proc/PID/stat behind the state (proc(5)); none for a process
    that has ended.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]


@contextmanager
def measured_service(database_url: str) -> Iterator[Measured]:
    port = free_port()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(database_url, port), daemon=True)
    process.start()
    try:
        with httpx.Client(timeout=30) as client:
            service = Service(
                url=f"http://127.0.0.1:{port}",
                database_url=database_url,
                verifier=FakeVerifier(),
                billing=FakeBilling(),
                publisher=FakePublisher(),
                client=client,
            )
            wait_for(service.is_ready)
            (backend,) = service.sql("SELECT pg_backend_pid(), pg_sleep(0)")[0][:1]
            assert process.pid
            yield Measured(
                service=service, pid=process.pid, postmaster=_parent_of(service, backend)
            )
    finally:
        process.terminate()
        process.join(timeout=30)


def _parent_of(service: Service, backend: int) -> int:
    """Returns the server's process: the parent of a backend that is still there."""
    pids = [
        row[0] for row in service.sql("SELECT pid FROM pg_stat_activity WHERE pid <> $1", backend)
    ]
    return next(fields[1] for pid in pids if (fields := _fields(str(pid))))


def measure_mix(measured: Measured, patient_id: str, count: int) -> float:
    """Returns the requests a core would answer in a second: creates, reads, updates and deletes.

    They come on CONNECTIONS connections, each with resources of its own.
    """
    service = measured.service
    observations = [
        [service.create(observation(patient_id))["id"] for _ in range(8)]
        for _ in range(CONNECTIONS)
    ]
    start = measured.cpu_ms()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        share = count // CONNECTIONS
        for done in [
            pool.submit(change_observations, service, patient_id, ids, number, share)
            for number, ids in enumerate(observations)
        ]:
            done.result()
    return share * CONNECTIONS * 1000 / (measured.cpu_ms() - start)


def change_observations(
    service: Service, patient_id: str, ids: list[str], seed: int, count: int
) -> None:
    """Sends `count` requests of MIX, chosen by `seed`, about the Observations `ids`."""
    chance = random.Random(seed)
    path = "/fhir/R4/Observation"
    for name in chance.choices([*MIX], [*MIX.values()], k=count):
        place = chance.randrange(len(ids))
        one = f"{path}/{ids[place]}"
        body = observation(patient_id, chance.randint(150, 200))
        match name:
            case "create":
                ids.append(service.create(body)["id"])
                continue
            case "read":
                answer = service.call("GET", one)
            case "update":
                answer = service.call("PUT", one, json={**body, "id": ids[place]})
            case _ if len(ids) > 1:
                answer = service.call("DELETE", f"{path}/{ids.pop(place)}")
            case _:
                continue
        assert answer.is_success, f"{name}: {answer.text[:300]}"


def observation(patient_id: str, height_cm: int = 170) -> dict[str, Any]:
    """Returns an Observation of somebody's height."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": "urn:bench", "code": "vital-signs"}]}],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "8302-2"}],
            "text": "Height",
        },
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectiveDateTime": "2024-03-10T09:30:00Z",
        "valueQuantity": {
            "value": height_cm,
            "unit": "cm",
            "system": "http://unitsofmeasure.org",
            "code": "cm",
        },
    }
