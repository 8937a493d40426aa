"""What is posted: transactions of two or more entries that sum to zero. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

Kind = Literal[
    "receivable",
    "credit",
    "revenue",
    "tax",
    "cash",
    "card",
    "bank",
    "write_off",
    "cash_difference",
]
PATIENT = ""

# The space of the ledger accounts' ids: an account's id follows from what it is, so nobody needs
# to look it up.
_IDS = UUID("6b1c1d43-5b7f-5d8a-9d3e-0f0f6c6a5e11")


@dataclass(frozen=True, slots=True)
class LedgerAccount:
    """An account of the books.

    `account_id` and `party` for what one patient's account or a payer for it owes (receivable) or
    has paid beyond that (credit); `name` for the revenue group or the tax category.
    """

    kind: Kind
    currency: str
    account_id: UUID | None = None
    party: str = PATIENT
    name: str = ""
    id: UUID = field(init=False, compare=False)

    def __post_init__(self) -> None:
        parts = (self.kind, self.currency, str(self.account_id or ""), self.party, self.name)
        object.__setattr__(self, "id", uuid5(_IDS, "\n".join(parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One transaction: debits above zero, credits below. `effective_at` None: when it is posted."""

    kind: str
    currency: str
    entries: tuple[tuple[LedgerAccount, int], ...]
    account_id: UUID | None = None
    document_id: UUID | None = None
    effective_at: datetime | None = None


def make_posting(
    kind: str,
    amounts: Iterable[tuple[LedgerAccount, int]],
    *,
    account_id: UUID | None = None,
    document_id: UUID | None = None,
    effective_at: datetime | None = None,
) -> Posting | None:
    """Adds up what is given for one account, and leaves out what comes to nothing; None where
    nothing is left.

    Raises ValueError for what does not sum to zero or is of more than one currency.
    """
    totals: dict[LedgerAccount, int] = {}
    for account, amount in amounts:
        totals[account] = totals.get(account, 0) + amount
    entries = tuple((account, amount) for account, amount in totals.items() if amount)
    if sum(amount for _, amount in entries):
        raise ValueError(f"{kind}: the entries do not sum to zero")
    if not entries:
        return None
    currencies = {account.currency for account, _ in entries}
    if len(currencies) > 1:
        raise ValueError(f"{kind}: one transaction is of one currency")
    return Posting(
        kind=kind,
        currency=currencies.pop(),
        entries=entries,
        account_id=account_id,
        document_id=document_id,
        effective_at=effective_at,
    )


def receivable(currency: str, account_id: UUID, party: str = PATIENT) -> LedgerAccount:
    return LedgerAccount("receivable", currency, account_id, party)


def credit(currency: str, account_id: UUID, party: str = PATIENT) -> LedgerAccount:
    return LedgerAccount("credit", currency, account_id, party)


# Where the money of each payment method lies.
MONEY_ACCOUNTS: Mapping[str, Kind] = {"cash": "cash", "card": "card", "transfer": "bank"}


def money(method: str, currency: str) -> LedgerAccount:
    return LedgerAccount(MONEY_ACCOUNTS[method], currency)
