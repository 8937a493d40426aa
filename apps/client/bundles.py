"""FHIR Bundles in files: reads them and makes them safe to send more than once."""

import gzip
import re
import zlib
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

# What the platform takes; a file that unpacks to more is refused before it takes this
# machine's memory.
MAX_BUNDLE_BYTES = 16 * 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"

# Numbers are passed on as they are written: a float would round them.
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class _Resource(msgspec.Struct):
    type: str = msgspec.field(name="resourceType")


class _Entry(msgspec.Struct):
    resource: _Resource


# Most of a file is passed on as it is: only what has to be known or changed is decoded.
_parts_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_heads_decoder = msgspec.json.Decoder(list[_Entry])
_entries_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class BundleError(Exception):
    """This file cannot be loaded; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """`condition`: the search that finds its person; None for a batch of what several people share.

    `key`: the hash of what the file held, sent as `Idempotency-Key`. `types`: the resource type
    of each entry. `kept_ids`: the entries of a batch that are stored by the ids that they have.
    """

    body: bytes
    key: str
    condition: str | None
    types: tuple[str, ...]
    kept_ids: frozenset[int] = frozenset()


def read_bundle(path: Path) -> Bundle:
    """Reads a file, plain or gzip. Raises BundleError if it is missing, unreadable, or cannot be
    loaded safely.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as unpacked:
            content = unpacked.read(MAX_BUNDLE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is no whole gzip file"
        raise BundleError(reason.lower()) from None
    if len(content) > MAX_BUNDLE_BYTES:
        raise BundleError(f"it is over {MAX_BUNDLE_BYTES // 2**20} MiB")
    return parse_bundle(content)


def parse_bundle(content: bytes) -> Bundle:
    """Parses a transaction of one person, or a batch of conditional creates. Raises BundleError."""
    try:
        # What is passed on undecoded is not looked at by the decoder.
        bundle: dict[str, Any] = _parts_decoder.decode(content.decode())
        types = tuple(entry.resource.type for entry in _heads_decoder.decode(bundle["entry"]))
        if _decoder.decode(bundle.get("type", b"null")) == "batch" and "Patient" not in types:
            condition = None
            entries = _decoder.decode(bundle["entry"])
            kept_ids = make_conditional(entries, types)
        else:
            kept_ids = frozenset[int]()
            entries = _entries_decoder.decode(bundle["entry"])
            condition = make_patient_conditional(entries, types)
        bundle["entry"] = entries
        body = msgspec.json.format(_encoder.encode(bundle), indent=-1)
    except (msgspec.DecodeError, ValueError, ArithmeticError, KeyError, TypeError, AttributeError):
        raise BundleError("it is no FHIR transaction Bundle in JSON") from None
    except RecursionError:
        raise BundleError("it is nested too deeply") from None
    return Bundle(
        body=body,
        key=sha256(content).hexdigest(),
        condition=condition,
        types=types,
        kept_ids=kept_ids,
    )


def make_patient_conditional(entries: list[Any], types: tuple[str, ...]) -> str:
    """Makes the creation of the one patient, among entries that are not decoded yet, conditional
    on its identifier, and returns the condition.
    """
    patients = [number for number, name in enumerate(types) if name == "Patient"]
    if len(patients) != 1:
        raise BundleError(f"it holds {len(patients)} patients: a file is loaded for one person")
    patient = entries[patients[0]] = _decoder.decode(entries[patients[0]])
    condition = urlencode({"identifier": identifier_of(patient["resource"])})
    patient["request"]["ifNoneExist"] = condition
    return condition


def make_conditional(entries: list[Any], types: tuple[str, ...]) -> frozenset[int]:
    """Has entries without a condition stored by their own ids, unless they are there, and returns
    which. Raises BundleError for one without an id: a second load would create it again.
    """
    kept_ids = set()
    for number, (entry, name) in enumerate(zip(entries, types, strict=True)):
        request = entry["request"]
        if request["method"] == "PUT" or request.get("ifNoneExist"):
            continue
        id = entry["resource"].get("id")
        if request["method"] != "POST" or not isinstance(id, str):
            raise BundleError(
                f"entry {number} has neither ifNoneExist nor an id: a second load would create it"
                " again"
            )
        entry["request"] = {"method": "PUT", "url": f"{name}/{id}", "ifNoneMatch": "*"}
        kept_ids.add(number)
    return frozenset(kept_ids)


def identifier_of(patient: dict[str, Any]) -> str:
    """Returns `system|value` of the first identifier that has both. Raises BundleError if
    there is none.
    """
    for identifier in patient.get("identifier") or ():
        system = identifier.get("system")
        value = identifier.get("value")
        if isinstance(system, str) and isinstance(value, str):
            return f"{escape(system)}|{escape(value)}"
    raise BundleError("its person has no identifier, by which a second load would find it")


def escape(text: str) -> str:
    """Escapes a search value (https://hl7.org/fhir/R4/search.html#escaping)."""
    return re.sub(r"([\\,|$])", r"\\\1", text)
