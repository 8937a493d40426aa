import ssl
import subprocess
import sys

import aiohttp
import pytest

from apps.gateway.settings import Settings
from apps.gateway.tls import self_signed_certificate
from apps.kit.settings import SettingsError
from tests.gateway.running import Service, serving

GOOD = {
    "ENVIRONMENT": "prod",
    "HOST": "0.0.0.0",
    "PORT": "4004",
    "PUBLIC_URL": "https://health.example/",
    "LOG_FORMAT": "json",
    "AUTH_URL": "http://auth:4005",
    "PATIENT_URL": "http://patient:4000",
    "ANALYTICS_URL": "http://analytics:4002",
    "CONSOLE_URL": "http://console:4003",
    "BILLING_TARGET": "billing:9001",
    "GATEWAY_CLIENT_SECRET": "s",
}


def test_good_environment_makes_settings() -> None:
    settings = Settings.from_environment({**GOOD, "TRUSTED_PROXIES": "10.0.0.0/20, fd00::/8"})
    assert settings.public_url == "https://health.example"
    assert not settings.password_login_enabled
    assert settings.cors_allowed_origins == ()
    assert len(settings.trusted_proxies) == 2
    assert (settings.limits.body_bytes, settings.limits.bundle_bytes) == (2**20, 2**24)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH_PASSWORD_LOGIN_ENABLED", "true"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("CORS_ALLOWED_ORIGINS", "https://app.example/"),
        ("CORS_ALLOWED_ORIGINS", "https://*.app.example/path"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "everybody"),
        ("TRUSTED_PROXIES", "10.0.0.0/20,0.0.0.0/0"),
        ("TRUSTED_PROXIES", "::/0"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
        ("PUBLIC_URL", "health.example"),
        ("GATEWAY_CLIENT_SECRET", ""),
        ("BILLING_TARGET", ""),
    ],
)
def test_bad_setting_is_refused_and_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({**GOOD, name: value})


def test_start_with_bad_settings_says_why_and_exits_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.gateway"], env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "PUBLIC_URL is required" in done.stderr
    assert "Traceback" not in done.stderr


async def test_certificate_of_its_own_serves_https() -> None:
    with self_signed_certificate("health.example") as tls:
        async with serving(Service(), tls) as port, aiohttp.ClientSession() as session:
            async with session.get(f"https://127.0.0.1:{port}/", ssl=False) as answer:
                assert answer.status == 200
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"https://127.0.0.1:{port}/", ssl=ssl.create_default_context())
