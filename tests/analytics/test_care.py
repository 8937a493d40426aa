"""Figures of care: who is active, what they have, how long they stay."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from protos.patient.v1 import events_pb2 as pb
from tests.analytics.conftest import Bench, clinical_event, patient_event
from tests.analytics.serving import SNOMED, get

pytestmark = pytest.mark.integration


def encounter(patient: str, day: str, hours: float | None = None, **fields: Any) -> pb.PatientEvent:
    """An encounter that began on `day` at noon and, with `hours`, ended."""
    begin = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=UTC)
    event = clinical_event(
        resource_type="Encounter", patient_id=patient, category=fields.pop("kind", "AMB"), **fields
    )
    event.clinical.effective_at.FromDatetime(begin)
    if hours is not None:
        event.clinical.ended_at.FromDatetime(begin + timedelta(hours=hours))
    return event


def person(patient: str, birth_year: int, gender: str) -> pb.PatientEvent:
    return patient_event(
        patient_id=patient, demographics=pb.Demographics(birth_year=birth_year, gender=gender)
    )


async def told(bench: Bench, events: list[pb.PatientEvent]) -> None:
    await bench.publish(*events)
    await bench.wait_for_reading(len(events))


async def test_active_patients_are_new_or_returning(bench: Bench, client: Any) -> None:
    await told(
        bench,
        [
            encounter("a", "2026-01-10"),
            encounter("a", "2026-01-20"),
            encounter("a", "2026-02-10"),
            encounter("b", "2026-02-11"),
            encounter("c", "2026-02-12", status="entered-in-error"),
        ],
    )
    points = (await get(client, "patients/active?interval=month"))["points"]
    assert [(each["active"], each["new"], each["returning"]) for each in points] == [
        (1, 1, 0),
        (2, 1, 1),
    ]
    assert (await get(client, "patients/active?from=2026-02-01"))["points"][0]["new"] == 0


async def test_encounters_by_class_reason_and_length(bench: Bench, client: Any) -> None:
    reason = pb.Coding(system=SNOMED, code="38341003")
    await told(
        bench,
        [
            *(
                encounter(f"p{n}", "2026-01-10", hours=n, kind="IMP", reason=reason)
                for n in range(1, 13)
            ),
            *(encounter(f"q{n}", "2026-01-11", hours=1) for n in range(11)),
            *(encounter(f"r{n}", "2026-01-11", kind="EMER") for n in range(3)),
        ],
    )

    answer = await get(client, "encounters")

    # EMER is too small, and so that nobody subtracts it, AMB is hidden with it.
    assert answer["classes"] == {"groups": [{"class": "IMP", "count": 10}], "suppressed": 2}
    assert answer["reasons"]["groups"] == [
        {"reason": "unknown", "count": 15},
        {"reason": "38341003", "count": 10},
    ]
    assert answer["lengthOfStay"] == [
        {"class": "IMP", "count": 10, "meanHours": 6.5, "medianHours": 6.5},
        {"class": "AMB", "count": 10, "meanHours": 1.0, "medianHours": 1.0},
    ]


@pytest.mark.parametrize(
    ("resource_type", "path", "name"),
    [
        ("MedicationRequest", "medications/top", "medications"),
        ("Procedure", "procedures/top", "procedures"),
        ("Immunization", "immunizations/top", "immunizations"),
    ],
)
async def test_top_codes_of_a_period(
    bench: Bench, client: Any, resource_type: str, path: str, name: str
) -> None:
    code = pb.Coding(system="s", code="often")
    events = [
        clinical_event(resource_type=resource_type, patient_id=f"p{n}", code=code)
        for n in range(12)
    ]
    for event in events:
        event.clinical.effective_at.FromDatetime(datetime(2026, 1, 5, tzinfo=UTC))
    rare = clinical_event(resource_type=resource_type, code=pb.Coding(system="s", code="rare"))
    await told(bench, [*events, rare])

    found = [{"system": "s", "code": "often", "patients": 10}]
    assert (await get(client, path))[name] == found
    assert (await get(client, f"{path}?from=2026-01-01&to=2026-01-31"))[name] == found
    assert (await get(client, f"{path}?from=2026-02-01"))[name] == []


async def test_prevalence_by_age_and_gender_hides_small_cells(bench: Bench, client: Any) -> None:
    year = datetime.now(UTC).year
    people = [
        *(person(f"f{n}", year - 35, "female") for n in range(40)),
        *(person(f"m{n}", year - 35, "male") for n in range(30)),
        *(person(f"o{n}", year - 65, "female") for n in range(25)),
        *(person(f"n{n}", year - 65, "male") for n in range(25)),
    ]
    code = pb.Coding(system=SNOMED, code="44054006")
    ill = [
        *(f"f{n}" for n in range(20)),
        *(f"m{n}" for n in range(15)),
        *(f"o{n}" for n in range(12)),
        *(f"n{n}" for n in range(3)),
    ]
    await told(bench, [*people, *(clinical_event(patient_id=each, code=code) for each in ill)])

    answer = await get(client, f"prevalence?type=Condition&system={SNOMED}&code=44054006")

    assert (answer["patients"], answer["population"]) == (50, 120)
    # 60-69 male has 3 patients: it is hidden, and with it what its row and its column would tell.
    assert answer["groups"] == []
    assert answer["suppressed"] == 4


async def test_immunization_coverage(bench: Bench, client: Any) -> None:
    year = datetime.now(UTC).year
    people = [person(f"p{n}", year - 5, "female") for n in range(24)]
    given = [
        clinical_event(
            resource_type="Immunization",
            patient_id=f"p{n}",
            code=pb.Coding(system="cvx", code="140"),
        )
        for n in range(12)
    ]
    await told(bench, [*people, *given, *given])
    answer = await get(client, "immunizations/coverage?system=cvx&code=140")
    assert answer["groups"] == [
        {"ageGroup": "0-9", "gender": "female", "patients": 10, "population": 24, "share": 0.4167}
    ]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("prevalence?type=Observation&code=x", "invalid_type"),
        ("prevalence?type=Condition", "invalid_code"),
        ("immunizations/coverage", "invalid_code"),
        ("aging?on=tomorrow", "invalid_date"),
        ("billing?timezone=Mars/Olympus", "invalid_timezone"),
        ("billing/revenue?by=moon", "invalid_by"),
        ("conditions/top?limit=0", "invalid_limit"),
    ],
)
async def test_bad_parameter_is_named(client: Any, path: str, code: str) -> None:
    problem = await get(client, path, 400)
    assert [error["code"] for error in problem["errors"]] == [code]


@pytest.mark.parametrize(("ill", "shown"), [(10, None), (11, 10)])
async def test_number_of_patients_is_shown_from_the_smallest_group_on(
    bench: Bench, client: Any, ill: int, shown: int | None
) -> None:
    year = datetime.now(UTC).year
    people = [person(f"p{n}", year - 35, "female") for n in range(20)]
    code = pb.Coding(system=SNOMED, code="44054006")
    facts = [clinical_event(patient_id=f"p{n}", code=code) for n in range(ill)]
    await told(bench, [*people, *facts])
    answer = await get(client, f"prevalence?type=Condition&system={SNOMED}&code=44054006")
    assert (answer["smallestGroup"], answer["patients"]) == (11, shown)
