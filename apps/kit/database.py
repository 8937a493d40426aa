"""PostgreSQL: `databases` owns the pool, queries and transactions run on its raw
asyncpg connections.

Through `databases` itself a query costs three times asyncpg's time (docs/decisions/0003-sql.md).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg
import databases
from databases.core import Connection as Holder

from apps.kit.connections import Connections
from apps.kit.errors import Unavailable
from apps.kit.settings import Environment
from apps.kit.tasks import running

POOL_SIZE = 10
ACQUIRE_TIMEOUT_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 5.0
COMMAND_TIMEOUT_SECONDS = 10.0

# asyncpg carries no types.
Connection: TypeAlias = Any


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg carries no types
    """Goes back to the pool without a word to the server: nothing here leaves session state behind.

    No session lock, no LISTEN, no SET outlives a transaction on a pooled connection, so resetting
    it would be a round trip for nothing. asyncpg still ends a transaction that was left open.
    """

    def get_reset_query(self) -> str:
        return ""

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float) -> tuple[Any, Any]:
        """Describes types that asyncpg does not know, all arrays but two among them; built-in ones
        once a process.

        By itself each connection asks anew, for longer than it took to connect, and while a call
        holds its locks.
        """
        asked = frozenset(typeoids)
        described = _builtin_types.get(asked)
        if described is None:
            described, statement = await super()._introspect_types(typeoids, timeout)
            if max(asked) < FIRST_OWN_OID:
                _builtin_types[asked] = described
            return described, statement
        return described, _NOTHING_RUN


# Of PostgreSQL's own types, whose ids are the same in every database.
FIRST_OWN_OID = 16_384
_builtin_types: dict[frozenset[int], Any] = {}
# asyncpg prepares its own statement again where this one had no name, and so took its place.
_NOTHING_RUN = SimpleNamespace(name="nothing was run")


# The server is away, starting, full or going down: not the caller's fault, and worth another try.
UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InternalClientError,
)


# A row's values are at fault: the same row would be refused again.
ROW_ERRORS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """`url`: `postgresql://role[:password]@host:port/name`. With `iam`, an RDS token is the
    password, over TLS.
    """

    url: str = field(repr=False)
    iam: bool = False
    pool_size: int = POOL_SIZE


def read_database_settings(environment: Environment, name: str) -> DatabaseSettings:
    """Reads `<NAME>_DATABASE_URL`, `DATABASE_IAM` and `DATABASE_POOL_SIZE`, which previews on one
    instance keep small.
    """
    url = environment.url(f"{name.upper()}_DATABASE_URL", ("postgresql",))
    pool_size = environment.integer("DATABASE_POOL_SIZE", minimum=1, maximum=50, default=POOL_SIZE)
    return DatabaseSettings(url, environment.flag("DATABASE_IAM"), pool_size)


class Database:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Opens a connection for the block alone; raises Unavailable where the server or a free
        connection cannot be had.
        """
        holder = self._connections.take_kept() or await self._take()
        is_clean = False
        try:
            yield holder.raw_connection
            is_clean = True
        except UNAVAILABLE as error:
            raise Unavailable("database_unavailable") from error
        except asyncpg.InterfaceError as error:
            # Leaving a transaction whose connection was lost raises this in place of the loss.
            if isinstance(error.__context__, UNAVAILABLE):
                raise Unavailable("database_unavailable") from error
            raise
        finally:
            await self._connections.give_back(holder, is_clean=is_clean)

    async def _take(self) -> Holder:
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_SECONDS):
                return await self._connections.take()
        except UNAVAILABLE as error:
            raise Unavailable("database_unavailable") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Opens one transaction: committed at the end, rolled back on any error. Never
        `gather` inside it.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def is_ready(self) -> bool:
        try:
            async with self.connection() as connection:
                return bool(await connection.fetchval("SELECT true"))
        except (Unavailable, asyncpg.PostgresError):
            return False


def connect_options(settings: DatabaseSettings) -> dict[str, Any]:
    """Returns what asyncpg needs beyond the URL to connect."""
    options: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_SECONDS,
        "command_timeout": COMMAND_TIMEOUT_SECONDS,
    }
    if settings.iam:
        options["password"] = iam_password(settings.url)
        # RDS presents Amazon's certificate; the image brings the authority that signed it.
        options["ssl"] = ssl.create_default_context(cafile="/etc/ssl/certs/rds.pem")
    return options


def iam_password(url: str) -> Callable[[], Awaitable[str]]:
    """Makes an RDS authentication token (good for 15 minutes) for each new connection."""
    import boto3  # only where RDS is: it costs 30 MiB

    parts = urlsplit(url)
    client = boto3.client("rds")

    async def password() -> str:
        token: str = await asyncio.to_thread(
            client.generate_db_auth_token, parts.hostname, parts.port or 5432, parts.username
        )
        return token

    return password


@asynccontextmanager
async def open_database(
    settings: DatabaseSettings, server_settings: Mapping[str, str] | None = None
) -> AsyncIterator[Database]:
    """Opens the pool for the application's life. It opens connections when they are needed: the
    server may come later.
    """
    options = {
        "min_size": 0,
        "max_size": settings.pool_size,
        "connection_class": PooledConnection,
        "server_settings": dict(server_settings or {}),
        **connect_options(settings),
    }
    pool = databases.Database(settings.url, **options)
    connections = Connections(pool, settings.pool_size)
    await pool.connect()
    try:
        async with running(connections.trim_forever()):
            yield Database(connections)
    finally:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await connections.close()
                await pool.disconnect()
        except TimeoutError:
            pass
