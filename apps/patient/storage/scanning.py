"""Reads resources for what no index tells, of as many as the other criteria leave: `_text`,
`_content` and the like.
"""

import asyncio

from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.patient.codec import decode
from apps.patient.search.criteria import (
    AllOf,
    AnyOf,
    Criterion,
    Exact,
    Identity,
    Not,
    Scanned,
)
from apps.patient.search.leaders import candidates_statement, flatten, leads, rest_of
from apps.patient.search.scanning import is_met
from apps.patient.search.sql import Sql, body_of, condition
from apps.patient.storage.bodies import unpack

MAX_SCANNED = 2_000
MAX_SCANNED_BYTES = 16 * 2**20
SCAN_SECONDS = 8.0
_BATCH = 50


def is_scanning(criterion: Criterion) -> bool:
    """Tells whether resources are read for some part of the criterion."""
    match criterion:
        case AllOf() | AnyOf():
            return any(is_scanning(part) for part in criterion.criteria)
        case Not():
            return is_scanning(criterion.criterion)
    return isinstance(criterion, Scanned)


async def scan(
    connection: Connection, resource_type: str, scanned: Scanned, within: Criterion
) -> Criterion:
    """Returns the criterion of those that meet `scanned` among those that meet `within`.

    Raises BadRequest where these are too many, or too large.
    """
    criteria = flatten(within)
    leaders = [item for item in criteria if leads(item)]
    leader = min(leaders, key=lambda item: not isinstance(item, (Exact, Identity)), default=None)
    sql = Sql()
    candidates = candidates_statement(sql, resource_type, leader)
    rest = condition(sql, rest_of(criteria, leader))
    limit = sql.argument(MAX_SCANNED + 1, "bigint")
    text, arguments = sql.used(
        f"SELECT r.number, octet_length({body_of('r')}) AS bytes FROM ({candidates}) AS k"
        f" CROSS JOIN LATERAL (SELECT * FROM resource r WHERE r.number = k.number AND {rest}"
        f" OFFSET 0) AS r LIMIT {limit}"
    )
    try:
        rows = await connection.fetch(text, *arguments, timeout=SCAN_SECONDS)
    except TimeoutError:
        raise _too_costly(scanned) from None
    if len(rows) > MAX_SCANNED or sum(row["bytes"] for row in rows) > MAX_SCANNED_BYTES:
        raise _too_costly(scanned)
    found: list[int] = []
    size = 0
    for start in range(0, len(rows), _BATCH):
        bodies = await connection.fetch(
            f"SELECT r.reference_hash, {body_of('r')} AS body FROM resource r"
            " WHERE r.number = ANY ($1::bigint[])",
            [row["number"] for row in rows[start : start + _BATCH]],
        )
        for row in bodies:
            body = unpack(row["body"]) or "{}"
            size += len(body)
            if size > MAX_SCANNED_BYTES:
                raise _too_costly(scanned)
            if is_met(decode(body), scanned):
                found.append(row["reference_hash"])
        # Other requests have their turn.
        await asyncio.sleep(0)
    return Identity(hashes=tuple(found))


def _too_costly(scanned: Scanned) -> BadRequest:
    return BadRequest(
        "too_costly",
        f"{scanned.parameter}: this is compared with up to {MAX_SCANNED} resources or"
        f" {MAX_SCANNED_BYTES // 2**20} MiB; narrow the search, for example by patient or date",
        pointer=scanned.parameter,
    )
