from typing import Any

import pytest

from apps.auth.audit import MAX_FIELD_CHARS, Event, insert_audit
from apps.auth.cleanup import BATCH_ROWS
from apps.kit.context import new_id

pytestmark = pytest.mark.integration


async def test_what_a_caller_sent_is_cut_and_cleaned(connection: Any) -> None:
    text = "a\0b\ud800" + "x" * 5_000
    await insert_audit(connection, Event("test", "failure", text, subject=text))
    row = await connection.fetchrow("SELECT reason, subject FROM audit WHERE event = 'test'")
    assert row["reason"] == row["subject"]
    assert row["subject"].startswith("ab?x") and len(row["subject"]) == MAX_FIELD_CHARS - 1


@pytest.mark.parametrize(
    ("days", "outcome", "actor", "is_kept"),
    [
        (89, "failure", "", True),
        (91, "failure", "", False),
        (91, "failure", "somebody", True),
        (91, "success", "", True),
        (6 * 365, "success", "somebody", True),
        (6 * 365 + 3, "success", "somebody", False),
    ],
)
async def test_entries_have_their_time(
    connection: Any, days: int, outcome: str, actor: str, is_kept: bool
) -> None:
    id = new_id()
    await connection.execute(
        "INSERT INTO audit (id, event, outcome, actor_id, occurred_at) "
        "VALUES ($1, 'test', $2, $3, now() - make_interval(days => $4))",
        id,
        outcome,
        actor,
        days,
    )
    await connection.fetchval("SELECT delete_old_audit($1)", BATCH_ROWS)
    assert bool(await connection.fetchval("SELECT true FROM audit WHERE id = $1", id)) == is_kept
