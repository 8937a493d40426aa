"""What a platform on this machine tells its services, its command and other commands."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.catalogue import DATABASES, SERVICES
from infrastructure.local import platform as module
from infrastructure.local import services as running
from infrastructure.local.accounts import Accounts
from infrastructure.local.home import Home
from infrastructure.local.locate import LocalLocate
from infrastructure.local.platform import Platform, choose_ports
from infrastructure.local.process import StartError
from infrastructure.local.services import Services, open_services, passed_on
from infrastructure.local.state import State

PORTS = {name: 20_000 + number for number, name in enumerate(SERVICES)}
URLS = {name: f"postgresql://{name}@127.0.0.1/{name}" for name in DATABASES}
SECRETS = dict.fromkeys((name for entry in SERVICES.values() for name in entry.secrets), "made")


@pytest.fixture
def services(tmp_path: Path) -> Services:
    output: Any = SimpleNamespace(log_of=lambda name: lambda line: None)
    locate = LocalLocate(
        ports=PORTS,
        public_url="http://127.0.0.1:20000",
        database_urls=URLS,
        bootstrap_servers="127.0.0.1:9092",
        overrides={},
    )
    return Services(locate, SECRETS, output, (), tmp_path / "pids.json")


@pytest.fixture
def platform(services: Services, tmp_path: Path) -> Platform:
    postgres: Any = SimpleNamespace(admin_url="postgresql://admin@127.0.0.1/platform")
    kafka: Any = SimpleNamespace(bootstrap_servers="127.0.0.1:9092")
    return Platform(
        postgres=postgres,
        kafka=kafka,
        services=services,
        accounts=Accounts(user="u", password="p", client_id="c", client_secret="s"),
        ports=PORTS,
        database_urls=URLS,
        secrets={"PATIENT_CLIENT_SECRET": "made"},
        home=Home(tmp_path, tmp_path / "logs", lock=-1),
    )


def test_command_finds_the_platform_by_its_environment(platform: Platform, tmp_path: Path) -> None:
    found = platform.environment()
    billing = found["PLATFORM_BILLING_TARGET"]
    assert (found["PLATFORM_USER"], found["PLATFORM_PASSWORD"]) == ("u", "p")
    assert (found["PLATFORM_CLIENT_ID"], found["PLATFORM_CLIENT_SECRET"]) == ("c", "s")
    assert found["PLATFORM_URL"] == f"http://127.0.0.1:{PORTS['gateway']}"
    assert found["PLATFORM_PATIENT_URL"] == f"http://127.0.0.1:{PORTS['patient']}"
    assert billing == f"127.0.0.1:{PORTS['billing']}"
    assert found["PLATFORM_PATIENT_DATABASE_URL"] == URLS["patient"]
    assert found["PLATFORM_PATIENT_CLIENT_SECRET"] == "made"
    assert found["PLATFORM_STATE"] == str(tmp_path / "state.json")


def test_other_commands_find_it_by_its_state(platform: Platform, tmp_path: Path) -> None:
    state = platform.state()
    assert isinstance(state, State)
    assert state.secrets_file == str(tmp_path.resolve() / "secrets.json")
    assert set(state.environments) == set(state.targets) == set(SERVICES)
    assert state.targets["billing"] == f"127.0.0.1:{PORTS['billing']}"
    assert state.environments["patient"]["PORT"] == str(PORTS["patient"])
    assert state.environments["patient"]["PATIENT_CLIENT_SECRET"] == "made"
    assert (state.user, state.client_id, state.kafka) == ("u", "c", "127.0.0.1:9092")


def test_operators_secret_comes_from_the_callers_environment_and_a_made_one_never(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AUTH_SMTP_URL", "PATIENT_CLIENT_SECRET"):
        monkeypatch.setenv(name, "own")
    assert services.secret("AUTH_SMTP_URL") == "own"
    assert services.secret("PATIENT_CLIENT_SECRET") == "made"
    monkeypatch.delenv("AUTH_SMTP_URL")
    assert services.secret("AUTH_SMTP_URL") == "made"


def test_service_gets_nothing_of_the_callers_environment_that_could_configure_it() -> None:
    environ = {"PATH": "/bin", "HOME": "/root", "PORT": "1", "PATIENT_CLIENT_SECRET": "x"}
    assert passed_on(environ) == {"PATH": "/bin", "HOME": "/root"}


def test_ports_of_the_catalogue_are_taken_where_they_are_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = SERVICES["patient"].port
    monkeypatch.setattr(module, "port_error", lambda port: OSError() if port == taken else None)
    ports = choose_ports(public_port=None, throwaway=False)
    for entry in SERVICES.values():
        assert (ports[entry.name] == entry.port) == (entry.name != "patient")
    assert choose_ports(public_port=81, throwaway=True)["gateway"] == 81


def test_throwaway_platform_has_free_ports_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([20_001, 20_001, *range(20_002, 20_100)])
    monkeypatch.setattr(module, "free_port", lambda: next(drawn))
    ports = choose_ports(public_port=None, throwaway=True)
    assert sorted(ports.values()) == [20_001 + number for number in range(len(SERVICES))]


def test_services_are_stopped_where_one_cannot_be_started(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    class Started:
        pid = 7

        def __init__(self, name: str, command: list[str], **_: Any) -> None:
            if name == "billing":
                raise StartError("no room")
            self.name = name

        def signal_stop(self) -> None:
            pass

        def stop(self) -> None:
            stopped.append(self.name)

    monkeypatch.setattr(running, "Process", Started)
    given = (services.locate, SECRETS, services.output, (), services.pids)
    with pytest.raises(StartError, match="no room"), open_services(*given):
        pass
    before = list(SERVICES)[: list(SERVICES).index("billing")]
    assert stopped == before
    assert json.loads(services.pids.read_text()) == dict.fromkeys(before, 7)


def test_service_that_has_no_program_is_named(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(SERVICES["patient"], name="nobody")
    monkeypatch.setattr(running, "SERVICES", {"nobody": entry})
    given = (services.locate, SECRETS, services.output, (), services.pids)
    with pytest.raises(StartError, match="nobody cannot be started"), open_services(*given):
        pass
    assert not os.path.exists(services.pids)


def test_readiness_is_asked_in_the_services_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def probe(target: str) -> bool:
        asked.append(target)
        return target.endswith(":7")

    monkeypatch.setattr(running, "probe_grpc", probe)
    monkeypatch.setattr(running, "probe_http", probe)
    assert running.is_ready(SERVICES["billing"], 7)
    assert not running.is_ready(SERVICES["patient"], 8)
    assert asked == ["127.0.0.1:7", "http://127.0.0.1:8/readyz"]
