"""How long the smoke test asks, and what it says where nothing answers."""

import asyncio
from types import SimpleNamespace

import pytest

from apps.client.settings import ClientSettings
from infrastructure import smoke
from infrastructure.smoke import BrokenError, NotReadyError, sign_in, wait_for

pytestmark = pytest.mark.infrastructure


@pytest.mark.parametrize(("limit", "asked"), [(10.0, 3), (9.9, 2), (0.0, 1)])
def test_it_asks_as_long_as_there_is_time_for_another_pause(
    limit: float, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    times: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def check() -> None:
        times.append(now)
        raise NotReadyError("it starts")

    monkeypatch.setattr(smoke, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    with pytest.raises(BrokenError, match="it starts"):
        wait_for(check, limit, 5.0)
    assert times == [100.0 + 5.0 * number for number in range(asked)]


def test_address_where_nothing_answers_is_not_ready() -> None:
    settings = ClientSettings(url="http://127.0.0.1:1", client_id="c", client_secret="s")
    with pytest.raises(NotReadyError):
        asyncio.run(sign_in(settings))
