"""Where one age ends and the next begins, and what is no length of stay."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.analytics.billing_events import invoice
from tests.analytics.conftest import Bench, clinical_event
from tests.analytics.serving import get

pytestmark = pytest.mark.integration


async def test_ages_begin_and_end_on_their_days(bench: Bench, client: Any) -> None:
    due = date(2026, 3, 31)
    await bench.publish_billing(invoice("invoice.issued", "2026-03-01", "i", 1, open=100))
    await bench.wait_for_reading(1)

    async def age_after(days: int) -> str:
        (age,) = (await get(client, f"aging?on={due + timedelta(days=days)}"))["ages"]
        assert (age["invoices"], age["amount"]) == (1, 100)
        return str(age["age"])

    found = [await age_after(days) for days in (0, 1, 30, 31, 60, 61, 90, 91)]
    assert found == [
        *("not_due", "1-30", "1-30", "31-60", "31-60", "61-90", "61-90", "over_90"),
    ]


async def test_encounter_that_ends_before_it_begins_has_no_length(
    bench: Bench, client: Any
) -> None:
    begin = datetime(2026, 3, 1, 8, tzinfo=UTC)
    events = []
    for hours in (*[2] * 12, -48):
        event = clinical_event(resource_type="Encounter", category="AMB")
        event.clinical.effective_at.FromDatetime(begin)
        event.clinical.ended_at.FromDatetime(begin + timedelta(hours=hours))
        events.append(event)
    await bench.publish(*events)
    await bench.wait_for_reading(len(events))
    answer = await get(client, "encounters?from=2026-03-01&to=2026-03-31")
    assert [stay["meanHours"] for stay in answer["lengthOfStay"]] == [2.0]
