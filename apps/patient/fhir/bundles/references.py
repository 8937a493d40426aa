"""References between the entries of a transaction (https://hl7.org/fhir/R4/bundle.html#references). Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from apps.patient.codec import Resource
from apps.patient.definitions.model import definition_of, served_types
from apps.patient.fhir.bundles.parsing import Entry, fault

# `Type/id`, or the type and identifier of a logical reference.
Resolved: TypeAlias = str | dict[str, Any]

CONDITIONAL = re.compile(rf"({'|'.join(served_types())})\?(.+)", re.DOTALL)

_LOCAL = re.compile(r"([A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(/_history/[A-Za-z0-9.-]{1,64})?")
_URIS = frozenset(("uri", "url", "canonical", "oid", "uuid"))
# What a narrative links to and shows.
_LINK = re.compile(r"""((?:href|src)\s*=\s*)(["'])(urn:(?:uuid|oid):[^"']+)\2""")


def root_of(full_url: str) -> str:
    """Returns what a relative reference in an entry is relative to: the fullUrl without type and id."""
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
    for holder, pointer in _objects(resource, at):
        reference = holder.get("reference")
        if isinstance(reference, str) and CONDITIONAL.match(reference):
            yield reference, f"{pointer}/reference"


def _objects(value: Any, at: str) -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(value, dict):
        yield value, at
        for name, child in value.items():
            if isinstance(child, (dict, list)):
                yield from _objects(child, f"{at}/{name}")
    else:
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                yield from _objects(item, f"{at}/{index}")


def resolve(
    resource: Resource,
    at: str,
    root: str,
    targets: Mapping[str, str],
    conditional: Mapping[str, Resolved],
) -> None:
    """Replaces in place whatever names another entry; raises Unprocessable for a `urn:uuid:` that no entry has.

    `conditional` has what each conditional reference leads to.
    """
    _resolve_object(resource, resource["resourceType"], at, root, targets, conditional)


def _resolve_object(
    value: dict[str, Any],
    type_name: str,
    at: str,
    root: str,
    targets: Mapping[str, str],
    conditional: Mapping[str, Resolved],
) -> None:
    reference = value.get("reference")
    resolved = conditional.get(reference) if isinstance(reference, str) else None
    if isinstance(resolved, dict):
        # Nobody here has the identifier: the reference names who it means by it.
        del value["reference"]
        value.update(resolved)
    elif isinstance(reference, str):
        value["reference"] = _target(reference, f"{at}/reference", root, targets, conditional)
    for name, child in value.items():
        if isinstance(child, (dict, list)):
            kind = _child_type(value, type_name, name)
            items = child if isinstance(child, list) else [child]
            for index, item in enumerate(items):
                pointer = f"{at}/{name}/{index}" if isinstance(child, list) else f"{at}/{name}"
                if isinstance(item, dict):
                    _resolve_object(item, kind, pointer, root, targets, conditional)
                elif isinstance(item, str) and item in targets and kind in _URIS:
                    items[index] = targets[item]
        elif isinstance(child, str) and child.startswith("urn:") and name != "reference":
            if child in targets and _child_type(value, type_name, name) in _URIS:
                value[name] = targets[child]
        elif name == "div" and isinstance(child, str) and "urn:" in child:
            value[name] = _LINK.sub(lambda match: _link(match, targets), child)


def _child_type(value: dict[str, Any], type_name: str, name: str) -> str:
    holder = value.get("resourceType") or type_name
    if not holder[:1].isupper():
        return ""
    try:
        element = definition_of(holder).elements.get(name)
    except LookupError:
        return ""
    return element.type if element else ""


def _link(match: re.Match[str], targets: Mapping[str, str]) -> str:
    return f"{match[1]}{match[2]}{targets.get(match[3], match[3])}{match[2]}"


def _target(
    reference: str,
    at: str,
    root: str,
    targets: Mapping[str, str],
    conditional: Mapping[str, Resolved],
) -> str:
    base, _, fragment = reference.partition("#")
    found = targets.get(reference) or targets.get(base)
    if found is None and root:
        local = _LOCAL.fullmatch(base)
        if local:
            found = targets.get(root + local[1])
    if found is None and (versioned := re.fullmatch(r"(.+)/_history/[A-Za-z0-9.-]{1,64}", base)):
        found = targets.get(versioned[1])
    if found is not None:
        return f"{found}#{fragment}" if fragment else found
    resolved = conditional.get(reference)
    if isinstance(resolved, str):
        return resolved
    if reference.startswith(("urn:uuid:", "urn:oid:")):
        raise fault(at, "no entry of the Bundle has this fullUrl", "not-found")
    return reference


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
