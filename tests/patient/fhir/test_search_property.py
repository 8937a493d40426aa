"""Searches find what a naive filter over all resources finds, whatever leads them and
however they page.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.patient.fhir.resources import observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service

pytestmark = pytest.mark.integration

SYSTEM = "urn:property"
CODES = ("a", "b", "c")
STATUSES = ("final", "amended", "preliminary")
DAYS = tuple(f"2020-0{month}-1{day}" for month in (1, 2) for day in (0, 1, 2))
COUNT = 60

Resource = dict[str, Any]
Check = Callable[[Resource], bool]


@pytest.fixture(scope="module")
def stored(service: Service) -> list[Resource]:
    """Observations of random codes, days, values and states; the same in every run."""
    dice = random.Random(2026)
    people = [service.create(patient())["id"] for _ in range(3)]
    resources = []
    for _ in range(COUNT):
        codings = [
            {"system": SYSTEM, "code": code} for code in dice.sample(CODES, dice.choice((1, 2)))
        ]
        day = dice.choice(DAYS)
        made = observation(
            dice.choice(people),
            status=dice.choice(STATUSES),
            code={"coding": codings},
            category=[{"coding": [{"system": SYSTEM, "code": dice.choice(CODES)}]}],
            effectiveDateTime=dice.choice((day, f"{day}T12:00:00Z", day[:7])),
            valueQuantity={"value": dice.choice((1, 2, 3.5)), "code": "mg", "system": "http://u"},
        )
        if dice.random() < 0.3:
            del made["valueQuantity"]
        resources.append(service.create(made))
    return resources


def span(text: str) -> tuple[datetime, datetime]:
    """Returns from when up to when a date is, by the clock."""
    if "T" in text:
        start = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return start, start + timedelta(seconds=1)
    if len(text) == 7:
        start = datetime(int(text[:4]), int(text[5:]), 1, tzinfo=UTC)
        return start, (start + timedelta(days=31)).replace(day=1)
    start = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return start, start + timedelta(days=1)


def date_test(prefix: str, text: str) -> Check:
    start, end = span(text)

    def test(resource: Resource) -> bool:
        low, high = span(resource["effectiveDateTime"])
        return {
            "": low >= start and high <= end,
            "eq": low >= start and high <= end,
            "ne": not (low >= start and high <= end),
            "ge": high > start,
            "gt": high > end,
            "le": low < end,
            "lt": low < start,
            "sa": low >= end,
            "eb": high <= start,
            "po": low < end and high > start,
            "co": low <= start and high >= end,
        }[prefix]

    return test


def codes_of(resource: Resource, name: str) -> set[str]:
    concepts = resource[name] if isinstance(resource[name], list) else [resource[name]]
    return {coding["code"] for concept in concepts for coding in concept["coding"]}


def value_test(prefix: str, number: float) -> Check:
    def test(resource: Resource) -> bool:
        value = resource.get("valueQuantity", {}).get("value")
        if value is None:
            return False
        return bool({"gt": value > number, "le": value <= number, "": value == number}[prefix])

    return test


@st.composite
def criteria(draw: st.DrawFn) -> tuple[str, Check]:
    kind = draw(st.sampled_from(("code", "not", "status", "category", "date", "value", "missing")))
    if kind in ("code", "not", "category"):
        wanted = draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=2, unique=True))
        name = "category" if kind == "category" else "code"
        values = ",".join(draw(st.sampled_from((code, f"{SYSTEM}|{code}"))) for code in wanted)
        if kind == "not":
            return f"code:not={values}", lambda r: not codes_of(r, "code") & set(wanted)
        return f"{name}={values}", lambda r: bool(codes_of(r, name) & set(wanted))
    if kind == "status":
        status = draw(st.sampled_from(STATUSES))
        return f"status={status}", lambda r: bool(r["status"] == status)
    if kind == "date":
        prefix = draw(st.sampled_from(("", "ne", "ge", "gt", "le", "lt", "sa", "eb")))
        text = draw(st.sampled_from((*DAYS, "2020-01", "2020-02")))
        return f"date={prefix}{text}", date_test(prefix, text)
    if kind == "value":
        prefix = draw(st.sampled_from(("gt", "le")))
        number = draw(st.sampled_from((1, 2, 3)))
        return f"value-quantity={prefix}{number}", value_test(prefix, number)
    missing = draw(st.booleans())
    return (
        f"value-quantity:missing={str(missing).lower()}",
        lambda r: ("valueQuantity" not in r) is missing,
    )


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, Check]:
    """One comparison of a `_filter`."""
    kind = draw(st.sampled_from(("code", "category", "status", "date", "value", "present")))
    if kind in ("code", "category"):
        wanted, operator = draw(st.sampled_from(CODES)), draw(st.sampled_from(("eq", "ne")))
        value = draw(st.sampled_from((wanted, wanted.upper(), f"{SYSTEM}|{wanted}")))
        if operator == "eq":
            return f"{kind} eq {value}", lambda r: wanted in codes_of(r, kind)
        return f"{kind} ne {value}", lambda r: bool(codes_of(r, kind) - {wanted})
    if kind == "status":
        status = draw(st.sampled_from(STATUSES))
        if draw(st.booleans()):
            return f"status eq {status}", lambda r: bool(r["status"] == status)
        return f"status ne {status}", lambda r: bool(r["status"] != status)
    if kind == "date":
        operator = draw(
            st.sampled_from(("eq", "ne", "ge", "gt", "le", "lt", "sa", "eb", "po", "co"))
        )
        text = draw(st.sampled_from((*DAYS, "2020-01")))
        return f"date {operator} {text}", date_test(operator, text)
    if kind == "value":
        operator = draw(st.sampled_from(("gt", "le")))
        number = draw(st.sampled_from((1, 2, 3)))
        return f"value-quantity {operator} {number}", value_test(operator, number)
    there = draw(st.booleans())
    return (
        f"value-quantity pr {str(there).lower()}",
        lambda r: ("valueQuantity" in r) is there,
    )


def _joined(parts: list[tuple[str, Check]], words: list[str]) -> tuple[str, Check]:
    text, check = parts[0]
    for (other_text, other), word in zip(parts[1:], words, strict=False):
        text = f"{text} {word} {other_text}"
        check = _both(check, other) if word == "and" else _either(check, other)
    return text, check


def _both(first: Check, second: Check) -> Check:
    return lambda r: first(r) and second(r)


def _either(first: Check, second: Check) -> Check:
    return lambda r: first(r) or second(r)


def _negated(check: Check) -> Check:
    return lambda r: not check(r)


@st.composite
def filters(draw: st.DrawFn) -> tuple[str, Check]:
    """A `_filter`: comparisons joined from left to right, some in parentheses, some negated."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        inner = draw(st.lists(comparisons(), min_size=1, max_size=2))
        text, check = _joined(inner, [draw(st.sampled_from(("and", "or")))])
        form = draw(st.sampled_from(("plain", "group", "not")))
        if form == "not":
            parts.append((f"not ({text})", _negated(check)))
        elif form == "group" or len(inner) > 1:
            parts.append((f"({text})", check))
        else:
            parts.append((text, check))
    words = draw(st.lists(st.sampled_from(("and", "or")), min_size=2, max_size=2))
    text, check = _joined(parts, words)
    return f"_filter={text}", check


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    asked=st.lists(st.one_of(criteria(), filters()), min_size=1, max_size=4),
    count=st.sampled_from((7, 100)),
    sort=st.sampled_from(("", "date", "-date", "-value-quantity", "_lastUpdated")),
)
def test_search_finds_what_a_naive_filter_finds(
    service: Service,
    stored: list[Resource],
    asked: list[tuple[str, Check]],
    count: int,
    sort: str,
) -> None:
    expected = {r["id"] for r in stored if all(test(r) for _, test in asked)}
    query = "&".join(quote(text, safe="=&:,|()") for text, _ in asked)
    base = f"/fhir/R4/Observation?category={SYSTEM}|&{query}"
    url = f"{base}&_count={count}{f'&_sort={sort}' if sort else ''}"

    seen: list[str] = []
    while url:
        answer = service.call("GET", url)
        assert answer.status_code == 200, f"{url}: {answer.text}"
        seen += [entry["resource"]["id"] for entry in answer.json().get("entry", ())]
        links = {link["relation"]: link["url"] for link in answer.json()["link"]}
        url = links.get("next", "").removeprefix(PUBLIC_URL)

    assert len(seen) == len(set(seen)), query
    assert set(seen) == expected, query
    if sort in ("date", "-date"):
        days = {r["id"]: span(r["effectiveDateTime"])[0] for r in stored}
        ordered = sorted((days[id] for id in seen), reverse=sort == "-date")
        assert [days[id] for id in seen] == ordered
    total = service.call("GET", f"{base}&_summary=count").json()["total"]
    assert total == len(expected)
