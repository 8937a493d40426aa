"""Keeps charges in step with the record: one charge a resource, corrected when the resource is, voided when it goes."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from apps.billing.accounts.account import Account
from apps.billing.accounts.storage import (
    delete_merge,
    insert_account,
    insert_merge,
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
    move_charges,
    select_charge_of_source,
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
    """Gives the patient's account, opened where the record's own request has not come through yet."""
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


async def charged_account(change: Change, patient_id: str, currency: str) -> Account:
    """Gives the account that the patient's charges go to, locked: after a merge the other patient's."""
    account = await ensure_account(change, patient_id, currency)
    account_id = account.account_id
    for _ in range(MAX_MERGES):
        target = await select_merged_into(change.connection, account_id)
        if target is None:
            break
        account_id = target
    locked = await select_account_for_update(change.connection, account_id)
    assert locked is not None
    return locked


async def record_fact(change: Change, fact: Fact, currency: str) -> None:
    """Brings the charge of a resource in step with this version; an earlier or a known one changes nothing."""
    connection = change.connection
    account = await charged_account(change, fact.patient_id, currency)
    if not await advance_source(connection, fact.resource_type, fact.resource_id, fact.version):
        return
    standing = await select_charge_of_source(connection, fact.resource_type, fact.resource_id)
    charged = is_charged(fact)
    if standing and charged and _is_same(standing, fact):
        return
    if standing:
        await withdraw(change, standing, account.patient_id, AMENDED if charged else WITHDRAWN)
    if charged:
        await add(change, fact, account)


def _is_same(charge: Charge, fact: Fact) -> bool:
    return (charge.system, charge.code, charge.occurred_at) == (
        fact.system,
        fact.code,
        fact.occurred_at,
    )


async def add(change: Change, fact: Fact, account: Account) -> None:
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
    """Voids a charge; one that was billed is marked instead: an issued invoice changes by a credit note alone."""
    if charge.status == "billed":
        await update_needs_credit(change.connection, charge, reason)
        change.audit("charge.needs_credit", charge.account_id, charge.charge_item_id)
        return
    voided = await update_voided(change.connection, charge, reason)
    change.audit("charge.voided", charge.account_id, charge.charge_item_id)
    if charge.net is not None:
        change.emit(charge_event("charge.voided", replace(voided, net=charge.net), patient_id))


async def close_account(change: Change, patient_id: str, currency: str) -> None:
    """Closes the account of a patient whose record was deleted; what is open on it stays to be settled."""
    account = await ensure_account(change, patient_id, currency)
    if account.status != "inactive":
        await update_account(change.connection, account.account_id, "inactive")
        change.audit("account.inactive", account.account_id)


async def follow_merge(change: Change, patient_id: str, merged_into: str, currency: str) -> None:
    """Follows `merged_into`: what is not billed goes to the other patient's account; empty undoes the merge."""
    account = await ensure_account(change, patient_id, currency)
    if not merged_into:
        if await delete_merge(change.connection, account.account_id):
            await update_account(change.connection, account.account_id, "active")
            change.audit("account.unmerged", account.account_id)
        return
    target = await ensure_account(change, merged_into, currency)
    if target.account_id == account.account_id or await select_merged_into(
        change.connection, account.account_id
    ):
        return
    for account_id in sorted((account.account_id, target.account_id)):
        await select_account_for_update(change.connection, account_id)
    await insert_merge(change.connection, account.account_id, target.account_id)
    await move_charges(change.connection, account.account_id, target.account_id)
    await update_account(change.connection, account.account_id, "inactive")
    change.audit("account.merged", account.account_id, target.account_id)
