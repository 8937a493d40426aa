"""Finds what belongs to one patient's record, and what the record refers to."""

from apps.kit.database import Connection
from apps.patient.definitions.model import compartment_parameters, served_types
from apps.patient.search.criteria.criteria import (
    AllOf,
    Criterion,
    Exact,
    ExactValue,
    Identity,
    Owned,
)
from apps.patient.search.index import hashing
from apps.patient.search.index.hashing import resource_hash

# The resources that one patient's record may refer to.
MAX_REFERRED = 20_000


async def resolve_owned(connection: Connection, resource_type: str, criterion: Owned) -> Criterion:
    patient = resource_hash("Patient", criterion.patient_id)
    if resource_type == "Patient":
        return Identity(hashes=(patient,))
    parameters = compartment_parameters(resource_type)
    if parameters:
        values = tuple(
            ExactValue(matching=hashed, leading=hashed)
            for hashed in (
                hashing.reference_hash(resource_type, name, patient) for name in parameters
            )
        )
        return AllOf(criteria=(Exact(values=values, is_narrow=True), criterion))
    return Identity(hashes=tuple(await select_referred(connection, criterion.patient_id)))


def record_hashes(patient_id: str) -> list[int]:
    """Returns the hashes that a patient's whole record is found by."""
    patient = resource_hash("Patient", patient_id)
    return [
        hashing.reference_hash(kind, name, patient)
        for kind in served_types()
        for name in compartment_parameters(kind)
    ]


async def select_referred(connection: Connection, patient_id: str) -> list[int]:
    """Returns the hashes of the resources that a patient's record refers to."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT t.hash FROM (
            SELECT DISTINCT v.number FROM resource_value v WHERE v.hash = ANY ($1::bigint[])
            UNION SELECT r.number FROM resource r WHERE r.reference_hash = $3) AS k
        CROSS JOIN LATERAL (SELECT * FROM resource r WHERE r.number = k.number
            AND r.patient_id = $2 OFFSET 0) AS r
        CROSS JOIN LATERAL unnest(r.target_hashes) AS t (hash) LIMIT $4""",
        record_hashes(patient_id),
        patient_id,
        resource_hash("Patient", patient_id),
        MAX_REFERRED,
    )
    return [row["hash"] for row in rows]
