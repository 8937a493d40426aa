"""JSON in and out without loss."""

import pytest

from apps.kit.errors import BadRequest
from apps.patient.codec import decode, encode


@pytest.mark.parametrize(
    "text", [b"1.10", b"5.840", b"1E+5", b"-0.0", b"123456789012345678901234567890", b"1E-20"]
)
def test_numbers_survive_as_they_were_written(text: bytes) -> None:
    assert encode(decode(text)) == text


@pytest.mark.parametrize(
    "text", [b"1e999999999", b"1e99999999999999999999999", b"0." + b"1" * 2000, b"9" * 5000]
)
def test_number_beyond_reason_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        decode(text)


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (b"1e1000", b"1e1001"),
        (b"-1e-1000", b"-1e-1001"),
        (b"0." + b"1" * 998, b"0." + b"1" * 999),
    ],
)
def test_number_has_so_many_digits_and_so_large_an_exponent(within: bytes, beyond: bytes) -> None:
    decode(within)
    with pytest.raises(BadRequest, match="malformed_json"):
        decode(beyond)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"a":1,"a":2}', ["/a"]),
        (b'{"a" :1,"a":2}', ["/a"]),
        (b'{"a":1,\n"\\u0061"\n:2}', ["/a"]),
        (b'{"a":[{"b":{}},{"b":1,"c":":x","b":2}],"d":1,"d":1}', ["/d", "/a/1/b"]),
        # The text's quote is counted in what is encoded again, not in the body.
        (b'{"a":1,"a":2,"b":"\\u0022:"}', ["/a"]),
        (b'{"a":1,"a":2,"b":"\\"\\u003a"}', ["/a"]),
        (b'{"a":1,"a":2,"b":"\\"\\u003A"}', ["/a"]),
    ],
)
def test_key_that_stands_twice_is_refused(body: bytes, pointers: list[str]) -> None:
    with pytest.raises(BadRequest) as raised:
        decode(body)
    assert [fault.pointer for fault in raised.value.faults] == pointers


@pytest.mark.parametrize(
    "body",
    [b'{"a":":b","c":"\\":"}', b'[{"a":1},{"a":2}]', b'{"a" : {"a" : 1}}', b'[":"]', b"1.0"],
)
def test_keys_of_other_objects_are_not_repeated(body: bytes) -> None:
    decode(body)
