"""A call without a good token or without the scope is refused by the gateway and by the service
behind it alike.
"""

import base64
import json
import uuid
from typing import Any

import grpc
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from apps.kit.rpc import open_channel
from protos.billing.v1 import billing_pb2 as pb
from protos.billing.v1.billing_pb2_grpc import BillingStub
from tests.system.platform import Platform, is_problem, sign_with_the_platforms_key, variable

pytestmark = pytest.mark.system

HTTP_CALLS = [
    ("patient", "GET", "/api/patients"),
    ("patient", "POST", "/api/patients"),
    ("patient", "GET", "/api/patients/00000000-0000-7000-8000-000000000000"),
    ("patient", "GET", "/fhir/R4/Patient"),
    ("patient", "POST", "/fhir/R4/Observation"),
    ("patient", "POST", "/fhir/R4"),
    ("analytics", "GET", "/analytics/v1/registrations"),
    ("auth", "GET", "/auth/validate"),
]
BAD_TOKENS = (
    "none",
    "nonsense",
    "expired",
    "another key",
    "another issuer",
    "another audience",
    "not an access token",
)


async def bad_token(platform: Platform, kind: str) -> str | None:
    now = 1_700_000_000
    match kind:
        case "none":
            return None
        case "nonsense":
            return "nonsense"
        case "expired":
            return await sign_with_the_platforms_key(iat=now, exp=now + 600)
        case "another issuer":
            return await sign_with_the_platforms_key(iss="https://evil.example")
        case "another audience":
            return await sign_with_the_platforms_key(aud="https://evil.example")
        case "not an access token":
            return signed_by_another_key(await platform.client_token(), typ="JWT")
    return signed_by_another_key(await platform.client_token())


def signed_by_another_key(token: str, **header: Any) -> str:
    """The same token, with the same key id, by a key that is not the platform's."""

    def part(text: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=="))
        return value

    head, claims, _ = token.split(".")
    key = RSAKey.generate_key(2048)
    return jwt.encode({**part(head), "alg": "RS256", **header}, part(claims), key, ["RS256"])


async def test_token_made_for_these_tests_is_good_but_for_what_they_change(
    platform: Platform,
) -> None:
    token = await sign_with_the_platforms_key()
    for at in ("gateway", "patient"):
        assert (await platform.call("GET", "/api/patients", token=token, at=at)).status == 200


@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_bad_token_is_401_at_the_gateway_and_at_the_service(
    platform: Platform, kind: str
) -> None:
    token = await bad_token(platform, kind)
    for service, method, path in HTTP_CALLS:
        for at in platform.servers_of(service):
            answer = await platform.call(method, path, token=token, at=at)
            assert answer.status == 401, f"{method} {path} at {at}: {answer.body}"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert is_problem(answer)
    answer = await platform.call("GET", "/billing/v1/accounts?patient=x", token=token)
    assert (answer.status, is_problem(answer)) == (401, True)


async def test_token_without_the_scope_is_403_at_the_gateway_and_at_the_service(
    platform: Platform,
) -> None:
    token = await platform.client_token("billing.read")
    for service, method, path in HTTP_CALLS:
        if path == "/auth/validate":
            continue
        for at in platform.servers_of(service):
            answer = await platform.call(method, path, token=token, at=at)
            assert answer.status == 403, f"{method} {path} at {at}: {answer.body}"
            assert is_problem(answer)
    read = await platform.client_token("billing.read system/Patient.rs")
    for method, path in (("POST", "/billing/v1/accounts"), ("POST", "/api/patients")):
        answer = await platform.call(method, path, token=read, json={})
        assert (answer.status, is_problem(answer)) == (403, True)


async def test_granted_scope_is_no_more_than_the_client_may_have(platform: Platform) -> None:
    narrow = await platform.client_token("analytics.read")
    assert (await platform.call("GET", "/analytics/v1/registrations", token=narrow)).status == 200
    for at in platform.servers_of("patient"):
        assert (await platform.call("GET", "/api/patients", token=narrow, at=at)).status == 403


async def call_billing(service_token: str | None, user_token: str | None) -> grpc.StatusCode:
    metadata: list[tuple[str, str]] = []
    if service_token is not None:
        metadata.append(("authorization", f"Bearer {service_token}"))
    if user_token is not None:
        metadata.append(("x-user-token", user_token))
    async with open_channel(variable("BILLING_TARGET")) as channel:
        try:
            request = pb.GetAccountByPatientRequest(patient_id=str(uuid.uuid4()))
            stub: Any = BillingStub(channel)
            await stub.GetAccountByPatient(request, metadata=metadata, timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_billing_behind_the_gateway_asks_for_both_tokens_itself(platform: Platform) -> None:
    service = await platform.service_token("gateway", "billing")
    user = await sign_with_the_platforms_key(scope="billing.read")
    assert await call_billing(service, user) is grpc.StatusCode.NOT_FOUND
    assert await call_billing(None, user) is grpc.StatusCode.UNAUTHENTICATED
    # A person's token is none of a service.
    assert await call_billing(user, user) is grpc.StatusCode.UNAUTHENTICATED
    for kind in BAD_TOKENS[1:]:
        bad = await bad_token(platform, kind)
        assert await call_billing(bad, user) is grpc.StatusCode.UNAUTHENTICATED, kind
        assert await call_billing(service, bad) is grpc.StatusCode.UNAUTHENTICATED, kind
    without = await sign_with_the_platforms_key(scope="analytics.read")
    assert await call_billing(service, without) is grpc.StatusCode.PERMISSION_DENIED
    # The gateway's own token alone opens nothing.
    assert await call_billing(service, None) is grpc.StatusCode.PERMISSION_DENIED


async def test_services_own_token_is_no_ones_at_the_gateway(platform: Platform) -> None:
    token = await platform.service_token("gateway", "billing")
    for path in ("/api/patients", "/billing/v1/accounts?patient=x", "/auth/validate"):
        assert (await platform.call("GET", path, token=token)).status == 401


INTERNAL = ("/oauth2/revocations", "/oauth2/revocations/", "/oauth2/./revocations")


async def test_what_is_internal_is_not_there_from_outside(platform: Platform) -> None:
    for token in (None, await platform.user_token()):
        for path in INTERNAL:
            answer = await platform.call("GET", path, token=token)
            assert (answer.status, is_problem(answer)) == (404, True)
    for path in ("/livez", "/readyz"):
        answer = await platform.call("GET", path, headers={"X-Forwarded-For": "203.0.113.9"})
        assert (answer.status, is_problem(answer)) == (404, True)


async def test_what_is_internal_opens_to_no_token_from_outside(platform: Platform) -> None:
    service = await platform.service_token("gateway", "auth")
    assert (
        await platform.call("GET", "/oauth2/revocations", token=service, at="auth")
    ).status == 200
    for token in (service, await sign_with_the_platforms_key()):
        for path in INTERNAL:
            answer = await platform.call("GET", path, token=token)
            assert (answer.status, is_problem(answer)) == (404, True)


async def test_public_paths_need_no_token(platform: Platform) -> None:
    for path in (
        "/openapi.json",
        "/docs",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/smart-configuration",
        "/.well-known/jwks.json",
        "/fhir/R4/.well-known/smart-configuration",
        "/fhir/R4/metadata",
    ):
        answer = await platform.call("GET", path)
        assert answer.status == 200, path
    configuration = (await platform.call("GET", "/.well-known/openid-configuration")).body
    assert configuration["issuer"] == platform.urls["gateway"]
    document = (await platform.call("GET", "/openapi.json")).body
    assert document["servers"] == [{"url": platform.urls["gateway"]}]
