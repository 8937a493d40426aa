from collections.abc import Iterator

import pytest

from apps.kit.relay import Relay
from tests.patient.patient_service import Service, open_service


@pytest.fixture(scope="session")
def service(patient_database: str) -> Iterator[Service]:
    with open_service(patient_database) as service:
        yield service


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list that gets the name of each relay that is woken."""
    names: list[str] = []
    wake = Relay.wake

    def noted(self: Relay) -> None:
        names.append(self.name)
        wake(self)

    monkeypatch.setattr(Relay, "wake", noted)
    return names
