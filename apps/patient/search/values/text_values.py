"""Parses the values of strings and URIs. Pure.

Source: https://hl7.org/fhir/R4/search.html#string
"""

import re
from collections.abc import Sequence

from apps.patient.search.criteria.criteria import (
    Contains,
    Criterion,
    Exact,
    ExactValue,
    UriBelow,
    Words,
)
from apps.patient.search.criteria.escaping import unescape
from apps.patient.search.index import hashing
from apps.patient.search.index.hashing import hash_of, parameter_key, token_hash
from apps.patient.search.index.index_rows import MAX_STRING_CHARS, uri_starts
from apps.patient.search.index.normalisation import normalise_text
from apps.patient.search.values.asked import Asked

MAX_WORDS = 8


def parse_string(asked: Asked, value: str, key: int | None = None) -> Criterion:
    text = unescape(value)
    if key is None:
        key = parameter_key(asked.path, asked.parameter.code)
    normalised = normalise_text(text)
    if not normalised:
        raise asked.refuse("a text is needed")
    if asked.modifier == "contains":
        return Contains(key=key, part=normalised[:200])
    words = tuple(dict.fromkeys(normalised.split()))[:MAX_WORDS]
    if asked.modifier == "exact":
        exact = hash_of(asked.path, asked.parameter.code, hashing.EXACT, text)
        return Words(key=key, words=words, exact=exact)
    # `:text` finds words anywhere in a text: so does a search without it.
    if asked.modifier not in ("", "text"):
        raise asked.refuse(f"a string has no modifier :{asked.modifier}")
    return Words(key=key, words=words)


def parse_uri(asked: Asked, value: str) -> Criterion:
    uri = unescape(value)
    if not re.fullmatch(r"\S+", uri):
        raise asked.refuse("a URI is needed")
    if asked.modifier and uri.lower().startswith("urn:"):
        raise asked.refuse(f":{asked.modifier} is not for URNs")
    type_and_name = (asked.path, asked.parameter.code)
    if asked.modifier == "below":
        start = uri.rstrip("/")
        if len(start) >= MAX_STRING_CHARS:
            raise asked.refuse(f":below takes up to {MAX_STRING_CHARS - 1} characters")
        hashed = hash_of(*type_and_name, hashing.BELOW, start)
        return UriBelow(
            parameter=asked.parameter.code,
            key=parameter_key(*type_and_name),
            uri=start,
            hashed=hashed,
        )
    uris: Sequence[str] = [uri]
    if asked.modifier == "above":
        uris = [start for found in uri_starts(uri) for start in (found, found + "/")]
    elif asked.modifier:
        raise asked.refuse(f"a URI has no modifier :{asked.modifier}")
    hashes = [token_hash(*type_and_name, hashing.URI, start) for start in uris]
    return Exact(values=tuple(ExactValue(matching=found, leading=found) for found in hashes))
