import pytest

from apps.billing.accounts.account import parse_account_request
from apps.billing.books import Books, hash_of
from apps.billing.parsing import parse_id
from apps.billing.service import billing_methods
from apps.billing.settings import Settings
from apps.catalogue import SERVICES
from apps.kit.context import RequestContext
from apps.kit.database import Database
from apps.kit.errors import BadRequest, NotFound
from apps.kit.rpc import RpcGuard, RpcMethod, rpc_handler
from apps.kit.settings import SettingsError
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import ENVIRONMENT, FakeVerifier, no_topics

CONTEXT = RequestContext("request-1", "")
CONTRACT = pb.DESCRIPTOR.services_by_name["Billing"]
SETTINGS = Settings.from_environment(ENVIRONMENT)
BOOKS = Books(Database(None), SETTINGS)  # type: ignore[arg-type]
TOPICS = no_topics(SETTINGS)
GUARD = RpcGuard(FakeVerifier(), "billing", "https://health.example", frozenset())


@pytest.mark.parametrize("patient_id", ["", "a b", "a/b", "a" * 65, "patient\n", "né"])
def test_patient_id_is_a_fhir_id(patient_id: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_account_request(
            pb.CreateBillingAccountRequest(request_id="r", patient_id=patient_id), CONTEXT, "USD"
        )
    assert [fault.pointer for fault in refused.value.faults] == ["patient_id"]


@pytest.mark.parametrize("request_id", ["", "a b", "a" * 256, "tab\t", "é"])
def test_request_id_is_short_and_printable(request_id: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_account_request(
            pb.CreateBillingAccountRequest(request_id=request_id, patient_id="p"), CONTEXT, "USD"
        )
    assert [fault.pointer for fault in refused.value.faults] == ["request_id"]


def test_account_id_that_is_none_is_unknown() -> None:
    with pytest.raises(NotFound):
        parse_id("banana", "account_unknown")


def test_requests_differ_by_their_fields() -> None:
    one, same, other = (
        pb.CreateBillingAccountRequest(request_id="r", patient_id=name) for name in ("a", "a", "b")
    )
    assert hash_of(one) == hash_of(same) != hash_of(other)


APPROVED = {
    "WriteOffInvoice",
    "ApproveWriteOff",
    "RefuseWriteOff",
    "ListWriteOffs",
    "OpenCashDay",
    "CountCashDay",
    "CloseCashDay",
    "GetCashDay",
}
OWN = {
    "GetAccount",
    "GetAccountByPatient",
    "ListChargeItems",
    "GetInvoice",
    "ListInvoices",
    "GetPayment",
    "ListPayments",
    "GetBalance",
    "GetStatement",
    "GetDocument",
}


def test_every_method_of_the_contract_has_a_policy_that_asks_for_a_scope() -> None:
    methods = billing_methods(BOOKS, TOPICS)
    assert rpc_handler(CONTRACT, methods, GUARD)
    for method in methods:
        assert method.handler is not None, f"{method.name} answers UNIMPLEMENTED"
        assert method.policy.user == expected_scopes(method), method.name
    assert [method.name for method in methods if method.policy.service] == [
        "CreateBillingAccount",
        "BatchCreateBillingAccounts",
    ]
    assert {method.name for method in methods if method.policy.patient} == OWN


def expected_scopes(method: RpcMethod) -> tuple[str, ...]:
    if method.name.startswith("Batch"):
        # Accounts in batches are the relay's alone to open.
        return ()
    if any(word in method.name for word in ("Outbox", "DeadLetter", "ConsumerLag", "GetSettings")):
        return ("admin",)
    if method.name in APPROVED:
        return ("billing.approve",)
    return ("billing.read",) if is_read(method) else ("billing.write",)


def is_read(method: RpcMethod) -> bool:
    return method.name.startswith(("Get", "List", "Export", "Reconcile"))


def test_method_without_a_policy_fails_at_start() -> None:
    methods = billing_methods(BOOKS, TOPICS)
    with pytest.raises(TypeError, match=methods[-1].name):
        rpc_handler(CONTRACT, methods[:-1], GUARD)


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_settings_name_what_is_missing(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({key: value for key, value in ENVIRONMENT.items() if key != name})


def test_catalogue_lets_these_call() -> None:
    assert {entry.name for entry in SERVICES.values() if "billing" in entry.calls} == {
        "console",
        "gateway",
        "patient",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BILLING_CURRENCY", "XXX"),
        ("BILLING_PAYMENT_DAYS", "366"),
        ("BILLING_PAYMENT_DAYS", "soon"),
        ("BILLING_WRITE_OFF_LIMIT", "-1"),
        ("BILLING_SELLER", "Clinic|1 Street"),
        ("BILLING_TAX_RATES", "standard=1900"),
        ("BILLING_TAX_RATES", "exempt=0,standard=19%"),
        ("BILLING_TAX_RATES", "exempt=0,standard=10001"),
    ],
)
def test_setting_that_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({**ENVIRONMENT, name: value})


def test_seller_of_invoices_is_a_setting() -> None:
    text = "Clinic|1 Street|12345|Town|DE|DE123456789"
    seller = Settings.from_environment({**ENVIRONMENT, "BILLING_SELLER": text}).seller
    assert (seller.name, seller.country, seller.tax_id) == ("Clinic", "DE", "DE123456789")
