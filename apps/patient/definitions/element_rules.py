"""What an element asks of its value beyond its type: reference targets, required codes,
contained resources.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from apps.patient.definitions.fhirpath.environment import reference_type
from apps.patient.definitions.local_references import unreferenced_contained
from apps.patient.definitions.validation_run import Path, Run

_REF_1 = "ref-1: there must be a contained resource of this id"
_DOM_3 = "dom-3: a contained resource must be referred to, or refer to its container"
# Checks a value; takes its path.
ItemCheck: TypeAlias = Callable[[Any, Path, Run], None]


def check_local_reference(value: Any, at: Path, run: Run) -> None:
    """Notes a `#id` that no contained resource has (ref-1); `#` is the container itself."""
    text = value.get("reference")
    is_local = isinstance(text, str) and text.startswith("#") and text != "#"
    if is_local and run.contained_type(text) is None:
        run.note(at, "invariant", _REF_1)


def target_check(targets: frozenset[str]) -> ItemCheck:
    expected = f"expected a reference to {', '.join(sorted(targets))}"

    def check(value: Any, at: Path, run: Run) -> None:
        text = value.get("reference")
        if isinstance(text, str) and text.startswith("#"):
            found = run.contained_type(text) or ""
        else:
            found = reference_type(value)
        if not found:
            # Relative references tell their type; one that tells none that FHIR has leads nowhere.
            if isinstance(text, str) and _looks_relative(text):
                run.note((at, "reference"), "value", expected)
        elif found not in targets:
            run.note((at, "reference" if isinstance(text, str) else "type"), "value", expected)

    return check


def _looks_relative(text: str) -> bool:
    return not text.startswith(("#", "/")) and ":" not in text.partition("?")[0]


def binding_check(codes: Mapping[str, str]) -> ItemCheck:
    expected = (
        f"expected one of {', '.join(sorted(codes))} of {', '.join(sorted(set(codes.values())))}"
    )

    def check(value: Any, at: Path, run: Run) -> None:
        codings = value.get("coding", ()) if "coding" in value or "text" in value else [value]
        if not isinstance(codings, (list, tuple)):
            return
        for coding in codings:
            if isinstance(coding, dict):
                code = coding.get("code")
                if isinstance(code, str) and coding.get("system") == codes.get(code, ""):
                    return
        run.note(at, "code-invalid", expected)

    return check


def check_contained(items: list[Any], at: Path, run: Run) -> None:
    seen: set[str] = set()
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            continue
        id = item.get("id")
        if not isinstance(id, str):
            run.note(((at, index), "id"), "required", "a contained resource needs an id")
        elif id in seen:
            run.note(((at, index), "id"), "duplicate", "another contained resource has this id")
        else:
            seen.add(id)
    for index in unreferenced_contained(run.environment.resource):
        run.note((at, index), "invariant", _DOM_3)
