"""One validation: where it stands, and the faults found so far."""

from dataclasses import dataclass, field
from typing import TypeAlias

from apps.kit.errors import FieldError
from apps.patient.definitions.fhirpath.environment import Environment
from apps.patient.definitions.local_references import contained_types

MAX_FAULTS = 100
Path: TypeAlias = "tuple[Path, str | int] | None"


@dataclass(slots=True)
class Run:
    """One validation: the resource that holds what is being checked, and the faults so far."""

    environment: Environment
    faults: list[FieldError] = field(default_factory=list)
    depth: int = 0
    # The ids of what the root contains, with their types; read once for each root.
    _contained: dict[str, str] | None = None
    _contained_root: int = 0

    def contained_type(self, fragment: str) -> str | None:
        """Returns the type of the contained resource that `#id` names; None if there is none."""
        root = self.environment.root
        if self._contained is None or self._contained_root != id(root):
            self._contained, self._contained_root = contained_types(root), id(root)
        return self._contained.get(fragment[1:])

    def note(self, at: Path, code: str, message: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(FieldError(code, message, pointer_of(at)))


def pointer_of(path: Path) -> str:
    parts: list[str] = []
    while path is not None:
        path, part = path
        parts.append(f"/{part}")
    return "".join(reversed(parts))
