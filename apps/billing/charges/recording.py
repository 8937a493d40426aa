"""Keeps charges in step with the record: one charge a resource, corrected when the resource is,
voided when it goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from apps.billing.accounts.account import Account
from apps.billing.accounts.storage import (
    delete_merge,
    insert_account,
    insert_merge,
    select_account,
    select_account_by_patient,
    select_account_for_update,
    select_merged_into,
    update_account,
)
from apps.billing.books import Change
from apps.billing.charges.charge import Charge, charge_event
from apps.billing.charges.rules import Fact, is_charged
from apps.billing.charges.storage import (
    advance_sources,
    insert_charges,
    move_charge,
    move_charges,
    move_charges_back,
    select_charge_of_source,
    select_holders,
    update_needs_credit,
    update_voided,
    with_price,
)
from apps.billing.prices.storage import select_prices_of
from apps.kit.context import new_id
from apps.kit.database import Connection

AMENDED = "the record was amended"
WITHDRAWN = "the record was deleted or entered in error"
MAX_MERGES = 10


async def ensure_account(change: Change, patient_id: str, currency: str) -> Account:
    """Gives the patient's account, opened where the record's own request has not
    come through yet.
    """
    connection = change.connection
    account = await select_account_by_patient(connection, patient_id)
    if account is None:
        account = await insert_account(connection, patient_id, currency)
        if account is None:
            account = await select_account_by_patient(connection, patient_id)
            assert account is not None
        else:
            change.audit("account.opened", account.account_id)
    return account


async def charged_account(change: Change, account: Account) -> Account:
    """Gives the account that charges for this one go to, locked: after a merge the
    other patient's.
    """
    account_id = account.account_id
    for _ in range(MAX_MERGES):
        target = await select_merged_into(change.connection, account_id)
        if target is None:
            break
        account_id = target
    locked = await select_account_for_update(change.connection, account_id)
    assert locked is not None
    return locked


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A fact, and the change that it is part of. `own`: the patient's account; `account`: the one
    that its charges go to, locked.
    """

    change: Change
    fact: Fact
    own: Account
    account: Account

    @property
    def origin(self) -> UUID | None:
        return self.own.account_id if self.own.account_id != self.account.account_id else None


async def record_facts(connection: Connection, recordings: Sequence[Recording]) -> None:
    """Brings the charges of resources, each named once, in step with these versions; an earlier or
    a known one changes nothing.
    """
    versions = {recording.fact.source: recording.fact.version for recording in recordings}
    firsts = await advance_sources(connection, versions)
    added: list[Recording] = []
    for recording in recordings:
        is_first = firsts.get(recording.fact.source)
        if is_first is None:
            continue
        if is_charged(recording.fact) if is_first else await _asks_anew(recording):
            added.append(recording)
    if added:
        await _add(connection, added)


async def _asks_anew(recording: Recording) -> bool:
    """Takes away the charge of the version before, or lets it be. Returns whether this version
    asks for a charge of its own.
    """
    change, fact, account = recording.change, recording.fact, recording.account
    connection = change.connection
    standing = await select_charge_of_source(connection, *fact.source)
    charged = is_charged(fact)
    if standing and charged and _is_same(standing, fact):
        if await stays(change, standing, recording.own, account):
            return False
        if standing.status != "billed" and standing.currency == account.currency:
            await select_account_for_update(connection, standing.account_id)
            await move_charge(connection, standing, account.account_id, recording.origin)
            change.audit("charge.moved", account.account_id, standing.charge_item_id)
            return False
    if standing:
        await withdraw(change, standing, account.patient_id, AMENDED if charged else WITHDRAWN)
    return charged


async def stays(change: Change, charge: Charge, own: Account, account: Account) -> bool:
    """Tells whether the charge is where it belongs, now that its resource is of the
    patient of `own`.

    What was billed before a merge, or before it was undone, stays with the account that it
    was billed to.
    """
    if charge.account_id == account.account_id:
        return True
    if charge.status != "billed":
        return False
    if charge.origin_account_id == own.account_id:
        return True
    holder = await select_account(change.connection, charge.account_id)
    assert holder is not None
    return (await charged_account(change, holder)).account_id == account.account_id


def _is_same(charge: Charge, fact: Fact) -> bool:
    return (charge.system, charge.code, charge.occurred_at) == (
        fact.system,
        fact.code,
        fact.occurred_at,
    )


async def _add(connection: Connection, recordings: Sequence[Recording]) -> None:
    charges = [_charge_of(recording) for recording in recordings]
    prices = await select_prices_of(connection, (charge.price_key for charge in charges))
    charges = [
        with_price(charge, price) if (price := prices.get(charge.price_key)) else charge
        for charge in charges
    ]
    await insert_charges(connection, charges)
    for recording, charge in zip(recordings, charges, strict=True):
        change, account = recording.change, recording.account
        change.audit("charge.added", account.account_id, charge.charge_item_id)
        if charge.net is not None:
            change.emit(charge_event("charge.added", charge, account.patient_id))


def _charge_of(recording: Recording) -> Charge:
    fact, account = recording.fact, recording.account
    return Charge(
        charge_item_id=UUID(new_id()),
        account_id=account.account_id,
        currency=account.currency,
        status="unpriced",
        version=1,
        system=fact.system,
        code=fact.code,
        description="",
        quantity=Decimal(1),
        unit_price=None,
        discount_basis_points=0,
        discount_amount=0,
        discount_reason="",
        tax_category="exempt",
        revenue_group="other",
        net=None,
        encounter_id=fact.encounter_id,
        occurred_at=fact.occurred_at,
        source_type=fact.resource_type,
        source_id=fact.resource_id,
        source_version=fact.version,
        origin_account_id=recording.origin,
    )


async def withdraw(change: Change, charge: Charge, patient_id: str, reason: str) -> None:
    """Voids a charge; one that was billed is marked instead: an issued invoice changes by a
    credit note alone.
    """
    if charge.status == "billed":
        await update_needs_credit(change.connection, charge, reason)
        change.audit("charge.needs_credit", charge.account_id, charge.charge_item_id)
        return
    voided = await update_voided(change.connection, charge, reason)
    change.audit("charge.voided", charge.account_id, charge.charge_item_id)
    if charge.net is not None:
        change.emit(charge_event("charge.voided", replace(voided, net=charge.net), patient_id))


async def close_account(change: Change, patient_id: str, currency: str) -> None:
    """Closes the account of a patient whose record was deleted; what is open on it stays
    to be settled.
    """
    account = await ensure_account(change, patient_id, currency)
    if account.status != "inactive":
        await update_account(change.connection, account.account_id, "inactive")
        change.audit("account.inactive", account.account_id)


async def undo_merge(change: Change, account: Account) -> None:
    """Moves what was recorded for this patient back, but for what was billed meanwhile."""
    connection = change.connection
    merged_into = await delete_merge(connection, account.account_id)
    if merged_into is None:
        return
    holders = await select_holders(connection, account.account_id)
    for account_id in sorted({account.account_id, *holders}):
        await select_account_for_update(connection, account_id)
    await move_charges_back(connection, account.account_id)
    await update_account(connection, account.account_id, "active")
    change.audit("account.unmerged", account.account_id, merged_into)


async def follow_merge(change: Change, patient_id: str, merged_into: str, currency: str) -> None:
    """Follows `merged_into`: what is not billed goes to the other patient's account; empty
    undoes the merge.
    """
    account = await ensure_account(change, patient_id, currency)
    if not merged_into:
        await undo_merge(change, account)
        return
    target = await ensure_account(change, merged_into, currency)
    known = await select_merged_into(change.connection, account.account_id)
    if known == target.account_id:
        return
    if known is not None:
        await undo_merge(change, account)
    # Two that name each other, in however many steps, stay apart.
    if (await charged_account(change, target)).account_id == account.account_id:
        return
    for account_id in sorted((account.account_id, target.account_id)):
        await select_account_for_update(change.connection, account_id)
    await insert_merge(change.connection, account.account_id, target.account_id)
    await move_charges(change.connection, account, target)
    await update_account(change.connection, account.account_id, "inactive")
    change.audit("account.merged", account.account_id, target.account_id)
