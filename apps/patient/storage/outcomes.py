"""What a write came to, and the same answer again for a repeated request."""

from dataclasses import dataclass

from apps.kit.database import Connection
from apps.kit.scopes import Disclosure
from apps.patient.storage.access import Caller
from apps.patient.storage.reading import select_versions
from apps.patient.storage.versions import Version


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write made. `created` is False for one that was there; `replayed`: the first
    answer, given again.

    `version` is None where a delete found nothing to delete.
    """

    version: Version
    created: bool
    replayed: bool = False
    disclosure: Disclosure = Disclosure.BODY

    @property
    def reference(self) -> str:
        return f"{201 if self.created else 200} {self.version.reference}"


async def repeat_answer(connection: Connection, reference: str, caller: Caller) -> list[Outcome]:
    """Returns the first answer from its reference, a line a resource."""
    lines = [line.split(" ", 1) for line in reference.splitlines()]
    parts = [text.split("/") for _, text in lines]
    versions = await select_versions(
        connection, [(part[0], part[1], int(part[3])) for part in parts]
    )
    outcomes = []
    for (status, _), version in zip(lines, versions, strict=True):
        await caller.load_referred(connection, version.resource_type)
        interaction = "c" if status == "201" else "s"
        found = caller.disclosure_of(version, interaction)
        outcomes.append(Outcome(version, created=status == "201", replayed=True, disclosure=found))
    return outcomes
