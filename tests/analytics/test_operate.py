"""What operators do with dead letters and figures."""

from typing import Any

import psycopg
import pytest

from apps.analytics.operate import HANDLERS
from apps.kit.errors import BadRequest, NotFound
from protos.patient.v1 import events_pb2 as pb
from tests.analytics.conftest import Bench, patient_event

pytestmark = pytest.mark.integration


async def run(bench: Bench, verb: str, **values: Any) -> Any:
    return await HANDLERS[verb](bench.settings, values)


async def test_dead_letters_are_listed_and_shown(bench: Bench) -> None:
    await bench.publish(b"\xff not protobuf", patient_event(event_type="patient.renamed"))
    await bench.consume(2)
    listed = await run(bench, "dead-letters list")
    assert sorted(each["reason"] for each in listed) == ["not_protobuf", "unknown_event_type"]
    by_reason = {each["reason"]: each["id"] for each in listed}
    shown = await run(bench, "dead-letters show", id=by_reason["unknown_event_type"])
    assert shown["event"]["event_type"] == "patient.renamed"
    broken = await run(bench, "dead-letters show", id=by_reason["not_protobuf"])
    assert (broken["key"], broken["event"]) == ("key", {"unreadable": "/yBub3QgcHJvdG9idWY="})


@pytest.mark.parametrize("id", ["x", "x:0", "x:0:y", "x:0:0", "x:-1:0", f"x:0:{10**30}"])
async def test_unknown_dead_letter_is_refused(bench: Bench, id: str) -> None:
    with pytest.raises((NotFound, BadRequest)):
        await run(bench, "dead-letters show", id=id)
    with pytest.raises((NotFound, BadRequest)):
        await run(bench, "dead-letters discard", ids=[id])


async def test_letter_that_can_be_read_now_is_counted(
    bench: Bench, analytics_urls: tuple[str, str]
) -> None:
    with psycopg.connect(analytics_urls[1]) as connection:
        connection.execute("ALTER TABLE patient ADD CONSTRAINT odd CHECK (gender <> 'refused')")
    refused = patient_event(demographics=pb.Demographics(gender="refused"))
    await bench.publish(refused, b"poison")
    await bench.consume(2)
    letters = {each["reason"]: each["id"] for each in await run(bench, "dead-letters list")}
    assert await bench.registrations() == 0

    with psycopg.connect(analytics_urls[1]) as connection:
        connection.execute("ALTER TABLE patient DROP CONSTRAINT odd")
    mended = letters["refused_by_database"]
    assert await run(bench, "dead-letters redrive", ids=[mended]) == {"sent again": 1}
    await bench.consume(3)
    assert await bench.registrations() == 1
    left = await run(bench, "dead-letters list")
    assert [each["id"] for each in left] == [letters["not_protobuf"]]
    # What was settled is not sent a second time.
    assert await run(bench, "dead-letters redrive", ids=[mended]) == {"sent again": 0}
    # A rebuild reads both records and comes to the same figure.
    assert await run(bench, "figures rebuild") == {"events read": 3}
    assert await bench.registrations() == 1


async def test_discarded_letter_stays_off_the_list_after_a_rebuild(bench: Bench) -> None:
    await bench.publish(b"poison", patient_event())
    await bench.consume(2)
    discarded = await run(bench, "dead-letters discard", all=True, reason="a test")
    assert discarded == {"discarded": 1}
    await run(bench, "figures rebuild")
    assert await run(bench, "dead-letters list") == []
    assert await bench.rows("SELECT note FROM dead_letter") == [("a test",)]


async def test_lag_is_shown_by_partition(bench: Bench) -> None:
    await bench.publish(patient_event(), patient_event())
    await bench.consume(2)
    assert sum(each["waiting"] for each in await run(bench, "figures lag")) == 0
    await bench.publish(patient_event())
    (behind,) = [each for each in await run(bench, "figures lag") if each["waiting"]]
    assert behind["end"] - behind["next"] == behind["waiting"] == 1
