"""Follows the topic `patient`: accounts close and merge with the record, and its
resources are charged.
"""

from collections.abc import Sequence
from typing import TypeAlias

from apps.billing.accounts.account import Account
from apps.billing.accounts.storage import select_patients_merged
from apps.billing.books import Change
from apps.billing.charges.coverages import record_coverage
from apps.billing.charges.patient_events import Merged, Removed, Step, read_event
from apps.billing.charges.recording import (
    charged_account,
    close_account,
    ensure_account,
    follow_merge,
    record_fact,
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
        for step in steps:
            # An update of a patient who stands alone, as nearly all do, changes nothing here.
            if isinstance(step.what, Merged) and step.what.patient_id not in merged:
                continue
            if not isinstance(step.what, Fact):
                # It may change where a patient's charges go.
                accounts.clear()
            with use_context(read_context(step.correlation_id, None)):
                change = Change(connection, caller_of(step.actor_id))
                await follow(change, step.what, settings.currency, accounts)
                await change.write()

    return apply


async def merged_patients(connection: Connection, steps: Sequence[Step]) -> set[str]:
    """Returns the patients who are merged into another one, or whom one of the steps merges."""
    merges = [step.what for step in steps if isinstance(step.what, Merged)]
    merged = {merge.patient_id for merge in merges if merge.merged_into}
    others = {merge.patient_id for merge in merges} - merged
    return merged | (await select_patients_merged(connection, sorted(others)) if others else set())


async def follow(
    change: Change,
    what: Removed | Merged | Fact | CoverageFact,
    currency: str,
    accounts: Accounts,
) -> None:
    match what:
        case Removed(patient_id):
            await close_account(change, patient_id, currency)
        case Merged(patient_id, merged_into):
            await follow_merge(change, patient_id, merged_into, currency)
        case Fact() as fact:
            if fact.patient_id not in accounts:
                own = await ensure_account(change, fact.patient_id, currency)
                accounts[fact.patient_id] = own, await charged_account(change, own)
            own, account = accounts[fact.patient_id]
            await record_fact(change, fact, own=own, account=account)
        case CoverageFact() as coverage:
            await record_coverage(change, coverage, currency)
