"""FHIR errors as OperationOutcomes."""

from apps.kit.operation_outcomes import expression_of


def test_pointer_is_told_as_fhirpath() -> None:
    assert expression_of("/name/0/given/1", "Patient") == "Patient.name[0].given[1]"
    assert expression_of("/entry/12/resource/id", "Bundle") == "Bundle.entry[12].resource.id"
