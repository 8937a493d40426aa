"""The release's connections to the auth database end with what they were for."""

from typing import Any

import asyncpg
import pytest

from apps.release.auth_setup import connect


@pytest.mark.integration
async def test_connection_is_closed_when_the_work_on_it_fails(auth_database: str) -> None:
    left: list[asyncpg.Connection[Any]] = []

    async def fail() -> None:
        async with connect(auth_database) as connection:
            left.append(connection)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await fail()
    assert left[0].is_closed()
