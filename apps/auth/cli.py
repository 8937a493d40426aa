"""The operators' commands: the first administrator is made here; there is no default password anywhere."""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from apps.auth.audit import Event, insert_audit
from apps.auth.keys import advance_keys, select_keys, withdraw_keys
from apps.auth.oauth.clients import (
    create_client,
    rotate_client_secret,
    select_clients,
    set_client_disabled,
)
from apps.auth.oauth.revocations import revoke_client, revoke_subject
from apps.auth.people.resets import create_reset_link
from apps.auth.people.roles import ROLES
from apps.auth.people.users import (
    User,
    create_user,
    select_user_by_email,
    select_users,
    set_user_disabled,
)
from apps.auth.settings import Settings
from apps.kit.database import Connection, connect_options
from apps.kit.errors import NotFound, Problem

OPERATOR = "operator"
PAGE_SIZE = 100

Command = Callable[[Settings, Connection, argparse.Namespace], Awaitable[None]]


def operate(settings: Settings, arguments: list[str]) -> int:
    """The process's exit status: 0, or 1 with a line on standard error."""
    options = make_parser().parse_args(arguments)
    try:
        asyncio.run(_run(settings, options))
    except Problem as problem:
        print(
            problem.detail or problem.code,
            *(fault.message for fault in problem.faults),
            sep="\n",
            file=sys.stderr,
        )
        return 1
    return 0


async def _run(settings: Settings, options: argparse.Namespace) -> None:
    connect: dict[str, Any] = connect_options(settings.database)
    connection = await asyncpg.connect(settings.database.url, **connect)
    try:
        async with connection.transaction():
            await options.command(settings, connection, options)
    finally:
        await connection.close()


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m apps.auth")
    nouns = parser.add_subparsers(required=True, metavar="users|clients|keys")

    users = nouns.add_parser("users").add_subparsers(required=True)
    add = _verb(users, "add", add_user)
    add.add_argument("email")
    add.add_argument("--role", action="append", required=True, choices=list(ROLES), dest="roles")
    add.add_argument("--name", default="")
    add.add_argument("--patient-id")
    add.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    _verb(users, "list", list_users)
    _verb(users, "disable", disable_user).add_argument("email")
    _verb(users, "enable", enable_user).add_argument("email")
    _verb(users, "reset-password", issue_link).add_argument("email")

    clients = nouns.add_parser("clients").add_subparsers(required=True)
    add = _verb(clients, "add", add_client)
    add.add_argument("name")
    add.add_argument("--scope", action="append", required=True, dest="scopes")
    add.add_argument("--redirect-uri", action="append", default=[], dest="redirect_uris")
    add.add_argument(
        "--public",
        action="store_true",
        help="without a secret: a browser's or a phone's application",
    )
    _verb(clients, "list", list_clients)
    _verb(clients, "rotate-secret", rotate_secret).add_argument("client_id")
    _verb(clients, "disable", disable_client).add_argument("client_id")

    keys = nouns.add_parser("keys").add_subparsers(required=True)
    _verb(keys, "list", list_keys)
    _verb(keys, "rotate", rotate_keys)
    _verb(keys, "withdraw", withdraw_all_keys)
    return parser


def _verb(parsers: Any, name: str, command: Command) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parsers.add_parser(
        name, help=command.__doc__, description=command.__doc__
    )
    parser.set_defaults(command=command)
    return parser


async def add_user(settings: Settings, connection: Connection, options: argparse.Namespace) -> None:
    """Makes a user; the password is asked for."""
    password = (
        sys.stdin.readline().rstrip("\n")
        if options.password_stdin
        else getpass.getpass("Password: ")
    )
    user = await create_user(
        connection,
        email=options.email,
        name=options.name,
        roles=options.roles,
        patient_id=options.patient_id,
        password=password,
    )
    await insert_audit(connection, Event("user_created", actor_id=OPERATOR, subject=user.id))
    print(user.id)


async def find_user(connection: Connection, email: str) -> User:
    user = await select_user_by_email(connection, email)
    if user is None:
        raise NotFound("not_found", "there is no user of this e-mail address")
    return user


async def list_users(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """One user a line."""
    after = "00000000-0000-0000-0000-000000000000"
    while page := await select_users(connection, after, PAGE_SIZE):
        for user in page:
            print(
                user.id,
                user.email,
                ",".join(user.roles),
                "disabled" if user.disabled_at else "active",
                sep="\t",
            )
        after = page[-1].id


async def disable_user(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """Ends the user's sessions and tokens; the user signs in no more."""
    user = await find_user(connection, options.email)
    await set_user_disabled(connection, user.id, True)
    await revoke_subject(connection, user.id)
    await insert_audit(connection, Event("user_disabled", actor_id=OPERATOR, subject=user.id))


async def enable_user(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """Lets the user sign in again."""
    user = await find_user(connection, options.email)
    await set_user_disabled(connection, user.id, False)
    await insert_audit(connection, Event("user_enabled", actor_id=OPERATOR, subject=user.id))


async def issue_link(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """Shows a link, good once and for a day, where the user sets a new password."""
    user = await find_user(connection, options.email)
    print(await create_reset_link(connection, user.id, settings.issuer))
    await insert_audit(
        connection, Event("password_link_issued", actor_id=OPERATOR, subject=user.id)
    )


async def add_client(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """Makes a client: with redirect URIs for people, without for itself. Its secret is shown once."""
    interactive = bool(options.redirect_uris)
    client, secret = await create_client(
        connection,
        name=options.name,
        scopes=options.scopes,
        redirect_uris=options.redirect_uris,
        grant_types=("authorization_code", "refresh_token")
        if interactive
        else ("client_credentials",),
        auth_method="none" if options.public else "client_secret_basic",
    )
    await insert_audit(connection, Event("client_created", actor_id=OPERATOR, subject=client.id))
    print(client.id, secret or "(public)", sep="\t")


async def list_clients(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """One client a line."""
    after = ""
    while page := await select_clients(connection, after, PAGE_SIZE):
        for client in page:
            state = "disabled" if client.disabled_at else "active"
            print(
                client.id, client.name, client.auth_method, " ".join(client.scopes), state, sep="\t"
            )
        after = page[-1].id


async def rotate_secret(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """Gives the client a new secret, shown once; the old one ends."""
    secret = await rotate_client_secret(connection, options.client_id)
    if secret is None:
        raise NotFound("not_found", "there is no client with a secret of this id")
    await insert_audit(
        connection, Event("client_secret_rotated", actor_id=OPERATOR, subject=options.client_id)
    )
    print(secret)


async def disable_client(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """Ends the client's tokens; it gets no more."""
    if await set_client_disabled(connection, options.client_id, True) is None:
        raise NotFound("not_found", "there is no client of this id")
    await revoke_client(connection, options.client_id)
    await insert_audit(
        connection, Event("client_disabled", actor_id=OPERATOR, subject=options.client_id)
    )


async def list_keys(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """One signing key a line."""
    for key in await select_keys(connection):
        print(
            key["id"],
            key["algorithm"],
            key["state"],
            key["created_at"].isoformat(timespec="seconds"),
            sep="\t",
        )


async def rotate_keys(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """Makes the next key; it signs once every verifier has had time to learn of it."""
    await advance_keys(
        connection, settings.key_encryption_key, settings.signing_algorithm, rotate=True
    )
    await insert_audit(connection, Event("key_rotated", actor_id=OPERATOR))


async def withdraw_all_keys(
    settings: Settings, connection: Connection, options: argparse.Namespace
) -> None:
    """After a leak: replaces every key at once; everybody has to sign in again."""
    await withdraw_keys(connection, settings.key_encryption_key, settings.signing_algorithm)
    await insert_audit(connection, Event("keys_withdrawn", actor_id=OPERATOR))
