"""The gateway from its start to its end: with nobody there yet, over TLS, and when it
is told to stop.
"""

import asyncio
import logging
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette

from apps.gateway.app import create_app
from apps.gateway.tls import self_signed_certificate
from apps.kit.http_server import serve_http
from tests.gateway.running import (
    LIMIT_SECONDS,
    PUBLIC_URL,
    Answer,
    Gateway,
    make_settings,
    make_token,
    open_gateway,
    serving,
)
from tests.ports import free_port


async def test_without_keys_it_lives_is_not_ready_and_lets_nobody_in() -> None:
    async with serving(create_app(make_settings())) as port, httpx.AsyncClient() as client:
        base = f"http://127.0.0.1:{port}"
        assert (await client.get(f"{base}/livez")).status_code == 200
        ready = await client.get(f"{base}/readyz")
        assert (ready.status_code, ready.json()["failed"]) == (503, ["keys"])
        headers = {"Authorization": f"Bearer {make_token('user/Patient.s')}"}
        answer = await client.get(f"{base}/api/patients", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "verification_unavailable")
        assert answer.headers["Retry-After"]


async def test_unreachable_billing_degrades_and_does_not_fail_readiness(gateway: Gateway) -> None:
    gateway.billing.is_reachable = False
    async with gateway.call("GET", "/readyz") as answer:
        assert (answer.status, (await answer.json())["degraded"]) == (200, ["billing"])


def test_process_starts_with_nobody_there_and_stops_on_sigterm() -> None:
    port = free_port()
    environ = {
        "ENVIRONMENT": "local",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "LOG_FORMAT": "json",
        "AUTH_URL": "http://127.0.0.1:1",
        "PATIENT_URL": "http://127.0.0.1:1",
        "ANALYTICS_URL": "http://127.0.0.1:1",
        "CONSOLE_URL": "http://127.0.0.1:1",
        "BILLING_TARGET": "127.0.0.1:1",
        "GATEWAY_CLIENT_SECRET": "s",
    }
    process = subprocess.Popen([sys.executable, "-m", "apps.gateway"], env=environ)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=1) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


async def test_request_under_way_is_finished_before_it_stops(gateway: Gateway) -> None:
    gateway.patient.hold = asyncio.Event()
    settings = make_settings(
        upstreams=dict.fromkeys(gateway.services, f"http://127.0.0.1:{gateway.port}")
    )
    port, stop = free_port(), asyncio.Event()
    # A gateway before the gateway: its metadata are public, so no token is needed twice.
    server = asyncio.create_task(
        serve_http(create_app(settings), "127.0.0.1", port, stop, server="uvicorn")
    )
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=20)) as client:
        pending = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/fhir/R4/metadata"))
        async with asyncio.timeout(LIMIT_SECONDS):
            await gateway.patient.reached.wait()
            stop.set()
            gateway.patient.hold.set()
            assert (await pending).status_code == 200
            await server


async def test_application_that_fails_to_start_is_an_error_and_not_an_end_of_the_process() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    serving_it = serve_http(
        Starlette(lifespan=lifespan), "127.0.0.1", free_port(), asyncio.Event(), server="uvicorn"
    )
    with pytest.raises(RuntimeError, match="did not start"):
        await serving_it


async def test_requests_over_its_own_certificate_pass_through() -> None:
    with self_signed_certificate("health.example") as tls:
        async with (
            open_gateway(tls=tls) as gateway,
            httpx.AsyncClient(verify=False) as client,  # noqa: S501
        ):
            gateway.patient.answer = Answer(
                200, [(b"content-type", b"application/json")], b"[" + b" " * 200_000 + b"]"
            )
            headers = {"Authorization": f"Bearer {make_token('user/Patient.cruds')}"}
            url = f"https://127.0.0.1:{gateway.port}/api/patients"
            answers = await asyncio.gather(
                *(client.get(url, headers=headers) for _ in range(5)),
                *(client.post(url, headers=headers, content=b"x" * 300_000) for _ in range(5)),
            )
            assert [answer.status_code for answer in answers] == [200] * 10
            assert {len(answer.content) for answer in answers} == {200_002}
            assert answers[0].headers["Strict-Transport-Security"].startswith("max-age=")
            too_large = await client.post(url, headers=headers, content=b"x" * 2_000_000)
            assert too_large.status_code == 413
        assert sorted(len(seen.body) for seen in gateway.patient.seen) == [0] * 5 + [300_000] * 5


async def test_log_has_one_line_a_request_and_nothing_of_a_person(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "apps.gateway.access")
    async with gateway.call(
        "GET", "/fhir/R4/Patient/p-7?name=Secret", scope="user/Patient.r", headers={"Referer": "x"}
    ):
        pass
    async with gateway.call("GET", "/nowhere/Secret"):
        pass
    async with gateway.call("GET", "/livez"):
        pass
    first, second = (record for record in caplog.records if record.name == "apps.gateway.access")
    assert first.getMessage() == "GET /fhir/R4/{path} 200"
    assert vars(first)["client_id"] == "client-1"
    assert vars(first)["ms"] >= 0
    assert second.getMessage() == "GET /{path} 200"
    assert "Secret" not in caplog.text
    assert "p-7" not in caplog.text
    assert PUBLIC_URL not in caplog.text
