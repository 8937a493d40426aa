"""A browser's session: a random cookie, of which the database knows the hash, and the person's
tokens, encrypted.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from apps.console.web.encryption import decrypt, digest, encrypt, new_token
from apps.kit.database import Connection

SESSION_LIFE_HOURS = 12
# How exactly the idle time is measured: not every request writes.
SEEN_PERIOD_SECONDS = 30
RECENT_PATIENTS = 12
SELECT_SESSION = (
    "SELECT subject, tokens, access_expires_at, seen_at FROM session"
    " WHERE token_hash = $1 AND seen_at > $2 AND created_at > $3"
)


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What the auth service gave at sign-in, and the person's name from the id token."""

    access: str
    refresh: str
    id_token: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """`token`: the cookie's value, from which the CSRF token is made."""

    token: str = field(repr=False)
    subject: str
    tokens: Tokens = field(repr=False)
    access_expires_at: datetime
    seen_at: datetime


async def insert_session(
    connection: Connection,
    key: bytes,
    *,
    subject: str,
    auth_session: str,
    tokens: Tokens,
    access_expires_at: datetime,
) -> str:
    """Stores a new session and gives its cookie's value."""
    token = new_token()
    token_hash = digest(token)
    await connection.execute(
        "INSERT INTO session (token_hash, subject, auth_session, tokens, access_expires_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        token_hash,
        subject,
        auth_session,
        encrypt(key, msgspec.json.encode(tokens), token_hash),
        access_expires_at,
    )
    return token


async def select_session(
    connection: Connection, key: bytes, token: str, *, idle_minutes: int, lock: bool = False
) -> Session | None:
    """Gives the session of a cookie; None where there is none, or it was idle or is old."""
    token_hash = digest(token)
    now = datetime.now(UTC)
    row = await connection.fetchrow(
        f"{SELECT_SESSION} FOR UPDATE" if lock else SELECT_SESSION,
        token_hash,
        now - timedelta(minutes=idle_minutes),
        now - timedelta(hours=SESSION_LIFE_HOURS),
    )
    content = decrypt(key, row["tokens"], token_hash) if row else None
    if content is None:
        return None
    return Session(
        token=token,
        subject=row["subject"],
        tokens=msgspec.json.decode(content, type=Tokens),
        access_expires_at=row["access_expires_at"],
        seen_at=row["seen_at"],
    )


async def update_seen(connection: Connection, token: str) -> None:
    """Notes that the person is there."""
    await connection.execute(
        "UPDATE session SET seen_at = now() WHERE token_hash = $1", digest(token)
    )


async def update_tokens(
    connection: Connection, key: bytes, token: str, tokens: Tokens, access_expires_at: datetime
) -> None:
    """Replaces a session's tokens by refreshed ones."""
    token_hash = digest(token)
    await connection.execute(
        "UPDATE session SET tokens = $2, access_expires_at = $3 WHERE token_hash = $1",
        token_hash,
        encrypt(key, msgspec.json.encode(tokens), token_hash),
        access_expires_at,
    )


async def delete_session(connection: Connection, token: str) -> None:
    """Ends one session."""
    await connection.execute("DELETE FROM session WHERE token_hash = $1", digest(token))


async def delete_sessions_of(connection: Connection, *, subject: str, auth_session: str) -> int:
    """Ends the sessions of one sign-in at the auth service, or all of a person's;
    gives their number.
    """
    if auth_session:
        status = await connection.execute(
            "DELETE FROM session WHERE auth_session = $1", auth_session
        )
    else:
        status = await connection.execute("DELETE FROM session WHERE subject = $1", subject)
    return int(status.rpartition(" ")[2])


async def delete_expired(connection: Connection) -> None:
    """Removes sessions that can no longer be used, and what nobody opened for a year."""
    await connection.execute(
        "DELETE FROM session WHERE created_at < now() - make_interval(hours => $1)",
        SESSION_LIFE_HOURS,
    )
    await connection.execute(
        "DELETE FROM recent_patient WHERE opened_at < now() - interval '1 year'"
    )


async def save_recent_patient(connection: Connection, subject: str, patient_id: str) -> None:
    """Notes that a person opened a chart."""
    await connection.execute(
        "INSERT INTO recent_patient (subject, patient_id) VALUES ($1, $2)"
        " ON CONFLICT (subject, patient_id) DO UPDATE SET opened_at = now()",
        subject,
        patient_id,
    )


async def select_recent_patients(connection: Connection, subject: str) -> list[str]:
    """Gives the ids of the charts that a person opened last, newest first."""
    rows = await connection.fetch(
        "SELECT patient_id FROM recent_patient WHERE subject = $1 ORDER BY opened_at DESC LIMIT $2",
        subject,
        RECENT_PATIENTS,
    )
    return [row["patient_id"] for row in rows]
