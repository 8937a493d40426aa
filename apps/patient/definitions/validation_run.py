"""One validation: where it stands, and the faults found so far."""

from dataclasses import dataclass, field
from typing import TypeAlias

from apps.kit.errors import FieldError
from apps.patient.definitions.fhirpath.compiler import Environment

MAX_FAULTS = 100
Path: TypeAlias = "tuple[Path, str | int] | None"


@dataclass(slots=True)
class Run:
    """One validation: the resource that holds what is being checked, and the faults so far."""

    environment: Environment
    faults: list[FieldError] = field(default_factory=list)
    depth: int = 0

    def note(self, at: Path, code: str, message: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(FieldError(code, message, pointer_of(at)))


def pointer_of(path: Path) -> str:
    parts: list[str] = []
    while path is not None:
        path, part = path
        parts.append(f"/{part}")
    return "".join(reversed(parts))
