"""The figures of the record beside a count of the people's files by this file's code alone."""

import asyncio
import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.system.desk import Desk, files, read_bundle
from tests.system.platform import STILL_SECONDS, Platform, settle, until

pytestmark = pytest.mark.system

# Of each file as many people that no figure is hidden (from 11) and a rounded one (by 5) is exact.
COPIES = 15
LOADED_AT_ONCE = 3
# The visits happen when nobody else's do; after 400 years the days of the months are the same.
YEARS_LATER = 400
PERIOD = "from=2300-01-01&to=2499-12-31"
LIMIT_SECONDS = 60.0

TOP = {
    "conditions": ("Condition", "code"),
    "medications": ("MedicationRequest", "medicationCodeableConcept"),
    "procedures": ("Procedure", "code"),
    "immunizations": ("Immunization", "vaccineCode"),
}
TOP_LIMIT = 100


def later(value: Any) -> Any:
    """The same with each date YEARS_LATER."""
    if isinstance(value, dict):
        return {name: later(each) for name, each in value.items()}
    if isinstance(value, list):
        return [later(each) for each in value]
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value):
        return f"{int(value[:4]) + YEARS_LATER}{value[4:]}"
    return value


def in_another_time(bundle: dict[str, Any]) -> dict[str, Any]:
    """The same person, born as before, with a history YEARS_LATER."""
    entries = [
        entry if entry["resource"]["resourceType"] == "Patient" else later(entry)
        for entry in bundle["entry"]
    ]
    return {**bundle, "entry": entries}


def resources(bundle: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == kind and resource.get("status") != "entered-in-error":
            yield resource


def first_code(concept: dict[str, Any] | None) -> tuple[str, str] | None:
    for coding in (concept or {}).get("coding", []):
        return coding.get("system", ""), coding["code"]
    return None


def expected_figures(bundles: Sequence[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    """What the Bundles add to the figures, by figure and group; each holds one patient."""
    figures: Counter[tuple[str, ...]] = Counter()
    codes: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for bundle in bundles:
        (patient,) = resources(bundle, "Patient")
        figures["patients",] += 1
        figures["gender", patient.get("gender", "unknown")] += 1
        years = set()
        for encounter in resources(bundle, "Encounter"):
            start = moment(encounter["period"]["start"])
            years.add(start.year)
            reason = first_code((encounter.get("reasonCode") or [None])[0])
            figures["encounters",] += 1
            figures["encounters", f"{start:%Y-%m}"] += 1
            figures["class", encounter["class"]["code"]] += 1
            figures["reason", reason[1] if reason else "unknown"] += 1
            if "end" in encounter["period"]:
                figures["stay", encounter["class"]["code"]] += 1
        for year in years:
            figures["active", str(year)] += 1
            figures["new" if year == min(years) else "returning", str(year)] += 1
        for name, (kind, element) in TOP.items():
            found = {first_code(each.get(element)) for each in resources(bundle, kind)}
            codes[name].update(code for code in found if code is not None)
    for name, counts in codes.items():
        ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        for (system, code), count in ordered[:TOP_LIMIT]:
            figures[name, system, code] = count
    return figures


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


async def figures_shown(platform: Platform) -> Counter[tuple[str, ...]]:
    """The same figures by analytics."""

    async def ask(path: str) -> Any:
        answer = await platform.call(
            "GET", f"/analytics/v1/{path}", token=await platform.client_token()
        )
        assert answer.status == 200, answer.body
        return answer.body

    figures: Counter[tuple[str, ...]] = Counter()
    figures["patients",] = (await ask("patients"))["patients"]
    people = await ask("demographics")
    assert people["total"] == figures["patients",]
    for each in people["genders"]["groups"]:
        figures["gender", each["gender"]] = each["count"]
    visits = await ask(f"encounters?interval=month&{PERIOD}")
    figures["encounters",] = visits["total"]
    for each in visits["points"]:
        figures["encounters", each["start"][:7]] = each["count"]
    for figure, name in (("class", "classes"), ("reason", "reasons")):
        for each in visits[name]["groups"]:
            figures[figure, each[figure]] = each["count"]
    for each in visits["lengthOfStay"]:
        figures["stay", each["class"]] = each["count"]
    for each in (await ask(f"patients/active?interval=year&{PERIOD}"))["points"]:
        for name in ("active", "new", "returning"):
            figures[name, each["start"][:4]] = each[name]
    for name in TOP:
        for each in (await ask(f"{name}/top?limit={TOP_LIMIT}&{PERIOD}"))[name]:
            figures[name, each["system"], each["code"]] = each["patients"]
    return figures


async def test_figures_of_the_record_agree_with_a_count_of_the_files(platform: Platform) -> None:
    bundles = [in_another_time(read_bundle(path)) for path in files()]
    loaded = [bundle for bundle in bundles for _ in range(COPIES)]
    desk = Desk(platform, "")
    await settle(platform)
    before = await figures_shown(platform)
    expected = comparable(expected_figures(loaded), before)
    for start in range(0, len(loaded), LOADED_AT_ONCE):
        await asyncio.gather(*map(desk.post, loaded[start : start + LOADED_AT_ONCE]))

    async def added() -> Counter[tuple[str, ...]]:
        figures = await figures_shown(platform)
        figures.subtract(before)
        return comparable(figures, before)

    async def agree() -> bool:
        await asyncio.sleep(STILL_SECONDS)
        return await added() == expected

    with contextlib.suppress(TimeoutError):
        await until(agree, LIMIT_SECONDS)
    assert await added() == expected


def comparable(
    figures: Counter[tuple[str, ...]], before: Counter[tuple[str, ...]]
) -> Counter[tuple[str, ...]]:
    """Leaves out the genders that were hidden: by how many they grew is not to be known."""
    return Counter(
        {
            name: count
            for name, count in figures.items()
            if count and (name[0] != "gender" or name in before or not before["patients",])
        }
    )
