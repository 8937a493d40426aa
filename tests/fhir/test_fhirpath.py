"""Our compiled FHIRPath and a library's: the same results over all of HL7's examples."""

import pytest

from apps.patient.codec import decode
from apps.patient.definitions.model import served_types
from tests.fhir.packages import R4_EXAMPLES, resources_in, type_of
from tests.fhirpath_library import compare_invariants, compare_search_parameters

pytestmark = pytest.mark.fhir


def test_invariants_and_search_parameters_agree_with_a_library() -> None:
    compared = 0
    for name, text in resources_in(R4_EXAMPLES, largest=100_000):
        if type_of(text) in served_types():
            resource = decode(text)
            compared += compare_invariants(resource, name)
            compared += compare_search_parameters(resource, name)
    assert compared > 8_000
