"""Follows the topic `patient`: accounts close and merge with the record, and its
resources are charged.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from apps.billing.accounts.account import Account
from apps.billing.accounts.storage import select_patients_merged
from apps.billing.books import Change
from apps.billing.charges.coverages import record_coverage
from apps.billing.charges.patient_events import Merged, Removed, Step, read_event
from apps.billing.charges.recording import (
    Recording,
    charged_account,
    close_account,
    ensure_account,
    follow_merge,
    record_facts,
)
from apps.billing.charges.rules import CoverageFact, Fact
from apps.billing.settings import SERVICE, Settings
from apps.kit.context import read_context, use_context
from apps.kit.database import Connection
from apps.kit.event_batch import Apply, Source
from apps.kit.event_consumer import ConsumerSettings
from apps.kit.rpc import Caller
from apps.kit.scopes import Principal

# By patient: the own account and the one that charges go to, which stays locked until the
# batch is committed.
Accounts: TypeAlias = dict[str, tuple[Account, Account]]


def consumer_settings(settings: Settings) -> ConsumerSettings:
    source = Source(
        topic=settings.patient_topic,
        dead_letters=settings.dead_letter_topic,
        parse=read_event,
    )
    return ConsumerSettings(
        broker=settings.broker, group=settings.consumer_group, sources=(source,)
    )


def caller_of(actor_id: str) -> Caller:
    """Gives the event's own actor, with billing as the client: what the change is audited under."""
    principal = Principal(
        subject=actor_id or f"service-{SERVICE}",
        client_id=f"service-{SERVICE}",
        audience=SERVICE,
        scopes=frozenset(),
        roles=(),
        token_id="",
        issued_at=0,
        expires_at=0,
    )
    return Caller(principal, None)


def apply_to(settings: Settings) -> Apply:
    """Gives what applies a batch of events, in the consumer's transaction and in their order."""

    async def apply(connection: Connection, steps: Sequence[Step]) -> None:
        merged = await merged_patients(connection, steps)
        accounts: Accounts = {}
        # An update of a patient who stands alone, as nearly all do, changes nothing here.
        needed = [
            step
            for step in steps
            if not isinstance(step.what, Merged) or step.what.patient_id in merged
        ]
        for together in stretches(needed):
            if isinstance(together[0].what, Fact):
                await follow_facts(connection, together, settings.currency, accounts)
                continue
            # It may change where a patient's charges go.
            accounts.clear()
            (step,) = together
            change = change_for(connection, step)
            await follow(change, step.what, settings.currency)
            await change.write()

    return apply


def change_for(connection: Connection, step: Step) -> Change:
    """Gives the change that a step's effects are told under: its actor's, in its request."""
    with use_context(read_context(step.correlation_id, None)):
        return Change(connection, caller_of(step.actor_id))


def stretches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Yields facts that follow each other together, until one names a resource again; any other
    step alone. Pure.
    """
    facts: dict[tuple[str, str], Step] = {}
    for step in steps:
        source = step.what.source if isinstance(step.what, Fact) else None
        if facts and (source is None or source in facts):
            yield list(facts.values())
            facts = {}
        if source is None:
            yield [step]
        else:
            facts[source] = step
    if facts:
        yield list(facts.values())


async def follow_facts(
    connection: Connection, steps: Sequence[Step], currency: str, accounts: Accounts
) -> None:
    """Records facts together; those of one request are one change."""
    changes: dict[tuple[str, str], Change] = {}
    recordings: list[Recording] = []
    for step in steps:
        fact = step.what
        assert isinstance(fact, Fact)
        told = (step.actor_id, step.correlation_id)
        change = changes.get(told)
        if change is None:
            change = changes[told] = change_for(connection, step)
        if fact.patient_id not in accounts:
            own = await ensure_account(change, fact.patient_id, currency)
            accounts[fact.patient_id] = own, await charged_account(change, own)
        own, account = accounts[fact.patient_id]
        recordings.append(Recording(change=change, fact=fact, own=own, account=account))
    await record_facts(connection, recordings)
    for change in changes.values():
        await change.write()


async def merged_patients(connection: Connection, steps: Sequence[Step]) -> set[str]:
    """Returns the patients who are merged into another one, or whom one of the steps merges."""
    merges = [step.what for step in steps if isinstance(step.what, Merged)]
    merged = {merge.patient_id for merge in merges if merge.merged_into}
    others = {merge.patient_id for merge in merges} - merged
    return merged | (await select_patients_merged(connection, sorted(others)) if others else set())


async def follow(
    change: Change, what: Removed | Merged | Fact | CoverageFact, currency: str
) -> None:
    match what:
        case Removed(patient_id):
            await close_account(change, patient_id, currency)
        case Merged(patient_id, merged_into):
            await follow_merge(change, patient_id, merged_into, currency)
        case CoverageFact() as coverage:
            await record_coverage(change, coverage, currency)
        case Fact():
            raise AssertionError("facts are recorded together")
