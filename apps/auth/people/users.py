"""The people who sign in."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import asyncpg

from apps.auth.people.address_links import delete_address_links
from apps.auth.people.passwords import check_new_password, hash_password
from apps.auth.people.resets import delete_reset_links
from apps.auth.people.user_fields import check_user, email_key, is_uuid
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import Conflict

# Before every id: ids sort by time.
FIRST_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class User:
    id: str
    email: str
    name: str
    password_hash: str | None = field(repr=False)
    roles: tuple[str, ...]
    # The one record that a patient's login sees.
    patient_id: str | None
    # The Practitioner that the person is, where the record has one: told to applications
    # as `fhirUser`.
    practitioner_id: str | None
    email_verified_at: datetime | None
    totp_secret: bytes | None = field(repr=False)
    totp_enabled: bool
    totp_last_step: int
    has_passkey: bool
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int

    @property
    def standing(self) -> tuple[object, ...]:
        """Returns what a sign-in relies on: when it changes, a sign-in that is under
        way starts anew.
        """
        return self.password_hash, self.roles, self.patient_id, self.has_second_factor

    @property
    def fhir_user(self) -> str | None:
        """Returns the person's own resource, as a relative reference."""
        if self.patient_id:
            return f"Patient/{self.patient_id}"
        return f"Practitioner/{self.practitioner_id}" if self.practitioner_id else None

    @property
    def has_second_factor(self) -> bool:
        return self.totp_enabled or self.has_passkey

    def must_prove_more(self, mfa_required_roles: frozenset[str]) -> bool:
        """Tells whether the password is not enough: there is a second factor, or
        there must be one.
        """
        return self.has_second_factor or not mfa_required_roles.isdisjoint(self.roles)


def _user(row: Any) -> User:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(User)}
    return User(**values | {"id": str(row["id"]), "roles": tuple(row["roles"])})


async def create_user(
    connection: Connection,
    *,
    email: str,
    roles: Iterable[str],
    password: str | None = None,
    name: str = "",
    patient_id: str | None = None,
    practitioner_id: str | None = None,
) -> User:
    """Raises Unprocessable, and Conflict where the address is taken. Without a password a reset
    link gives one.
    """
    email = email.strip()
    roles = tuple(dict.fromkeys(roles))
    check_user(
        email=email,
        name=name,
        roles=roles,
        patient_id=patient_id,
        practitioner_id=practitioner_id,
    )
    password_hash = None
    if password:
        # Judging takes longer than others should wait.
        await asyncio.to_thread(check_new_password, password, about=(email, name))
        password_hash = await asyncio.to_thread(hash_password, password)
    try:
        row = await connection.fetchrow(
            "INSERT INTO users (id, email, email_key, name, password_hash, roles, patient_id, "
            "practitioner_id) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *",
            new_id(),
            email,
            email_key(email),
            name,
            password_hash,
            list(roles),
            patient_id,
            practitioner_id,
        )
    except asyncpg.UniqueViolationError:
        raise Conflict(
            "email_taken", "there is a user of this e-mail address", pointer="/email"
        ) from None
    return _user(row)


async def select_user(connection: Connection, user_id: str) -> User | None:
    if not is_uuid(user_id):
        return None
    row = await connection.fetchrow("SELECT * FROM users WHERE id = $1", user_id)
    return _user(row) if row else None


async def select_active_user(connection: Connection, user_id: str) -> User | None:
    user = await select_user(connection, user_id)
    return user if user and user.disabled_at is None else None


async def select_user_by_email(connection: Connection, email: str) -> User | None:
    row = await connection.fetchrow("SELECT * FROM users WHERE email_key = $1", email_key(email))
    return _user(row) if row else None


async def select_users(
    connection: Connection, after: str, limit: int, text: str = ""
) -> list[User]:
    """Returns users after an id, oldest first. With `text`: whose id it is, or whose address or
    name contains it.
    """
    rows = await connection.fetch(
        "SELECT * FROM users WHERE id > $1 AND ($3 = '' OR id::text = $3 "
        "OR position(lower($3) IN lower(email)) > 0 OR position(lower($3) IN lower(name)) > 0) "
        "ORDER BY id LIMIT $2",
        after,
        limit,
        text,
    )
    return [_user(row) for row in rows]


async def delete_user(connection: Connection, user_id: str) -> None:
    """Deletes the user and all that is theirs but the audit."""
    await connection.execute("DELETE FROM users WHERE id = $1", user_id)


async def update_email(connection: Connection, user_id: str, email: str) -> None:
    """Sets a verified address and voids links that were mailed before; raises Conflict if
    another user has it.
    """
    try:
        await connection.execute(
            "UPDATE users SET email = $2, email_key = $3, email_verified_at = now(), "
            "updated_at = now(), version = version + 1 WHERE id = $1",
            user_id,
            email,
            email_key(email),
        )
    except asyncpg.UniqueViolationError:
        raise Conflict("email_taken", "there is a user of this e-mail address") from None
    # Links to set a password lie in the mailbox of the address before.
    await void_links(connection, user_id)


async def has_administrator(connection: Connection) -> bool:
    """Tells whether there is an administrator who may sign in; nobody makes one until the
    transaction's end.
    """
    # Two who ask at once must not both be told that there is none.
    await connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM users WHERE 'admin' = ANY(roles) AND disabled_at IS NULL)"
    )
    return found


async def update_password(connection: Connection, user_id: str, password_hash: str) -> None:
    await connection.execute(
        "UPDATE users SET password_hash = $2, updated_at = now(), version = version + 1 WHERE id = "
        "$1",
        user_id,
        password_hash,
    )
    await void_links(connection, user_id)


async def void_links(connection: Connection, user_id: str) -> None:
    """Voids what was mailed to the user, or to an address that an intruder named."""
    await delete_reset_links(connection, user_id)
    await delete_address_links(connection, user_id)


async def lock_user(connection: Connection, user_id: str) -> User | None:
    """Holds them until the end of the transaction."""
    user = await select_user(connection, user_id)
    if user is None:
        return None
    row = await connection.fetchrow("SELECT * FROM users WHERE id = $1 FOR UPDATE", user_id)
    return _user(row) if row else None


async def hold_user(connection: Connection, user_id: str) -> None:
    """Holds them against change until the end of the transaction, beside others who do: a
    revocation waits for them.
    """
    await connection.execute("SELECT id FROM users WHERE id = $1 FOR SHARE", user_id)


async def lock_unchanged(connection: Connection, user: User) -> User | None:
    """Returns the same user, held until the end of the transaction; None where what a sign-in
    stands on has changed since.
    """
    now = await lock_user(connection, user.id)
    return now if now and now.disabled_at is None and now.standing == user.standing else None


async def update_user(
    connection: Connection,
    user_id: str,
    *,
    name: str,
    roles: Iterable[str],
    patient_id: str | None,
    practitioner_id: str | None,
    disabled: bool,
) -> User:
    if disabled:
        await void_links(connection, user_id)
    row = await connection.fetchrow(
        "UPDATE users SET name = $2, roles = $3, patient_id = $4, practitioner_id = $6, "
        "disabled_at = CASE WHEN $5 THEN coalesce(disabled_at, now()) END, updated_at = now(), "
        "version = version + 1 WHERE id = $1 RETURNING *",
        user_id,
        name,
        list(dict.fromkeys(roles)),
        patient_id,
        disabled,
        practitioner_id,
    )
    return _user(row)


async def set_user_disabled(connection: Connection, user_id: str, disabled: bool) -> User | None:
    if disabled:
        await void_links(connection, user_id)
    row = await connection.fetchrow(
        "UPDATE users SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END, "
        "updated_at = now(), "
        "version = version + 1 WHERE id = $1 RETURNING *",
        user_id,
        disabled,
    )
    return _user(row) if row else None
