"""References between the entries of a transaction
(https://hl7.org/fhir/R4/bundle.html#references). Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from apps.patient.codec import Resource
from apps.patient.definitions.model import definition_of, served_types
from apps.patient.definitions.validation_run import Path, pointer_of
from apps.patient.fhir.bundles.parsing import Entry, fault

# `Type/id`, or the type and identifier of a logical reference.
Resolved: TypeAlias = str | dict[str, Any]

CONDITIONAL = re.compile(rf"({'|'.join(served_types())})\?(.+)", re.DOTALL)

_LOCAL = re.compile(r"([A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(/_history/[A-Za-z0-9.-]{1,64})?")
_VERSIONED = re.compile(r"(.+)/_history/[A-Za-z0-9.-]{1,64}")
_URIS = frozenset(("uri", "url", "canonical", "oid", "uuid"))
# What a narrative links to and shows.
_LINK = re.compile(r"""((?:href|src)\s*=\s*)(["'])(urn:(?:uuid|oid):[^"']+)\2""")


def root_of(full_url: str) -> str:
    """Returns what a relative reference in an entry is relative to: the fullUrl
    without type and id.
    """
    match = re.fullmatch(r"(.*/)[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}(/_history/.*)?", full_url)
    return match[1] if match else ""


def targets_of(entries: Sequence[Entry]) -> dict[str, str]:
    """Returns `Type/id` for each fullUrl."""
    return {
        entry.full_url: f"{entry.resource_type}/{entry.id}"
        for entry in entries
        if entry.full_url and entry.id
    }


def conditional_references(resource: Resource, at: str) -> Iterator[tuple[str, str]]:
    """Yields each conditional reference and where it is."""
    waiting: list[tuple[Any, Path]] = [(resource, None)]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, dict):
            reference = value.get("reference")
            if isinstance(reference, str) and CONDITIONAL.match(reference):
                yield reference, f"{at}{pointer_of(path)}/reference"
            children: Iterable[tuple[str | int, Any]] = value.items()
        else:
            children = enumerate(value)
        for name, child in children:
            if isinstance(child, (dict, list)):
                waiting.append((child, (path, name)))


def resolve(
    resource: Resource,
    at: str,
    root: str,
    targets: Mapping[str, str],
    conditional: Mapping[str, Resolved],
) -> None:
    """Replaces in place whatever names another entry; raises Unprocessable for a `urn:uuid:`
    that no entry has.

    `conditional` has what each conditional reference leads to.
    """
    resolution = _Resolution(at=at, root=root, targets=targets, conditional=conditional)
    resolution.resolve_object(resource, resource["resourceType"], None)


@cache
def _element_types(type_name: str) -> Mapping[str, str]:
    """Returns the type of each element of a type by its name; nothing for an unknown type."""
    if not type_name[:1].isupper():
        return {}
    try:
        elements = definition_of(type_name).elements
    except LookupError:
        return {}
    return {name: element.type for name, element in elements.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolution:
    """What one entry's references lead to; `at` is the pointer to its resource."""

    at: str
    root: str
    targets: Mapping[str, str]
    conditional: Mapping[str, Resolved]

    def resolve_object(self, value: dict[str, Any], type_name: str, path: Path) -> None:
        """Replaces in place what an object and all within it name."""
        reference = value.get("reference")
        if isinstance(reference, str):
            resolved = self.conditional.get(reference)
            if isinstance(resolved, dict):
                # Nobody here has the identifier: the reference names who it means by it.
                del value["reference"]
                value.update(resolved)
            else:
                value["reference"] = self._target(reference, path)
        types = _element_types(value.get("resourceType") or type_name)
        for name, child in value.items():
            if isinstance(child, str):
                if child.startswith("urn:") and name != "reference":
                    if child in self.targets and types.get(name) in _URIS:
                        value[name] = self.targets[child]
                elif name == "div" and "urn:" in child:
                    value[name] = _LINK.sub(lambda match: _link(match, self.targets), child)
            elif isinstance(child, dict):
                self.resolve_object(child, types.get(name, ""), (path, name))
            elif isinstance(child, list):
                self._resolve_items(child, types.get(name, ""), (path, name))

    def _resolve_items(self, items: list[Any], type_name: str, path: Path) -> None:
        for index, item in enumerate(items):
            if isinstance(item, dict):
                self.resolve_object(item, type_name, (path, index))
            elif isinstance(item, str) and item in self.targets and type_name in _URIS:
                items[index] = self.targets[item]

    def _target(self, reference: str, path: Path) -> str:
        targets = self.targets
        base, _, fragment = reference.partition("#")
        found = targets.get(reference) or targets.get(base)
        if found is None and self.root:
            local = _LOCAL.fullmatch(base)
            if local:
                found = targets.get(self.root + local[1])
        if found is None and (versioned := _VERSIONED.fullmatch(base)):
            found = targets.get(versioned[1])
        if found is not None:
            return f"{found}#{fragment}" if fragment else found
        resolved = self.conditional.get(reference)
        if isinstance(resolved, str):
            return resolved
        if reference.startswith(("urn:uuid:", "urn:oid:")):
            pointer = f"{self.at}{pointer_of(path)}/reference"
            raise fault(pointer, "no entry of the Bundle has this fullUrl", "not-found")
        return reference


def _link(match: re.Match[str], targets: Mapping[str, str]) -> str:
    return f"{match[1]}{match[2]}{targets.get(match[3], match[3])}{match[2]}"


def check_identities(entries: Sequence[Entry]) -> None:
    """Raises Unprocessable where two entries change one resource, or two have one fullUrl."""
    changed: set[tuple[str, str]] = set()
    urls: set[str] = set()
    for entry in entries:
        if not entry.is_write:
            continue
        if entry.full_url and entry.method != "DELETE":
            if entry.full_url in urls:
                raise fault(f"{entry.at}/fullUrl", "another entry has this fullUrl", "duplicate")
            urls.add(entry.full_url)
        if entry.method != "POST" and entry.id:
            identity = (entry.resource_type, entry.id)
            if identity in changed:
                raise fault(
                    f"{entry.at}/request/url", "another entry changes this resource", "duplicate"
                )
            changed.add(identity)
