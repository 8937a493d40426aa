"""Reads resources for what no index tells, of as many as the other criteria leave: `_text`,
`_content` and the like.
"""

import asyncio
import time
from dataclasses import dataclass, field

from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.patient.codec import decode
from apps.patient.search.criteria.criteria import (
    AllOf,
    AnyOf,
    Criterion,
    Exact,
    Identity,
    Not,
    Scanned,
)
from apps.patient.search.scanning import is_met
from apps.patient.search.statements.leaders import flatten, leads, rest_of
from apps.patient.search.statements.sql import Sql, body_of, condition
from apps.patient.search.statements.statements import candidates_statement
from apps.patient.storage.bodies import unpack

MAX_SCANNED = 2_000
MAX_SCANNED_BYTES = 16 * 2**20
SCAN_SECONDS = 8.0
_BATCH = 50


@dataclass(slots=True, kw_only=True)
class ScanBudget:
    """What one request may still read, over all its searches, types and criteria."""

    resources: int = field(default_factory=lambda: MAX_SCANNED)
    bytes: int = field(default_factory=lambda: MAX_SCANNED_BYTES)
    ends_at: float = field(default_factory=lambda: time.monotonic() + SCAN_SECONDS)


@dataclass(frozen=True, slots=True)
class Scans:
    """What searches of one request have found: one with a total asks twice. What a write asks has
    the same budget and finds anew: another write may have come before it.
    """

    budget: ScanBudget = field(default_factory=ScanBudget)
    found: dict[tuple[str, Scanned, tuple[Criterion, ...]], Identity] = field(default_factory=dict)


def is_scanning(criterion: Criterion) -> bool:
    """Tells whether resources are read for some part of the criterion."""
    match criterion:
        case AllOf() | AnyOf():
            return any(is_scanning(part) for part in criterion.criteria)
        case Not():
            return is_scanning(criterion.criterion)
    return isinstance(criterion, Scanned)


async def scan(
    connection: Connection,
    resource_type: str,
    scanned: Scanned,
    within: Criterion,
    scans: Scans,
) -> Criterion:
    """Returns the criterion of those that meet `scanned` among those that meet `within`.

    Raises BadRequest where these are more, or larger, than the request may still read.
    """
    criteria = flatten(within)
    key = (resource_type, scanned, tuple(criteria))
    if key not in scans.found:
        scans.found[key] = await _scan(connection, resource_type, scanned, criteria, scans.budget)
    return scans.found[key]


async def _scan(
    connection: Connection,
    resource_type: str,
    scanned: Scanned,
    criteria: list[Criterion],
    budget: ScanBudget,
) -> Identity:
    leaders = [item for item in criteria if leads(item)]
    leader = min(leaders, key=lambda item: not isinstance(item, (Exact, Identity)), default=None)
    sql = Sql()
    candidates = candidates_statement(sql, resource_type, leader)
    rest = condition(sql, rest_of(criteria, leader))
    limit = sql.argument(budget.resources + 1, "bigint")
    text, arguments = sql.used(
        f"SELECT r.number, octet_length({body_of('r')}) AS bytes FROM ({candidates}) AS k"
        f" CROSS JOIN LATERAL (SELECT * FROM resource r WHERE r.number = k.number AND {rest}"
        f" OFFSET 0) AS r LIMIT {limit}"
    )
    try:
        timeout = max(0.001, budget.ends_at - time.monotonic())
        rows = await connection.fetch(text, *arguments, timeout=timeout)
    except TimeoutError:
        raise _too_costly(scanned) from None
    if len(rows) > budget.resources or sum(row["bytes"] for row in rows) > budget.bytes:
        raise _too_costly(scanned)
    budget.resources -= len(rows)
    found: list[int] = []
    for start in range(0, len(rows), _BATCH):
        bodies = await connection.fetch(
            f"SELECT r.reference_hash, {body_of('r')} AS body FROM resource r"
            " WHERE r.number = ANY ($1::bigint[])",
            [row["number"] for row in rows[start : start + _BATCH]],
        )
        for row in bodies:
            body = unpack(row["body"]) or "{}"
            budget.bytes -= len(body)
            if budget.bytes < 0 or time.monotonic() > budget.ends_at:
                raise _too_costly(scanned)
            if is_met(decode(body), scanned):
                found.append(row["reference_hash"])
        # Other requests have their turn.
        await asyncio.sleep(0)
    return Identity(hashes=tuple(found))


def _too_costly(scanned: Scanned) -> BadRequest:
    return BadRequest(
        "too_costly",
        f"{scanned.parameter}: a request compares up to {MAX_SCANNED} resources or"
        f" {MAX_SCANNED_BYTES // 2**20} MiB in all; narrow it, for example by patient or date",
        pointer=scanned.parameter,
    )
