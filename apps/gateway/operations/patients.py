"""`/api/patients`: the simple resource."""

from apps.gateway.operations.model import (
    PublicOperation,
    array,
    done,
    gone,
    json,
    made,
    ref,
)
from apps.kit.web import smart

TAG = "Patients"
PATH = "/api/patients"
INPUT = {
    "name": "Ada Example",
    "address": "1 Sample Street",
    "email": "ada@example.org",
    "dateOfBirth": "1985-12-10",
}
PATIENT = {"id": "0192a5b0-7c3e-7d21-9f4b-2f6c3c1f8a10", **INPUT}
_INVALID = ("415", "422")

OPERATIONS = (
    PublicOperation(
        method="GET",
        path=PATH,
        policy=smart("s", "Patient"),
        id="listPatients",
        tag=TAG,
        summary="List patients",
        description='A bare array; `Link: rel="next"` leads to the next page.',
        parameters=("limit", "cursor"),
        answers=done("A page of patients", array(ref("SimplePatient")), [PATIENT], "Link"),
    ),
    PublicOperation(
        method="POST",
        path=PATH,
        policy=smart("c", "Patient"),
        id="registerPatient",
        tag=TAG,
        summary="Register a patient",
        description="The billing account and the figures follow.",
        parameters=("idempotencyKey",),
        body=json(ref("SimplePatientInput"), INPUT),
        answers=made("Registered", ref("SimplePatient"), PATIENT, "Location", "ETag"),
        refusals=("409", *_INVALID),
    ),
    PublicOperation(
        method="GET",
        path=PATH + "/{id}",
        policy=smart("r", "Patient"),
        id="getPatient",
        tag=TAG,
        summary="Read a patient",
        answers=done("The patient", ref("SimplePatient"), PATIENT, "ETag"),
        refusals=("410",),
        levels=("user", "system", "patient"),
    ),
    PublicOperation(
        method="PUT",
        path=PATH + "/{id}",
        policy=smart("u", "Patient"),
        id="replacePatient",
        tag=TAG,
        summary="Change a patient",
        description="Merges: name, e-mail, address and birth date are replaced, all else stays.",
        parameters=("ifMatch",),
        body=json(ref("SimplePatientInput"), INPUT),
        answers=done("The patient as it is now", ref("SimplePatient"), PATIENT, "ETag"),
        refusals=("409", "410", *_INVALID),
    ),
    PublicOperation(
        method="DELETE",
        path=PATH + "/{id}",
        policy=smart("d", "Patient"),
        id="removePatient",
        tag=TAG,
        summary="Delete a patient",
        parameters=("ifMatch",),
        answers=gone("Deleted; its history stays"),
        refusals=("409", "410"),
    ),
)
