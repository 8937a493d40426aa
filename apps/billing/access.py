"""Who may call what, and whose account a caller may see."""

from uuid import UUID

from apps.billing.accounts.account import Account
from apps.billing.accounts.storage import select_account, select_account_for_update
from apps.kit.database import Connection
from apps.kit.errors import NotFound
from apps.kit.rpc import Caller, RpcPolicy

READ = RpcPolicy(user=("billing.read",))
# A patient's own login reads that patient's account.
READ_OWN = RpcPolicy(user=("billing.read",), patient="Account")
WRITE = RpcPolicy(user=("billing.write",))
APPROVE = RpcPolicy(user=("billing.approve",))
OPERATE = RpcPolicy(user=("admin",))
# The relay of the patient service has nobody behind it.
OPEN = RpcPolicy(user=("billing.write",), service=("billing.system",))
OPEN_MANY = RpcPolicy(user=(), service=("billing.system",))


def may_see(caller: Caller, patient_id: str) -> bool:
    """Tells whether the caller may see the account of this patient, now that the method's
    policy let it in.
    """
    if caller.actor.has_scope("billing.read", "billing.write", "billing.approve"):
        return True
    return caller.actor.patient_id == patient_id


async def read_account(connection: Connection, account_id: UUID, caller: Caller) -> Account:
    """Raises NotFound for another patient's account as for none: its existence is nobody
    else's business.
    """
    account = await select_account(connection, account_id)
    if account is None or not may_see(caller, account.patient_id):
        raise NotFound("account_unknown")
    return account


async def lock_account(connection: Connection, account_id: UUID) -> Account:
    """Locks the account for a change of its bills; the first lock that any such change takes."""
    account = await select_account_for_update(connection, account_id)
    if account is None:
        raise NotFound("account_unknown")
    return account
