"""The 64-bit hashes that exact values are stored and looked up by
(docs/decisions/0306-search-index.md). Pure.

A hash covers the resource type, the parameter, the form of the value and the value, so one B-tree
over (hash, number) answers an exact search of any parameter of any type, in the order of the pages.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from apps.patient.search.index.aliases import reference_name

# The form of a value. A value is found by more than one: a coding by its code, and by its system.
CODE: Final = "c"  # a token's code, of any system
SYSTEM: Final = "s"  # a token's system, with any code
CODING: Final = "t"  # a token's system and code
TEXT: Final = "x"  # a token's display text, normalised
TEXT_ALONE: Final = "y"  # a display text that no code comes with
OF_TYPE: Final = "o"  # an identifier's type and value
EXACT: Final = "e"  # a string as it was written
URI: Final = "u"  # a URI, and a reference to what this service does not hold
BELOW: Final = "b"  # a URI's beginning, up to one of its slashes
IDENTIFIER: Final = "i"  # a reference's identifier, with its system
IDENTIFIER_VALUE: Final = "j"  # a reference's identifier, of any system
PAIR: Final = "p"  # two values of one element
CONTAINED: Final = "#"  # there is a contained resource
PRESENT: Final = "z"  # a parameter of a contained resource has a value

# Forms that always have rows in `resource_value`. Most others only narrow down what these find.
INDEXED_FORMS: Final = frozenset((CODE, URI, IDENTIFIER_VALUE))

_NUMBER_BITS = 48


def hash_of(*parts: str) -> int:
    """Returns a signed 64-bit hash of `parts`."""
    digest = blake2b("\x1f".join(parts).encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@lru_cache(maxsize=4096)
def parameter_key(resource_type: str, parameter: str) -> int:
    """Returns the hash of a parameter: what the rows of dates, strings and numbers start with."""
    return hash_of(resource_type, parameter)


@lru_cache(maxsize=65_536)
def token_hash(resource_type: str, parameter: str, form: str, *value: str) -> int:
    """Returns the hash of a value. Cached, because most values are codes that come
    again and again.
    """
    return hash_of(resource_type, parameter, form, *value)


@lru_cache(maxsize=65_536)
def resource_hash(resource_type: str, id: str) -> int:
    """Returns the hash that identifies a resource: `resource.reference_hash`."""
    return hash_of(resource_type, id)


def reference_hash(resource_type: str, parameter: str, target: int) -> int:
    """Returns the hash of a reference to the resource whose `resource_hash` is `target`.

    The exclusive or lets SQL do the same (`key # reference_hash`): chains and includes need it.
    """
    return reference_key(resource_type, parameter) ^ target


def reference_key(resource_type: str, parameter: str) -> int:
    """Returns the key of a reference parameter; two that are one element share it.
    `resource_type`: or the path of a contained resource.
    """
    return parameter_key(resource_type, reference_name(type_at(resource_type), parameter))


def contained_path(path: str, parameter: str, kind: str) -> str:
    """Returns what contained resources are indexed by in the place of a type: where they
    are, and what they are.

    `path` is the type that contains them, or the path of one that is contained itself.
    """
    return f"{path}.{reference_name(type_at(path), parameter)}:{kind}"


def type_at(path: str) -> str:
    """Returns the type of what a path leads to; a type leads to itself."""
    return path.rpartition(":")[2]


def path_steps(path: str) -> int:
    return path.count(":")


def path_hash(path: str) -> int:
    """Returns the hash of a resource that contains one at the path."""
    return hash_of(path, CONTAINED)


def present_hash(path: str, parameter: str) -> int:
    """Returns the hash of a resource that contains one at the path which has a value of the
    parameter.
    """
    return hash_of(path, parameter, PRESENT)


@lru_cache(maxsize=512)
def first_number(resource_type: str) -> int:
    """Returns the number below those of the type's resources.

    A number holds the type in its upper bits: a range of the primary key is a type's resources.
    """
    return (hash_of("resource type", resource_type) & 0x7FFF) << _NUMBER_BITS


def type_bits(resource_type: str) -> int:
    """Returns the upper bits of the numbers of the type's resources (`number >> 48`)."""
    return first_number(resource_type) >> _NUMBER_BITS


def last_number(resource_type: str) -> int:
    """Returns the number above those of the type's resources."""
    return first_number(resource_type) + (1 << _NUMBER_BITS)
