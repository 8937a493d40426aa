"""Keeps charges in step with the record: one charge a resource, corrected when the resource is,
voided when it goes.
"""

from dataclasses import replace
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
    advance_source,
    insert_charge,
    move_charge,
    move_charges,
    move_charges_back,
    select_charge_of_source,
    select_holders,
    update_needs_credit,
    update_voided,
    with_price,
)
from apps.billing.prices.storage import select_price
from apps.kit.context import new_id

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


async def record_fact(change: Change, fact: Fact, *, own: Account, account: Account) -> None:
    """Brings the charge of a resource in step with this version; an earlier or a known one
    changes nothing.

    `own`: the patient's account; `account`: the one that its charges go to, locked.
    """
    connection = change.connection
    source = (fact.resource_type, fact.resource_id)
    is_first = await advance_source(connection, *source, fact.version)
    if is_first is None:
        return
    origin = own.account_id if own.account_id != account.account_id else None
    standing = None if is_first else await select_charge_of_source(connection, *source)
    charged = is_charged(fact)
    if standing and charged and _is_same(standing, fact):
        if await stays(change, standing, own, account):
            return
        if standing.status != "billed" and standing.currency == account.currency:
            await select_account_for_update(connection, standing.account_id)
            await move_charge(connection, standing, account.account_id, origin)
            change.audit("charge.moved", account.account_id, standing.charge_item_id)
            return
    if standing:
        await withdraw(change, standing, account.patient_id, AMENDED if charged else WITHDRAWN)
    if charged:
        await add(change, fact, account, origin)


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


async def add(change: Change, fact: Fact, account: Account, origin: UUID | None) -> None:
    charge = Charge(
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
        origin_account_id=origin,
    )
    price = await select_price(
        change.connection,
        system=charge.system,
        code=charge.code,
        currency=charge.currency,
        day=charge.service_on,
    )
    if price is not None:
        charge = with_price(charge, price)
    await insert_charge(change.connection, charge)
    change.audit("charge.added", account.account_id, charge.charge_item_id)
    if price is not None:
        change.emit(charge_event("charge.added", charge, account.patient_id))


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
