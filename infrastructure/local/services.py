"""The services as processes: started at once, awaited by readiness, started again if one dies."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps.catalogue import SECRETS, SERVICES, Service, environment
from apps.kit.probe import probe_grpc, probe_http
from infrastructure.ecs.image_source import source_digest, version_of
from infrastructure.local.home import ROOT
from infrastructure.local.locate import LocalLocate
from infrastructure.local.output import Output
from infrastructure.local.process import POLL_SECONDS, Process, StartError

READY_SECONDS = 40.0
WATCH_SECONDS = 0.3
# As an orchestrator does: a service that dies is started again, but not for ever.
MOST_RESTARTS = 20


@dataclass
class Services:
    """Starts, watches and stops the services' processes."""

    locate: LocalLocate
    secrets: Mapping[str, str]
    output: Output
    keep_open: Sequence[int]
    pids: Path
    processes: dict[str, Process] = field(default_factory=dict)
    restarts: int = 0

    def environment_of(self, entry: Service) -> dict[str, str]:
        """Returns the service's environment, its secrets among it."""
        return {
            **passed_on(os.environ),
            **environment(entry, self.locate),
            **{name: self.secret(name) for name in entry.secrets},
            "PYTHONUNBUFFERED": "1",
            "SERVICE_VERSION": version_of(source_digest(entry.name)),
        }

    def secret(self, name: str) -> str:
        """Returns the secret; an operator's may come from this process's environment."""
        own = os.environ.get(name) if not SECRETS[name].bytes else None
        return own or self.secrets[name]

    def start(self, entry: Service) -> None:
        self.processes[entry.name] = Process(
            entry.name,
            [sys.executable, "-m", f"apps.{entry.name}"],
            environment=self.environment_of(entry),
            directory=ROOT,
            write=self.output.log_of(entry.name),
            stop_seconds=entry.stop_seconds,
            keep_open=self.keep_open,
        )
        self.write_pids()

    def write_pids(self) -> None:
        """Writes the pid of each service, for tests that kill one:
        a restarted service has another.
        """
        unfinished = self.pids.with_suffix(".part")
        unfinished.write_text(
            json.dumps({name: process.pid for name, process in self.processes.items()})
        )
        unfinished.rename(self.pids)

    def wait_ready(self) -> None:
        """Waits until every service is ready. Raises StartError if one ends or takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        waiting = dict(SERVICES)
        while waiting:
            for entry in list(waiting.values()):
                self.processes[entry.name].check()
                if is_ready(entry, self.locate.ports[entry.name]):
                    del waiting[entry.name]
                    self.output.progress(f"{entry.name} is ready")
            if waiting and time.monotonic() > deadline:
                name = next(iter(waiting))
                raise StartError(f"{name} was not ready within {READY_SECONDS:g} s: see its log")
            time.sleep(POLL_SECONDS)

    def watch(self, check: Callable[[], None], until: Callable[[], bool] = lambda: False) -> None:
        """Restarts services that end; `check` raises StartError if PostgreSQL or Kafka has
        ended.
        """
        while not until():
            check()
            for name, process in self.processes.items():
                if process.status is not None:
                    self.restarts += 1
                    if self.restarts > MOST_RESTARTS:
                        process.check()
                    self.output.progress(
                        f"{name} ended with status {process.status}; it is started again"
                    )
                    self.start(SERVICES[name])
            time.sleep(WATCH_SECONDS)

    def stop(self) -> None:
        for process in self.processes.values():
            process.signal_stop()
        for process in self.processes.values():
            process.stop()


@contextlib.contextmanager
def open_services(
    locate: LocalLocate,
    secrets: Mapping[str, str],
    output: Output,
    keep_open: Sequence[int],
    pids: Path,
) -> Iterator[Services]:
    """Starts all services at once, none waiting for another, and stops them at the end.

    Raises StartError.
    """
    services = Services(locate, secrets, output, keep_open, pids)
    for name in SERVICES:
        if not (ROOT / "apps" / name / "__main__.py").exists():
            raise StartError(
                f"the service {name} cannot be started: there is no apps/{name}/__main__.py"
            )
    try:
        for entry in SERVICES.values():
            services.start(entry)
        yield services
    finally:
        services.stop()


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns what a service gets of the user's environment: nothing that could configure it by
    accident.
    """
    return {
        name: environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG", "TZ") if name in environ
    }


def is_ready(entry: Service, port: int) -> bool:
    if entry.protocol == "grpc":
        return probe_grpc(f"127.0.0.1:{port}")
    return probe_http(f"http://127.0.0.1:{port}{entry.readiness.path}")
