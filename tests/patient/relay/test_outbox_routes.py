"""Operators see what waits and what was refused, send it again or discard it."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from apps.kit.errors import NotFound, Unprocessable
from apps.patient.relay.outbox_routes import row_of
from tests.patient.patient_service import FakeBilling, Service, open_service, principal, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def refused(make_database: Any) -> Iterator[tuple[Service, str]]:
    """A service whose billing refused the first account, and the id of the row."""
    with (
        make_database("patient") as (url, _),
        open_service(url, FakeBilling(1, Unprocessable("patient_not_acceptable"))) as service,
    ):
        service.verifier.principals["operator"] = principal("admin")
        service.register()
        wait_for(lambda: service.readiness()["degraded"] == ["outbox_billing_parked"])
        (row,) = outbox(service)["parked"]
        yield service, row["id"]


def outbox(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.call("GET", "/api/outbox", by="operator").json()
    return found


def test_refused_row_is_shown_with_its_reason_and_sent_again(
    refused: tuple[Service, str],
) -> None:
    service, row = refused
    found = outbox(service)
    assert found["parked"][0]["reason"].startswith("422 patient_not_acceptable")
    (queue,) = [each for each in found["queues"] if each["destination"] == "billing"]
    assert (queue["waiting"], queue["parked"], queue["oldestAt"]) == (0, 1, None)
    assert service.call("POST", f"/api/outbox/{row}/retry", by="operator").status_code == 204
    wait_for(lambda: len(service.billing.patients()) == 1)
    assert service.call("POST", f"/api/outbox/{row}/retry", by="operator").status_code == 404


def test_discarded_row_is_gone(refused: tuple[Service, str]) -> None:
    service, row = refused
    assert service.call("POST", f"/api/outbox/{row}/discard", by="operator").status_code == 204
    assert outbox(service)["parked"] == [] and service.billing.patients() == []


@pytest.mark.parametrize("row", ["0", "x", "1" * 40, "-1"])
def test_unknown_row_is_not_found_and_no_other_is_touched(
    refused: tuple[Service, str], row: str
) -> None:
    service, _ = refused
    for action in ("retry", "discard"):
        answer = service.call("POST", f"/api/outbox/{row}/{action}", by="operator")
        assert answer.status_code == 404
    assert len(outbox(service)["parked"]) == 1


def test_number_of_a_row_is_one_that_the_database_takes() -> None:
    def numbered(text: str) -> Request:
        return Request({"type": "http", "path_params": {"id": text}})

    for text in ("0", "7", "9" * 18):
        assert row_of(numbered(text)) == int(text)
    for text in ("", "x", "-1", "²", "9" * 19):
        with pytest.raises(NotFound):
            row_of(numbered(text))


def test_only_an_administrator_sees_the_outbox(refused: tuple[Service, str]) -> None:
    service, row = refused
    assert service.call("GET", "/api/outbox").status_code == 403
    for action in ("retry", "discard"):
        assert service.call("POST", f"/api/outbox/{row}/{action}").status_code == 403
    assert len(outbox(service)["parked"]) == 1
