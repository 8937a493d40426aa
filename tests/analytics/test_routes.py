from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from apps.analytics.app import Neighbours
from apps.kit.broker import BrokerSettings
from apps.kit.database import DatabaseSettings, open_database
from protos.patient.v1 import events_pb2 as pb
from tests.analytics.conftest import ENVIRONMENT, Bench, clinical_event, patient_event
from tests.analytics.serving import ANALYST, SNOMED, FakeVerifier, get, serving

pytestmark = pytest.mark.integration


def at(text: str, **fields: Any) -> pb.PatientEvent:
    event = patient_event(**fields)
    event.occurred_at.FromDatetime(datetime.fromisoformat(text).replace(tzinfo=UTC))
    return event


async def test_registrations_by_interval(bench: Bench, client: httpx.AsyncClient) -> None:
    times = (
        "2026-01-31T23:59:59",
        "2026-02-01T00:00:00",
        "2026-02-01T10:30:00",
        "2026-02-09T12:00:00",
    )
    await bench.publish(*(at(time) for time in times))
    await bench.wait_for_reading(4)
    expected = {
        "hour": [
            ("2026-01-31T23", 1),
            ("2026-02-01T00", 1),
            ("2026-02-01T10", 1),
            ("2026-02-09T12", 1),
        ],
        "day": [("2026-01-31T00", 1), ("2026-02-01T00", 2), ("2026-02-09T00", 1)],
        # Weeks begin on Monday.
        "week": [("2026-01-26T00", 3), ("2026-02-09T00", 1)],
        "month": [("2026-01-01T00", 1), ("2026-02-01T00", 3)],
    }
    for interval, points in expected.items():
        assert await get(client, f"registrations?interval={interval}") == {
            "interval": interval,
            "timezone": "UTC",
            "from": f"{points[0][0]}:00:00Z",
            "to": None,
            "total": 4,
            "points": [{"start": f"{start}:00:00Z", "count": count} for start, count in points],
        }
    assert await get(client, "registrations") == await get(client, "registrations?interval=day")


async def test_registrations_of_a_period(bench: Bench, client: httpx.AsyncClient) -> None:
    await bench.publish(*(at(f"2026-02-0{day}T12:00:00") for day in range(1, 6)))
    await bench.wait_for_reading(5)
    answer = await get(client, "registrations?from=2026-02-02&to=2026-02-04")
    assert (answer["from"], answer["to"], answer["total"]) == (
        "2026-02-02T00:00:00Z",
        "2026-02-05T00:00:00Z",
        3,
    )
    answer = await get(
        client, "registrations?from=2026-02-02T13:00:00%2B01:00&to=2026-02-04T12:00:00Z"
    )
    assert (answer["from"], answer["to"], answer["total"]) == (
        "2026-02-02T12:00:00Z",
        "2026-02-04T12:00:00Z",
        2,
    )


async def test_no_registration_is_no_point(client: httpx.AsyncClient) -> None:
    answer = await get(client, "registrations")
    assert answer == {
        "interval": "day",
        "timezone": "UTC",
        "from": None,
        "to": None,
        "total": 0,
        "points": [],
    }


async def test_too_many_points_are_refused(bench: Bench, client: httpx.AsyncClient) -> None:
    async with bench.database.connection() as connection:
        await connection.execute(
            "INSERT INTO registration SELECT timestamptz 'epoch' + hour * interval '1 hour', 1"
            " FROM generate_series(1, 5001) AS hour"
        )
    problem = await get(client, "registrations?interval=hour", 422)
    assert problem["errors"][0]["pointer"] == "interval"
    assert (await get(client, "registrations?interval=day"))["total"] == 5001


@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ("interval=century", 400, "interval"),
        ("from=yesterday", 400, "from"),
        ("from=2026-02-30", 400, "from"),
        ("to=2026-01-01T00:00:00", 400, "to"),
        ("to=9999-12-31", 400, "to"),
        ("from=2026-02-02&to=2026-02-01", 422, "to"),
        ("intervall=day", 400, "intervall"),
        ("interval=day&interval=week", 400, "interval"),
    ],
)
async def test_bad_parameter_is_named(
    client: httpx.AsyncClient, query: str, status: int, pointer: str
) -> None:
    problem = await get(client, f"registrations?{query}", status)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_demographics_hide_small_groups(bench: Bench, client: httpx.AsyncClient) -> None:
    year = datetime.now(UTC).year

    def born(age: int, gender: str, prefix: str) -> pb.PatientEvent:
        return patient_event(
            demographics=pb.Demographics(birth_year=year - age, gender=gender, postal_prefix=prefix)
        )

    events = [born(35, "female", "021") for _ in range(15)] + [
        born(95, "male", "022") for _ in range(12)
    ]
    await bench.publish(*events, *(born(5, "other", "023") for _ in range(3)))
    await bench.publish(
        patient_event("patient.deleted", patient_id=events[0].patient_id, version_id=2)
    )
    await bench.wait_for_reading(31)
    answer = await get(client, "demographics")
    assert (answer["total"], answer["smallestGroup"]) == (29, 11)
    # The three others alone could be worked out from the total, so the next group is
    # hidden with them.
    assert answer["genders"] == {"groups": [{"gender": "female", "count": 14}], "suppressed": 2}
    assert answer["ageGroups"] == {"groups": [{"ageGroup": "30-39", "count": 14}], "suppressed": 2}
    assert answer["postalPrefixes"] == {
        "groups": [{"postalPrefix": "021", "count": 14}],
        "suppressed": 2,
    }


async def test_top_conditions_count_patients_and_hide_rare_ones(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    def condition(code: str, patient: int) -> pb.PatientEvent:
        return clinical_event(code=pb.Coding(system=SNOMED, code=code), patient_id=f"p{patient}")

    often = [condition("44054006", patient) for patient in range(12)]
    oftener = [condition("38341003", patient) for patient in range(13)]
    again, rare = condition("44054006", 1), [condition("1", patient) for patient in range(10)]
    await bench.publish(*often, *oftener, again, *rare)
    await bench.wait_for_reading(36)
    answer = await get(client, "conditions/top")
    top = [
        {"system": SNOMED, "code": "38341003", "patients": 15},
        {"system": SNOMED, "code": "44054006", "patients": 10},
    ]
    assert answer == {"smallestGroup": 11, "conditions": top}
    assert (await get(client, "conditions/top?limit=1"))["conditions"] == top[:1]
    for limit in ("0", "101", "ten", "-1"):
        assert (await get(client, f"conditions/top?limit={limit}", 400))["errors"][0][
            "pointer"
        ] == "limit"


async def test_encounters_by_time_and_class(bench: Bench, client: httpx.AsyncClient) -> None:
    def encounter(day: int, kind: str) -> pb.PatientEvent:
        event = clinical_event(resource_type="Encounter", category=kind)
        event.clinical.effective_at.FromDatetime(datetime(2026, 5, day, 8, 30, tzinfo=UTC))
        return event

    await bench.publish(
        *(encounter(1, "AMB") for _ in range(12)), *(encounter(2, "EMER") for _ in range(11))
    )
    await bench.wait_for_reading(23)
    answer = await get(client, "encounters?from=2026-05-01")
    assert answer["points"] == [
        {"start": "2026-05-01T00:00:00Z", "count": 12},
        {"start": "2026-05-02T00:00:00Z", "count": 11},
    ]
    assert answer["classes"]["groups"] == [
        {"class": "AMB", "count": 10},
        {"class": "EMER", "count": 10},
    ]


async def test_lag_is_told(bench: Bench, client: httpx.AsyncClient) -> None:
    await bench.publish(patient_event())
    await bench.wait_for_reading(1)
    answer = await get(client, "lag")
    assert (answer["lag"], answer["deadLetters"], len(answer["partitions"])) == (0, 0, 6)
    assert sum(partition["nextOffset"] for partition in answer["partitions"]) == 1


async def test_figures_are_for_those_with_the_scope(client: httpx.AsyncClient) -> None:
    for path in ("registrations", "demographics", "conditions/top", "encounters", "lag"):
        assert (await client.get(f"/analytics/v1/{path}")).status_code == 401
        for token, status in (("forged", 401), ("clinician", 403)):
            headers = {"Authorization": f"Bearer {token}"}
            assert (
                await client.get(f"/analytics/v1/{path}", headers=headers)
            ).status_code == status


async def test_ready_with_everything(bench: Bench, client: httpx.AsyncClient) -> None:
    await bench.publish(patient_event())
    await bench.wait_for_reading(1)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ok", "failed": [], "degraded": [], "version": ""},
    )


async def test_without_kafka_it_is_degraded_and_the_figures_are_served(bench: Bench) -> None:
    settings = replace(bench.settings, broker=BrokerSettings("127.0.0.1:1"))
    async with serving(
        settings, Neighbours(FakeVerifier(), bench.database, bench.producer)
    ) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["degraded"]) == (200, ["kafka"])
        assert (await get(client, "registrations"))["total"] == 0
        await get(client, "lag", 503)


async def test_without_its_database_it_is_not_ready_but_alive(bench: Bench) -> None:
    async with open_database(DatabaseSettings(ENVIRONMENT["ANALYTICS_DATABASE_URL"])) as database:
        async with serving(
            bench.settings, Neighbours(FakeVerifier(), database, bench.producer)
        ) as client:
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["failed"]) == (503, ["database"])
            assert (await client.get("/livez")).status_code == 200
            problem = await client.get("/analytics/v1/registrations", headers=ANALYST)
            assert (problem.status_code, problem.json()["code"]) == (503, "database_unavailable")


async def test_without_keys_it_is_not_ready(bench: Bench) -> None:
    verifier = FakeVerifier()
    verifier.has_keys = False
    async with serving(
        bench.settings, Neighbours(verifier, bench.database, bench.producer)
    ) as client:
        assert (await client.get("/readyz")).json()["failed"] == ["keys"]
