"""Parts of a resource: `_elements` and `_summary`
(https://hl7.org/fhir/R4/search.html#summary). Pure.
"""

from collections.abc import Sequence

from apps.patient.codec import Resource
from apps.patient.definitions.model import definition_of, summary_elements

# Parameters that ask for a part, of reads as of searches.
SUBSETS = ("_summary", "_elements")
_ALWAYS = ("resourceType", "id", "meta")
SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}


def subset(resource: Resource, elements: Sequence[str], summary: str) -> Resource:
    """Returns the elements that are asked for, with the required ones, marked as a part
    of the resource.
    """
    resource_type = resource["resourceType"]
    definition = definition_of(resource_type)
    required = {name for names in definition.required for name in names}
    if elements:
        wanted = {
            item.removeprefix(f"{resource_type}.").partition(".")[0]
            for item in elements
            if not item[:1].isupper() or item.startswith(f"{resource_type}.")
        }
        wanted |= required
        chosen = {name for item in wanted for name in (item, *definition.choices.get(item, ()))}
    elif summary == "text":
        chosen = {"text", *required}
    elif summary == "data":
        chosen = set(resource) - {"text"}
    else:
        chosen = set(summary_elements(resource_type)) | required
    given = {
        name: value
        for name, value in resource.items()
        if name in _ALWAYS or name.removeprefix("_") in chosen
    }
    if len(given) == len(resource):
        return given
    meta = given.get("meta") or {}
    tags = [tag for tag in meta.get("tag", ()) if tag != SUBSETTED]
    return {**given, "meta": {**meta, "tag": [*tags, SUBSETTED]}}
