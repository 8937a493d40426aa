"""References between the entries of a transaction
(https://hl7.org/fhir/R4/bundle.html#references). Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Mentions:
    """What a resource mentions. `references`: its objects with a literal reference; `has_uris`:
    whether another element or the narrative may name an entry as well.
    """

    references: list[dict[str, Any]] = field(default_factory=list)
    has_uris: bool = False

    def conditional(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields each conditional reference and the object that has it."""
        for value in self.references:
            reference = value["reference"]
            if "?" in reference and CONDITIONAL.match(reference):
                yield reference, value


def mentions_of(resource: Resource, targets: Mapping[str, str]) -> Mentions:
    """Looks through a resource once: it is most of what a Bundle's references cost."""
    found = Mentions()
    waiting: list[Any] = [resource]
    for value in waiting:
        if type(value) is dict:
            for name, child in value.items():
                kind = type(child)
                if kind is str:
                    if name == "reference":
                        found.references.append(value)
                    elif (name == "div" and "urn:" in child) or (
                        child.startswith("urn:") and child in targets
                    ):
                        found.has_uris = True
                elif kind is dict or kind is list:
                    waiting.append(child)
        else:
            for child in value:
                kind = type(child)
                if kind is dict or kind is list:
                    waiting.append(child)
                elif kind is str and child in targets:
                    found.has_uris = True
    return found


def pointer_to(resource: Resource, sought: Any) -> str:
    """Returns the JSON pointer of an object within a resource."""
    waiting: list[tuple[Any, Path]] = [(resource, None)]
    for value, path in waiting:
        if value is sought:
            return pointer_of(path)
        items: Iterable[tuple[str | int, Any]] = ()
        if isinstance(value, dict):
            items = value.items()
        elif isinstance(value, list):
            items = enumerate(value)
        waiting += [(child, (path, name)) for name, child in items]
    return ""


def resolve(
    entry: Entry,
    mentions: Mentions,
    targets: Mapping[str, str],
    conditional: Mapping[str, Resolved],
) -> None:
    """Replaces in place whatever names another entry; raises Unprocessable for a `urn:uuid:`
    that no entry has.

    `conditional` has what each conditional reference leads to.
    """
    resource = entry.resource
    assert resource is not None
    for value in mentions.references:
        reference = value["reference"]
        resolved = conditional.get(reference)
        if not isinstance(resolved, dict):
            resolved = _target(reference, entry.full_url, targets) or resolved
        if isinstance(resolved, dict):
            # Nobody here has the identifier: the reference names who it means by it.
            del value["reference"]
            value.update(resolved)
        elif resolved is not None:
            value["reference"] = resolved
        elif reference.startswith(("urn:uuid:", "urn:oid:")):
            pointer = f"{entry.at}/resource{pointer_to(resource, value)}/reference"
            raise fault(pointer, "no entry of the Bundle has this fullUrl", "not-found")
    if mentions.has_uris:
        _resolve_uris(resource, resource["resourceType"], targets)


def _target(reference: str, full_url: str, targets: Mapping[str, str]) -> str | None:
    """Returns the reference to the entry that one in the entry of `full_url` names; None
    where it names none.
    """
    base, _, fragment = reference.partition("#")
    found = targets.get(reference) or targets.get(base)
    if found is None and (local := _LOCAL.fullmatch(base)) and (root := root_of(full_url)):
        found = targets.get(root + local[1])
    if found is None and "/_history/" in base and (versioned := _VERSIONED.fullmatch(base)):
        found = targets.get(versioned[1])
    return f"{found}#{fragment}" if found is not None and fragment else found


@cache
def _element_types(type_name: str) -> Mapping[str, str]:
    """Returns the type of each element of a type by its name; nothing for an unknown type."""
    try:
        elements = definition_of(type_name).elements
    except LookupError:
        return {}
    return {name: element.type for name, element in elements.items()}


def _resolve_uris(value: dict[str, Any], type_name: str, targets: Mapping[str, str]) -> None:
    """Replaces in place the URIs and the links of narratives that name an entry."""
    types = _element_types(value.get("resourceType") or type_name)
    for name, child in value.items():
        if isinstance(child, str):
            if child.startswith("urn:") and name != "reference":
                if child in targets and types.get(name) in _URIS:
                    value[name] = targets[child]
            elif name == "div" and "urn:" in child:
                value[name] = _LINK.sub(lambda match: _link(match, targets), child)
        elif isinstance(child, dict):
            _resolve_uris(child, types.get(name, ""), targets)
        elif isinstance(child, list):
            _resolve_items(child, types.get(name, ""), targets)


def _resolve_items(items: list[Any], type_name: str, targets: Mapping[str, str]) -> None:
    for index, item in enumerate(items):
        if isinstance(item, dict):
            _resolve_uris(item, type_name, targets)
        elif isinstance(item, str) and item in targets and type_name in _URIS:
            items[index] = targets[item]


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
