import os
from collections.abc import AsyncIterator

import pytest

from tests.system.platform import Platform, open_platform, settle

settled: set[str] = set()


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with open_platform() as opened:
        url = opened.urls["gateway"]
        if url not in settled:
            await settle(opened)
            settled.add(url)
        yield opened


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fails the run if a platform was named but all of its tests were skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus != pytest.ExitCode.OK or "PLATFORM_URL" not in os.environ or reporter is None:
        return
    passed, skipped = (
        [
            each
            for each in reporter.stats.get(outcome, ())
            if each.nodeid.startswith("tests/system/")
        ]
        for outcome in ("passed", "skipped")
    )
    if skipped and not passed:
        reporter.write_line(
            f"all {len(skipped)} system tests were skipped: nothing was tested", red=True
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
