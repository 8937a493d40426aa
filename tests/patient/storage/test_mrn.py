"""Medical record numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kit.errors import Unprocessable
from apps.patient.storage.mrn import SYSTEM, format_mrn, with_mrn


@given(st.integers(min_value=1, max_value=99_999_999), st.integers(0, 7), st.integers(1, 9))
def test_one_wrong_digit_makes_no_mrn(number: int, place: int, change: int) -> None:
    mrn = format_mrn(number)
    wrong = int(mrn[:8][place]) + change
    other = mrn[:place] + str(wrong % 10) + mrn[place + 1 : 8]
    assert format_mrn(int(other))[-1] != mrn[-1]


@pytest.mark.parametrize(
    ("number", "mrn"),
    [(1, "000000018"), (5, "000000059"), (9, "000000091"), (90, "000000901"), (0, "000000000")],
)
def test_check_digit_is_that_of_luhn(number: int, mrn: str) -> None:
    assert format_mrn(number) == mrn


def test_mrn_is_not_claimed() -> None:
    patient = with_mrn({"resourceType": "Patient"}, "000000018")
    assert with_mrn(patient, "000000018") is patient
    with pytest.raises(Unprocessable):
        with_mrn({"identifier": [{"system": SYSTEM, "value": "1"}]}, "000000018")
