"""Parses the entries of a transaction or batch Bundle
(https://hl7.org/fhir/R4/http.html#transaction). Pure.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from apps.kit.errors import (
    BadRequest,
    ContentTooLarge,
    FieldError,
    Forbidden,
    Problem,
    Unprocessable,
)
from apps.patient.codec import Resource, decode
from apps.patient.definitions.model import is_served, served_types
from apps.patient.definitions.validation import find_faults
from apps.patient.fhir.negotiation import JSON_PATCH_MEDIA_TYPES, MERGE_PATCH_MEDIA_TYPE
from apps.patient.fhir.patching import patch_of
from apps.patient.fhir.requests import (
    READ_ONLY_TYPES,
    condition_of,
    condition_of_pairs,
    parse_if_match,
)
from apps.patient.storage.access import Caller
from apps.patient.storage.preconditions import Condition, Expected
from apps.patient.storage.record import Make

MAX_URL_CHARS = 4_000
# The order in which entries are carried out.
ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}
_INTERACTIONS = {"DELETE": "d", "POST": "c", "PUT": "u", "PATCH": "u"}

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


@dataclass(slots=True, kw_only=True)
class Entry:
    """`at`: the JSON pointer of the entry. `path` and `pairs` are the request's URL
    without the base.

    `id` is the id that the resource has or will have, "" while it is not known.
    """

    index: int
    method: str
    full_url: str
    path: tuple[str, ...]
    pairs: list[tuple[str, str]]
    resource: Resource | None = None
    make: Make | None = None
    condition: Condition | None = None
    expected: Expected = field(default_factory=Expected)
    id: str = ""

    @property
    def at(self) -> str:
        return f"/entry/{self.index}"

    @property
    def resource_type(self) -> str:
        return self.path[0] if self.path else ""

    @property
    def is_write(self) -> bool:
        return self.method not in ("GET", "HEAD")


def fault(pointer: str, message: str, code: str = "invalid") -> Unprocessable:
    return Unprocessable("invalid_bundle", message, faults=(FieldError(code, message, pointer),))


def entries_of(body: Any, max_entries: int) -> tuple[str, list[Any]]:
    """Returns the Bundle's type and its entries, not looked into yet."""
    if not isinstance(body, dict) or body.get("resourceType") != "Bundle":
        raise Unprocessable("not_a_bundle", "expected a Bundle", pointer="/resourceType")
    kind = body.get("type")
    if kind not in ("transaction", "batch"):
        raise Unprocessable(
            "bundle_type_not_served", "expected a transaction or a batch", pointer="/type"
        )
    faults = find_faults({name: body[name] for name in body if name != "entry"}, "Bundle")
    if faults:
        raise Unprocessable("invalid_bundle", faults=faults)
    items = body.get("entry", [])
    if not isinstance(items, list) or ("entry" in body and not items):
        raise Unprocessable("empty_bundle", "expected entries", pointer="/entry")
    if len(items) > max_entries:
        raise ContentTooLarge(
            "too_many_entries", f"a Bundle has at most {max_entries} entries", pointer="/entry"
        )
    return kind, items


def parse_entry(item: Any, index: int, caller: Caller) -> Entry:
    """Raises Unprocessable with every fault of the entry, Forbidden without a scope for it."""
    at = f"/entry/{index}"
    request = item.get("request") if isinstance(item, dict) else None
    if not isinstance(request, dict):
        raise fault(f"{at}/request", "expected an entry with its request", "required")
    method = request.get("method")
    if method not in ORDER:
        raise fault(f"{at}/request/method", f"expected one of {', '.join(ORDER)}", "not-supported")
    full_url = item.get("fullUrl", "")
    if not isinstance(full_url, str) or len(full_url) > MAX_URL_CHARS:
        raise fault(f"{at}/fullUrl", "expected a URL")
    path, pairs = parse_url(request.get("url"), caller.reader.base_url, f"{at}/request/url")
    entry = Entry(index=index, method=method, full_url=full_url, path=path, pairs=pairs)
    if entry.is_write:
        _read_write(entry, item, request, caller)
    return entry


def parse_url(
    url: Any, base_url: str, pointer: str
) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Returns the segments behind the base and the parameters; a leading slash and our own base
    are taken off.
    """
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS:
        raise fault(pointer, "expected a URL", "required")
    if is_served(url):
        return (url,), []
    relative = url.removeprefix(base_url).removeprefix("/")
    if "://" in relative.partition("?")[0]:
        raise fault(pointer, "this is not a URL of this service")
    path, _, query = relative.partition("?")
    segments = tuple(unquote(part) for part in path.strip("/").split("/") if part)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise fault(pointer, "too many parameters") from None
    if segments and not is_served(segments[0]) and not segments[0].startswith(("_", "$")):
        raise fault(pointer, f"expected one of {', '.join(served_types())}", "not-supported")
    return segments, pairs


def _read_write(entry: Entry, item: Any, request: dict[str, Any], caller: Caller) -> None:
    url = f"{entry.at}/request/url"
    resource_type = entry.resource_type
    if not is_served(resource_type) or resource_type in READ_ONLY_TYPES:
        raise fault(url, f"{entry.method} is not served here", "not-supported")
    if caller.access(resource_type, _INTERACTIONS[entry.method]) is None:
        needed = f"this needs {resource_type}.{_INTERACTIONS[entry.method]}"
        raise Forbidden("insufficient_scope", needed)
    # A POST names a type alone; a PUT, PATCH or DELETE an id, or criteria.
    is_type = len(entry.path) == 1
    is_meant = (
        is_type and not entry.pairs
        if entry.method == "POST"
        else (is_type if entry.pairs else len(entry.path) == 2)
    )
    if not is_meant:
        raise fault(url, f"expected a URL for {entry.method}", "not-supported")
    if len(entry.path) == 2:
        entry.id = entry.path[1]
        if not _ID.fullmatch(entry.id):
            raise fault(url, "this is no id")
    entry.expected = _expected(request, entry.at)
    pointed(lambda: _read_condition(entry, request, caller), entry.at)
    if entry.method == "PATCH":
        entry.make = pointed(lambda: _patch(entry, item), f"{entry.at}/resource")
    elif entry.method != "DELETE":
        entry.resource = _resource(entry, item)


def pointed(read: Callable[[], Any], at: str) -> Any:
    """Returns what `read` returns; a fault in the URL's parameters becomes one of the entry."""
    try:
        return read()
    except Unprocessable as error:
        faults = tuple(
            one if one.pointer.startswith("/entry") else FieldError(one.code, one.message, at)
            for one in error.faults or (FieldError(error.code, error.detail, at),)
        )
        raise Unprocessable("invalid_bundle", error.detail, faults=faults) from None
    except BadRequest as error:
        raise fault(at, error.detail or error.code) from None


def _read_condition(entry: Entry, request: dict[str, Any], caller: Caller) -> None:
    pointer = f"{entry.at}/request/ifNoneExist"
    if entry.method == "POST":
        for name in ("ifMatch", "ifNoneMatch"):
            if request.get(name) is not None:
                raise fault(f"{entry.at}/request/{name}", "this is not for POST")
        if request.get("ifNoneExist") is not None:
            entry.condition = condition_of(
                caller.reader, entry.resource_type, request["ifNoneExist"], pointer
            )
    elif request.get("ifNoneExist") is not None:
        raise fault(pointer, "this is for POST; criteria of other methods are in the URL")
    elif entry.pairs:
        entry.condition = condition_of_pairs(
            caller.reader, entry.resource_type, entry.pairs, f"{entry.at}/request/url"
        )
    if entry.condition is not None and caller.access(entry.resource_type, "s") is None:
        raise Forbidden("insufficient_scope", f"this needs {entry.resource_type}.s")


def _expected(request: dict[str, Any], at: str) -> Expected:
    match, none_match = request.get("ifMatch"), request.get("ifNoneMatch")
    if match is not None and not isinstance(match, str):
        raise fault(f"{at}/request/ifMatch", "expected a text")
    if none_match not in (None, "*"):
        raise fault(f"{at}/request/ifNoneMatch", "expected *")
    try:
        version_id = parse_if_match([match] if match else [], "ifMatch")
    except BadRequest as error:
        raise fault(f"{at}/request/ifMatch", error.detail) from None
    return Expected(
        version_id=version_id, must_exist=match == "*", must_not_exist=none_match == "*"
    )


def _resource(entry: Entry, item: Any) -> Resource:
    resource: Resource = item.get("resource")
    faults = find_faults(resource, entry.resource_type)
    if faults:
        prefixed = tuple(
            FieldError(one.code, one.message, f"{entry.at}/resource{one.pointer}") for one in faults
        )
        raise Unprocessable("invalid_bundle", faults=prefixed)
    if entry.method == "PUT" and not entry.condition and resource.get("id") != entry.id:
        raise fault(f"{entry.at}/resource/id", "the id must be the one of the URL", "value")
    return resource


def _patch(entry: Entry, item: Any) -> Make:
    """Reads a patch: a Binary holds a JSON Patch or a merge patch, Parameters a FHIRPath Patch."""
    resource = item.get("resource")
    if isinstance(resource, dict) and resource.get("resourceType") == "Binary":
        kind = str(resource.get("contentType", "")).partition(";")[0].strip().lower()
        if kind not in (*JSON_PATCH_MEDIA_TYPES, MERGE_PATCH_MEDIA_TYPE):
            raise fault(f"{entry.at}/resource/contentType", "expected the media type of a patch")
        try:
            body = decode(base64.b64decode(str(resource.get("data", "")), validate=True))
        except (binascii.Error, Problem):
            raise fault(f"{entry.at}/resource/data", "expected a patch in base64") from None
        return patch_of(kind, body, entry.resource_type)
    return patch_of("application/fhir+json", resource, entry.resource_type)
