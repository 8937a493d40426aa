from uuid import UUID, uuid4

import pytest

from apps.billing.ledger.postings import LedgerAccount, credit, make_posting, receivable

CASH = LedgerAccount("cash", "USD")


def test_posting_must_sum_to_zero_and_be_of_one_currency() -> None:
    with pytest.raises(ValueError, match="sum to zero"):
        make_posting("payment", [(CASH, 2), (LedgerAccount("bank", "USD"), -1)])
    with pytest.raises(ValueError, match="one currency"):
        make_posting("payment", [(CASH, 1), (LedgerAccount("bank", "EUR"), -1)])


def test_what_comes_to_nothing_is_left_out() -> None:
    bank, card = LedgerAccount("bank", "USD"), LedgerAccount("card", "USD")
    posting = make_posting("payment", [(CASH, 3), (bank, -5), (card, 2), (CASH, 2), (card, -2)])
    assert posting is not None
    assert posting.entries == ((CASH, 5), (bank, -5))
    assert make_posting("payment", [(CASH, 0), (bank, 0)]) is None


def test_accounts_ids_follow_from_what_they_are() -> None:
    account_id = uuid4()
    assert receivable("USD", account_id).id == receivable("USD", UUID(str(account_id))).id
    ids = {
        receivable("USD", account_id).id,
        receivable("USD", account_id, "payer").id,
        receivable("EUR", account_id).id,
        credit("USD", account_id).id,
        receivable("USD", uuid4()).id,
    }
    assert len(ids) == 5
