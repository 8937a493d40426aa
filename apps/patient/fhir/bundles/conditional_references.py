"""Finds what conditional references lead to: `Practitioner?identifier=system|value`
(https://hl7.org/fhir/R4/http.html#trules).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from apps.kit.database import Connection
from apps.kit.errors import BadRequest, PreconditionFailed, Unprocessable
from apps.patient.fhir.bundles.parsing import Entry, fault, pointed
from apps.patient.fhir.bundles.references import CONDITIONAL, Mentions, Resolved, pointer_to
from apps.patient.fhir.requests import condition_of
from apps.patient.search.criteria.criteria import EVERYTHING, AllOf, Criterion, Exact
from apps.patient.search.criteria.escaping import split, unescape
from apps.patient.search.index.index_rows import IndexRows
from apps.patient.search.index.resource_index import Index, index_of
from apps.patient.search.matching import meets
from apps.patient.storage.access import Caller
from apps.patient.storage.preconditions import Condition
from apps.patient.storage.search import select_matches

MAX_REFERENCES = 5_000


async def find_conditional(
    connection: Connection,
    caller: Caller,
    entries: Sequence[Entry],
    settled: Collection[int],
    mentions: Mapping[int, Mentions],
) -> dict[str, Resolved]:
    """Returns what each conditional reference leads to; raises where it leads to none
    or to several.

    It may lead to a resource that the same Bundle creates. One by an identifier that nobody here
    has becomes a logical reference: a person's file may come without those of the hospital.
    `mentions`: of the entries that are not settled, by their index.
    """
    asked: dict[str, _Asked] = {}
    for entry in entries:
        if entry.resource is None or entry.index not in mentions:
            continue
        for text, value in mentions[entry.index].conditional():
            if text not in asked:
                one = _Asked(entry, value)
                if len(asked) >= MAX_REFERENCES:
                    raise fault(one.pointer, "too many conditional references", "too-costly")
                one.read(caller, text)
                asked[text] = one
    if not asked:
        return {}
    # Who may find some of a type is answered by a search of its own below.
    everywhere = {
        text: one.condition
        for text, one in asked.items()
        if caller.criterion(one.condition.resource_type, "s") == EVERYTHING
    }
    simple = await _find_simple(connection, everywhere)
    made = _Made(entries, settled, caller)
    resolved: dict[str, Resolved] = {}
    for text, one in asked.items():
        condition = one.condition
        resource_type = condition.resource_type
        found = simple.get(text)
        if found is None:
            reachable = caller.criterion(resource_type, "s")
            criterion = AllOf(criteria=(caller.limited(condition.criterion), reachable))
            matches = await select_matches(
                connection, resource_type, criterion, caller.scans.budget
            )
            found = [match.id for match in matches]
        ids = list(dict.fromkeys([*found, *made.matches(resource_type, condition.criterion)]))
        if not ids:
            logical = logical_reference(text)
            if logical is None:
                raise fault(one.pointer, f"nothing matches {text[:200]}", "not-found")
            resolved[text] = logical
            continue
        if len(ids) > 1:
            raise PreconditionFailed(
                "multiple_matches", f"{one.pointer}: several match {text[:200]}"
            )
        resolved[text] = f"{resource_type}/{ids[0]}"
    return resolved


def logical_reference(text: str) -> Resolved | None:
    """Returns `Practitioner?identifier=system|value` as a logical reference; None for
    other criteria.
    """
    match = CONDITIONAL.match(text)
    assert match is not None
    pairs = parse_qsl(match[2], keep_blank_values=True)
    # Whose record it is must be known.
    if match[1] == "Patient" or len(pairs) != 1 or pairs[0][0] != "identifier":
        return None
    parts = [unescape(part) for part in split(pairs[0][1], "|", 1)]
    if len(parts) != 2 or not all(parts):
        return None
    return {"type": match[1], "identifier": {"system": parts[0], "value": parts[1]}}


@dataclass(slots=True)
class _Asked:
    """A conditional reference: the object `value` of an entry's resource."""

    entry: Entry
    value: dict[str, Any]
    condition: Condition = field(init=False)

    @property
    def pointer(self) -> str:
        """Returns where it stands, for a fault: it looks through the resource up to there."""
        return (
            f"{self.entry.at}/resource{pointer_to(self.entry.resource or {}, self.value)}/reference"
        )

    def read(self, caller: Caller, text: str) -> None:
        match = CONDITIONAL.match(text)
        assert match is not None
        caller.require(match[1], "s")
        try:
            condition = condition_of(caller.reader, match[1], match[2], "")
        except (BadRequest, Unprocessable):
            at = self.pointer
            condition = pointed(lambda: condition_of(caller.reader, match[1], match[2], at), at)
        assert condition is not None
        self.condition = condition


async def _find_simple(
    connection: Connection, conditions: dict[str, Condition]
) -> dict[str, list[str]]:
    """Looks up all conditions of one exact value in one query: a Bundle has dozens of them,
    mostly identifiers.
    """
    simple: dict[str, tuple[int, int]] = {}
    for text, condition in conditions.items():
        criterion = condition.criterion
        if isinstance(criterion, Exact) and len(criterion.values) == 1:
            value = criterion.values[0]
            if value.leading is not None:
                simple[text] = (value.leading, value.matching)
    if not simple:
        return {}
    rows: list[Any] = await connection.fetch(
        """
        SELECT n.matching, r.id FROM unnest($1::bigint[], $2::bigint[]) AS n (found, matching)
        CROSS JOIN LATERAL (SELECT v.number FROM resource_value v WHERE v.hash = n.found
            LIMIT 1000) AS v
        CROSS JOIN LATERAL (SELECT * FROM resource r WHERE r.number = v.number
            AND n.matching = ANY (r.value_hashes) OFFSET 0) AS r""",
        *map(list, zip(*dict.fromkeys(simple.values()), strict=True)),
    )
    found: dict[int, list[str]] = {}
    for row in rows:
        found.setdefault(row["matching"], []).append(row["id"])
    return {text: found.get(matching, []) for text, (_, matching) in simple.items()}


class _Made:
    """What the Bundle itself makes, indexed when it is first asked for."""

    def __init__(self, entries: Sequence[Entry], settled: Collection[int], caller: Caller) -> None:
        self._entries = [entry for entry in entries if entry.index not in settled]
        self._base_url = caller.reader.base_url
        self._index: dict[str, list[tuple[str, IndexRows]]] = {}

    def matches(self, resource_type: str, criterion: Criterion) -> list[str]:
        if resource_type not in self._index:
            self._index[resource_type] = [
                (entry.id, self._index_of(entry))
                for entry in self._entries
                if entry.resource is not None and entry.resource_type == resource_type
            ]
        return [
            id for id, index in self._index[resource_type] if meets(resource_type, index, criterion)
        ]

    def _index_of(self, entry: Entry) -> IndexRows:
        assert entry.resource is not None
        resource, at = entry.resource, f"{entry.at}/resource/contained"
        index: Index = pointed(lambda: index_of(resource, self._base_url), at)
        return index.rows
