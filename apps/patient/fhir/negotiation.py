"""Media types, `Accept`, `_format` and `Prefer` (https://hl7.org/fhir/R4/http.html, RFC 9110,
RFC 7240). Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from apps.kit.errors import BadRequest, Problem
from apps.patient.codec import FHIR_MEDIA_TYPE

JSON_MEDIA_TYPES = frozenset((FHIR_MEDIA_TYPE, "application/json", "text/json"))
JSON_PATCH_MEDIA_TYPES = frozenset(("application/json-patch+json", "application/json-patch"))
MERGE_PATCH_MEDIA_TYPE = "application/merge-patch+json"
FHIR_VERSION = "4.0"

Return = Literal["", "minimal", "representation", "OperationOutcome"]


class NotAcceptable(Problem):
    status = 406


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """`returned` is "" without a wish. `lenient`: unknown parameters are skipped."""

    returned: Return = ""
    lenient: bool = False


def media_type_of(header: str) -> tuple[str, dict[str, str]]:
    """Returns a media type in lower case and its parameters."""
    kind, *rest = header.split(";")
    parameters = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    return kind.strip().lower(), parameters


def check_accept(header: str) -> None:
    """Raises NotAcceptable where none of the media ranges is JSON of FHIR 4.0."""
    if not header.strip():
        return
    for item in header.split(","):
        kind, parameters = media_type_of(item)
        if parameters.get("q") in ("0", "0.0", "0.00", "0.000"):
            continue
        version = parameters.get("fhirversion", FHIR_VERSION)
        if version not in (FHIR_VERSION, "4.0.1"):
            continue
        if kind in JSON_MEDIA_TYPES or kind in ("*/*", "application/*"):
            return
    raise NotAcceptable("not_acceptable", f"served is {FHIR_MEDIA_TYPE} (FHIR 4.0)")


def check_format(values: Sequence[str]) -> bool:
    """Checks `_format`, which stands for `Accept`. Returns False without one; raises
    NotAcceptable for another.
    """
    for value in values:
        # A plus that was not escaped has become a blank.
        kind, parameters = media_type_of(value.replace(" ", "+") if "/" in value else value)
        kind = kind.strip("+")
        version = parameters.get("fhirversion", FHIR_VERSION)
        if kind not in (*JSON_MEDIA_TYPES, "json") or version not in (FHIR_VERSION, "4.0.1"):
            raise NotAcceptable("not_acceptable", "_format: served is json", pointer="_format")
    return bool(values)


def check_pretty(values: Sequence[str]) -> bool:
    """Tells whether `_pretty` asks for indentation."""
    if any(value not in ("true", "false") for value in values):
        raise BadRequest("invalid_parameter", "_pretty: expected true or false", pointer="_pretty")
    return "true" in values


def parse_prefer(headers: Sequence[str]) -> Preferences:
    """Returns what is understood of `Prefer`; the rest is ignored, as RFC 7240 says."""
    returned: Return = ""
    lenient = False
    for item in re.split("[,;]", ",".join(headers)):
        name, _, value = (part.strip().strip('"') for part in item.partition("="))
        if name.lower() == "return":
            if value in ("minimal", "representation"):
                returned = value  # type: ignore[assignment]
            elif value.lower() == "operationoutcome":
                returned = "OperationOutcome"
        elif name.lower() == "handling":
            lenient = value.lower() == "lenient"
    return Preferences(returned=returned, lenient=lenient)
