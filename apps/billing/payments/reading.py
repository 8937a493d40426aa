"""Reads payments: for their own methods and for documents."""

from uuid import UUID

from apps.billing.access import lock_account, read_account
from apps.billing.accounts.account import Account
from apps.billing.invoicing.settlement import (
    select_allocations_of_payment,
)
from apps.billing.payments.payment import (
    Payment,
    render_payment,
)
from apps.billing.payments.storage import (
    select_payment,
    select_refunds,
)
from apps.kit.database import Connection
from apps.kit.errors import NotFound
from apps.kit.rpc import Caller
from protos.billing.v1 import billing_pb2 as pb


async def lock_payment(connection: Connection, payment_id: UUID) -> tuple[Account, Payment]:
    """Locks the payment's account; gives both as they are then."""
    found = await select_payment(connection, payment_id)
    if found is None:
        raise NotFound("payment_unknown")
    account = await lock_account(connection, found.account_id)
    payment = await select_payment(connection, payment_id)
    assert payment is not None
    return account, payment


async def read_payment(connection: Connection, payment_id: UUID, caller: Caller) -> Payment:
    """Raises NotFound for a payment that the caller may not see, as for none."""
    payment = await select_payment(connection, payment_id)
    if payment is None:
        raise NotFound("payment_unknown")
    try:
        await read_account(connection, payment.account_id, caller)
    except NotFound:
        raise NotFound("payment_unknown") from None
    return payment


async def load_payment(connection: Connection, payment_id: UUID) -> pb.Payment:
    payment = await select_payment(connection, payment_id)
    if payment is None:
        raise NotFound("payment_unknown")
    allocated = await select_allocations_of_payment(connection, payment_id)
    allocations = [(one.invoice_id, one.amount) for one in reversed(allocated)]
    return render_payment(payment, allocations, await select_refunds(connection, payment_id))
