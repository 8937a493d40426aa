"""Expands the value sets that elements are bound to with strength required."""

from collections.abc import Iterable
from typing import Any

from apps.patient.definitions.generator.hl7_source import Json

# Value sets of open code systems: BCP 13 and ISO 4217 are not enumerated in FHIR.
_PATTERN_SETS = {
    "http://hl7.org/fhir/ValueSet/mimetypes": "mimetypes",
    "http://hl7.org/fhir/ValueSet/currencies": "currencies",
}


class ValueSets:
    """Expands the required value sets that elements refer to."""

    def __init__(self, source: dict[str, Json]) -> None:
        self._sets: dict[str, Json] = {}
        self._systems: dict[str, Json] = {}
        for name in ("valuesets", "v3-codesystems"):
            for entry in source[name]["entry"]:
                resource = entry["resource"]
                if resource["resourceType"] == "ValueSet":
                    self._sets[resource["url"]] = resource
                elif resource["resourceType"] == "CodeSystem":
                    self._systems[resource["url"]] = resource
        self.used: dict[str, list[list[Any]]] = {}
        self.uncounted: set[str] = set()

    def name_of(self, canonical: str) -> str | None:
        """Returns the short name that elements refer to, and keeps the set's codes under it.

        Returns None for a set whose codes FHIR does not list; `uncounted` names those.
        """
        url = canonical.partition("|")[0]
        if url in _PATTERN_SETS:
            return _PATTERN_SETS[url]
        name: str = url.rpartition("/")[2]
        if name not in self.used and name not in self.uncounted:
            try:
                self.used[name] = self._expand(self._sets[url])
            except (KeyError, ValueError):
                self.uncounted.add(name)
        return name if name in self.used else None

    def hierarchies(self) -> dict[str, dict[str, list[str]]]:
        """Returns the codes directly below each code, by code system, for `:above` and `:below`.

        A system of the sets that are used has an entry even if nothing in it is below anything.
        """
        used = {system for listed in self.used.values() for system, _ in listed}
        found: dict[str, dict[str, list[str]]] = {}
        for url, system in sorted(self._systems.items()):
            if system["content"] == "complete":
                below = _below(system.get("concept", ()))
                if below or url in used:
                    found[url] = below
        return found

    def _expand(self, value_set: Json) -> list[list[Any]]:
        compose = value_set["compose"]
        if compose.get("exclude"):
            raise ValueError(f"{value_set['url']} excludes codes: not supported here")
        codes: dict[str, list[str]] = {}
        for include in compose["include"]:
            if "filter" in include or "valueSet" in include:
                raise ValueError(f"{value_set['url']} has a filter: not supported here")
            concepts = include.get("concept")
            if concepts is None:
                system = self._systems[include["system"]]
                if system["content"] != "complete":
                    raise ValueError(f"{include['system']} is not complete")
                concepts = _all_concepts(system["concept"])
            codes.setdefault(include["system"], []).extend(concept["code"] for concept in concepts)
        return [[system, sorted(set(listed))] for system, listed in codes.items()]


def _all_concepts(concepts: Iterable[Json]) -> Iterable[Json]:
    for concept in concepts:
        yield concept
        yield from _all_concepts(concept.get("concept", ()))


def _below(concepts: Iterable[Json]) -> dict[str, list[str]]:
    """Returns the codes directly below each code that has any."""
    found: dict[str, set[str]] = {}
    for concept in _all_concepts(concepts):
        for child in concept.get("concept", ()):
            found.setdefault(concept["code"], set()).add(child["code"])
        for told in concept.get("property", ()):
            if told["code"] == "subsumedBy":
                found.setdefault(told["valueCode"], set()).add(concept["code"])
    return {code: sorted(codes) for code, codes in sorted(found.items())}
