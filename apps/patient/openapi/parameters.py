"""The parameters of searches and histories, from the definitions."""

from typing import Any

from apps.patient.definitions.model import search_parameters, served_types
from apps.patient.fhir.audit_search import SERVED as AUDIT_PARAMETERS
from apps.patient.fhir.requests import READ_ONLY_TYPES
from apps.patient.operations.validate import MODES
from apps.patient.search.criteria.query import DEFAULT_COUNT, MAX_COUNT, special_parameters

Schema = dict[str, Any]

# How the value of each kind of parameter is written (https://hl7.org/fhir/R4/search.html).
KINDS = {
    "token": "`code`, `system|code`, `|code` or `system|`; commas separate alternatives.",
    "string": "The start of a text, without regard to case and accents.",
    "date": "A date or date-time, with one of eq ne gt lt ge le sa eb ap before it or none.",
    "reference": "`Type/id`, an id, or an address.",
    "number": "A number, with a prefix or none.",
    "quantity": "`number`, `number|system|code` or `number||unit`, with a prefix or none.",
    "uri": "A whole URI.",
    "composite": "Values of its components, separated by `$`.",
    "special": "`latitude|longitude|distance|unit`.",
    "filter": '`given eq "peter" and birthdate ge 2014-10-10`: tests joined by and, or, not.',
    "text": "Words of the narrative: `(bone or liver) and metastases`.",
    "content": "Words of the whole resource: `(bone or liver) and metastases`.",
}
_RESULT: dict[str, tuple[str, Schema]] = {
    "_count": (
        f"How many to a page; more than {MAX_COUNT} are answered with {MAX_COUNT}.",
        {"type": "integer", "minimum": 0, "default": DEFAULT_COUNT},
    ),
    "_cursor": ("From the `next` link of the page before.", {"type": "string"}),
    "_sort": ("Parameters to sort by, `-` before one that descends.", {"type": "string"}),
    "_total": (
        "Whether the Bundle tells how many match.",
        {"enum": ["none", "estimate", "accurate"]},
    ),
    "_summary": (
        "Which part of each resource is given.",
        {"enum": ["true", "text", "data", "count", "false"]},
    ),
    "_elements": ("Elements to give, separated by commas.", {"type": "string"}),
    "_include": ("`Type:parameter`: adds what matches refer to.", {"type": "string"}),
    "_revinclude": ("`Type:parameter`: adds what refers to matches.", {"type": "string"}),
    "_since": ("Versions made at this instant or later.", {"type": "string"}),
    "_at": ("Versions that were current at this time.", {"type": "string"}),
    "_type": ("Types to look in, separated by commas.", {"type": "string"}),
    "start": ("Care on this day or later.", {"type": "string"}),
    "end": ("Care on this day or earlier.", {"type": "string"}),
    "max": ("How many of each code.", {"type": "integer", "minimum": 1, "default": 1}),
    "mode": (
        "What the resource is checked for.",
        {"enum": list(MODES), "default": MODES[0]},
    ),
    "profile": ("A profile; that it is not checked is told.", {"type": "string"}),
    "_format": ("json: there is no other form.", {"type": "string"}),
}
RESULT_NAMES = (
    "_count",
    "_cursor",
    "_sort",
    "_total",
    "_summary",
    "_elements",
    "_include",
    "_revinclude",
)
HISTORY_NAMES = ("_count", "_cursor", "_since", "_at")


def parameter_components() -> dict[str, Schema]:
    """Returns the parameters that operations share, by their names among the components."""
    found: dict[str, Schema] = {
        f"fhir.{name}": {"name": name, "in": "query", "description": text, "schema": schema}
        for name, (text, schema) in _RESULT.items()
    }
    found |= {
        f"fhir.{name}": {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in (
            ("type", {"enum": list(served_types())}),
            ("compartment_type", {"enum": [*served_types(), "*"]}),
            ("id", {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"}),
            ("vid", {"type": "string", "pattern": "^[0-9]{1,18}$"}),
        )
    }
    found |= {
        f"fhir.{name}": {
            "name": name,
            "in": "header",
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in (
            ("If-Match", 'The version that is changed, `W/"3"`; another is 412.'),
            ("If-None-Match", "On a read, the version that the client has; on an update, `*`."),
            ("If-None-Exist", "A search: nothing is created if it finds one."),
            ("Idempotency-Key", "Sent again with the same body it gives the first answer."),
            ("Prefer", "`return=minimal`, `return=OperationOutcome`, `handling=lenient`."),
        )
    }
    return found


def shared(*names: str) -> list[Schema]:
    """Returns references to shared parameters."""
    return [{"$ref": f"#/components/parameters/fhir.{name}"} for name in names]


def search_parameters_of(resource_type: str) -> list[Schema]:
    """Returns every search parameter of a type, each with how its value is written."""
    kinds = {code: parameter.kind for code, parameter in search_parameters(resource_type).items()}
    if resource_type in READ_ONLY_TYPES:
        kinds = {code: kind for code, kind in kinds.items() if code in AUDIT_PARAMETERS}
    kinds |= {code: code.removeprefix("_") for code in special_parameters(resource_type)}
    return [
        {
            "name": code,
            "in": "query",
            "schema": {"$ref": f"#/components/schemas/fhir.search.{kind}"},
        }
        for code, kind in sorted(kinds.items())
    ]


def kind_schemas() -> dict[str, Schema]:
    """Returns a schema for each kind of search parameter."""
    return {
        f"fhir.search.{kind}": {"type": "string", "description": text}
        for kind, text in KINDS.items()
    }
