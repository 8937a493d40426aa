"""How many observations of a code $lastn gives, and what one code is."""

import secrets
from typing import Any

import pytest

from apps.kit.errors import BadRequest
from apps.patient.operations.lastn import MAX_PER_CODE, code_key, read_max
from tests.patient.patient_service import Service


@pytest.mark.parametrize(
    ("pairs", "most"),
    [
        ([], 1),
        ([("code", "x")], 1),
        ([("max", "1")], 1),
        ([("max", str(MAX_PER_CODE))], MAX_PER_CODE),
        ([("max", "007")], 7),
    ],
)
def test_max_is_a_number_within_its_bounds(pairs: list[tuple[str, str]], most: int) -> None:
    assert read_max(pairs) == most


@pytest.mark.parametrize(
    "values", [["0"], [str(MAX_PER_CODE + 1)], [""], ["0001"], ["x"], ["\u0663"], ["1", "1"]]
)
def test_max_that_is_none_is_refused(values: list[str]) -> None:
    with pytest.raises(BadRequest):
        read_max([("max", value) for value in values])


def test_observations_share_the_first_coding_or_else_the_text() -> None:
    coded = {"coding": [{"system": "s", "code": "a"}, {"code": "b"}], "text": "Weight"}
    for code, key in (
        (coded, ("s", "a")),
        ({"coding": [{"code": "b"}]}, ("", "b")),
        ({"coding": [{"display": "d"}], "text": "Weight"}, ("weight",)),
        ({"text": "WEIGHT"}, ("weight",)),
        (None, ("",)),
    ):
        resource: dict[str, Any] = {"resourceType": "Observation", "code": code}
        assert code_key(resource) == key


@pytest.mark.integration
def test_lastn_is_recorded_by_the_beginning_of_its_query(service: Service) -> None:
    request_id = secrets.token_hex(8)
    codes = ",".join(["x" * 60] * 60)
    answer = service.call(
        "GET",
        f"/fhir/R4/Observation/$lastn?patient=p&code={codes}",
        headers={"X-Request-Id": request_id},
    )
    assert answer.status_code == 200, answer.text
    sql = "SELECT query FROM audit_event WHERE request_id = $1"
    ((told,),) = service.sql(sql, request_id)
    assert told.startswith("$lastn?patient=p") and len(told) == len("$lastn?") + 2_000
