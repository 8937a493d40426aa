"""The operations page: each command on it exists, refused rows are shown with their
reasons and settled.
"""

import html
import os
import random
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from apps.catalogue import SERVICES
from apps.kit.context import new_id
from apps.verbs import VERBS
from tests.console.sessions import Visitor

pytestmark = pytest.mark.integration


@contextmanager
def parked_row(service: str) -> Iterator[tuple[int, str]]:
    """Puts a refused row into a service's outbox, behind another one that holds it up; gives its
    id and patient.
    """
    patient_id = new_id()
    url = os.environ[f"PLATFORM_{service.upper()}_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        rows = [
            connection.execute(
                """
                INSERT INTO outbox (destination, patient_id, event_id, payload, request_id,
                    traceparent,
                                    parked, reason, attempts)
                VALUES ('kafka', %s, %s, '', '', '', true, '413 <b>too large</b>', 1) RETURNING
                    id""",
                (patient_id, new_id()),
            ).fetchone()
            for _ in range(2)
        ]
        assert rows[1]
        try:
            yield int(rows[1][0]), patient_id
        finally:
            connection.execute("DELETE FROM outbox WHERE patient_id = %s", (patient_id,))


def parked(admin: httpx.Client, service: str) -> list[Any]:
    path = {"patient": "/api/outbox", "billing": "/billing/v1/outbox"}[service]
    return [str(each["id"]) for each in admin.get(path).raise_for_status().json()["parked"]]


@pytest.mark.parametrize("service", ["patient", "billing"])
@pytest.mark.parametrize("action", ["retry", "discard"])
def test_refused_row_is_shown_and_settled(
    admin: httpx.Client, visitors: dict[str, Visitor], service: str, action: str
) -> None:
    with parked_row(service) as (row, patient_id):
        text = visitors["admin"].get("/operations").text
        assert patient_id in text and "413 &lt;b&gt;too large&lt;/b&gt;" in text
        assert f"outbox {action} {row} --in {service}" in text
        path = f"/operations/outbox/{service}/{row}"
        form = {"csrf": visitors["admin"].csrf, "action": action}
        answer = visitors["admin"].post(path, form)
        assert answer.status_code == 303 and answer.headers["Location"].startswith("/operations?")
        assert str(row) not in parked(admin, service)
        # Settled before: told as such, and nothing else is touched.
        assert visitors["admin"].post(path, form).status_code == 422
        for bad in (f"/operations/outbox/{service}/x", "/operations/outbox/auth/1"):
            assert visitors["admin"].post(bad, form).status_code == 404


@contextmanager
def dead_letter(service: str) -> Iterator[str]:
    """Puts an event that could not be read onto a service's list; gives its id. No topic has
    a record there.
    """
    offset = random.randrange(2**40, 2**50)
    url = os.environ[f"PLATFORM_{service.upper()}_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO dead_letter (topic, partition, record_offset, reason)
            VALUES ('patient', 0, %s, '<b>not_protobuf</b>')""",
            (offset,),
        )
        try:
            yield f"patient:0:{offset}"
        finally:
            # The service's role may not delete.
            connection.execute(
                """
                UPDATE dead_letter SET resolution = 'discarded', note = 'by a test'
                WHERE record_offset = %s AND resolution = ''""",
                (offset,),
            )


@pytest.mark.parametrize("service", ["analytics", "billing"])
def test_event_that_could_not_be_read_is_shown_and_discarded_with_a_reason(
    admin: httpx.Client, visitors: dict[str, Visitor], service: str
) -> None:
    visitor = visitors["admin"]
    with dead_letter(service) as letter:
        text = visitor.get("/operations").text
        assert "&lt;b&gt;not_protobuf&lt;/b&gt;" in text
        assert f"dead-letters redrive {letter} --in {service}" in text
        path = f"/operations/dead-letters/{service}/{letter}"
        form = {"csrf": visitor.csrf, "action": "discard", "reason": ""}
        assert visitor.post(path, form).status_code == 422
        form["reason"] = "by a test"
        answer = visitor.post(path, form)
        assert answer.status_code == 303 and answer.headers["Location"].startswith("/operations?")
        listed = admin.get(f"/{service}/v1/dead-letters").raise_for_status().json()["deadLetters"]
        assert letter not in {each.get("id") or each["deadLetterId"] for each in listed}
        # Settled before: told as such.
        assert visitor.post(path, form).status_code == 422
        for bad in (f"/operations/dead-letters/auth/{letter}", f"{path}x"):
            assert visitor.post(bad, form).status_code in (404, 422)


def test_lag_of_every_consumer_is_shown(visitors: dict[str, Visitor]) -> None:
    text = visitors["admin"].get("/operations/lag").text
    assert len(re.findall(r"1 event waits\.|[0-9] events wait\.", text)) == 2
    for service in ("analytics", "billing"):
        assert f"figures lag --in {service}" in text


def test_every_command_on_the_page_is_a_verb(visitors: dict[str, Visitor]) -> None:
    text = visitors["admin"].get("/operations").text
    commands = re.findall(r"<code>(scripts/operate [^<]*)</code>", text)
    assert len(commands) > 5
    for command in commands:
        _, place, *words = shlex.split(html.unescape(command))
        assert place == "local"
        assert words[0] in VERBS or " ".join(words[:2]) in VERBS, command


def test_every_service_is_shown_with_its_version(visitors: dict[str, Visitor]) -> None:
    text = visitors["admin"].get("/operations").text
    rows = re.findall(r'<th scope="row" data-label="Service">(\w+)</th>.*?</tr>', text)
    assert sorted(rows) == sorted(SERVICES)
    versions = re.findall(r'data-label="Version"><code>([0-9a-f]{12})</code>', text)
    assert len(versions) == len(SERVICES)
