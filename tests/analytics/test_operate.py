"""What operators do with dead letters and figures."""

from typing import Any

import psycopg
import pytest

from apps.analytics.operate import HANDLERS
from apps.kit.errors import NotFound
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
async def test_unknown_dead_letter_is_not_found(bench: Bench, id: str) -> None:
    with pytest.raises(NotFound):
        await run(bench, "dead-letters show", id=id)


async def test_letter_that_can_be_read_now_is_counted_once(
    bench: Bench, analytics_urls: tuple[str, str]
) -> None:
    with psycopg.connect(analytics_urls[1]) as connection:
        connection.execute("ALTER TABLE patient ADD CONSTRAINT odd CHECK (gender <> 'refused')")
    refused = patient_event(demographics=pb.Demographics(gender="refused"))
    await bench.publish(refused, b"poison")
    await bench.consume(2)
    letters = {each["reason"]: each["id"] for each in await run(bench, "dead-letters list")}
    assert await bench.registrations() == 0

    again = await run(bench, "dead-letters redrive", all=True)
    assert sorted(each["outcome"] for each in again) == ["not_protobuf", "refused_by_database"]

    with psycopg.connect(analytics_urls[1]) as connection:
        connection.execute("ALTER TABLE patient DROP CONSTRAINT odd")
    mended = letters["refused_by_database"]
    outcomes = await run(bench, "dead-letters redrive", ids=[mended])
    assert outcomes == [{"id": mended, "outcome": "redriven"}]
    assert await bench.registrations() == 1
    assert [each["id"] for each in await run(bench, "dead-letters list")] == [
        letters["not_protobuf"]
    ]
    assert await run(bench, "dead-letters redrive", ids=[mended]) == []
    assert await bench.registrations() == 1
    # A rebuild reads it where it lies, and comes to the same figure.
    assert await run(bench, "figures rebuild") == {"events read": 2}
    assert await bench.registrations() == 1


async def test_discarded_letter_stays_off_the_list_after_a_rebuild(bench: Bench) -> None:
    await bench.publish(b"poison", patient_event())
    await bench.consume(2)
    assert await run(bench, "dead-letters discard", all=True) == {"discarded": 1}
    await run(bench, "figures rebuild")
    assert await run(bench, "dead-letters list") == []
