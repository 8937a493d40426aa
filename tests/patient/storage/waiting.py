"""Holds locks in a test, and tells which calls wait for them."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg

from tests.patient.patient_service import Service, wait_for
from tests.waiting import LOCK_WAITS

DELETE_PATIENT = """
    UPDATE resource SET version_id = version_id + 1, method = 'DELETE', body = NULL
    WHERE type = 'Patient' AND id = %s"""


@contextmanager
def holding(service: Service, statement: str, *arguments: Any) -> Iterator[psycopg.Connection[Any]]:
    """Yields a connection whose transaction has run `statement`; it commits at the end."""
    with psycopg.connect(service.database_url) as connection:
        connection.execute(statement.encode(), arguments)
        yield connection


def started(call: Callable[[], httpx.Response], count: int) -> list[Future[httpx.Response]]:
    pool = ThreadPoolExecutor(count)
    futures = [pool.submit(call) for _ in range(count)]
    pool.shutdown(wait=False)
    return futures


def wait_until_blocked(service: Service, futures: list[Future[httpx.Response]]) -> None:
    """Returns once each call waits for a lock; fails where one is answered before."""

    def all_wait() -> bool:
        answered = [future.result().text for future in futures if future.done()]
        assert not answered, answered
        return len(service.sql(LOCK_WAITS)) == len(futures)

    wait_for(all_wait)


def observation(patient_id: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": f"Patient/{patient_id}"},
        **more,
    }
