"""Turns criteria that need a look into others first: chains, `_has`, hierarchies and what is
contained.

A chain that leads to few resources becomes the references to them, which an index finds; any other
stays a condition.
"""

from collections.abc import Sequence
from typing import Any

from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Chain,
    Contained,
    Criterion,
    DisplayText,
    Exact,
    ExactValue,
    Has,
    Hierarchy,
    Identity,
    Not,
    Owned,
    Scanned,
    UriBelow,
    is_of_one,
)
from apps.patient.search.index.hashing import path_hash, reference_key
from apps.patient.search.statements.leaders import flatten, leads, rest_of
from apps.patient.search.statements.sql import Sql, condition
from apps.patient.search.statements.statements import candidates_statement, range_statement
from apps.patient.storage.listed_texts import resolve_below, resolve_systems, resolve_text
from apps.patient.storage.patient_records import resolve_owned
from apps.patient.storage.scanning import Scans, is_scanning, scan

# A chain that leads to more stays a condition.
MAX_TARGETS = 500


async def resolve(
    connection: Connection,
    resource_type: str,
    criterion: Criterion,
    scans: Scans,
    within: Criterion = EVERYTHING,
) -> Criterion:
    """Returns a criterion that is ready for SQL. `within`: what matches must meet besides,
    already resolved. `scans`: what the request may read for it.
    """
    match criterion:
        case AllOf():
            return await _resolve_all(connection, resource_type, criterion.criteria, scans, within)
        case AnyOf():
            resolved = [
                await resolve(connection, resource_type, item, scans, within)
                for item in criterion.criteria
            ]
            return _joined([item for item in resolved if item != NOTHING])
        case Not():
            inner = await resolve(connection, resource_type, criterion.criterion, scans, within)
            return Not(criterion=inner)
        case Scanned():
            return await scan(connection, resource_type, criterion, within, scans)
        case Hierarchy():
            return await _resolve_hierarchy(connection, criterion, scans)
        case DisplayText():
            return await resolve_text(connection, criterion)
        case UriBelow():
            return await resolve_below(connection, criterion)
        case Exact():
            return await resolve_systems(connection, criterion)
        case Chain():
            return await _resolve_chain(connection, criterion, scans)
        case Contained():
            return await _resolve_contained(connection, resource_type, criterion, scans, within)
        case Has():
            return await _resolve_has(connection, criterion, scans)
        case Owned():
            return await resolve_owned(connection, resource_type, criterion)
    return criterion


def _joined(alternatives: Sequence[Criterion]) -> Criterion:
    """Returns the alternatives; those that are all exact as one, whose pages come in the order
    of creation.
    """
    exact = [item for item in alternatives if isinstance(item, Exact)]
    if not exact or len(exact) < len(alternatives):
        return AnyOf(criteria=tuple(alternatives))
    return Exact(
        values=tuple(value for item in exact for value in item.values),
        is_narrow=all(item.is_narrow for item in exact),
    )


async def _resolve_all(
    connection: Connection,
    resource_type: str,
    criteria: Sequence[Criterion],
    scans: Scans,
    within: Criterion,
) -> Criterion:
    """Resolves what is scanned last: the other criteria leave little of it."""
    resolved: dict[int, Criterion] = {}
    for index, item in sorted(enumerate(criteria), key=lambda pair: is_scanning(pair[1])):
        others = AllOf(criteria=(within, *resolved.values()))
        resolved[index] = await resolve(connection, resource_type, item, scans, others)
    return AllOf(criteria=tuple(resolved[index] for index in range(len(criteria))))


async def _resolve_hierarchy(
    connection: Connection, criterion: Hierarchy, scans: Scans
) -> Criterion:
    """Walks from resource to resource, along or against the reference that makes them parts
    of each other.
    """
    kind = criterion.target_type
    key = reference_key(kind, criterion.parent)
    reachable = await resolve(connection, kind, criterion.reachable or EVERYTHING, scans)
    found = set(criterion.targets)
    latest = list(criterion.targets)
    while latest:
        sql = Sql()
        hashes, parent = sql.argument(latest, "bigint[]"), sql.argument(key, "bigint")
        checked = condition(sql, reachable)
        if criterion.is_upward:
            statement = (
                "SELECT DISTINCT t.hash FROM resource r"
                " CROSS JOIN LATERAL unnest(r.target_hashes) AS t (hash)"
                f" WHERE r.reference_hash = ANY ({hashes}) AND r.method <> 'DELETE' AND {checked}"
                f" AND ({parent} # t.hash) = ANY (r.value_hashes)"
            )
        else:
            statement = (
                f"SELECT DISTINCT r.reference_hash FROM unnest({hashes}) AS h (hash)"
                f" JOIN resource_value v ON v.hash = ({parent} # h.hash)"
                " CROSS JOIN LATERAL (SELECT * FROM resource r WHERE r.number = v.number"
                f" AND {checked} OFFSET 0) AS r"
            )
        rows = await connection.fetch(f"{statement} LIMIT {MAX_TARGETS + 1}", *sql.arguments)
        latest = [row[0] for row in rows if row[0] not in found]
        found.update(latest)
        if len(found) > MAX_TARGETS:
            raise BadRequest(
                "too_costly", f":above and :below follow at most {MAX_TARGETS} resources"
            )
    key = reference_key(criterion.resource_type, criterion.parameter)
    return Exact(
        values=tuple(
            ExactValue(matching=key ^ target, leading=key ^ target) for target in sorted(found)
        )
    )


async def _resolve_chain(connection: Connection, criterion: Chain, scans: Scans) -> Criterion:
    inner = await resolve(connection, criterion.target_type, criterion.criterion, scans)
    found = await _few_targets(connection, criterion.target_type, inner)
    if found is None:
        return Chain(
            resource_type=criterion.resource_type,
            parameter=criterion.parameter,
            target_type=criterion.target_type,
            criterion=inner,
        )
    key = reference_key(criterion.resource_type, criterion.parameter)
    values = tuple(ExactValue(matching=key ^ target, leading=key ^ target) for target in found)
    return Exact(values=values)


async def _resolve_contained(
    connection: Connection,
    resource_type: str,
    criterion: Contained,
    scans: Scans,
    within: Criterion,
) -> Criterion:
    """Looks for nothing where no resource contains one at the path, as is mostly so."""
    hashed = path_hash(criterion.path)
    if not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM resource_value WHERE hash = $1)", hashed
    ):
        return NOTHING
    inner = await resolve(connection, resource_type, criterion.criterion, scans, within)
    if criterion.criterion != EVERYTHING and not is_of_one(criterion.criterion):
        return inner
    here = Exact(values=(ExactValue(matching=hashed, leading=hashed),))
    return AllOf(criteria=(here, inner))


async def _resolve_has(connection: Connection, criterion: Has, scans: Scans) -> Criterion:
    inner = await resolve(connection, criterion.source_type, criterion.criterion, scans)
    key = reference_key(criterion.source_type, criterion.parameter)
    found = await _few_targets(connection, criterion.source_type, inner, key)
    if found is None:
        return Has(
            source_type=criterion.source_type, parameter=criterion.parameter, criterion=inner
        )
    return Identity(hashes=tuple(found))


async def _few_targets(
    connection: Connection, resource_type: str, criterion: Criterion, key: int | None = None
) -> list[int] | None:
    """Returns the hashes of the resources that match, or with `key` of those that they
    refer to by it.

    None if nothing leads to them, or to more than MAX_TARGETS candidates.
    """
    criteria = flatten(criterion)
    leaders = [item for item in criteria if leads(item)]
    if not leaders:
        return None
    # Any exact value before a range.
    leader = min(leaders, key=lambda item: not isinstance(item, (Exact, Identity)))
    counted = Sql()
    # Rows of the index, not resources: telling them apart would read all of the rows.
    limit = counted.argument(MAX_TARGETS + 1, "bigint")
    statement = (
        f"SELECT count(*) FROM ({range_statement(counted, resource_type, leader, limit)}) AS k"
    )
    text, arguments = counted.used(statement)
    if await connection.fetchval(text, *arguments) > MAX_TARGETS:
        return None

    sql = Sql()
    candidates = candidates_statement(sql, resource_type, leader)
    rest = condition(sql, rest_of(criteria, leader))
    selected, tail = "r.reference_hash", ""
    if key is not None:
        hashed = sql.argument(key, "bigint")
        selected = "t.hash"
        tail = (
            " CROSS JOIN LATERAL unnest(r.target_hashes) AS t (hash)"
            f" WHERE ({hashed} # t.hash) = ANY (r.value_hashes)"
        )
    text, arguments = sql.used(
        f"SELECT DISTINCT {selected} FROM ({candidates}) AS k CROSS JOIN LATERAL"
        f" (SELECT * FROM resource r WHERE r.number = k.number AND {rest} OFFSET 0) AS r{tail}"
    )
    rows: list[Any] = await connection.fetch(text, *arguments)
    return [row[0] for row in rows]
