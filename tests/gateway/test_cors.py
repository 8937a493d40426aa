"""Which scripts in a browser may call which paths."""

import asyncio

import pytest

from apps.gateway.origins import MAX_ORIGINS, ClientOrigins, parse_origins
from apps.gateway.settings import RequestLimits
from tests.gateway.running import REGISTERED_ORIGINS, Gateway, open_gateway, until

REGISTERED = REGISTERED_ORIGINS[0]
PUBLIC_PATHS = (
    "/.well-known/openid-configuration",
    "/.well-known/jwks.json",
    "/.well-known/smart-configuration",
    "/fhir/R4/.well-known/smart-configuration",
    "/fhir/R4/metadata",
)
APPLICATION_PATHS = (
    ("POST", "/oauth2/token"),
    ("POST", "/oauth2/revoke"),
    ("GET", "/oauth2/userinfo"),
    ("GET", "/fhir/R4/Patient"),
    ("POST", "/fhir/R4"),
)
OTHER_PATHS = ("/oauth2/introspect", "/auth/v1/users", "/oauth2/authorize", "/api/patients", "/")


async def allowed_origin(gateway: Gateway, method: str, path: str, origin: str) -> str | None:
    async with gateway.call(method, path, headers={"Origin": origin}) as answer:
        assert "Access-Control-Allow-Credentials" not in answer.headers
        return answer.headers.get("Access-Control-Allow-Origin")


async def preflight(gateway: Gateway, path: str, origin: str) -> tuple[int, str | None]:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, dpop",
    }
    async with gateway.call("OPTIONS", path, headers=headers) as answer:
        if answer.status == 204:
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert "DPoP" in answer.headers["Access-Control-Allow-Headers"]
        return answer.status, answer.headers.get("Access-Control-Allow-Origin")


@pytest.mark.parametrize("path", PUBLIC_PATHS)
async def test_public_documents_are_for_any_origin(gateway: Gateway, path: str) -> None:
    assert await allowed_origin(gateway, "GET", path, "https://any.example") == "*"
    assert await preflight(gateway, path, "https://any.example") == (204, "*")


@pytest.mark.parametrize(("method", "path"), APPLICATION_PATHS)
async def test_registered_origins_may_call_what_applications_need(
    gateway: Gateway, method: str, path: str
) -> None:
    assert await allowed_origin(gateway, method, path, REGISTERED) == REGISTERED
    assert await preflight(gateway, path, REGISTERED) == (204, REGISTERED)
    for other in (
        "https://evil.example",
        REGISTERED + ".evil.example",
        "http://app.example",
        "null",
    ):
        assert await allowed_origin(gateway, method, path, other) is None
        assert await preflight(gateway, path, other) == (403, None)


@pytest.mark.parametrize("path", OTHER_PATHS)
async def test_registered_origins_may_call_nothing_else(gateway: Gateway, path: str) -> None:
    assert await allowed_origin(gateway, "GET", path, REGISTERED) is None
    assert await preflight(gateway, path, REGISTERED) == (403, None)


async def test_listed_origins_may_call_every_path() -> None:
    async with open_gateway(cors_allowed_origins=("https://listed.example",)) as gateway:
        for path in ("/api/patients", "/auth/v1/users", "/fhir/R4/Patient"):
            found = await allowed_origin(gateway, "GET", path, "https://listed.example")
            assert found == "https://listed.example"


async def test_refusal_can_be_read_by_an_allowed_script_and_depends_on_the_origin(
    gateway: Gateway,
) -> None:
    headers = {"Origin": REGISTERED}
    async with gateway.call("GET", "/fhir/R4/Patient", headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["Vary"] == "Origin"
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert {"ETag", "Location", "Retry-After"} <= set(exposed.split(", "))


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": REGISTERED}, {"Access-Control-Request-Method": "GET"}]
)
async def test_options_that_is_no_preflight_is_a_request_like_others(
    gateway: Gateway, headers: dict[str, str]
) -> None:
    async with gateway.call("OPTIONS", "/.well-known/jwks.json", headers=headers) as answer:
        assert answer.status == 405
        assert "Access-Control-Allow-Methods" not in answer.headers


async def test_preflight_counts_against_the_rate_limit() -> None:
    async with open_gateway(limits=RequestLimits(requests_per_minute=2)) as gateway:
        statuses = [(await preflight(gateway, "/fhir/R4", REGISTERED))[0] for _ in range(3)]
        assert statuses == [204, 204, 429]


async def test_origins_stay_while_auth_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("apps.gateway.origins.PERIOD_SECONDS", 0.01)
    told = iter([frozenset({"https://a.example"}), frozenset({"https://b.example"})])
    asked = 0

    async def fetch() -> frozenset[str]:
        nonlocal asked
        asked += 1
        if asked in (1, 3):
            raise OSError
        found: frozenset[str] | None = next(told, None)
        if found is None:
            raise OSError
        return found

    origins = ClientOrigins()
    task = asyncio.create_task(origins.keep_fresh(fetch))
    await until(lambda: "https://a.example" in origins)
    await until(lambda: "https://b.example" in origins and "https://a.example" not in origins)
    await until(lambda: asked > 6)
    assert "https://b.example" in origins
    task.cancel()
    # Each outage is told once.
    assert [record.message for record in caplog.records] == ["auth tells no origins"] * 3


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"origins": "https://a.example"},
        {"origins": [1]},
        {"origins": ["x" * 301]},
        {"origins": ["https://a.example"] * (MAX_ORIGINS + 1)},
    ],
)
def test_document_that_is_no_list_of_origins_is_refused(document: object) -> None:
    with pytest.raises((ValueError, KeyError)):
        parse_origins(document)
