"""The people who sign in."""

import asyncio
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from apps.auth.people.passwords import check_new_password, hash_password
from apps.auth.people.resets import delete_reset_links
from apps.auth.people.roles import ROLES
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import Conflict, FieldError, Unprocessable

EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}")
# https://hl7.org/fhir/R4/datatypes.html#id
RESOURCE_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class User:
    id: str
    email: str
    name: str
    password_hash: str | None = field(repr=False)
    roles: tuple[str, ...]
    # The one record that a patient's login sees.
    patient_id: str | None
    # The Practitioner that the person is, where the record has one: told to applications as `fhirUser`.
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
        """Returns what a sign-in relies on: when it changes, a sign-in that is under way starts anew."""
        return self.password_hash, self.roles, self.patient_id, self.has_second_factor

    @property
    def fhir_user(self) -> str | None:
        """The person's own resource, as a relative reference."""
        if self.patient_id:
            return f"Patient/{self.patient_id}"
        return f"Practitioner/{self.practitioner_id}" if self.practitioner_id else None

    @property
    def has_second_factor(self) -> bool:
        return self.totp_enabled or self.has_passkey

    def must_prove_more(self, mfa_required_roles: frozenset[str]) -> bool:
        """Tells whether the password is not enough: there is a second factor, or there must be one."""
        return self.has_second_factor or not mfa_required_roles.isdisjoint(self.roles)


def _user(row: Any) -> User:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(User)}
    return User(**values | {"id": str(row["id"]), "roles": tuple(row["roles"])})


def email_key(email: str) -> str:
    """Returns the address as it is compared: one person, however they type it. The unique index is on this.

    Without the second NFKC, folding could bring back what the first one removed.
    """
    folded = unicodedata.normalize("NFKC", email.strip()).casefold()
    return unicodedata.normalize("NFKC", folded)


def is_email(email: str) -> bool:
    """Tells whether the text looks like an address. Control characters and lone surrogates do not."""
    return bool(EMAIL.fullmatch(email)) and email.isprintable()


def check_user(
    *,
    email: object,
    name: object,
    roles: object,
    patient_id: object,
    practitioner_id: object = None,
) -> None:
    """Raises Unprocessable, naming every field that is amiss."""
    faults: list[FieldError] = []
    if not isinstance(email, str) or not is_email(email):
        faults.append(FieldError("invalid_email", "not an e-mail address", "/email"))
    if not isinstance(name, str) or len(name) > MAX_NAME_CHARS or not name.isprintable():
        faults.append(
            FieldError("invalid_name", f"at most {MAX_NAME_CHARS} printable characters", "/name")
        )
    if (
        not isinstance(roles, (list, tuple))
        or not roles
        or not ROLES.keys() >= {str(role) for role in roles}
    ):
        faults.append(FieldError("invalid_roles", f"one or more of {', '.join(ROLES)}", "/roles"))
        roles = ()
    if patient_id is not None and not (
        isinstance(patient_id, str) and RESOURCE_ID.fullmatch(patient_id)
    ):
        faults.append(FieldError("invalid_patient_id", "not the id of a record", "/patientId"))
    elif (patient_id is not None) != ("patient" in roles):
        faults.append(
            FieldError(
                "invalid_patient_id",
                "the role patient, and no other, has a record of its own",
                "/patientId",
            )
        )
    if practitioner_id is not None and not (
        isinstance(practitioner_id, str)
        and RESOURCE_ID.fullmatch(practitioner_id)
        and "patient" not in roles
    ):
        faults.append(
            FieldError(
                "invalid_practitioner_id",
                "the id of a Practitioner, for a person who is no patient here",
                "/practitionerId",
            )
        )
    if faults:
        raise Unprocessable("invalid_user", faults=tuple(faults))


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
    """Raises Unprocessable, and Conflict where the address is taken. Without a password a reset link gives one."""
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
            "INSERT INTO users (id, email, email_key, name, password_hash, roles, patient_id, practitioner_id) "
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
    try:
        UUID(user_id)
    except ValueError:
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
    """Returns users after an id, oldest first: the ids sort by time. With `text`, those that it is found in."""
    rows = await connection.fetch(
        "SELECT * FROM users WHERE id > $1 AND ($3 = '' OR position(lower($3) IN lower(email)) > 0 "
        "OR position(lower($3) IN lower(name)) > 0) ORDER BY id LIMIT $2",
        after,
        limit,
        text,
    )
    return [_user(row) for row in rows]


async def delete_user(connection: Connection, user_id: str) -> None:
    """Deletes the user and all that is theirs but the audit."""
    await connection.execute("DELETE FROM users WHERE id = $1", user_id)


async def update_email(connection: Connection, user_id: str, email: str) -> None:
    """Sets a verified address; raises Conflict if another user has it."""
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


async def find_users(connection: Connection, text: str, limit: int) -> list[User]:
    """Returns users whose id is `text`, or whose address or name contains it, oldest first."""
    rows = await connection.fetch(
        "SELECT * FROM users WHERE id::text = $1 OR position(lower($1) IN lower(email)) > 0 "
        "OR position(lower($1) IN lower(name)) > 0 ORDER BY id LIMIT $2",
        text,
        limit,
    )
    return [_user(row) for row in rows]


async def has_administrator(connection: Connection) -> bool:
    """Whether there is an administrator who may sign in; nobody makes one until the transaction's end."""
    # Two who ask at once must not both be told that there is none.
    await connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM users WHERE 'admin' = ANY(roles) AND disabled_at IS NULL)"
    )
    return found


async def update_password(connection: Connection, user_id: str, password_hash: str) -> None:
    await connection.execute(
        "UPDATE users SET password_hash = $2, updated_at = now(), version = version + 1 WHERE id = $1",
        user_id,
        password_hash,
    )
    await delete_reset_links(connection, user_id)


async def lock_user(connection: Connection, user_id: str) -> User | None:
    """Held until the end of the transaction."""
    user = await select_user(connection, user_id)
    if user is None:
        return None
    row = await connection.fetchrow("SELECT * FROM users WHERE id = $1 FOR UPDATE", user_id)
    return _user(row) if row else None


async def hold_user(connection: Connection, user_id: str) -> None:
    """Held against change until the end of the transaction, beside others who hold it: a revocation waits for them."""
    await connection.execute("SELECT id FROM users WHERE id = $1 FOR SHARE", user_id)


async def lock_unchanged(connection: Connection, user: User) -> User | None:
    """The same user, held until the end of the transaction; None where what a sign-in stands on has changed since."""
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
        await delete_reset_links(connection, user_id)
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
        await delete_reset_links(connection, user_id)
    row = await connection.fetchrow(
        "UPDATE users SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END, updated_at = now(), "
        "version = version + 1 WHERE id = $1 RETURNING *",
        user_id,
        disabled,
    )
    return _user(row) if row else None
