import asyncpg
import pytest

from apps.auth.oauth.clients import Client, select_client
from apps.release.sign_in import register_sign_in_clients

SECRETS = {"CONSOLE_CLIENT_SECRET": "a secret"}


async def registered(auth_url: str, public_url: str) -> Client:
    await register_sign_in_clients(auth_url, public_url, SECRETS)
    connection = await asyncpg.connect(auth_url)
    try:
        client = await select_client(connection, "console")
    finally:
        await connection.close()
    assert client is not None
    return client


@pytest.mark.integration
async def test_console_signs_people_in_at_the_public_url(auth_database: str) -> None:
    client = await registered(auth_database, "https://health.example")
    assert client.redirect_uris == ("https://health.example/sign-in/callback",)
    assert client.post_logout_redirect_uris == ("https://health.example/signed-out",)
    assert client.backchannel_logout_uri == "https://health.example/sign-out/back-channel"
    assert "openid" in client.scopes

    assert await registered(auth_database, "https://health.example") == client
    moved = await registered(auth_database, "https://other.example")
    assert moved.redirect_uris == ("https://other.example/sign-in/callback",)
    assert moved.version == client.version + 1
