import io
import re
from urllib.parse import urlencode

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from apps.gateway.billing_call import Call
from apps.gateway.billing_calls import CALLS
from apps.kit.errors import NotFound, Unavailable
from protos.billing.v1 import billing_pb2 as pb
from tests.gateway.running import Gateway, make_token

SCOPES = "billing.read billing.write"
ACCOUNT = pb.Account(
    account_id="a-1",
    patient_id="p-1",
    status=pb.ACCOUNT_STATUS_ACTIVE,
    currency="USD",
    version=3,
    created_at=Timestamp(seconds=1_700_000_000),
)


async def test_account_of_a_patient_is_read(gateway: Gateway) -> None:
    gateway.billing.answer = ACCOUNT
    token = make_token(SCOPES)
    async with gateway.call("GET", "/billing/v1/accounts?patient=p-1", token=token) as answer:
        assert answer.status == 200
        assert answer.headers["ETag"] == 'W/"3"'
        body = await answer.json()
    assert body["accountId"] == "a-1"
    assert body["patientId"] == "p-1"
    assert body["status"] == "ACCOUNT_STATUS_ACTIVE"
    assert body["createdAt"] == "2023-11-14T22:13:20Z"
    assert gateway.billing.calls == [
        ("GetAccountByPatient", pb.GetAccountByPatientRequest(patient_id="p-1"), token),
    ]


async def test_account_is_opened_and_its_place_told(gateway: Gateway) -> None:
    gateway.billing.answer = ACCOUNT
    async with gateway.call(
        "POST", "/billing/v1/accounts", scope=SCOPES, json={"patientId": "p-1"}
    ) as answer:
        assert (answer.status, answer.headers["Location"]) == (201, "/billing/v1/accounts/a-1")
    ((rpc, request, _),) = gateway.billing.calls
    assert rpc == "CreateBillingAccount"
    assert isinstance(request, pb.CreateBillingAccountRequest)
    assert request.patient_id == "p-1"
    assert request.request_id


async def test_idempotency_key_is_one_request_for_one_caller_and_operation(
    gateway: Gateway,
) -> None:
    gateway.billing.answer = ACCOUNT
    mine, others = make_token(SCOPES), make_token(SCOPES, sub="user-2", jti="token-2")
    ids = []
    for token, key in (
        (mine, "k"),
        (mine, "k"),
        (others, "k"),
        (mine, "l"),
        (mine, None),
        (mine, None),
    ):
        headers = {"Idempotency-Key": key} if key else {}
        async with gateway.call(
            "POST", "/billing/v1/accounts", token=token, json={"patientId": "p"}, headers=headers
        ) as answer:
            assert answer.status == 201
        request = gateway.billing.calls[-1][1]
        assert isinstance(request, pb.CreateBillingAccountRequest)
        ids.append(request.request_id)
    assert ids[0] == ids[1]
    assert len(set(ids)) == 5


@pytest.mark.parametrize("call", CALLS, ids=[f"{call.method} {call.path}" for call in CALLS])
async def test_every_call_reaches_its_method_with_the_paths_fields(
    gateway: Gateway, call: Call
) -> None:
    gateway.billing.answer = NotFound("account_unknown")
    path = "/billing/v1" + re.sub(r"{(\w+)}", r"\1-7", call.path)
    required = {
        query.name: next(iter(query.values), "p-1") for query in call.query if query.required
    }
    async with gateway.call(
        call.method, f"{path}?{urlencode(required)}", scope=f"{SCOPES} billing.approve admin"
    ) as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "account_unknown"
    ((rpc, request, _),) = gateway.billing.calls
    assert rpc == call.rpc
    for name in re.findall(r"{(\w+)}", call.path):
        assert getattr(request, name) == f"{name}-7"


@pytest.mark.parametrize("call", CALLS, ids=[f"{call.method} {call.path}" for call in CALLS])
async def test_no_call_is_made_without_the_right(gateway: Gateway, call: Call) -> None:
    path = "/billing/v1" + re.sub(r"{(\w+)}", r"\1-7", call.path)
    async with gateway.call(call.method, path, scope="user/*.cruds patient/*.rs") as answer:
        assert answer.status == 403
    assert not gateway.billing.calls


async def test_patients_own_login_reads_and_changes_nothing(gateway: Gateway) -> None:
    gateway.billing.answer = ACCOUNT
    token = make_token("patient/*.rs", roles=["patient"], patient="p-1")
    async with gateway.call("GET", "/billing/v1/accounts?patient=p-1", token=token) as answer:
        assert answer.status == 200
    for method, path in (
        ("POST", "/billing/v1/accounts"),
        ("GET", "/billing/v1/prices"),
        ("GET", "/billing/v1/ledger/export?format=csv"),
    ):
        async with gateway.call(method, path, token=token) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(("header", "version"), [('W/"3"', 3), ('"3"', 3), ("*", 0), (None, 0)])
async def test_if_match_is_the_expected_version(
    gateway: Gateway, header: str | None, version: int
) -> None:
    gateway.billing.answer = pb.Invoice(version=4)
    headers = {"If-Match": header} if header else {}
    async with gateway.call(
        "POST", "/billing/v1/invoices/i-1/issue", scope=SCOPES, headers=headers
    ) as answer:
        assert (answer.status, answer.headers["ETag"]) == (200, 'W/"4"')
    assert gateway.billing.calls[0][1].expected_version == version  # type: ignore[attr-defined]


@pytest.mark.parametrize("header", ["banana", "3", 'W/"0"', 'W/"-1"', '"1", "2"', f'"{10**18}"'])
async def test_if_match_that_is_no_version_is_refused(gateway: Gateway, header: str) -> None:
    async with gateway.call(
        "POST", "/billing/v1/invoices/i-1/issue", scope=SCOPES, headers={"If-Match": header}
    ) as answer:
        assert answer.status == 400
    # `W/"0"` would be the contract's word for any version.
    assert gateway.billing.calls == []


async def test_document_is_given_as_it_is(gateway: Gateway) -> None:
    gateway.billing.answer = pb.Document(
        media_type="application/pdf", file_name="invoice-2026-000001.pdf", content=b"%PDF-1.7"
    )
    async with gateway.call(
        "GET", "/billing/v1/invoices/i-1/document?format=pdf", scope=SCOPES
    ) as answer:
        assert (answer.status, answer.content_type) == (200, "application/pdf")
        assert 'filename="invoice-2026-000001.pdf"' in answer.headers["Content-Disposition"]
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert await answer.read() == b"%PDF-1.7"
    for path in ("document", "document?format=docx"):
        async with gateway.call("GET", f"/billing/v1/invoices/i-1/{path}", scope=SCOPES) as answer:
            assert answer.status == 422
            assert (await answer.json())["errors"][0]["pointer"] == "format"


async def test_export_says_where_it_goes_on(gateway: Gateway) -> None:
    gateway.billing.answer = pb.ExportLedgerResponse(content="a,b\n", next_page_token="t=1")
    async with gateway.call(
        "GET", "/billing/v1/ledger/export?format=csv&pageSize=5", scope=SCOPES
    ) as answer:
        assert (answer.status, answer.content_type) == (200, "text/csv")
        assert await answer.text() == "a,b\n"
        assert answer.headers["Link"] == (
            '</billing/v1/ledger/export?format=csv&pageSize=5&pageToken=t%3D1>; rel="next"'
        )


async def test_price_list_is_taken_as_csv(gateway: Gateway) -> None:
    gateway.billing.answer = pb.SetPricesResponse(added=1)
    async with gateway.call(
        "POST",
        "/billing/v1/prices",
        scope=SCOPES,
        data=b"code,unit_price\n",
        headers={"Content-Type": "text/csv; charset=utf-8"},
    ) as answer:
        assert answer.status == 200
    assert gateway.billing.calls[0][1].csv == "code,unit_price\n"  # type: ignore[attr-defined]
    async with gateway.call(
        "POST",
        "/billing/v1/prices",
        scope=SCOPES,
        data=b"\xff",
        headers={"Content-Type": "text/csv"},
    ) as answer:
        assert answer.status == 400


def test_every_method_of_the_contract_is_offered() -> None:
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["Billing"].methods}
    # The relay's own: nobody outside opens accounts in batches.
    assert {call.rpc for call in CALLS} == methods - {"BatchCreateBillingAccounts"}


async def test_money_and_paging_are_read(gateway: Gateway) -> None:
    gateway.billing.answer = pb.ChargeItem(
        charge_item_id="c-1", unit_price=pb.Money(minor_units=1250, currency="USD")
    )
    body = {"code": "99213", "quantity": 1, "unitPrice": {"minorUnits": "1250", "currency": "USD"}}
    async with gateway.call(
        "POST", "/billing/v1/accounts/a-1/charge-items", scope=SCOPES, json=body
    ) as answer:
        assert (await answer.json())["unitPrice"] == {"minorUnits": "1250", "currency": "USD"}
    gateway.billing.answer = pb.ListChargeItemsResponse()
    async with gateway.call(
        "GET", "/billing/v1/accounts/a-1/charge-items?pageSize=5&pageToken=t", scope=SCOPES
    ) as answer:
        assert await answer.json() == {"chargeItems": [], "nextPageToken": ""}
    assert gateway.billing.calls[0][1].unit_price.minor_units == 1250  # type: ignore[attr-defined]
    assert gateway.billing.calls[1][1] == pb.ListChargeItemsRequest(
        account_id="a-1", page_size=5, page_token="t"
    )


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status"),
    [
        ("/billing/v1/accounts", b"{", "application/json", 400),
        ("/billing/v1/accounts", b"[]", "application/json", 422),
        ("/billing/v1/accounts", b'{"patient":"p"}', "application/json", 422),
        ("/billing/v1/accounts", b'{"patientId":7}', "application/json", 422),
        ("/billing/v1/accounts", b"<a/>", "application/xml", 415),
        ("/billing/v1/accounts", b'"' + b"x" * 2**20 + b'"', "application/json", 413),
        ("/billing/v1/accounts", b"[" * 100_000, "application/json", 400),
        ("/billing/v1/accounts/a/charge-items", b'{"quantity":1e30}', "application/json", 422),
    ],
)
async def test_bad_body_is_told_and_billing_is_not_asked(
    gateway: Gateway, path: str, body: bytes, content_type: str, status: int
) -> None:
    async with gateway.call(
        "POST", path, scope=SCOPES, data=io.BytesIO(body), headers={"Content-Type": content_type}
    ) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
    assert not gateway.billing.calls


@pytest.mark.parametrize(
    ("path", "pointer", "code"),
    [
        ("accounts", "patient", "required"),
        ("accounts/a/invoices?pageSize=many", "pageSize", "invalid_field"),
        ("accounts/a/invoices?status=lost", "status", "invalid_field"),
        ("accounts/a/statement?from=", "from", "invalid_field"),
    ],
)
async def test_missing_and_bad_parameters_are_named(
    gateway: Gateway, path: str, pointer: str, code: str
) -> None:
    async with gateway.call("GET", f"/billing/v1/{path}", scope=SCOPES) as answer:
        assert answer.status == 422
        problem = await answer.json()
    assert problem["code"] == code
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert not gateway.billing.calls


@pytest.mark.parametrize(
    ("key", "status"),
    [("", 400), ("k", 201), ("k" * 255, 201), ("k" * 256, 400)],
    ids=["none", "one", "longest", "too long"],
)
async def test_idempotency_key_is_bounded(gateway: Gateway, key: str, status: int) -> None:
    gateway.billing.answer = pb.Account(account_id="a-1")
    async with gateway.call(
        "POST",
        "/billing/v1/accounts",
        scope=SCOPES,
        json={},
        headers={"Idempotency-Key": key},
    ) as answer:
        assert answer.status == status
    assert len(gateway.billing.calls) == (status == 201)


@pytest.mark.parametrize(
    ("problem", "status"),
    [(NotFound("account_unknown"), 404), (Unavailable("service_unavailable"), 503)],
)
async def test_billings_problems_are_told(
    gateway: Gateway, problem: Exception, status: int
) -> None:
    gateway.billing.answer = problem  # type: ignore[assignment]
    async with gateway.call("GET", "/billing/v1/accounts/a-1", scope=SCOPES) as answer:
        assert answer.status == status
        assert ("Retry-After" in answer.headers) == (status == 503)
