"""Reads the fields of requests, and collects every fault before it refuses."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from apps.billing.money import MAX_MINOR_UNITS
from apps.kit.errors import BadRequest, FieldError, NotFound
from protos.billing.v1 import billing_pb2 as pb

MAX_TEXT_CHARACTERS = 256
MAX_REQUEST_ID_CHARACTERS = 255
MAX_QUANTITY = Decimal(1_000_000)
FIRST_DAY = date(1900, 1, 1)
LAST_DAY = date(2200, 1, 1)

_REQUEST_ID = re.compile(rf"[!-~]{{1,{MAX_REQUEST_ID_CHARACTERS}}}")
# A FHIR id: https://hl7.org/fhir/R4/datatypes.html#id
FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_QUANTITY = re.compile(r"[0-9]{1,7}(\.[0-9]{1,3})?")


class Fields:
    """The faults of one request. `check` refuses it, with all of them, where there is any."""

    def __init__(self) -> None:
        self._faults: list[FieldError] = []

    def refuse(self, pointer: str, code: str, message: str) -> None:
        self._faults.append(FieldError(code, message, pointer))

    def check(self) -> None:
        if self._faults:
            raise BadRequest("invalid_request", faults=tuple(self._faults))

    def request_id(self, text: str) -> None:
        if not _REQUEST_ID.fullmatch(text):
            limit = f"1 to {MAX_REQUEST_ID_CHARACTERS} printable ASCII characters without a space"
            self.refuse("request_id", "invalid_request_id", limit)

    def text(
        self, pointer: str, text: str, *, required: bool = False, limit: int = MAX_TEXT_CHARACTERS
    ) -> str:
        text = text.strip()
        if required and not text:
            self.refuse(pointer, "required", "must not be empty")
        elif len(text) > limit or not text.isprintable():
            message = f"at most {limit} characters, none of them a control character"
            self.refuse(pointer, f"invalid_{pointer}", message)
        return text

    def fhir_id(self, pointer: str, text: str, *, required: bool = False) -> str:
        if (text or required) and not FHIR_ID.fullmatch(text):
            self.refuse(pointer, f"invalid_{pointer}", "1 to 64 letters, digits, dots or hyphens")
        return text

    def day(self, pointer: str, text: str) -> date | None:
        if not text:
            return None
        try:
            day = date.fromisoformat(text)
        except ValueError:
            day = None
        if day is None or len(text) != 10 or not FIRST_DAY <= day < LAST_DAY:
            self.refuse(pointer, "invalid_date", "a date as YYYY-MM-DD, 1900 to 2199")
            return None
        return day

    def moment(self, pointer: str, stamp: Timestamp) -> datetime | None:
        if not (stamp.seconds or stamp.nanos):
            return None
        try:
            moment = stamp.ToDatetime(UTC)
        except (ValueError, OverflowError):
            moment = None
        if moment is None or not FIRST_DAY <= moment.date() < LAST_DAY:
            self.refuse(pointer, "invalid_time", "a time in the years 1900 to 2199")
            return None
        return moment

    def amount(self, pointer: str, money: pb.Money, currency: str, *, minimum: int = 1) -> int:
        """Reads minor units in the account's currency; an empty currency means the account's."""
        if money.currency and money.currency != currency:
            self.refuse(
                f"{pointer}/currency", "other_currency", f"the account is kept in {currency}"
            )
        if not minimum <= money.minor_units <= MAX_MINOR_UNITS:
            message = f"{minimum} to {MAX_MINOR_UNITS} minor units"
            self.refuse(f"{pointer}/minor_units", "invalid_amount", message)
        return money.minor_units

    def quantity(self, whole: int, text: str) -> Decimal:
        """Reads `quantity_decimal`, else `quantity`; neither means 1."""
        if not text:
            if whole < 0 or whole > MAX_QUANTITY:
                self.refuse("quantity", "invalid_quantity", f"1 to {MAX_QUANTITY}")
            return Decimal(whole or 1)
        quantity = Decimal(text) if _QUANTITY.fullmatch(text) else Decimal(0)
        if not 0 < quantity <= MAX_QUANTITY:
            message = "a decimal above zero with at most three places, as 1.5"
            self.refuse("quantity_decimal", "invalid_quantity", message)
        elif whole and Decimal(whole) != quantity:
            self.refuse("quantity", "contradiction", "quantity and quantity_decimal differ")
        return quantity

    def basis_points(self, pointer: str, number: int) -> int:
        if not 0 <= number <= 10_000:
            self.refuse(pointer, "invalid_percentage", "0 to 10000 basis points")
        return number


def parse_id(text: str, code: str) -> UUID:
    """Raises NotFound, with this code, for what cannot be an id of ours: there is no such thing."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(code) from None
