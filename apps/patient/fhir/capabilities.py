"""`GET /fhir/R4/metadata`: what is served, told from the tables that serve it (https://hl7.org/fhir/R4/capabilitystatement.html)."""

from apps.patient.codec import FHIR_MEDIA_TYPE, Resource
from apps.patient.definitions.schema import RESOURCE_TYPES
from apps.patient.search.search_parameters import PARAMETERS

INTERACTIONS = ("read", "vread", "update", "delete", "history-instance", "create", "search-type")
# The day that this description last changed; a client may keep it until then.
DATE = "2026-01-01"


def capability_statement(base: str) -> Resource:
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "patient-management"},
        "implementation": {"description": "Patients and their medical history", "url": base},
        "fhirVersion": "4.0.1",
        "format": [FHIR_MEDIA_TYPE, "json"],
        "rest": [
            {
                "mode": "server",
                "documentation": (
                    "A transaction creates (POST entries, ifNoneExist). A parameter that is not listed is refused."
                    " Searches page by _count (at most 100) and the next link; _total=accurate counts."
                ),
                "security": {
                    "service": [
                        {
                            "coding": [
                                {
                                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                                    "code": "SMART-on-FHIR",
                                }
                            ]
                        }
                    ]
                },
                "resource": [_resource(name) for name in RESOURCE_TYPES],
                "interaction": [{"code": "transaction"}],
            }
        ],
    }


def _resource(name: str) -> Resource:
    return {
        "type": name,
        "interaction": [{"code": code} for code in INTERACTIONS],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": False,
        "conditionalCreate": True,
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [
            {"name": parameter, "type": PARAMETERS[name][parameter].kind}
            for parameter in sorted(PARAMETERS[name])
        ],
    }
