"""Trains a dictionary of resources: python -m apps.patient.storage.bodies FOLDER NUMBER.

FOLDER has Synthea's Bundles (*.json.gz): made up, so that no person is in the dictionary. NUMBER is
that of the new dictionary; one that there is already is never written again, because stored
resources need it.
"""

import argparse
import gzip
import json
import random
import sys
from pathlib import Path

import zstandard

from apps.kit.context import new_id
from apps.patient.codec import decode, encode
from apps.patient.storage.bodies import LEVEL
from apps.patient.storage.versions import now, stored_form

# Twice the size saves 2 % of the bytes.
DICTIONARY_BYTES = 65_536
SEED = 1


def read_samples(folder: Path) -> list[bytes | bytearray | memoryview]:
    """Returns each resource of the Bundles as it would be stored, with references to
    resources here.
    """
    samples: list[bytes | bytearray | memoryview] = []
    for path in sorted(folder.glob("*.json.gz")):
        text = gzip.decompress(path.read_bytes()).decode()
        entries = json.loads(text)["entry"]
        for entry in entries:
            if "fullUrl" in entry:
                kind = entry["resource"]["resourceType"]
                text = text.replace(entry["fullUrl"], f"{kind}/{new_id()}")
        for entry in decode(text)["entry"]:
            form = stored_form(entry["resource"], new_id(), 1, now())
            samples.append(encode(form))
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.patient.storage.bodies")
    parser.add_argument("folder", type=Path, help="a folder of Synthea's Bundles")
    parser.add_argument("number", type=int, help="number of the new dictionary")
    arguments = parser.parse_args()
    target = Path(__file__).parent / "dictionaries" / f"{arguments.number}.zdict"
    if arguments.number < 1 or target.exists():
        parser.error("there is such a dictionary, or it is no number for one")
    samples = read_samples(arguments.folder)
    if not samples:
        parser.error(f"no *.json.gz in {arguments.folder}")
    random.Random(SEED).shuffle(samples)  # noqa: S311 (an order, no secret)
    dictionary = zstandard.train_dictionary(
        DICTIONARY_BYTES, samples, dict_id=arguments.number, level=LEVEL
    )
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(dictionary.as_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
