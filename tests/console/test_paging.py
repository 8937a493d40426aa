"""What the console reads page by page is whole, each row once, however much there is."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from apps.console.neighbours.api import Part
from apps.console.neighbours.calls import Answer
from apps.console.screens.money import calls
from apps.console.screens.results import find_observations
from apps.console.screens.timeline import PAGE_SIZE, cut_page, find_read_to, moment_of

DAY = "2026-11-29"


class Books:
    """Billing, with so many rows in each of its lists: as they were made, 100 a page."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def billing(self, name: str, public: str, fields: dict[str, Any]) -> dict[str, Any]:
        if name == "GetAccount":
            return {"accountId": fields["accountId"], "patientId": f"of {fields['accountId']}"}
        begin = int(fields["pageToken"] or 0)
        end = min(begin + int(fields["pageSize"]), self.count)
        rows = [{"number": number, "accountId": str(number)} for number in range(begin, end)]
        names = ("chargeItems", "invoices", "payments", "prices", "reminders")
        return dict.fromkeys(names, rows) | {"nextPageToken": str(end) if end < self.count else ""}


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_lists_of_an_account_are_whole_and_newest_first(count: int) -> None:
    async def read() -> None:
        api: Any = Books(count)
        for find in (calls.find_charges, calls.find_invoices, calls.find_payments):
            found = await find(api, "a")
            assert [each["number"] for each in found] == list(range(count))[::-1]

    asyncio.run(read())


def test_all_open_invoices_are_counted_and_the_oldest_have_their_patients() -> None:
    api: Any = Books(250)
    found = asyncio.run(calls.find_open_invoices(api, DAY))
    assert [each["number"] for each in found] == list(range(250))
    assert [each["patientId"] for each in found[:100]] == [f"of {n}" for n in range(100)]


class Record:
    """The record, which finds what is dated before an instant, newest first, so many at most."""

    def __init__(self, minutes: list[int], most: int) -> None:
        self.entries = [
            {"resourceType": "Observation", "id": str(index), "effectiveDateTime": moment(minute)}
            for index, minute in enumerate(minutes)
        ]
        self.most = most

    def before(self, instant: str) -> list[dict[str, Any]]:
        found = [each for each in self.entries if not instant or moment_of(each) < instant]
        return sorted(found, key=moment_of, reverse=True)[: self.most]

    async def get(self, path: str) -> Answer:
        before = parse_qs(urlsplit(path).query).get("date", [""])[0].removeprefix("lt")
        body = {"entry": [{"resource": each} for each in self.before(before)]}
        return Answer(status=200, body=body, headers={})


def moment(minute: int) -> str:
    return f"2026-05-01T{minute // 60:02d}:{minute % 60:02d}:00Z"


@given(st.lists(st.integers(0, 60), max_size=220))
@example([40] * 90 + [30] * 20)
def test_results_of_one_instant_are_all_there(minutes: list[int]) -> None:
    assume(not any(minutes.count(each) >= 100 for each in minutes))
    record: Any = Record(minutes, most=100)
    found = asyncio.run(find_observations(record, "p", ""))
    assert sorted(each["id"] for each in found) == sorted(each["id"] for each in record.entries)


@given(st.lists(st.integers(0, 40), max_size=150), st.lists(st.integers(0, 40), max_size=150))
@example([10] * 38 + [5] * 6, [])
def test_timeline_of_several_parts_skips_nothing(one: list[int], other: list[int]) -> None:
    records = [Record(minutes, most=PAGE_SIZE + 1) for minutes in (one, other)]
    # No part has more at one instant than is asked for.
    assume(not any(minutes.count(each) > PAGE_SIZE for minutes in (one, other) for each in minutes))
    seen: list[tuple[str, str]] = []
    before = ""
    for _ in range(len(one) + len(other) + 1):
        parts = [Part(value=record.before(before)) for record in records]
        found = [
            {**each, "part": str(number)}
            for number, part in enumerate(parts)
            for each in part.value or []
        ]
        shown, before = cut_page(found, find_read_to(parts, PAGE_SIZE + 1))
        seen += [(each["part"], each["id"]) for each in shown]
        if not before:
            break
    assert sorted(seen) == sorted(
        (str(number), each["id"])
        for number, record in enumerate(records)
        for each in record.entries
    )


def test_problem_stands_where_the_record_finds_it() -> None:
    problem = {"resourceType": "Condition", "onsetDateTime": "2020-03", "recordedDate": DAY}
    assert moment_of(problem) == DAY
    assert moment_of({"resourceType": "Condition", "onsetDateTime": "2020-03"}) == "2020-03"
