"""Bundles among other writers."""

import secrets

import pytest

from tests.patient.patient_service import Service
from tests.patient.storage.conditional_writes import exchange
from tests.patient.storage.waiting import holding, started, wait_until_blocked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_condition_of_an_entry_is_held_until_the_write_is_committed(
    service: Service, kind: str
) -> None:
    value = secrets.token_hex(6)
    # Nobody can write yet: both have looked for a match where nothing keeps the second from it.
    with holding(service, "LOCK TABLE resource IN SHARE MODE"):
        futures = started(lambda: exchange(service, kind, value), 2)
        wait_until_blocked(service, futures)
    answers = [future.result().json()["entry"][0]["response"] for future in futures]
    assert sorted(answer["status"] for answer in answers) == ["200 OK", "201 Created"]
