"""JSON pointers of faults as FHIRPath."""

import pytest

from apps.patient.definitions.expressions import element_expression


@pytest.mark.parametrize(
    ("pointer", "root", "expression"),
    [
        ("", "Patient", "Patient"),
        ("/name/0/given/1", "Patient", "Patient.name[0].given[1]"),
        ("/valueQuantity/code", "Observation", "Observation.value.ofType(Quantity).code"),
        ("/deceasedDateTime", "Patient", "Patient.deceased.ofType(dateTime)"),
        ("/_birthDate/extension/0/url", "Patient", "Patient.birthDate.extension[0].url"),
        (
            "/entry/3/resource/effectivePeriod/start",
            "Bundle",
            "Bundle.entry[3].resource.effective.ofType(Period).start",
        ),
        ("/doseAndRate/0/doseQuantity", "Dosage", "Dosage.doseAndRate[0].dose.ofType(Quantity)"),
        # A pointer does not tell a contained resource's type: any choice of any type is likely.
        (
            "/contained/0/dosage/0/doseAndRate/0/doseQuantity/code",
            "Patient",
            "Patient.contained[0].dosage[0].doseAndRate[0].dose.ofType(Quantity).code",
        ),
        ("/shoeSize", "Patient", "Patient.shoeSize"),
    ],
)
def test_pointer_is_told_as_fhirpath(pointer: str, root: str, expression: str) -> None:
    assert element_expression(pointer, root) == expression
