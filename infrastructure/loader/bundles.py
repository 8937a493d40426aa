"""FHIR transaction Bundles in files: read, and made safe to send more than once."""

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

# What the service takes; a file that unpacks to more is refused before it takes this machine's memory.
MAX_BUNDLE_BYTES = 16 * 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"

# Numbers are passed on as they are written: a float would round them.
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class BundleError(Exception):
    """This file cannot be loaded; the message says why."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """`condition`: the search that finds its person. `key`: the hash of what the file held, for `Idempotency-Key`."""

    body: bytes
    key: str
    condition: str
    types: tuple[str, ...]


def read_bundle(path: Path) -> Bundle:
    """Raises BundleError for a file that is away, unreadable, or no transaction Bundle of one person."""
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
    try:
        bundle = _decoder.decode(content)
        entries = bundle["entry"]
        types = tuple(str(entry["resource"]["resourceType"]) for entry in entries)
        patients = [entry for entry, name in zip(entries, types, strict=True) if name == "Patient"]
        if len(patients) != 1:
            raise BundleError(f"it holds {len(patients)} patients: a file is loaded for one person")
        condition = urlencode({"identifier": identifier_of(patients[0]["resource"])})
        patients[0]["request"]["ifNoneExist"] = condition
    except (msgspec.DecodeError, ValueError, ArithmeticError, KeyError, TypeError, RecursionError):
        raise BundleError("it is no FHIR transaction Bundle in JSON") from None
    return Bundle(_encoder.encode(bundle), sha256(content).hexdigest(), condition, types)


def identifier_of(patient: dict[str, Any]) -> str:
    """`system|value` of the first identifier that has both."""
    for identifier in patient.get("identifier") or ():
        system, value = identifier.get("system"), identifier.get("value")
        if isinstance(system, str) and isinstance(value, str):
            return f"{escape(system)}|{escape(value)}"
    raise BundleError("its person has no identifier, by which a second load would find it")


def escape(text: str) -> str:
    """As a search value (https://hl7.org/fhir/R4/search.html#escaping)."""
    return re.sub(r"([\\,|$])", r"\\\1", text)
