"""JSON in and out without loss: numbers stay as they were written (FHIR decimals carry
their precision).
"""

from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from apps.kit.errors import BadRequest
from apps.patient.duplicate_keys import check_duplicate_keys

# A FHIR resource, or any part of one, as decoded JSON.
Resource: TypeAlias = dict[str, Any]

FHIR_MEDIA_TYPE = "application/fhir+json"
MAX_DECIMAL_EXPONENT = 1_000
MAX_NUMBER_DIGITS = 1_000


class NumberTooLarge(ValueError):
    pass


def _read_number(text: str) -> Decimal:
    number = Decimal(text)
    # Later arithmetic on `1e999999999` would take the machine's memory.
    if len(text) > MAX_NUMBER_DIGITS or abs(number.adjusted()) > MAX_DECIMAL_EXPONENT:
        raise NumberTooLarge
    return number


_decoder = msgspec.json.Decoder(float_hook=_read_number)
_encoder = msgspec.json.Encoder(decimal_format="number")


def decode(body: bytes | str) -> Any:
    """Returns what the JSON holds.

    Raises BadRequest if `body` is no JSON, nests or counts beyond reason, or, for bytes that came
    in, if an object has one key twice.
    """
    try:
        value = _decoder.decode(body)
        if isinstance(body, bytes):
            check_duplicate_keys(body, _encoder.encode(value))
        return value
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest("malformed_json", str(error) or "a number is too large") from None
    except (RecursionError, InvalidOperation, OverflowError, ValueError):
        raise BadRequest(
            "malformed_json", "the JSON nests too deep or a number is too large"
        ) from None


def encode(value: Any) -> bytes:
    return _encoder.encode(value)
