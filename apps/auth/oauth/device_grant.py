"""Device authorization (RFC 8628): a device without a keyboard shows a code, which a person
enters in a browser.
"""

import secrets
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, OAuth2Request, UnauthorizedClientError
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint as AuthlibDeviceEndpoint
from authlib.oauth2.rfc8628 import DeviceCodeGrant
from authlib.oauth2.rfc8628.errors import ExpiredTokenError
from authlib.oidc.core import AuthorizationCodeMixin

from apps.auth.audit import Event
from apps.auth.encryption import digest, new_token
from apps.auth.oauth.authlib_starlette import wait_for
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.origin import Origin
from apps.auth.paths import DEVICE
from apps.auth.people.users import User, select_active_user
from apps.kit.context import new_id
from apps.kit.database import Connection

CODE_LIFE_SECONDS = 10 * 60
INTERVAL_SECONDS = 5
# RFC 8628, 6.1: consonants make no words, and none of these is taken for another.
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
USER_CODE_CHARS = 8
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")


@dataclass(frozen=True, slots=True)
class DeviceCode(AuthorizationCodeMixin):  # type: ignore[misc]
    """`state`: pending, approved, denied or used. Who approved, and how they had signed in,
    once somebody has.
    """

    device_code_hash: bytes
    client_id: str
    scope: str
    state: str
    user_id: str | None
    family_id: str | None
    session_id: str | None
    authenticated_at: datetime | None
    methods: tuple[str, ...]
    is_expired_: bool
    is_early: bool

    def get_client_id(self) -> str:
        return self.client_id

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> None:
        return None

    def get_auth_time(self) -> int:
        assert self.authenticated_at is not None
        return int(self.authenticated_at.timestamp())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> list[str]:
        return list(self.methods)


_COLUMNS = (
    "*, expires_at <= now() AS is_expired_, "
    "coalesce(polled_at > now() - make_interval(secs => interval_seconds), false) AS is_early"
)


def _device_code(row: Any) -> DeviceCode:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(DeviceCode)}
    for name in ("user_id", "family_id"):
        values[name] = str(row[name]) if row[name] else None
    return DeviceCode(**values | {"methods": tuple(row["methods"])})


def new_user_code() -> str:
    text = "".join(secrets.choice(ALPHABET) for _ in range(USER_CODE_CHARS))
    return f"{text[:4]}-{text[4:]}"


def user_code_hash(typed: str) -> bytes:
    """Returns what is stored of a user code, however it was typed: without the dash, in
    small letters.
    """
    return digest(
        "".join(letter for letter in typed.upper() if letter in ALPHABET)[:USER_CODE_CHARS]
    )


async def select_user_code(connection: Connection, typed: str) -> DeviceCode | None:
    """Returns what waits for a person's answer under the code; locks it."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM device_codes WHERE user_code_hash = $1 AND state = 'pending' "  # noqa: S608
        "AND expires_at > now() FOR UPDATE",
        user_code_hash(typed),
    )
    return _device_code(row) if row else None


async def answer_device_code(
    connection: Connection,
    code: DeviceCode,
    *,
    user_id: str,
    session_id: str,
    authenticated_at: datetime,
    methods: tuple[str, ...],
    scope: str,
    approved: bool,
) -> None:
    """Notes the person's answer and what they granted."""
    await connection.execute(
        "UPDATE device_codes SET state = $2, user_id = $3, session_id = $4, authenticated_at = $5, "
        "methods = $6, "
        "scope = $7, family_id = $8 WHERE device_code_hash = $1 AND state = 'pending'",
        code.device_code_hash,
        "approved" if approved else "denied",
        user_id,
        session_id,
        authenticated_at,
        list(methods),
        scope,
        new_id(),
    )


async def _insert(
    connection: Connection, *, device_code: str, user_code: str, client_id: str, scope: str
) -> None:
    await connection.execute(
        "INSERT INTO device_codes (device_code_hash, user_code_hash, client_id, scope, "
        "interval_seconds, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
        digest(device_code),
        user_code_hash(user_code),
        client_id,
        scope,
        INTERVAL_SECONDS,
        float(CODE_LIFE_SECONDS),
    )


async def _poll(connection: Connection, device_code: str) -> DeviceCode | None:
    """Returns the code as it was before this poll. Polling too early lengthens the interval
    (RFC 8628, 3.5).
    """
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM device_codes WHERE device_code_hash = $1 FOR UPDATE",  # noqa: S608
        digest(device_code),
    )
    if row is None:
        return None
    code = _device_code(row)
    await connection.execute(
        "UPDATE device_codes SET polled_at = now(), interval_seconds = least(60, interval_seconds "
        "+ $2) "
        "WHERE device_code_hash = $1",
        code.device_code_hash,
        INTERVAL_SECONDS if code.is_early else 0,
    )
    return code


async def _use(connection: Connection, code: DeviceCode) -> None:
    await connection.execute(
        "UPDATE device_codes SET state = 'used' WHERE device_code_hash = $1", code.device_code_hash
    )


class DeviceAuthorizationEndpoint(AuthlibDeviceEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = METHODS
    EXPIRES_IN = CODE_LIFE_SECONDS
    INTERVAL = INTERVAL_SECONDS
    server: IdentityServer

    def authenticate_client(self, request: OAuth2Request) -> Any:
        client = super().authenticate_client(request)
        if not client.check_grant_type(DeviceGrant.GRANT_TYPE):
            raise UnauthorizedClientError("this client was not registered for device codes")
        return client

    def generate_user_code(self) -> str:
        return new_user_code()

    def generate_device_code(self) -> str:
        return new_token()

    def get_verification_uri(self) -> str:
        return self.server.settings.issuer + DEVICE

    def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
        wait_for(
            _insert,
            self.server.connection,
            device_code=data["device_code"],
            user_code=data["user_code"],
            client_id=client_id,
            scope=" ".join(self.server.split_scope(scope)),
        )


class DeviceGrant(DeviceCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    server: IdentityServer

    def query_device_credential(self, device_code: str) -> DeviceCode:
        code = wait_for(_poll, self.server.connection, device_code)
        if code is None or code.state == "used":
            raise InvalidGrantError("Invalid 'device_code' in request.")
        return code

    def validate_device_credential(self, credential: DeviceCode) -> User:
        if credential.is_expired_:
            raise ExpiredTokenError()
        self.credential = credential
        user: User = super().validate_device_credential(_Pending(credential))
        wait_for(_use, self.server.connection, credential)
        self.server.origin = Origin(
            family_id=str(credential.family_id),
            scope=credential.scope,
            authenticated_at=credential.authenticated_at,  # type: ignore[arg-type]
            methods=credential.methods,
            session_id=credential.session_id,
        )
        # The id token takes its claims from there.
        self.request.authorization_code = credential
        return user

    def query_user_grant(self, user_code: str) -> tuple[User | None, bool] | None:
        if self.credential.state == "pending":
            return None
        if self.credential.state == "denied":
            return None, False
        user_id = self.credential.user_id or ""
        user = wait_for(select_active_user, self.server.connection, user_id)
        if user is None:
            raise InvalidGrantError("There is no 'user' for this code.")
        return user, True

    def should_slow_down(self, credential: Any) -> bool:
        return self.credential.is_early

    def save_token(self, token: dict[str, Any]) -> None:
        self.server.record(
            Event("device_authorization", actor_id=self.request.client.id), self.request.client
        )
        super().save_token(token)


@dataclass(frozen=True, slots=True)
class _Pending:
    """The code in the form that Authlib asks questions of. Expiry was checked, and the user code
    is not stored.
    """

    code: DeviceCode

    def is_expired(self) -> bool:
        return self.code.is_expired_

    def get_user_code(self) -> str:
        return ""
