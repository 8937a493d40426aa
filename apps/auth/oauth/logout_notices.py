"""Tells applications that a session ended (OpenID Connect Back-Channel Logout 1.0)."""

import asyncio
import logging
import time
from dataclasses import dataclass

import asyncpg

from apps.auth.keys import SigningKey
from apps.auth.oauth.tokens import sign
from apps.auth.outbound import OutboundError, OutboundHttp
from apps.auth.people.sessions import SESSION_LIFE_SECONDS
from apps.auth.state import AuthState
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.errors import Problem

EVENT = "http://schemas.openid.net/event/backchannel-logout"
PERIOD_SECONDS = 2.0
BATCH_ROWS = 10
# Repeated after 20, 40, 80, ... seconds for an hour.
FIRST_RETRY_SECONDS = 20
NOTICE_LIFE_SECONDS = 60 * 60
TOKEN_LIFE_SECONDS = 120

log = logging.getLogger(__name__)


async def insert_session_client(
    connection: Connection, *, session_id: str, client_id: str, user_id: str
) -> None:
    """Notes that the application has tokens of this session, if it wants to be told of its end."""
    await connection.execute(
        "INSERT INTO session_clients (session_id, client_id, user_id, expires_at) "
        "SELECT $1, id, $3, now() + make_interval(secs => $4) FROM clients "
        "WHERE id = $2 AND backchannel_logout_uri IS NOT NULL ON CONFLICT DO NOTHING",
        session_id,
        client_id,
        user_id,
        float(SESSION_LIFE_SECONDS),
    )


async def insert_logout_notices(
    connection: Connection, user_id: str, session_id: str | None = None
) -> None:
    """Queues a notice for each application of the session, or of all sessions of the user."""
    rows = await connection.fetch(
        "DELETE FROM session_clients WHERE user_id = $1 AND coalesce($2, session_id) = session_id "
        "RETURNING client_id, session_id",
        user_id,
        session_id,
    )
    await connection.executemany(
        "INSERT INTO logout_notices (id, client_id, user_id, session_id, expires_at) "
        "VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))",
        [
            (new_id(), row["client_id"], user_id, row["session_id"], float(NOTICE_LIFE_SECONDS))
            for row in rows
        ],
    )


@dataclass(frozen=True, slots=True)
class Notice:
    id: str
    client_id: str
    uri: str
    user_id: str
    session_id: str


def logout_token(key: SigningKey, issuer: str, notice: Notice) -> str:
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": notice.client_id,
        "iat": now,
        "exp": now + TOKEN_LIFE_SECONDS,
        "jti": new_id(),
        "sub": notice.user_id,
        "sid": notice.session_id,
        "events": {EVENT: {}},
    }
    return sign(key, claims, "logout+jwt")


async def take_notices(connection: Connection) -> list[Notice]:
    """Returns notices that are due, and puts each off, so that no other replica sends it at
    the same time.
    """
    rows = await connection.fetch(
        "UPDATE logout_notices SET attempts = attempts + 1, "
        "due_at = now() + make_interval(secs => $2 * power(2, least(attempts, 8))) "
        "FROM clients WHERE clients.id = client_id AND logout_notices.id IN ("
        "SELECT id FROM logout_notices WHERE due_at <= now() AND expires_at > now() "
        "ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) "
        "RETURNING logout_notices.id, client_id, backchannel_logout_uri, user_id, session_id",
        BATCH_ROWS,
        float(FIRST_RETRY_SECONDS),
    )
    return [
        Notice(
            id=str(row["id"]),
            client_id=row["client_id"],
            uri=row["backchannel_logout_uri"] or "",
            user_id=row["user_id"],
            session_id=row["session_id"],
        )
        for row in rows
    ]


async def send_notices(state: AuthState, http: OutboundHttp) -> int:
    """Sends what is due. Returns how many notices there were. No connection is held while
    others answer.
    """
    async with state.database.connection() as connection:
        notices = await take_notices(connection)
    sent = await asyncio.gather(*(send_notice(state, http, notice) for notice in notices))

    done = [notice.id for notice, ok in zip(notices, sent, strict=True) if ok]
    if done:
        async with state.database.connection() as connection:
            await connection.execute("DELETE FROM logout_notices WHERE id = ANY($1::uuid[])", done)
    return len(notices)


async def send_notice(state: AuthState, http: OutboundHttp, notice: Notice) -> bool:
    """Returns True if nothing is left to do: it was taken, or refused for good."""
    token = logout_token(state.ring().active, state.settings.issuer, notice)
    try:
        status = await http.post_form(notice.uri, {"logout_token": token})
    except OutboundError as error:
        log.warning(
            "an application was not told of a logout",
            extra={"client_id": notice.client_id, "error": str(error)},
        )
        return False
    # Back-Channel Logout 1.0, 2.8: 400 is an answer too. Repeating the same notice would
    # not change it.
    return status in (200, 204, 400)


async def keep_sending(state: AuthState, http: OutboundHttp) -> None:
    while True:
        try:
            more = await send_notices(state, http) == BATCH_ROWS
        except (Problem, asyncpg.PostgresError) as error:
            log.warning("notices of logout wait", extra={"error": type(error).__name__})
            more = False
        if not more:
            await asyncio.sleep(PERIOD_SECONDS)
