"""Databases and their two roles, the same here and on RDS: made by an administrator with CREATEDB
and CREATEROLE.

`<name>_owner` owns and migrates, `<name>` is what the service runs as. Nobody else may even
connect. Safe to repeat.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql

CONNECT_TIMEOUT_SECONDS = 10
TURN_TIMEOUT_MS = 120_000
ADVISORY_LOCK = 0x626F6F74  # "boot"
RUNTIME_CONNECTIONS = 60
OWNER_CONNECTIONS = 5
PREVIEW = re.compile(r"pr_[1-9][0-9]*_")
# RDS's role whose members sign in by IAM tokens alone.
IAM_ROLE = "rds_iam"

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class DatabaseRoles:
    """`database` is also its runtime role's name.

    Names carry the prefix of a preview, `pr_<n>_`.
    """

    database: str

    @property
    def owner(self) -> str:
        return f"{self.database}_owner"

    @property
    def runtime(self) -> str:
        return self.database


# The password of a role; None where it signs in by IAM.
PasswordOf = Callable[[str], str] | None


def connects(url: str, seconds: int = CONNECT_TIMEOUT_SECONDS) -> bool:
    """Tells whether a server is there that lets this one in."""
    try:
        psycopg.connect(url, connect_timeout=seconds).close()
    except psycopg.OperationalError:
        return False
    return True


def bootstrap(
    admin_url: str,
    names: tuple[str, ...],
    *,
    prefix: str = "",
    password_of: PasswordOf,
    runtime_connections: int = RUNTIME_CONNECTIONS,
) -> None:
    """Brings the databases `<prefix><name>` and their roles into being."""
    with psycopg.connect(
        admin_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
    ) as connection:
        take_turn(connection)
        close_own_databases(connection)
        for name in names:
            roles = DatabaseRoles(prefix + name)
            ensure_role(connection, roles.owner, password_of, OWNER_CONNECTIONS)
            ensure_role(connection, roles.runtime, password_of, runtime_connections)
            ensure_database(connection, roles, runtime_connections + OWNER_CONNECTIONS)


def take_turn(connection: Connection) -> None:
    """Waits until no other release makes or drops databases; held until the connection closes."""
    connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(TURN_TIMEOUT_MS)))
    connection.execute("SELECT pg_advisory_lock(%s)", (ADVISORY_LOCK,))


def close_own_databases(connection: Connection) -> None:
    """Closes the databases that the administrator found here, as `postgres` on RDS: whoever may
    sign in could otherwise enter them.
    """
    found = connection.execute(
        "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = current_user"
    ).fetchall()
    for (name,) in found:
        connection.execute(
            sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(str(name)))
        )


def ensure_role(
    connection: Connection, role: str, password_of: PasswordOf, connections: int
) -> None:
    found = connection.execute("SELECT true FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    statement = sql.SQL(
        "ALTER ROLE {} LOGIN CONNECTION LIMIT {}"
        if found
        else "CREATE ROLE {} LOGIN CONNECTION LIMIT {}"
    )
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(connections)))
    if password_of is None:
        connection.execute(
            sql.SQL("GRANT {} TO {}").format(sql.Identifier(IAM_ROLE), sql.Identifier(role))
        )
    else:
        password = sql.Literal(password_of(role))
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), password)
        )
    # PostgreSQL 18 gives the maker of a role its administration only: without SET it could not make
    # its database, without INHERIT it could not drop it or end its sessions.
    connection.execute(
        sql.SQL("GRANT {} TO CURRENT_USER WITH SET TRUE, INHERIT TRUE").format(sql.Identifier(role))
    )


def ensure_database(connection: Connection, roles: DatabaseRoles, connections: int) -> None:
    database, owner, runtime = map(sql.Identifier, (roles.database, roles.owner, roles.runtime))
    if not connection.execute(
        "SELECT true FROM pg_database WHERE datname = %s", (roles.database,)
    ).fetchone():
        # The built-in locale sorts the same on every machine, and knows Unicode's upper and lower
        # case.
        connection.execute(
            sql.SQL(
                "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
                " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
            ).format(database, owner)
        )
    # A drop that was cut off had closed it.
    connection.execute(
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true CONNECTION LIMIT {}").format(
            database, sql.Literal(connections)
        )
    )
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(database, owner, runtime)
    )


def drop(admin_url: str, *, prefix: str) -> None:
    """Drops the databases and roles of a preview; refuses any prefix but `pr_<n>_`. Safe to repeat.

    Those that are there, not those that this version would make: the preview's version may have
    made others.
    """
    if not PREVIEW.fullmatch(prefix):
        raise ValueError(f"only a preview's databases are dropped: pr_<n>_, not {prefix!r}")
    with psycopg.connect(
        admin_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
    ) as connection:
        found = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %(prefix)s)"
            " UNION SELECT regexp_replace(rolname, '_owner$', '') FROM pg_roles WHERE "
            "starts_with(rolname, %(prefix)s)",
            {"prefix": prefix},
        ).fetchall()
    drop_databases(
        admin_url, tuple(sorted(str(name).removeprefix(prefix) for (name,) in found)), prefix=prefix
    )


def preview_databases(admin_url: str) -> list[str]:
    with psycopg.connect(
        admin_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
    ) as connection:
        found = connection.execute("SELECT datname FROM pg_database").fetchall()
    return [str(name) for (name,) in found if PREVIEW.match(str(name))]


def drop_databases(admin_url: str, names: tuple[str, ...], *, prefix: str) -> None:
    with psycopg.connect(
        admin_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
    ) as connection:
        take_turn(connection)
        for name in names:
            roles = DatabaseRoles(prefix + name)
            drop_database(connection, roles)
            for role in (roles.runtime, roles.owner):
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def drop_database(connection: Connection, roles: DatabaseRoles) -> None:
    """Drops a database without FORCE: that fails for anybody but a superuser while autovacuum is at
    work, which a plain drop ends.
    """
    if not connection.execute(
        "SELECT true FROM pg_database WHERE datname = %s", (roles.database,)
    ).fetchone():
        return
    database = sql.Identifier(roles.database)
    connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = "
        "ANY (%s)",
        (roles.database, [roles.owner, roles.runtime]),
    )
    connection.execute(sql.SQL("DROP DATABASE {}").format(database))
