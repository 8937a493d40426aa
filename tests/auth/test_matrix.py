"""Every route of every HTTP service and every method of billing, with every role and none:
what each answers.
"""

import importlib
import inspect
import os
import secrets
import uuid
from collections.abc import AsyncIterator, Iterator

import aiohttp
import asyncpg
import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from apps.auth.people.users import create_user
from apps.catalogue import SERVICES
from apps.gateway.billing_call import BASE
from apps.gateway.billing_calls import CALLS
from apps.kit.rpc import call_metadata, open_channel
from apps.kit.web import every_route
from protos.billing.v1 import billing_pb2
from tests.auth import matrix
from tests.auth.matrix import (
    ALL,
    BILLING_PREFIX,
    PRINCIPALS,
    ROLES,
    Operation,
    Who,
    who_may_call,
)
from tests.test_architecture import local_environment, settings_of

PASSWORD = "correct horse battery"
OWN_RECORD = str(uuid.uuid4())
BODY = {"POST", "PUT", "PATCH"}
TIMEOUT_SECONDS = 10.0
FORWARDED_WHOLE = ("/fhir/R4", "/{path}")
METHODS = {
    method.name: method for method in billing_pb2.DESCRIPTOR.services_by_name["Billing"].methods
}

# The billing method behind an operation of the gateway.
RPC_OF = {(call.method, BASE + call.path): call.rpc for call in CALLS}


def walk(name: str) -> Iterator[Operation]:
    """Every (method, path) of the service; a resource's type is spelt out."""
    make = importlib.import_module(f"apps.{name}.app").create_app
    fakes = {
        parameter.name: object()
        for parameter in inspect.signature(make).parameters.values()
        if parameter.default is parameter.empty and parameter.name != "settings"
    }
    entry = SERVICES[name]
    environ = {**local_environment(entry), "AUTH_PASSWORD_LOGIN_ENABLED": "true"}
    for route in every_route(make(settings_of(entry, environ), **fakes)):
        for kind in matrix.RECORDS if "{type}" in route.path_format else ("",):
            for method in route.operations:
                yield method, route.path_format.replace("{type}", kind)


def expected(name: str, operation: Operation) -> Who:
    if name == "gateway" and operation[1].startswith(BILLING_PREFIX):
        return who_may_call(RPC_OF[operation])
    return matrix.SERVICES[name][operation]


@pytest.mark.parametrize("name", matrix.SERVICES)
def test_every_operation_is_in_the_matrix_and_no_other(name: str) -> None:
    walked = set(walk(name))
    listed = set(matrix.SERVICES[name])
    if name == "gateway":
        # What lies under these, the services behind it know.
        elsewhere = (*FORWARDED_WHOLE, BILLING_PREFIX)
        walked = {one for one in walked if not one[1].startswith(elsewhere)}
        listed = {one for one in listed if not one[1].startswith(elsewhere)}
    assert walked == listed


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    ) as session:
        yield session


@pytest.fixture
async def tokens(session: aiohttp.ClientSession) -> dict[str, str]:
    """Principal -> its access token, from the running platform."""
    url = os.environ["PLATFORM_URL"]
    found = {"none": ""}
    connection = await asyncpg.connect(os.environ["PLATFORM_AUTH_DATABASE_URL"])
    try:
        for role in ROLES:
            email = f"{secrets.token_hex(6)}@example.org"
            record = OWN_RECORD if role == "patient" else None
            await create_user(
                connection, email=email, roles=(role,), password=PASSWORD, patient_id=record
            )
            async with session.post(
                f"{url}/auth/login", json={"email": email, "password": PASSWORD}
            ) as answer:
                found[role] = (await answer.json())["token"]
    finally:
        await connection.close()
    client = (os.environ["PLATFORM_CLIENT_ID"], os.environ["PLATFORM_CLIENT_SECRET"])
    found["client"] = await client_token(session, client)
    service = ("service-analytics", os.environ["PLATFORM_ANALYTICS_CLIENT_SECRET"])
    found["service"] = await client_token(session, service, audience="auth")
    return found


async def client_token(session: aiohttp.ClientSession, client: tuple[str, str], **form: str) -> str:
    headers = {"Authorization": aiohttp.encode_basic_auth(*client)}
    body = {"grant_type": "client_credentials", **form}
    async with session.post(
        f"{os.environ['PLATFORM_AUTH_URL']}/oauth2/token", data=body, headers=headers
    ) as answer:
        token: str = (await answer.json())["access_token"]
        return token


async def ask(session: aiohttp.ClientSession, url: str, operation: Operation, token: str) -> int:
    method, path = operation
    path = path.replace("{id}", OWN_RECORD).replace("{vid}", "1")
    path = path.replace("{operation}", "unknown").replace("{compartment_type}", "Observation")
    for name in ("account_id", "patient_id", "charge_item_id", "invoice_id", "payment_id"):
        path = path.replace(f"{{{name}}}", OWN_RECORD)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    content = b"{}" if method in BODY else None
    if content:
        headers["Content-Type"] = (
            "application/fhir+json" if path.startswith("/fhir") else "application/json"
        )
    async with session.request(
        method, url + path, data=content, headers=headers, allow_redirects=False
    ) as answer:
        if answer.content_type != "text/event-stream":
            await answer.read()
        return answer.status


@pytest.mark.system
@pytest.mark.parametrize("name", matrix.SERVICES)
async def test_each_role_is_answered_as_the_matrix_says(
    name: str, session: aiohttp.ClientSession, tokens: dict[str, str]
) -> None:
    url = os.environ["PLATFORM_URL" if name == "gateway" else f"PLATFORM_{name.upper()}_URL"]
    wrong = []
    operations = set(walk(name))
    if name == "gateway":
        operations = {one for one in operations if not one[1].startswith(FORWARDED_WHOLE)}
        operations |= {one for one in matrix.SERVICES[name] if one[1].startswith(FORWARDED_WHOLE)}
    for operation in sorted(operations):
        allowed = expected(name, operation)
        answers = {
            principal: await ask(session, url, operation, tokens[principal])
            for principal in PRINCIPALS
        }
        if allowed == ALL:
            # Whatever these answer, a token changes nothing about it.
            if len(set(answers.values())) > 1 or answers["none"] >= 500:
                wrong.append((operation, answers))
            continue
        for principal, status in answers.items():
            if principal in allowed:
                right = status not in (401, 403) and (status < 500 or status == 501)
            elif principal == "none":
                right = status == 401
            elif principal == "service" and name != "auth":
                # A valid signature, and for somebody else.
                right = status == 401
            else:
                right = status == 403
            if not right:
                wrong.append((operation, {principal: status}))
    assert not wrong


async def call(channel: grpc.aio.Channel, name: str, metadata: tuple[tuple[str, str], ...]) -> str:
    """The status of an empty request."""
    method = METHODS[name]
    made = channel.unary_unary(
        f"/{method.containing_service.full_name}/{name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    try:
        await made(GetMessageClass(method.input_type)(), metadata=metadata, timeout=TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.mark.system
async def test_each_billing_method_answers_each_role_as_the_matrix_says(
    session: aiohttp.ClientSession, tokens: dict[str, str]
) -> None:
    gateway = ("service-gateway", os.environ["PLATFORM_GATEWAY_CLIENT_SECRET"])
    relay = ("service-patient", os.environ["PLATFORM_PATIENT_CLIENT_SECRET"])
    through = await client_token(session, gateway, audience="billing")
    relays = await client_token(session, relay, audience="billing", scope="billing.system")
    refused = ("UNAUTHENTICATED", "PERMISSION_DENIED")
    async with open_channel(os.environ["PLATFORM_BILLING_TARGET"]) as channel:
        for name in METHODS:
            assert await call(channel, name, ()) == "UNAUTHENTICATED", name
            for principal in PRINCIPALS:
                if principal == "none":
                    continue
                # A person's token is no service's: without one beside it, it opens nothing.
                alone = await call(channel, name, call_metadata(tokens[principal]))
                assert alone == "UNAUTHENTICATED", (name, principal)
                status = await call(channel, name, call_metadata(through, tokens[principal]))
                if principal == "service":
                    assert status == "UNAUTHENTICATED", (name, principal, status)
                elif principal in who_may_call(name):
                    assert status not in refused, (name, principal, status)
                else:
                    assert status == "PERMISSION_DENIED", (name, principal, status)
            assert await call(channel, name, call_metadata(through)) == "PERMISSION_DENIED", name
            system = await call(channel, name, call_metadata(relays))
            assert (system not in refused) == name.endswith(
                ("CreateBillingAccount", "CreateBillingAccounts")
            ), (
                name,
                system,
            )
