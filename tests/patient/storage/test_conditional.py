"""Writers under one condition take turns: what the first makes the second finds."""

import secrets
from collections.abc import Callable

import httpx
import pytest

from tests.patient.patient_service import Service
from tests.patient.storage.conditional_writes import body, create, delete, patch, update
from tests.patient.storage.waiting import holding, started, wait_until_blocked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unhurried_pool")]

Send = Callable[[Service, str], httpx.Response]


@pytest.mark.parametrize(
    ("send", "is_there", "statuses"),
    [
        (create, False, [200, 201]),
        (update, False, [200, 201]),
        (patch, True, [200, 200]),
        (delete, True, [204, 204]),
    ],
)
def test_condition_is_held_until_the_write_is_committed(
    service: Service, send: Send, is_there: bool, statuses: list[int]
) -> None:
    value = secrets.token_hex(6)
    if is_there:
        service.create(body(value))
    # Nobody can write yet: both have looked for a match where nothing keeps the second from it.
    with holding(service, "LOCK TABLE resource IN SHARE MODE"):
        futures = started(lambda: send(service, value), 2)
        wait_until_blocked(service, futures)
    assert sorted(future.result().status_code for future in futures) == statuses
