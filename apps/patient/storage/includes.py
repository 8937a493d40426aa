"""Resources that are given along with matches: `_include`, `_revinclude`, `:iterate`
(https://hl7.org/fhir/R4/search.html#include).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from apps.kit.database import Connection
from apps.kit.scopes import Disclosure
from apps.patient.definitions.model import search_parameters, served_types
from apps.patient.search.criteria.query import Include, Query
from apps.patient.search.index.hashing import reference_key
from apps.patient.search.statements.sql import Sql, body_of
from apps.patient.storage.access import Caller
from apps.patient.storage.search import Found, found_of

MAX_INCLUDED = 1_000
MAX_ROUNDS = 5

_COLUMNS = (
    "c.number, c.type, c.id, c.version_id, c.patient_id, c.last_updated, c.method, " + body_of("c")
)


async def read_included(
    connection: Connection, caller: Caller, query: Query, matches: Sequence[Found]
) -> tuple[list[Found], bool]:
    """Returns what the page's matches bring along, each once, and whether there was more
    than a page takes.
    """
    known = {item.number for item in matches}
    included: list[Found] = []
    latest: list[Found] = list(matches)
    for round_number in range(MAX_ROUNDS):
        found: list[Found] = []
        for include in query.includes:
            if round_number and not include.iterate:
                continue
            limit = MAX_INCLUDED - len(included) - len(found) + 1
            rows = await _read(connection, include, latest, limit)
            new = [item for item in map(found_of, rows) if item.number not in known]
            known.update(item.number for item in new)
            found += [item for item in new if await _may_be_given(connection, caller, item)]
            if len(included) + len(found) > MAX_INCLUDED:
                return [*included, *found][:MAX_INCLUDED], True
        if not found:
            return included, False
        included += found
        latest = found
    return included, any(include.iterate for include in query.includes) and bool(latest)


async def _may_be_given(connection: Connection, caller: Caller, item: Found) -> bool:
    await caller.load_referred(connection, item.version.resource_type)
    return caller.disclosure_of(item.version, "s") is Disclosure.BODY


async def _read(
    connection: Connection, include: Include, latest: Sequence[Found], limit: int
) -> list[Any]:
    if include.reverse:
        return await _read_reverse(connection, include, latest, limit)
    numbers = [
        item.number for item in latest if include.source in ("*", item.version.resource_type)
    ]
    if not numbers:
        return []
    sql = Sql()
    where = [f"r.number = ANY ({sql.argument(numbers, 'bigint[]')})"]
    if include.parameter is not None:
        key = sql.argument(reference_key(include.source, include.parameter), "bigint")
        where.append(f"({key} # t.hash) = ANY (r.value_hashes)")
    target = include.target or _only_target(include)
    kind = f" AND c.type = {sql.argument(target, 'text')}" if target else ""
    statement = (
        f"SELECT DISTINCT ON (c.number) {_COLUMNS} FROM resource r"
        " CROSS JOIN LATERAL unnest(r.target_hashes) AS t (hash)"
        " CROSS JOIN LATERAL (SELECT * FROM resource c WHERE c.reference_hash = t.hash"
        f" AND c.method <> 'DELETE'{kind} OFFSET 0) AS c"
        f" WHERE {' AND '.join(where)} ORDER BY c.number LIMIT {sql.argument(limit, 'bigint')}"
    )
    rows: list[Any] = await connection.fetch(statement, *sql.arguments)
    return rows


def _only_target(include: Include) -> str:
    """Returns the type that a reference leads to, "" for one that leads to several."""
    if include.parameter is None:
        return ""
    targets = search_parameters(include.source)[include.parameter].targets
    return targets[0] if len(targets) == 1 else ""


async def _read_reverse(
    connection: Connection, include: Include, latest: Sequence[Found], limit: int
) -> list[Any]:
    """Reads what refers to the latest resources."""
    keys = [
        reference_key(source, name)
        for source, name in _references(include, {item.version.resource_type for item in latest})
    ]
    if not keys or not latest:
        return []
    sql = Sql()
    numbers = sql.argument([item.number for item in latest], "bigint[]")
    statement = (
        f"SELECT DISTINCT ON (c.number) {_COLUMNS} FROM resource r"
        f" CROSS JOIN unnest({sql.argument(keys, 'bigint[]')}) AS p (key)"
        " CROSS JOIN LATERAL (SELECT v.number FROM resource_value v"
        " WHERE v.hash = (p.key # r.reference_hash) OFFSET 0) AS v"
        " CROSS JOIN LATERAL (SELECT * FROM resource c WHERE c.number = v.number OFFSET 0) AS c"
        f" WHERE r.number = ANY ({numbers}) ORDER BY c.number"
        f" LIMIT {sql.argument(limit, 'bigint')}"
    )
    rows: list[Any] = await connection.fetch(statement, *sql.arguments)
    return rows


def _references(include: Include, targets: set[str]) -> Iterable[tuple[str, str]]:
    """Returns the references that may lead from the include's source to one of `targets`."""
    if include.target:
        targets = targets & {include.target}
    for source in served_types() if include.source == "*" else (include.source,):
        for code, parameter in search_parameters(source).items():
            if parameter.kind != "reference" or include.parameter not in (None, code):
                continue
            if not parameter.targets or targets & set(parameter.targets):
                yield source, code
