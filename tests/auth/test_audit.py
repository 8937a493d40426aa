from typing import Any

import pytest

from apps.auth.audit import MAX_FIELD_CHARS, Event, insert_audit

pytestmark = pytest.mark.integration


async def test_what_a_caller_sent_is_cut_and_cleaned(connection: Any) -> None:
    text = "a\0b\ud800" + "x" * 5_000
    await insert_audit(connection, Event("test", "failure", text, subject=text))
    row = await connection.fetchrow("SELECT reason, subject FROM audit WHERE event = 'test'")
    assert row["reason"] == row["subject"]
    assert row["subject"].startswith("ab?x") and len(row["subject"]) <= MAX_FIELD_CHARS
