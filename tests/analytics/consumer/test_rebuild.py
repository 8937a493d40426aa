"""A rebuild is whole or it changes nothing."""

from dataclasses import replace

import pytest

from apps.analytics.consumer import rebuild as rebuilding
from apps.analytics.consumer.rebuild import rebuild
from apps.kit.broker import BrokerSettings
from apps.kit.errors import Unavailable
from tests.analytics.conftest import Bench, patient_event
from tests.ports import free_port

pytestmark = pytest.mark.integration


async def filled(bench: Bench) -> list[tuple[object, ...]]:
    await bench.publish(*(patient_event() for _ in range(3)))
    await bench.consume(3)
    return await figures(bench)


async def figures(bench: Bench) -> list[tuple[object, ...]]:
    return await bench.rows(
        "SELECT patient_id FROM patient UNION ALL SELECT next_offset::text FROM consumed ORDER BY 1"
    )


async def test_rebuild_without_a_broker_changes_nothing(bench: Bench) -> None:
    before = await filled(bench)
    nobody = replace(bench.settings, broker=BrokerSettings(f"127.0.0.1:{free_port()}"))
    with pytest.raises(Unavailable):
        await rebuild(nobody, bench.database, bench.producer)
    assert await figures(bench) == before


async def test_rebuild_that_fails_on_its_way_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await filled(bench)

    async def fail(*_: object, **__: object) -> None:
        raise Unavailable("database_unavailable")

    monkeypatch.setattr(rebuilding, "apply_batch", fail)
    with pytest.raises(Unavailable):
        await rebuild(bench.settings, bench.database, bench.producer)
    assert await figures(bench) == before
