"""`scripts/texts`: collects the texts of each service's code and templates, and brings the
catalogues of each language up to them.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from apps.kit.texts import DEFAULT, LANGUAGES

APPS = Path(__file__).parents[1]
METHODS = {".py": "python", ".html": "jinja2"}
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
# What the macros of a service's components translate themselves: a label, and what an
# empty choice says.
MACROS = re.compile(r'ui\.(?:field|area|choose)\("[^"]*", "([^"]+)"|empty="([^"]+)"')


def find_folders() -> list[Path]:
    """Lists the folders of catalogues, one a service that shows pages."""
    return sorted(APPS.glob("*/locale"))


def find_texts(package: Path) -> Iterator[str | tuple[str, ...]]:
    """Gives every text that is translated somewhere, in the order of the files; singular and
    plural where it depends on a number.
    """
    for path in sorted(package.rglob("*")):
        method = METHODS.get(path.suffix)
        if method is None:
            continue
        with path.open("rb") as file:
            for _, message, _, _ in extract(method, file, KEYWORDS):
                if message:
                    yield message
        if path.suffix == ".html":
            for match in MACROS.finditer(path.read_text(encoding="utf-8")):
                yield match[1] or match[2]


def each_text(package: Path) -> Iterator[str]:
    """Gives every text by itself, singular and plural apart."""
    for text in find_texts(package):
        yield from (text,) if isinstance(text, str) else text


def is_translated(message: Message | None) -> bool:
    """Tells whether a message has a translation of each of its forms."""
    if message is None or message.fuzzy:
        return False
    forms = [message.string] if isinstance(message.string, str) else message.string
    return all(forms) if forms else False


def update(folder: Path, language: str) -> list[str]:
    """Writes the catalogue with all texts, keeps what was translated, and gives what was not."""
    path = folder / f"{language}.po"
    known = Catalog(locale=language)
    if path.exists():
        with path.open("rb") as file:
            known = read_po(file, locale=language)
    catalogue = Catalog(locale=language, charset="utf-8", fuzzy=False)
    missing = []
    for text in dict.fromkeys(find_texts(folder.parent)):
        message = known.get(text)
        if message and is_translated(message):
            catalogue.add(text, message.string)
        else:
            catalogue.add(text)
            missing.append(str(text))
    with path.open("wb") as file:
        write_po(file, catalogue, omit_header=False, no_location=True, width=0)
    return missing


def missing_texts(folder: Path, language: str) -> list[str]:
    """Lists the texts without a translation."""
    with (folder / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    found = []
    for text in dict.fromkeys(find_texts(folder.parent)):
        if not is_translated(catalogue.get(text)):
            found.append(str(text))
    return found


def main(arguments: list[str]) -> int:
    """Updates the catalogues, or only lists what is missing."""
    parser = argparse.ArgumentParser(prog="scripts/texts", description=__doc__)
    parser.add_argument("--check", action="store_true", help="list what is missing, change nothing")
    is_check = parser.parse_args(arguments).check
    count = 0
    for folder in find_folders():
        for language in LANGUAGES:
            if language == DEFAULT:
                continue
            for text in (missing_texts if is_check else update)(folder, language):
                print(f"{folder.parent.name} {language}: {text}")
                count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
