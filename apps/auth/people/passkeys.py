"""Passkeys (W3C Web Authentication, Level 2): keys of a device that sign a challenge, checked
by py_webauthn.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import webauthn
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from apps.auth.encryption import digest
from apps.auth.people.users import User, select_active_user
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import Conflict, Unprocessable

Purpose = Literal["register", "sign-in"]
PRODUCT = "Patient management"
CHALLENGE_LIFE_SECONDS = 5 * 60
MAX_PASSKEYS = 20
MAX_NAME_CHARS = 60
MAX_CREDENTIAL_BYTES = 16 * 1024
# What the library raises about content that it does not expect.
FAULTS = (WebAuthnException, ValueError, LookupError, TypeError, AttributeError)


class PasskeyError(Exception):
    """The browser's answer is not valid; the message is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    id: str
    name: str
    created_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """`origin` of the pages; `id` is its host."""

    origin: str

    @property
    def id(self) -> str:
        return urlsplit(self.origin).hostname or ""


async def registration_options(
    connection: Connection, party: RelyingParty, user: User, browser: str
) -> str:
    """Returns what the browser makes a passkey from, as JSON; raises Conflict for one too many."""
    known = await connection.fetch("SELECT credential_id FROM passkeys WHERE user_id = $1", user.id)
    if len(known) >= MAX_PASSKEYS:
        raise Conflict("too_many_passkeys", f"at most {MAX_PASSKEYS}: delete one first")
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=PRODUCT,
        user_id=user.id.encode(),
        user_name=user.email,
        user_display_name=user.name or user.email,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(row["credential_id"]) for row in known],
    )
    await save_challenge(connection, browser, "register", options.challenge)
    return webauthn.options_to_json(options)


async def register_passkey(
    connection: Connection,
    party: RelyingParty,
    user: User,
    browser: str,
    *,
    credential: dict[str, Any],
    name: str,
) -> None:
    """Stores the passkey that the browser made; raises PasskeyError and Unprocessable."""
    if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise Unprocessable("invalid_name", f"1 to {MAX_NAME_CHARS} printable characters")
    challenge = await use_challenge(connection, browser, "register")
    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except FAULTS as error:
        raise PasskeyError(type(error).__name__) from None
    stored = await connection.fetchval(
        "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, name) "
        "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true",
        new_id(),
        user.id,
        verified.credential_id,
        verified.credential_public_key,
        verified.sign_count,
        name,
    )
    if not stored:
        raise PasskeyError("known credential")
    await note_passkeys(connection, user.id)


async def sign_in_options(connection: Connection, party: RelyingParty, browser: str) -> str:
    """Returns what the browser signs, as JSON. It names no user: the device offers its passkeys."""
    options = webauthn.generate_authentication_options(
        rp_id=party.id, user_verification=UserVerificationRequirement.REQUIRED
    )
    await save_challenge(connection, browser, "sign-in", options.challenge)
    return webauthn.options_to_json(options)


async def verify_passkey(
    connection: Connection, party: RelyingParty, browser: str, credential: dict[str, Any]
) -> User:
    """Returns whose passkey signed the challenge, with the device's own check of the person.

    Raises PasskeyError, also for a counter that went back: the key may have been copied.
    """
    challenge = await use_challenge(connection, browser, "sign-in")
    try:
        credential_id = base64url_to_bytes(str(credential["id"]))
    except (KeyError, ValueError):
        raise PasskeyError("no credential id") from None
    row = await connection.fetchrow(
        "SELECT id, user_id, public_key, sign_count FROM passkeys WHERE credential_id = $1 "
        "FOR UPDATE",
        credential_id,
    )
    user = await select_active_user(connection, str(row["user_id"])) if row else None
    if row is None or user is None:
        raise PasskeyError("unknown credential")
    try:
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=row["public_key"],
            credential_current_sign_count=row["sign_count"],
            require_user_verification=True,
        )
    except FAULTS as error:
        raise PasskeyError(type(error).__name__) from None
    await connection.execute(
        "UPDATE passkeys SET sign_count = $2, used_at = now() WHERE id = $1",
        row["id"],
        verified.new_sign_count,
    )
    return user


def read_credential(body: bytes) -> dict[str, Any]:
    """Returns the browser's answer; raises PasskeyError."""
    if len(body) > MAX_CREDENTIAL_BYTES:
        raise PasskeyError("too long")
    try:
        credential = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PasskeyError("no JSON") from None
    if not isinstance(credential, dict):
        raise PasskeyError("no object")
    return credential


async def save_challenge(
    connection: Connection, browser: str, purpose: Purpose, challenge: bytes
) -> None:
    await connection.execute(
        "INSERT INTO passkey_challenges (browser_hash, purpose, challenge, expires_at) "
        "VALUES ($1, $2, $3, now() + make_interval(secs => $4)) "
        "ON CONFLICT (browser_hash, purpose) DO UPDATE SET challenge = excluded.challenge, "
        "expires_at = excluded.expires_at",
        digest(browser),
        purpose,
        challenge,
        float(CHALLENGE_LIFE_SECONDS),
    )


async def use_challenge(connection: Connection, browser: str, purpose: Purpose) -> bytes:
    """Returns the challenge of this browser, once; raises PasskeyError."""
    challenge: bytes | None = await connection.fetchval(
        "DELETE FROM passkey_challenges WHERE browser_hash = $1 AND purpose = $2 "
        "AND expires_at > now() RETURNING challenge",
        digest(browser),
        purpose,
    )
    if challenge is None:
        raise PasskeyError("no challenge")
    return challenge


async def select_passkeys(connection: Connection, user_id: str) -> list[Passkey]:
    rows = await connection.fetch(
        "SELECT id, name, created_at, used_at FROM passkeys WHERE user_id = $1 ORDER BY id", user_id
    )
    return [
        Passkey(
            id=str(row["id"]),
            name=row["name"],
            created_at=row["created_at"],
            used_at=row["used_at"],
        )
        for row in rows
    ]


async def delete_passkey(connection: Connection, user_id: str, passkey_id: str) -> bool:
    """Deletes one passkey of the user; False if there is none of this id."""
    if not passkey_id.isprintable():
        # PostgreSQL takes no NUL and no lone surrogate.
        return False
    deleted = await connection.fetchval(
        "DELETE FROM passkeys WHERE user_id = $1 AND id::text = $2 RETURNING true",
        user_id,
        passkey_id,
    )
    await note_passkeys(connection, user_id)
    return bool(deleted)


async def delete_passkeys(connection: Connection, user_id: str) -> None:
    await connection.execute("DELETE FROM passkeys WHERE user_id = $1", user_id)
    await note_passkeys(connection, user_id)


async def note_passkeys(connection: Connection, user_id: str) -> None:
    """Writes down with the user whether there are passkeys: the password alone is
    then not enough.
    """
    await connection.execute(
        "UPDATE users SET has_passkey = EXISTS (SELECT FROM passkeys WHERE user_id = $1) "
        "WHERE id = $1",
        user_id,
    )
