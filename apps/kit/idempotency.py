"""`Idempotency-Key`: the same key and body gives the first answer again. Kept 24 h, in the write's
own transaction.

Each service that uses it has a table `idempotency_key` of its own, by its migrations.
"""

from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from starlette.requests import Request

from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Conflict, Unprocessable
from apps.kit.web import principal_of

KEPT_HOURS = 24
MAX_KEY_CHARS = 255
CLEANED_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Claim:
    client_id: str
    subject: str
    method: str
    path: str
    key: str
    body_sha256: str

    @property
    def identity(self) -> tuple[str, str, str, str, str]:
        return (self.client_id, self.subject, self.method, self.path, self.key)


def read_claim(request: Request, body: bytes, condition: str = "") -> Claim | None:
    """Returns the request's claim, None without the header; raises BadRequest for a key that is
    empty, too long or not printable ASCII.

    `condition`: the header that a condition of this write comes in. It is part of what is asked:
    the same body under another one is another request.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        raise BadRequest(
            "invalid_idempotency_key",
            f"1 to {MAX_KEY_CHARS} printable characters",
            pointer="Idempotency-Key",
        )
    principal = principal_of(request)
    digest = sha256(body + b"\x00" + request.headers.get(condition, "").encode()).hexdigest()
    # Quoted again: PostgreSQL takes no NUL.
    path = quote(request.scope["path"])
    return Claim(
        client_id=principal.client_id,
        subject=principal.subject,
        method=request.method,
        path=path,
        key=key,
        body_sha256=digest,
    )


async def claim_key(connection: Connection, claim: Claim | None) -> str | None:
    """Returns the reference to what the first request made, or None: this one is the first, until
    its transaction ends.

    Without a claim each is. Raises Conflict while another is in flight, Unprocessable for the same
    key with another body.
    """
    if claim is None:
        return None
    lock = "\x1f".join(claim.identity)
    if not await connection.fetchval(
        "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", lock
    ):
        raise Conflict(
            "request_in_flight", "a request with this Idempotency-Key is still in flight"
        )
    row = await connection.fetchrow(
        """
        SELECT body_sha256, reference, created_at < now() - make_interval(hours => $6) AS expired
            FROM idempotency_key
        WHERE client_id = $1 AND subject = $2 AND method = $3 AND path = $4 AND key = $5""",
        *claim.identity,
        KEPT_HOURS,
    )
    if row is None:
        return None
    if row["expired"]:
        await connection.execute(
            """
            DELETE FROM idempotency_key
            WHERE client_id = $1 AND subject = $2 AND method = $3 AND path = $4 AND key = $5""",
            *claim.identity,
        )
        return None
    if row["body_sha256"] != claim.body_sha256:
        raise Unprocessable(
            "idempotency_key_reused", "this Idempotency-Key was used for another body"
        )
    reference: str = row["reference"]
    return reference


async def insert_key(connection: Connection, claim: Claim | None, reference: str) -> None:
    """Writes the key down; `reference` names what was made; never a secret, which nobody could
    be told again.
    """
    if claim is None:
        return
    await connection.execute(
        """
        INSERT INTO idempotency_key (client_id, subject, method, path, key, body_sha256, reference)
        VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        *claim.identity,
        claim.body_sha256,
        reference,
    )


async def delete_old_keys(connection: Connection) -> None:
    await connection.execute(
        """
        DELETE FROM idempotency_key WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM idempotency_key WHERE created_at < now() - make_interval(hours => $1)
                LIMIT $2))""",
        KEPT_HOURS,
        CLEANED_ROWS,
    )
