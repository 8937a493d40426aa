"""A session in the database: its tokens are encrypted, it ends when idle or old, and its refresh
token is used once.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from apps.catalogue import SERVICES
from apps.console.web.sessions import Session, Tokens, insert_session, select_session
from apps.console.web.tokens import refresh_session
from apps.kit.database import Database, DatabaseSettings, open_database
from apps.kit.errors import Unavailable
from tests.ports import free_port
from tests.test_architecture import local_environment, settings_of

pytestmark = pytest.mark.integration

IDLE_MINUTES = 30
TOKENS = Tokens(access="access-1", refresh="refresh-1", id_token="id-1", name="Test Person")


@pytest.fixture(scope="module")
def url(make_database: Any) -> Iterator[str]:
    with make_database("console") as (runtime_url, _):
        yield runtime_url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with open_database(DatabaseSettings(url)) as opened:
        yield opened


class Auth:
    """The token endpoint: answers with `status`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[str] = []

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(str(form["refresh_token"]))
        # Long enough that whoever asks at once is there.
        await asyncio.sleep(0.05)
        body = {"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 300}
        return web.json_response(body, status=self.status)


class Console:
    """What a request of the console has at hand."""

    def __init__(self, database: Database, http: aiohttp.ClientSession, auth: str) -> None:
        entry = SERVICES["console"]
        settings: Any = settings_of(entry, local_environment(entry))
        self.settings = replace(settings, upstreams={**settings.upstreams, "auth": auth})
        self.database = database
        neighbours = SimpleNamespace(http=http)
        state = SimpleNamespace(settings=self.settings, database=database, neighbours=neighbours)
        self.request: Any = SimpleNamespace(state=state)

    async def sign_in(self, seconds: int = 300) -> Session:
        async with self.database.connection() as connection:
            token = await insert_session(
                connection,
                self.settings.key,
                subject="somebody",
                auth_session="s",
                tokens=TOKENS,
                access_expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
            )
        session = await self.find(token)
        assert session is not None
        return session

    async def find(self, token: str, key: bytes | None = None) -> Session | None:
        async with self.database.connection() as connection:
            return await select_session(
                connection, key or self.settings.key, token, idle_minutes=IDLE_MINUTES
            )

    async def change(self, statement: str) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement)


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
async def console(database: Database, auth: Auth) -> AsyncIterator[Console]:
    app = web.Application()
    app.router.add_post("/oauth2/token", auth.token)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await database_emptied(database)
    async with aiohttp.ClientSession() as http:
        yield Console(database, http, f"http://127.0.0.1:{port}")
    await runner.cleanup()


async def database_emptied(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("DELETE FROM session")


async def test_tokens_are_kept_encrypted_for_their_own_session(console: Console) -> None:
    session, other = await console.sign_in(), await console.sign_in()
    assert session.tokens == TOKENS
    async with console.database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM session")
    kept = b"".join(bytes(row["token_hash"]) + bytes(row["tokens"]) for row in rows)
    for secret in (session.token, other.token, "access-1", "refresh-1", "id-1", "Test Person"):
        assert secret.encode() not in kept
    assert await console.find(session.token, b"another key of 32 bytes, and not.") is None
    # Moved to another session they are nobody's.
    await console.change(
        "UPDATE session SET tokens = (SELECT tokens FROM session ORDER BY token_hash LIMIT 1)"
    )
    found = [await console.find(each.token) for each in (session, other)]
    assert found.count(None) == 1


@pytest.mark.parametrize(
    ("statement", "stands"),
    [
        ("UPDATE session SET seen_at = now() - interval '29 minutes'", True),
        ("UPDATE session SET seen_at = now() - interval '31 minutes'", False),
        ("UPDATE session SET created_at = now() - interval '11 hours'", True),
        ("UPDATE session SET created_at = now() - interval '13 hours'", False),
    ],
)
async def test_session_ends_when_idle_or_old(
    console: Console, statement: str, stands: bool
) -> None:
    session = await console.sign_in()
    await console.change(statement)
    assert (await console.find(session.token) is not None) is stands


async def test_requests_at_once_use_a_refresh_token_once(console: Console, auth: Auth) -> None:
    session = await console.sign_in()
    found = await asyncio.gather(*(refresh_session(console.request, session) for _ in range(5)))
    assert [each.tokens.access for each in found if each] == ["access-2"] * 5
    assert auth.asked == ["refresh-1"]
    kept = await console.find(session.token)
    assert kept is not None
    assert kept.tokens == Tokens(
        access="access-2", refresh="refresh-2", id_token="id-1", name="Test Person"
    )


async def test_session_ends_where_auth_refuses_it(console: Console, auth: Auth) -> None:
    session = await console.sign_in()
    auth.status = 400
    assert await refresh_session(console.request, session) is None
    assert await console.find(session.token) is None


async def test_session_lasts_as_its_token_where_auth_is_away(console: Console, auth: Auth) -> None:
    auth.status = 503
    session = await console.sign_in()
    assert await refresh_session(console.request, session) == session
    expired = await console.sign_in(seconds=-1)
    with pytest.raises(Unavailable):
        await refresh_session(console.request, expired)
    assert await console.find(expired.token) is not None
