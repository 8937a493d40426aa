from collections.abc import AsyncIterator

import pytest

from tests.gateway.running import Gateway, open_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as opened:
        yield opened
