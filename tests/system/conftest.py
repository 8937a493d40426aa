from collections.abc import AsyncIterator

import pytest

from tests.system.platform import Platform, open_platform


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with open_platform() as opened:
        yield opened
