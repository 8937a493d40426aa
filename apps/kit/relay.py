"""Takes a service's outbox to one destination: at least once, in order for a patient, none lost.

One relay a destination leads at a time, by an advisory lock of the session that it does all its
work on: where the session is gone, so is the lead.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import asyncpg

from apps.kit.backoff import Backoff
from apps.kit.database import UNAVAILABLE, Connection, DatabaseSettings, connect_options
from apps.kit.delivery import Delivery, Destination
from apps.kit.logs import log_failure
from apps.kit.outbox import Entry, delete_sent, hold, park, select_unsent, try_lead, vacuum

BATCH_ROWS = 500
# What another replica commits is found by asking; what this one commits wakes the relay at once.
POLL_SECONDS = 0.25
STANDBY_SECONDS = 1.0
# Under load a moment's wait makes one batch of many commits: at 10 ms a registration costs a
# quarter more in all than at 100. With the consumer's wait it must leave time for the work within
# the 100 ms from a commit to its figure.
GATHER_SECONDS = 0.03
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_HOLD_SECONDS = 60.0
# An entry that makes the destination fail (not refuse) so often is set aside as well.
MAX_ATTEMPTS = 20
# So many rows of one destination are sent between two clearances of the table: a few
# milliseconds each.
VACUUM_ROWS = 5_000
STOP_SECONDS = 5.0

log = logging.getLogger(__name__)

Connect = Callable[[], AbstractAsyncContextManager[Connection]]


def connect_to(settings: DatabaseSettings) -> Connect:
    """Returns what opens a connection of its own, outside the pool: a lead is held for long."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Connection]:
        connection = await asyncpg.connect(settings.url, **connect_options(settings))
        try:
            yield connection
        finally:
            connection.terminate()

    return connect


class Relay:
    """`away` says why the destination takes nothing; empty while it does, and while another
    replica leads.
    """

    def __init__(self, destination: Destination, connect: Connect) -> None:
        self._destination = destination
        self._connect = connect
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self.away = ""
        self._unvacuumed = 0

    @property
    def name(self) -> str:
        return self._destination.name

    def wake(self) -> None:
        """Tells that there may be something to send."""
        self._wake.set()

    def stop(self) -> None:
        """Ends `run` after the batch under way."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while not self._stopping.is_set():
            try:
                async with self._connect() as connection:
                    if await self._become_leader(connection):
                        log.info("relay leads", extra={"destination": self.name})
                        backoff.reset()
                        await self._lead(connection)
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning(
                    "relay lost its database",
                    extra={"destination": self.name, "error": type(error).__name__},
                )
                await self._rest(backoff.next_seconds())
            except Exception as error:  # whatever it was, what waits must still be sent
                log_failure(error, "relay failed", destination=self.name)
                await self._rest(backoff.next_seconds())

    async def _become_leader(self, connection: Connection) -> bool:
        while not self._stopping.is_set():
            if await try_lead(connection, self.name):
                return True
            await self._rest(STANDBY_SECONDS)
        return False

    async def _lead(self, connection: Connection) -> None:
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while not self._stopping.is_set():
            # Cleared before the look: a commit during it wakes us again.
            self._wake.clear()
            entries = await select_unsent(connection, self.name, BATCH_ROWS)
            if not entries:
                await _wait_for(self._wake, POLL_SECONDS)
                continue
            delivery = await self._send(entries)
            await self._settle(connection, entries, delivery)
            if delivery.away != self.away:
                self.away = delivery.away
                log.warning(
                    "destination is %s",
                    "away" if self.away else "back",
                    extra={"destination": self.name, "reason": self.away},
                )
            if delivery.away:
                await self._rest(backoff.next_seconds())
            else:
                backoff.reset()
                if len(entries) < BATCH_ROWS:
                    await self._rest(GATHER_SECONDS)

    async def _send(self, entries: Sequence[Entry]) -> Delivery:
        """Sends them together; where that raises, one by one: who is at fault holds up
        one patient only.
        """
        try:
            return await self._destination.send(entries)
        except Exception as error:
            log_failure(error, "destination raised", destination=self.name)
            if len(entries) == 1:
                return Delivery(failed={entries[0].id: f"500 {type(error).__name__}"})
        delivery = Delivery()
        held: set[str] = set()
        for entry in entries:
            if entry.patient_id in held or delivery.away:
                continue
            one = await self._send([entry])
            delivery.sent += one.sent
            delivery.refused |= one.refused
            delivery.failed |= one.failed
            delivery.away = one.away
            if not one.sent:
                held.add(entry.patient_id)
        return delivery

    async def _settle(
        self, connection: Connection, entries: Sequence[Entry], delivery: Delivery
    ) -> None:
        if delivery.sent:
            await delete_sent(connection, delivery.sent)
            self._unvacuumed += len(delivery.sent)
            if self._unvacuumed >= VACUUM_ROWS:
                self._unvacuumed = 0
                await vacuum(connection)
        attempts = {entry.id: entry.attempts for entry in entries}
        for id, reason in delivery.refused.items():
            await self._park(connection, id, reason)
        for id, reason in delivery.failed.items():
            if attempts[id] + 1 >= MAX_ATTEMPTS:
                await self._park(connection, id, reason)
            else:
                seconds = min(
                    FIRST_PAUSE_SECONDS * 2 ** min(attempts[id], 16), LONGEST_HOLD_SECONDS
                )
                await hold(connection, id, reason, seconds)

    async def _park(self, connection: Connection, id: int, reason: str) -> None:
        await park(connection, id, reason)
        log.error("parked", extra={"destination": self.name, "outbox_id": id, "reason": reason})

    async def _rest(self, seconds: float) -> None:
        """Waits, whatever commits; only a stop ends it early."""
        await _wait_for(self._stopping, seconds)


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


@asynccontextmanager
async def running(relays: Sequence[Relay]) -> AsyncIterator[None]:
    """Runs them while the block does; at its end each finishes the batch under way,
    within STOP_SECONDS.
    """
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for relay in relays:
            relay.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
