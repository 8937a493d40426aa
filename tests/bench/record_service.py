"""The patient service in a process of its own, and what it and its PostgreSQL use: Linux's /proc tells."""

import multiprocessing
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from tests.patient.patient_service import (
    FakeBilling,
    FakePublisher,
    FakeVerifier,
    Service,
    open_service,
)

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
SEED = 1
# What a mixed load does, in percent.
MIX = {"create": 10, "read": 60, "update": 25, "delete": 5}


class Forgetful(FakePublisher):
    """Takes events and keeps none."""

    async def publish(self, messages: Any) -> None:
        return


def _serve(database_url: str, pipe: Connection) -> None:
    with open_service(database_url, publisher=Forgetful()) as service:
        pipe.send(service.url)
        pipe.recv()


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
    """Returns the numbers of /proc/PID/stat behind the state (proc(5)); none for a process that has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]


@contextmanager
def measured_service(database_url: str) -> Iterator[Measured]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(database_url, theirs), daemon=True)
    process.start()
    try:
        with httpx.Client(timeout=30) as client:
            service = Service(
                url=ours.recv(),
                database_url=database_url,
                verifier=FakeVerifier(),
                billing=FakeBilling(),
                publisher=FakePublisher(),
                client=client,
            )
            (backend,) = service.sql("SELECT pg_backend_pid(), pg_sleep(0)")[0][:1]
            assert process.pid
            yield Measured(
                service=service, pid=process.pid, postmaster=_parent_of(service, backend)
            )
    finally:
        ours.send("stop")
        process.join(timeout=30)


def _parent_of(service: Service, backend: int) -> int:
    """Returns the server's process: the parent of a backend that is still there."""
    pids = [
        row[0] for row in service.sql("SELECT pid FROM pg_stat_activity WHERE pid <> $1", backend)
    ]
    return next(fields[1] for pid in pids if (fields := _fields(str(pid))))


def measure_mix(measured: Measured, patient_id: str, count: int) -> float:
    """Returns the requests a core would answer in a second: creates, reads, updates and deletes."""
    chance = random.Random(SEED)
    service, path = measured.service, "/fhir/R4/Observation"

    def observation(id: str = "") -> dict[str, Any]:
        return {
            "resourceType": "Observation",
            **({"id": id} if id else {}),
            "status": "final",
            "category": [{"coding": [{"system": "urn:bench", "code": "vital-signs"}]}],
            "code": {
                "coding": [{"system": "http://loinc.org", "code": "8302-2"}],
                "text": "Height",
            },
            "subject": {"reference": f"Patient/{patient_id}"},
            "effectiveDateTime": "2024-03-10T09:30:00Z",
            "valueQuantity": {
                "value": chance.randint(150, 200),
                "unit": "cm",
                "system": "http://unitsofmeasure.org",
                "code": "cm",
            },
        }

    ids = [service.create(observation())["id"] for _ in range(50)]
    start = measured.cpu_ms()
    for name in chance.choices([*MIX], [*MIX.values()], k=count):
        place = chance.randrange(len(ids))
        one = f"{path}/{ids[place]}"
        match name:
            case "create":
                ids.append(service.create(observation())["id"])
                continue
            case "read":
                answer = service.call("GET", one)
            case "update":
                answer = service.call("PUT", one, json=observation(ids[place]))
            case _:
                answer = service.call("DELETE", f"{path}/{ids.pop(place)}")
        assert answer.is_success, f"{name}: {answer.text[:300]}"
    return count * 1000 / (measured.cpu_ms() - start)
