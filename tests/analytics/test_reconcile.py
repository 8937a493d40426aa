"""What the figures hold is compared with the topics: nothing differs, unless it was planted."""

import pytest

from apps.analytics.consumer.reconcile import KEYS, reconcile
from apps.analytics.figures.storage import FIGURE_TABLES
from apps.analytics.operate import HANDLERS
from tests.analytics.billing_events import charge, invoice, payment
from tests.analytics.conftest import Bench, clinical_event, patient_event

pytestmark = pytest.mark.integration


async def fill(bench: Bench) -> None:
    patients = [patient_event() for _ in range(3)]
    await bench.publish(*patients, patients[0], clinical_event(), b"\xff")
    await bench.publish_billing(
        charge("charge.added", "2026-03-01", "c", 500),
        invoice("invoice.issued", "2026-03-01", "i", 1, open=500, groups={"visits": (500, 0)}),
        payment("2026-03-02", "p", 300),
    )
    await bench.consume(9)


async def figures_of(bench: Bench) -> list[list[tuple[object, ...]]]:
    return [
        await bench.rows(f"SELECT t::text FROM {table} t ORDER BY 1")  # noqa: S608
        for table in FIGURE_TABLES
    ]


FAULTS = {
    "registration": "UPDATE registration SET count = count - 1",
    "patient": "DELETE FROM patient WHERE patient_id = (SELECT min(patient_id) FROM patient)",
    "fact": "UPDATE fact SET status = 'other'",
    "charge": "UPDATE charge SET net = net + 1",
    "invoice_version": "UPDATE invoice_version SET open = open + 1",
    "revenue": "DELETE FROM revenue",
    "payment": "INSERT INTO payment SELECT payment_id, 'again', patient_id, payer_id, "
    "effective_at, currency,"
    " method, amount FROM payment",
}


def test_every_table_of_figures_is_compared() -> None:
    assert KEYS.keys() == FAULTS.keys() == set(FIGURE_TABLES) - {"seen_event"}


async def test_figures_agree_with_the_topics_and_the_check_changes_nothing(bench: Bench) -> None:
    await fill(bench)
    before = await figures_of(bench)
    assert await reconcile(bench.settings, bench.database) == []
    assert await figures_of(bench) == before
    # No letter is sent again.
    assert len(await bench.dead_letters(1)) == 1
    # Events that nobody has read yet are no difference.
    await bench.publish(patient_event())
    assert await HANDLERS["reconcile"](bench.settings, {}) == []


@pytest.mark.parametrize("table", sorted(FAULTS))
async def test_planted_fault_is_named(bench: Bench, table: str) -> None:
    await fill(bench)
    async with bench.database.transaction() as connection:
        await connection.execute(FAULTS[table])
    differences = await reconcile(bench.settings, bench.database)
    assert {one.subject.split()[0] for one in differences} == {table}
