"""A browser's session: a random cookie, of which the database knows a hash. A new one with
every sign-in.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from apps.auth.encryption import digest, new_token
from apps.auth.people.users import User, hold_user, lock_unchanged, select_active_user
from apps.kit.database import Connection

SESSION_LIFE_SECONDS = 8 * 60 * 60
# From the password to the second factor.
PENDING_LIFE_SECONDS = 10 * 60
# From the password, proven again, to the change of a second factor.
CONFIRMED_SECONDS = 5 * 60

# HIPAA Security Rule, 164.312(a)(2)(iii), automatic logoff; NIST 800-63B, 2.2.3.
IDLE_SECONDS = 30 * 60
# A session's last use is written down at most this often.
SEEN_PERIOD_SECONDS = 60
BROWSERS = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = re.compile(r"(Windows|Android|iPhone|iPad|Macintosh|Linux)")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTimes:
    """Seconds without a request after which a session ends, by role; of several roles the
    shortest counts.
    """

    default_seconds: int = IDLE_SECONDS
    by_role: Mapping[str, int] = field(default_factory=dict)

    def of(self, roles: Iterable[str]) -> int:
        """Returns the seconds for a person with `roles`."""
        return min(
            (self.by_role.get(role, self.default_seconds) for role in roles),
            default=self.default_seconds,
        )


@dataclass(frozen=True, slots=True)
class Session:
    """`pending`: the password was right, the second factor is still to come. `methods` as in RFC
    8176: pwd, otp.
    """

    # Of its hash: told to nobody.
    id: str
    user: User
    authenticated_at: datetime
    methods: tuple[str, ...]
    pending: bool
    # Its name in id tokens and notices of logout (`sid`): of no use to anybody else.
    public_id: str
    # The password was proven again within the last minutes.
    confirmed: bool


def session_cookie(secure: bool) -> str:
    # `__Host-`: neither a subdomain nor plain HTTP can plant it.
    return "__Host-session" if secure else "session"


def browser_cookie(secure: bool) -> str:
    return "__Host-browser" if secure else "browser"


def set_cookie(
    response: Response, name: str, value: str, *, secure: bool, max_age: int | None = None
) -> None:
    # Lax, not Strict: the way to /oauth2/authorize leads from another site.
    response.set_cookie(
        name, value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax"
    )


def clear_cookie(response: Response, name: str, *, secure: bool) -> None:
    response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="lax")


async def begin_session(
    connection: Connection,
    request: Request,
    response: Response,
    *,
    user: User,
    methods: tuple[str, ...],
    pending: bool,
    confirmed: bool,
    secure: bool,
    address: str,
    idle: IdleTimes,
) -> None:
    """Starts a session of the browser and sets its cookie. `address`: where the browser is."""
    secret = new_token()
    life_seconds = PENDING_LIFE_SECONDS if pending else SESSION_LIFE_SECONDS
    await connection.execute(
        "INSERT INTO sessions (token_hash, user_id, methods, pending, device, address, "
        "idle_seconds, expires_at, confirmed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, "
        "now() + make_interval(secs => $8), CASE WHEN $9 THEN now() END)",
        digest(secret),
        user.id,
        list(methods),
        pending,
        describe_browser(request.headers.get("user-agent", "")),
        address,
        idle.of(user.roles),
        float(life_seconds),
        confirmed,
    )
    set_cookie(response, session_cookie(secure), secret, secure=secure, max_age=life_seconds)


def describe_browser(user_agent: str) -> str:
    """Returns what a person recognizes of a User-Agent: `Firefox, Windows`. Empty if nothing is."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = SYSTEMS.search(user_agent)
    return ", ".join(part for part in (browser, system[1] if system else "") if part)


async def end_session(connection: Connection, request: Request, *, secure: bool) -> None:
    secret = request.cookies.get(session_cookie(secure))
    if secret:
        await connection.execute("DELETE FROM sessions WHERE token_hash = $1", digest(secret))


async def select_session(
    connection: Connection, request: Request, *, secure: bool
) -> Session | None:
    secret = request.cookies.get(session_cookie(secure))
    if not secret:
        return None
    row = await connection.fetchrow(
        """
        WITH seen AS (
            UPDATE sessions SET seen_at = now()
            WHERE token_hash = $1 AND seen_at <= now() - make_interval(secs => $3)
                AND seen_at > now() - make_interval(secs => idle_seconds)
        )
        SELECT user_id, authenticated_at, methods, pending, public_id,
            coalesce(confirmed_at > now() - make_interval(secs => $2), false) AS confirmed
        FROM sessions WHERE token_hash = $1 AND expires_at > now()
            AND seen_at > now() - make_interval(secs => idle_seconds)
        """,
        digest(secret),
        float(CONFIRMED_SECONDS),
        float(SEEN_PERIOD_SECONDS),
    )
    user = await select_active_user(connection, str(row["user_id"])) if row else None
    if row is None or user is None:
        return None
    return Session(
        id=digest(secret).hex(),
        user=user,
        authenticated_at=row["authenticated_at"],
        methods=tuple(row["methods"]),
        pending=row["pending"],
        public_id=row["public_id"],
        confirmed=row["confirmed"],
    )


async def confirm_session(connection: Connection, session: Session) -> None:
    """Notes that the person has just proven the password again."""
    await connection.execute(
        "UPDATE sessions SET confirmed_at = now() WHERE token_hash = $1", bytes.fromhex(session.id)
    )


async def hold_session(connection: Connection, request: Request, *, secure: bool) -> Session | None:
    """Returns the session, its user held against change until the end of the transaction."""
    session = await select_session(connection, request, secure=secure)
    if session is None:
        return None
    await hold_user(connection, session.user.id)
    # Read again: a revocation may have been waited for.
    return await select_session(connection, request, secure=secure)


async def lock_session(
    connection: Connection, request: Request, session: Session, *, secure: bool
) -> Session | None:
    """Returns the same session, its user held until the end of the transaction; None where it
    ended since, or they changed.
    """
    if await lock_unchanged(connection, session.user) is None:
        return None
    return await select_session(connection, request, secure=secure)


def complete(session: Session | None) -> Session | None:
    """Returns the session where nothing is left to prove."""
    return session if session and not session.pending else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """A session as its owner sees it in a list. `id` ends it, and is of no use otherwise."""

    id: str
    device: str
    address: str
    signed_in_at: datetime
    seen_at: datetime


async def select_sessions(connection: Connection, user_id: str) -> list[SessionInfo]:
    """Returns the sessions of a user that are complete and live, the last used first."""
    rows = await connection.fetch(
        "SELECT public_id, device, address, authenticated_at, seen_at FROM sessions "
        "WHERE user_id = $1 AND NOT pending AND expires_at > now() "
        "AND seen_at > now() - make_interval(secs => idle_seconds) ORDER BY seen_at DESC",
        user_id,
    )
    return [
        SessionInfo(
            id=row["public_id"],
            device=row["device"],
            address=row["address"],
            signed_in_at=row["authenticated_at"],
            seen_at=row["seen_at"],
        )
        for row in rows
    ]
