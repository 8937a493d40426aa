"""Resolves the criteria that the list of texts answers: display texts, systems, URIs `:below`."""

from apps.kit.database import Connection
from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import (
    Criterion,
    DisplayText,
    Exact,
    ExactValue,
    UriBelow,
)
from apps.patient.search.index import hashing
from apps.patient.search.index.hashing import token_hash
from apps.patient.search.statements.sql import LAST

MAX_TEXTS = 1_000
# A system of more codes than that is not led by them: most resources have it.
MAX_CODES = 500
MAX_URIS = 2_000
# Below every other character: `value < text + _FIRST` is the text itself.
_FIRST = "\x01"


async def resolve_text(connection: Connection, criterion: DisplayText) -> Criterion:
    """Returns the criterion of texts that begin with the one asked for, or have it at a word."""
    rows = await connection.fetch(
        """
        SELECT value, code_hash FROM token_text WHERE key = $1
          AND ((value >= $2 AND value < $3) OR position(' ' || $2 IN value) > 0) LIMIT $4""",
        criterion.key,
        criterion.text,
        criterion.text + LAST,
        MAX_TEXTS,
    )
    values = tuple(
        ExactValue(
            matching=token_hash(
                criterion.resource_type, criterion.parameter, hashing.TEXT, row["value"]
            ),
            leading=row["code_hash"],
        )
        for row in rows
    )
    return Exact(values=values)


async def resolve_systems(connection: Connection, criterion: Exact) -> Criterion:
    """Has each system led by its listed codes. One with very many codes, or not all listed yet,
    leads to nothing.
    """
    if all(value.system is None for value in criterion.values):
        return criterion
    values: list[ExactValue] = []
    for value in criterion.values:
        is_complete, codes = False, list[int]()
        if value.system is not None:
            is_complete, codes = await _listed(connection, value.system, "", MAX_CODES)
        if is_complete and len(codes) <= MAX_CODES:
            values += [ExactValue(matching=value.matching, leading=code) for code in codes]
        else:
            values.append(value)
    return Exact(values=tuple(values), is_narrow=criterion.is_narrow)


async def resolve_below(connection: Connection, criterion: UriBelow) -> Criterion:
    """Has the URI and those that begin with it and a slash led by their hashes."""
    values: dict[int, ExactValue] = {}
    for start, end in ((criterion.uri, _FIRST), (f"{criterion.uri}/", LAST)):
        is_complete, hashes = await _listed(connection, criterion.key, start, MAX_URIS, end)
        if len(hashes) > MAX_URIS:
            raise BadRequest("too_costly", ":below: too many URIs begin so; give more of it")
        values |= {hashed: ExactValue(matching=hashed, leading=hashed) for hashed in hashes}
        if not is_complete:
            # Rows of the previous layout have the beginnings themselves.
            values[0] = ExactValue(matching=criterion.hashed, leading=None)
    return Exact(values=tuple(values.values()))


async def _listed(
    connection: Connection, key: int, start: str, limit: int, end: str = _FIRST
) -> tuple[bool, list[int]]:
    """Returns whether the texts of every resource are listed, and what those from `start` up to
    `end` lead to.

    `end` is what is put behind `start`: `_FIRST` for the text itself, LAST for all that
    begins with it.
    """
    rows = await connection.fetch(
        """
        SELECT (SELECT index_version >= 2 FROM record_layout), array(SELECT code_hash FROM
            token_text
            WHERE key = $1 AND value >= $2 AND value < $3 LIMIT $4)""",
        key,
        start,
        start + end,
        limit + 1,
    )
    return rows[0][0], rows[0][1]
