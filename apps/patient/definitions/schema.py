"""The resource types that routes and storage serve."""

HISTORY_TYPES = (
    "Encounter",
    "Condition",
    "AllergyIntolerance",
    "MedicationRequest",
    "Immunization",
    "Procedure",
    "Observation",
)
RESOURCE_TYPES = ("Patient", *HISTORY_TYPES)
