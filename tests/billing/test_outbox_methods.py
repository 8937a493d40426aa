"""Operators see billing's outbox: what waits, what the broker refused; they send it again
or discard it.
"""

import pytest

from apps.kit.context import new_id
from tests.billing.conftest import Client

pytestmark = pytest.mark.integration


async def refuse(billing: Client) -> tuple[int, str]:
    """Puts a refused event into the outbox; gives its row's id and its patient's."""
    patient_id = new_id()
    async with billing.database.connection() as connection:
        row = await connection.fetchval(
            """
            INSERT INTO outbox (destination, patient_id, event_id, payload, request_id, traceparent,
                                parked, reason, attempts)
            VALUES ('kafka', $1, $2, '', '', '', true, '413 message_too_large', 1) RETURNING id""",
            patient_id,
            new_id(),
        )
    return int(row), patient_id


async def test_refused_row_is_listed_sent_again_and_discarded(billing: Client) -> None:
    (first, patient_id), (second, _) = await refuse(billing), await refuse(billing)
    listed = await billing.do("ListOutbox", "operator")
    shown = {row.id: row for row in listed.parked}
    assert shown.keys() >= {first, second}
    assert (shown[first].patient_id, shown[first].reason) == (patient_id, "413 message_too_large")
    (queue,) = [each for each in listed.queues if each.destination == "kafka"]
    assert queue.parked >= 2

    request_id = new_id()
    for _ in range(2):
        # Repeated, it gives the first answer.
        await billing.do("RetryOutboxRow", "operator", row_id=str(first), request_id=request_id)
    await billing.do("DiscardOutboxRow", "operator", row_id=str(second))
    left = {row.id for row in (await billing.do("ListOutbox", "operator")).parked}
    assert not left & {first, second}
    async with billing.database.connection() as connection:
        found = await connection.fetch(
            "SELECT action, subject FROM audit WHERE document_id = ANY ($1::text[])",
            [str(first), str(second)],
        )
        rows = await connection.fetch("SELECT id, parked FROM outbox WHERE id = $1", first)
        await connection.execute("DELETE FROM outbox WHERE id = $1", first)
    assert sorted(tuple(row) for row in found) == [
        ("outbox_row_discarded", "user-9"),
        ("outbox_row_retried", "user-9"),
    ]
    assert [tuple(row) for row in rows] == [(first, False)]


async def test_unknown_row_is_not_found_and_managers_are_refused(billing: Client) -> None:
    for rpc in ("RetryOutboxRow", "DiscardOutboxRow"):
        for row in ("0", "x", "-1", "9" * 19, ""):
            problem = await billing.refusal(rpc, "operator", row_id=row)
            assert problem.code == "outbox_row_unknown", row
        assert (await billing.refusal(rpc, "manager", row_id="1")).status == 403
    assert (await billing.refusal("ListOutbox", "manager")).status == 403
