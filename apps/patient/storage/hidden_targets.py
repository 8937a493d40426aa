"""References by which scopes of one patient would come to read what they may not."""

from collections.abc import Sequence

from apps.kit.database import Connection
from apps.kit.scopes import Disclosure
from apps.patient.search.index.hashing import resource_hash
from apps.patient.storage.access import Caller
from apps.patient.storage.reading import select_of_types
from apps.patient.storage.versions import Change

# Of no patient's record, and yet of a person. What a record refers to its patient may read.
PERSONAL_TYPES = ("Binary", "Device")


async def hidden_targets(
    connection: Connection,
    changes: Sequence[Change],
    caller: Caller,
    born: frozenset[tuple[str, str]],
) -> dict[tuple[str, str], Change]:
    """Returns the new references to what is hidden from the caller, with the change that refers
    to it. Those of contained resources count too, those `born` with these changes do not.
    """
    asked: dict[int, Change] = {}
    for change in changes:
        if change.index.targets and caller.is_of_one_patient(change.version.resource_type):
            known = change.stored.target_hashes if change.stored else frozenset()
            asked |= dict.fromkeys(change.index.targets - known, change)
    hidden: dict[tuple[str, str], Change] = {}
    if not asked:
        return hidden
    for version in await select_of_types(connection, list(asked), PERSONAL_TYPES):
        target = (version.resource_type, version.id)
        await caller.load_referred(connection, version.resource_type)
        if target not in born and caller.disclosure_of(version, "r") is not Disclosure.BODY:
            hidden[target] = asked[resource_hash(*target)]
    return hidden
