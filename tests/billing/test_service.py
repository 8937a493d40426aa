import asyncio

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from apps.kit.context import new_id, read_context, use_context
from apps.kit.rpc import problem_of_rpc
from protos.billing.v1 import billing_pb2 as pb
from tests.billing.conftest import Client

pytestmark = pytest.mark.integration


async def test_account_is_opened_and_found_by_id_and_by_patient(billing: Client) -> None:
    patient = new_id()
    account = await billing.create(patient, new_id())
    assert (account.patient_id, account.status, account.currency, account.version) == (
        patient,
        pb.ACCOUNT_STATUS_ACTIVE,
        "USD",
        1,
    )
    assert account.created_at.seconds > 0
    by_id = await billing.call(
        "GetAccount", pb.GetAccountRequest(account_id=account.account_id), user="reader"
    )
    by_patient = await billing.call(
        "GetAccountByPatient", pb.GetAccountByPatientRequest(patient_id=patient), user="reader"
    )
    assert by_id == by_patient == account


async def test_patient_has_one_account_however_often_it_is_asked_for(billing: Client) -> None:
    patient, request_id = new_id(), new_id()
    first = await billing.create(patient, request_id)
    assert await billing.create(patient, request_id) == first
    assert await billing.create(patient, new_id()) == first
    assert await billing.create(patient, request_id, service="gateway", user="writer") == first


async def test_account_of_a_new_patient_is_opened_at_once(
    billing: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look_first(*_: object) -> None:
        raise AssertionError("the general case costs five statements and a transaction")

    monkeypatch.setattr("apps.billing.accounts.opening.open_account", look_first)
    account = await billing.create(new_id(), new_id())
    async with billing.database.connection() as connection:
        for table, key in (
            ("account", "account_id"),
            ("audit", "account_id"),
            ("request", "resource_id"),
        ):
            query = f"SELECT count(*) FROM {table} WHERE {key} = $1"  # noqa: S608 - names of ours
            assert await connection.fetchval(query, account.account_id) == 1


@pytest.mark.usefixtures("unhurried_pool")
async def test_calls_at_once_open_one_account(billing: Client) -> None:
    patient, request_id = new_id(), new_id()
    answers = await asyncio.gather(
        *(billing.create(patient, request_id) for _ in range(10)),
        *(billing.create(patient, new_id()) for _ in range(10)),
    )
    assert len({answer.account_id for answer in answers}) == 1
    async with billing.database.connection() as connection:
        assert (
            await connection.fetchval(
                "SELECT count(*) FROM audit WHERE account_id = $1", answers[0].account_id
            )
            == 1
        )


async def test_request_id_of_another_request_is_refused_and_changes_nothing(
    billing: Client,
) -> None:
    request_id, other = new_id(), new_id()
    await billing.create(new_id(), request_id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await billing.create(other, request_id)
    problem = problem_of_rpc(refused.value)
    assert (problem.status, problem.code) == (422, "request_id_reused")
    found = pb.GetAccountByPatientRequest(patient_id=other)
    assert await billing.code("GetAccountByPatient", found, user="reader") == "NOT_FOUND"


async def test_request_ids_of_two_callers_do_not_collide(billing: Client) -> None:
    request_id = new_id()
    first = await billing.create(new_id(), request_id)
    second = await billing.create(new_id(), request_id, service="gateway", user="writer")
    assert first.account_id != second.account_id


async def test_audit_names_the_person_the_service_and_the_request(billing: Client) -> None:
    with use_context(read_context("request-7", None)):
        account = await billing.create(new_id(), new_id(), service="gateway", user="writer")
    async with billing.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT * FROM audit WHERE account_id = $1", account.account_id
        )
    assert (
        row["action"],
        row["subject"],
        row["client_id"],
        row["service_id"],
        row["correlation_id"],
    ) == (
        "account.opened",
        "user-2",
        "web",
        "service-gateway",
        "request-7",
    )


async def test_audit_can_neither_be_changed_nor_deleted(billing: Client) -> None:
    async with billing.database.connection() as connection:
        for statement in (
            "UPDATE audit SET subject = ''",
            "DELETE FROM audit",
            "DELETE FROM account",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


@pytest.mark.parametrize(
    ("service", "user", "code"),
    [
        ("", "", "UNAUTHENTICATED"),
        ("forged", "", "UNAUTHENTICATED"),
        ("elsewhere", "writer", "UNAUTHENTICATED"),
        ("writer", "", "UNAUTHENTICATED"),
        ("stranger", "", "PERMISSION_DENIED"),
        ("gateway", "", "PERMISSION_DENIED"),
        ("gateway", "forged", "UNAUTHENTICATED"),
        ("gateway", "reader", "PERMISSION_DENIED"),
        ("gateway", "posing", "PERMISSION_DENIED"),
        ("gateway", "service-as-user", "UNAUTHENTICATED"),
        # The person behind the call decides, not the service that passes it on.
        ("relay", "reader", "PERMISSION_DENIED"),
    ],
)
async def test_account_is_opened_for_nobody_without_the_right(
    billing: Client, service: str, user: str, code: str
) -> None:
    request = pb.CreateBillingAccountRequest(request_id=new_id(), patient_id=new_id())
    assert await billing.code("CreateBillingAccount", request, service, user) == code


async def test_reading_needs_billing_read(billing: Client) -> None:
    request = pb.GetAccountRequest(account_id=new_id())
    for service, user in (("relay", ""), ("gateway", ""), ("gateway", "writer")):
        assert await billing.code("GetAccount", request, service, user) == "PERMISSION_DENIED"
    assert await billing.code("GetAccount", request, user="reader") == "NOT_FOUND"


async def test_bad_request_names_every_field(billing: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await billing.create("no such/id", "")
    problem = problem_of_rpc(refused.value)
    assert (refused.value.code(), problem.status) == (grpc.StatusCode.INVALID_ARGUMENT, 400)
    assert [fault.pointer for fault in problem.faults] == ["request_id", "patient_id"]


async def test_health_follows_the_keys(billing: Client) -> None:
    health = health_pb2_grpc.HealthStub(billing.channel)
    billing.verifier.has_keys = False
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_ready_billing_is_serving(billing: Client) -> None:
    health = health_pb2_grpc.HealthStub(billing.channel)
    answer = await health.Check(
        health_pb2.HealthCheckRequest(service="billing.v1.Billing"), timeout=5
    )
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_without_its_database_billing_is_unavailable_but_alive(stranded: Client) -> None:
    request = pb.CreateBillingAccountRequest(request_id=new_id(), patient_id=new_id())
    assert await stranded.code("CreateBillingAccount", request, "relay") == "UNAVAILABLE"
    health = health_pb2_grpc.HealthStub(stranded.channel)
    ready = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    alive = await health.Check(health_pb2.HealthCheckRequest(service="livez"), timeout=5)
    assert (ready.status, alive.status) == (
        health_pb2.HealthCheckResponse.NOT_SERVING,
        health_pb2.HealthCheckResponse.SERVING,
    )
