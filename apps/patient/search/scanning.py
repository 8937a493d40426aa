"""Whether a resource in hand meets a criterion that no index tells. Pure."""

from dataclasses import replace
from typing import Any

from apps.patient.search.criteria.criteria import Scanned
from apps.patient.search.criteria.escaping import split, unescape
from apps.patient.search.criteria.texts import content_words, narrative_words, text_matches
from apps.patient.search.index.contained import ContainedTooCostlyError, contents_of
from apps.patient.search.index.extraction import values_of
from apps.patient.search.index.index_values import (
    IndexValue,
    ReferenceValue,
    StringValue,
    TokenValue,
)


def is_met(resource: dict[str, Any], scanned: Scanned) -> bool:
    """Tells whether the resource meets the criterion, or one that it contains at the
    criterion's path.
    """
    if scanned.path not in ("", resource["resourceType"]):
        try:
            items = contents_of(resource, scanned.base_url).by_path.get(scanned.path, {})
        except ContainedTooCostlyError:
            # They are not indexed either.
            return False
        return any(is_met(item, replace(scanned, path="")) for item in items.values())
    if scanned.words is not None:
        words = (
            content_words(resource) if scanned.relation == "content" else narrative_words(resource)
        )
        return text_matches(scanned.words, words)
    return any(
        _compares(value, scanned.relation, scanned.value)
        for value in values_of(resource, (scanned.parameter,), scanned.base_url)
    )


def _compares(value: IndexValue, relation: str, asked: str) -> bool:
    match relation, value:
        case "ends", StringValue():
            return value.normalised.endswith(asked)
        case "unequal", TokenValue():
            *system, code = [unescape(part) for part in split(asked, "|", 1)]
            is_equal = value.code.lower() == code.lower() or not code
            return not (is_equal and system in ([], [value.system]))
        case "media", TokenValue():
            found = value.code.lower().partition(";")[0].strip()
            return found == asked or ("/" not in asked and found.startswith(f"{asked}/"))
        case "canonical", ReferenceValue():
            url, _, version = value.url.partition("|")
            wanted, _, within = asked.partition("|")
            return url == wanted and (not within or f"{version}.".startswith(f"{within}."))
    return False
