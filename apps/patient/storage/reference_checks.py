"""The check that what changes refer to is there, and that the caller may see it."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from apps.kit.database import Connection
from apps.kit.errors import Conflict, FieldError, Unprocessable
from apps.patient.codec import decode
from apps.patient.definitions.model import is_served
from apps.patient.search.index.hashing import resource_hash
from apps.patient.search.index.references import references_of
from apps.patient.storage.access import Caller
from apps.patient.storage.hidden_targets import hidden_targets
from apps.patient.storage.reading import select_living
from apps.patient.storage.versions import Change


def asked_references(
    changes: Sequence[Change], born: frozenset[tuple[str, str]] = frozenset()
) -> dict[tuple[str, str], Change]:
    """Returns what must be there, with the change that refers to it, itself or by a contained
    resource: neither `born` nor referred to before.
    """
    asked: dict[tuple[str, str], Change] = {}
    for change in changes:
        known = change.stored.target_hashes if change.stored else frozenset()
        referred = [(kind, id) for _, kind, id in references_of(change.values)]
        for target in (*referred, *change.contained_references):
            is_held_here = is_served(target[0])
            if is_held_here and target not in born and resource_hash(*target) not in known:
                asked.setdefault(target, change)
    return asked


async def check_references(
    connection: Connection,
    changes: Sequence[Change],
    caller: Caller,
    born: frozenset[tuple[str, str]] = frozenset(),
    pointers: Mapping[str, str] | None = None,
) -> None:
    """Raises Unprocessable for references to resources that are not there, but for those `born`
    with these changes, and for those that are hidden from the caller.

    References that the version before had already are left alone. `pointers` tells where a resource
    of a Bundle is, by its id.
    """
    asked = asked_references(changes, born)
    hidden = await hidden_targets(connection, changes, caller, born)
    living = set(await select_living(connection, list(asked))) - set(hidden)
    asked = hidden | asked
    faults = [
        FieldError(
            "not-found",
            f"there is no {'such patient' if kind == 'Patient' else f'{kind}/{id}'}",
            _pointer(change, f"{kind}/{id}", pointers),
        )
        for (kind, id), change in asked.items()
        if (kind, id) not in living
    ]
    if faults:
        is_patient = any(fault.message == "there is no such patient" for fault in faults)
        code = "patient_unknown" if is_patient else "reference_unknown"
        raise Unprocessable(code, faults[0].message, faults=tuple(faults[:20]))


async def refuse_references(connection: Connection, change: Change, caller: Caller) -> NoReturn:
    """Tells what a change refers to that is not there or is hidden from the caller."""
    await check_references(connection, [change], caller)
    raise Conflict("version_conflict", "a reference came back meanwhile; try again")


def _pointer(change: Change, target: str, pointers: Mapping[str, str] | None) -> str:
    """Returns where the resource refers to `target`, looked for once there is
    something to refuse.
    """
    at = (pointers or {}).get(change.version.id, "")
    waiting: list[tuple[Any, str]] = [(decode(change.version.body or "{}"), at)]
    while waiting:
        value, pointer = waiting.pop()
        if isinstance(value, dict):
            reference = value.get("reference")
            if isinstance(reference, str) and f"/{target}/" in f"/{reference}/":
                return f"{pointer}/reference"
            waiting += [(child, f"{pointer}/{name}") for name, child in value.items()]
        elif isinstance(value, list):
            waiting += [(child, f"{pointer}/{index}") for index, child in enumerate(value)]
    return at
