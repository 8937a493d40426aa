"""Resources as they are stored: zstd frames (RFC 8878) with a dictionary of what
FHIR's JSON repeats.

PostgreSQL compresses no row below 2 KB, and few resources are longer. A frame names its dictionary
by id, so that what was written with an older one is read for ever: a dictionary that was used once
stays in `dictionaries/`.
"""

from functools import cache
from pathlib import Path

import zstandard

# A higher level costs five times the time for 5 % fewer bytes.
LEVEL = 3
MAGIC = zstandard.FRAME_HEADER
_FOLDER = Path(__file__).parent / "dictionaries"
NEWEST = 1


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict((_FOLDER / f"{number}.zdict").read_bytes())


@cache
def _compressor() -> zstandard.ZstdCompressor:
    dictionary = _dictionary(NEWEST)
    dictionary.precompute_compress(level=LEVEL)
    return zstandard.ZstdCompressor(level=LEVEL, dict_data=dictionary)


@cache
def _decompressor(number: int) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=_dictionary(number))


def pack(body: str) -> bytes:
    """Returns the frame of a resource's JSON."""
    return _compressor().compress(body.encode())


def unpack(stored: bytes | None) -> str | None:
    """Returns the JSON of a frame, or of a body that the release before stored as it is."""
    if stored is None:
        return None
    if not stored.startswith(MAGIC):
        return stored.decode()
    number = zstandard.get_frame_parameters(stored).dict_id
    return _decompressor(number).decompress(stored).decode()
