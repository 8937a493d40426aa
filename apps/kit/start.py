"""How a service's process begins and ends: settings read or refused, then served until it
is told to stop.
"""

import asyncio
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol, TypeVar

import uvloop

from apps.kit.logs import configure_logging
from apps.kit.settings import SettingsError

# When all that stays for good has been made.
SETTLED_SECONDS = 5.0
# Objects made and not freed before the collector looks: a request leaves hardly a cycle behind.
COLLECT_OBJECTS = 10_000
# mallopt(3): larger blocks are mapped one by one, and go back to the system when they are freed.
M_MMAP_THRESHOLD = -3
MAPPED_BYTES = 1024 * 1024


class ServiceSettings(Protocol):
    @property
    def log_format(self) -> str: ...


S = TypeVar("S", bound=ServiceSettings)


def read_settings(read: Callable[[Mapping[str, str]], S]) -> S:
    """Reads the environment's settings; where it has a fault, a line for each of them and
    exit status 2.
    """
    try:
        return read(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def run_service(settings: S, serve: Callable[[S, asyncio.Event], Awaitable[None]]) -> int:
    """Runs `serve(settings, stop)` on uvloop; SIGTERM and SIGINT set `stop`. Gives the exit status:
    1 where, say, the port is taken.
    """
    configure_logging(settings.log_format)
    fix_mapped_bytes()

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        gc.set_threshold(COLLECT_OBJECTS, *gc.get_threshold()[1:])
        # Modules, models and routes: not to be gone through again and again while requests wait.
        loop.call_later(SETTLED_SECONDS, gc.freeze)
        await serve(settings, stop)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def fix_mapped_bytes() -> None:
    """Fixes glibc's limit for blocks that it maps one by one; another C library has none.

    By itself the limit grows to the largest block that was freed: after two password hashes at once
    a process keeps their 38 MiB for good.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
