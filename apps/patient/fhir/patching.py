"""PATCH: JSON Patch (RFC 6902), merge patch (RFC 7396) and FHIRPath Patch
(https://hl7.org/fhir/R4/fhirpatch.html).
"""

import copy
from collections.abc import Callable
from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException, resolve_pointer
from starlette.requests import Request

from apps.kit.errors import (
    BadRequest,
    FieldError,
    Problem,
    Unprocessable,
    UnsupportedMediaType,
)
from apps.patient.codec import Resource, decode, encode
from apps.patient.fhir.fhirpath_patch import apply_fhirpath_patch
from apps.patient.fhir.negotiation import (
    JSON_MEDIA_TYPES,
    JSON_PATCH_MEDIA_TYPES,
    MERGE_PATCH_MEDIA_TYPE,
    media_type_of,
)
from apps.patient.fhir.requests import check_resource, without_bom
from apps.patient.storage.record import Make
from apps.patient.storage.versions import Version

MAX_OPERATIONS = 500
# A copy of a list into itself doubles it: without a bound 40 of them fill the memory.
MAX_COPIED_BYTES = 1024 * 1024
# What a patch may not change: it is the server's.
_OWNED = ("resourceType", "id")

_INAPPLICABLE = (
    jsonpatch.JsonPatchException,
    JsonPointerException,
    TypeError,
    KeyError,
    RecursionError,
)

Apply = Callable[[Resource], Any]


async def read_patch(request: Request, resource_type: str) -> Make:
    """Returns what makes the next version of the current one; raises for a patch that is none."""
    kind, _ = media_type_of(request.headers.get("content-type", ""))
    return patch_of(kind, decode(without_bom(await request.body())), resource_type)


def patch_of(media_type: str, body: Any, resource_type: str) -> Make:
    if media_type in JSON_PATCH_MEDIA_TYPES:
        apply = _json_patch(body)
    elif media_type == MERGE_PATCH_MEDIA_TYPE:
        if not isinstance(body, dict):
            raise BadRequest("malformed_patch", "a merge patch is an object")
        apply = _merge_patch(body)
    elif media_type in JSON_MEDIA_TYPES and isinstance(body, dict):
        # Parameters are a FHIRPath Patch; any other object is what some clients (fhirpy) merge.
        is_fhirpath = body.get("resourceType") == "Parameters"
        apply = _fhirpath_patch(body) if is_fhirpath else _merge_patch(body)
    else:
        raise UnsupportedMediaType(
            "unsupported_media_type",
            "expected application/json-patch+json, application/merge-patch+json, or Parameters"
            " as application/fhir+json",
            headers={"Accept-Patch": "application/json-patch+json, application/merge-patch+json"},
        )

    def make(version: Version) -> Resource:
        assert version.body is not None
        current: Resource = decode(version.body)
        patched = apply(copy.deepcopy(current))
        check_patched(current, patched)
        check_resource(patched, resource_type)
        return patched  # type: ignore[no-any-return]

    return make


def check_patched(current: Resource, patched: Any) -> None:
    if not isinstance(patched, dict):
        raise Unprocessable("patch_failed", "the result is no resource", pointer="/")
    for name in _OWNED:
        if patched.get(name) != current.get(name):
            raise Unprocessable(
                "patch_failed",
                f"{name} cannot be changed",
                faults=(FieldError("business-rule", f"{name} cannot be changed", f"/{name}"),),
            )


def _json_patch(body: Any) -> Apply:
    if not isinstance(body, list) or len(body) > MAX_OPERATIONS:
        raise BadRequest("malformed_patch", f"expected a list of at most {MAX_OPERATIONS}")
    try:
        operations = [(each, jsonpatch.JsonPatch([each])) for each in body]
    except (jsonpatch.InvalidJsonPatch, JsonPointerException, TypeError, KeyError) as error:
        raise BadRequest("malformed_patch", str(error)[:200]) from None

    def apply(resource: Resource) -> Any:
        patched: Any = resource
        left = MAX_COPIED_BYTES
        for index, (operation, patch) in enumerate(operations):
            try:
                if operation["op"] == "copy":
                    left -= len(encode(resolve_pointer(patched, operation["from"])))
                    if left < 0:
                        raise _failed("the patch copies too much")
                patched = patch.apply(patched, in_place=True)
            except jsonpatch.JsonPatchTestFailed:
                raise _failed("a test of the patch failed") from None
            except _INAPPLICABLE:
                # The library's own message holds the resource, which the caller may not be
                # allowed to read.
                raise _failed(f"operation {index} does not fit the resource") from None
        return patched

    return apply


def _failed(message: str) -> Problem:
    return Unprocessable("patch_failed", message, faults=(FieldError("processing", message, "/"),))


def _merge_patch(body: Resource) -> Apply:
    return lambda resource: merge(resource, body)


def merge(target: Any, patch: Any) -> Any:
    """Returns `target` with the members of `patch`; a null takes a member away (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def _fhirpath_patch(body: Resource) -> Apply:
    return lambda resource: apply_fhirpath_patch(resource, body)
