"""Differences of figures: each row by its name, and no more than a bounded number."""

import pytest

from apps.analytics.consumer import reconcile as reconciling
from apps.analytics.consumer.reconcile import reconcile
from tests.analytics.conftest import Bench, patient_event

pytestmark = pytest.mark.integration


async def test_rows_that_are_missing_wrong_and_too_many_are_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = ["a", "b", "c", "d"]
    await bench.publish(*(patient_event(patient_id=id) for id in ids))
    await bench.consume(len(ids))
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE patient SET gender = 'other' WHERE patient_id = 'a'")
        await connection.execute("UPDATE patient SET patient_id = 'bb' WHERE patient_id = 'b'")
        await connection.execute("DELETE FROM patient WHERE patient_id = 'd'")
    differences = await reconcile(bench.settings, bench.database)
    assert [(each.code, each.subject) for each in differences] == [
        ("figure_mismatch", "patient a"),
        ("figure_missing", "patient b"),
        ("figure_unexpected", "patient bb"),
        ("figure_missing", "patient d"),
    ]
    monkeypatch.setattr(reconciling, "MAX_DIFFERENCES", 3)
    assert await reconcile(bench.settings, bench.database) == differences[:3]
    # The check has put nothing right.
    async with bench.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM patient") == 3
