import pytest

from apps.billing.ledger.export import account_name


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("revenue", "", "", "visits"), "Income:Revenue:Visits"),
        (("receivable", "7", "p1", ""), "Assets:Receivable:A7:Pp1"),
        (("cash", "", "", "front desk"), "Assets:Cash:Front-desk"),
    ],
)
def test_account_is_spelled_as_beancount_wants_it(
    parts: tuple[str, str, str, str], name: str
) -> None:
    assert account_name(*parts) == name
