"""What one preview is called in each place, and back: a name that is not wholly a preview's is
nobody's to touch.
"""

import re
from dataclasses import dataclass

from infrastructure.config.naming import ENVIRONMENTS, HIGHEST_PREVIEW, PREVIEW

BASES = tuple(name for name in ENVIRONMENTS if name != "prod")
# Every pattern ends at its delimiter: `pr_1_` is no prefix of `pr_12_patient`.
DATABASE = re.compile(r"pr_([1-9][0-9]{0,4})_[a-z][a-z0-9_]*\Z")
TOPIC = re.compile(r"pr-([1-9][0-9]{0,4})\.[a-z][a-z0-9.]*\Z")
IMAGE_TAG = re.compile(r"pr-([1-9][0-9]{0,4})-[A-Za-z0-9._-]+\Z")


class RefusedError(Exception):
    """What was asked is never done, whoever asks."""


@dataclass(frozen=True, slots=True, order=True)
class Preview:
    """The preview of one pull request."""

    number: int

    @property
    def stack(self) -> str:
        return f"pr-{self.number}"

    @property
    def database_prefix(self) -> str:
        return f"pr_{self.number}_"

    @property
    def topic_prefix(self) -> str:
        return f"pr-{self.number}."

    @property
    def image_tag_prefix(self) -> str:
        return f"pr-{self.number}-"


def parse_preview(text: str) -> Preview:
    """Parses a pull request's number, as somebody typed it or a workflow handed it over.

    Raises Refusal.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > HIGHEST_PREVIEW:
        raise RefusedError(
            f"--pr takes a pull request's number from 1 to {HIGHEST_PREVIEW}, not {text!r}"
        )
    return Preview(int(text))


def parse_base(text: str) -> str:
    if text == "prod":
        raise RefusedError(
            "a preview never runs on production: it holds no real data and runs code that nobody "
            "reviewed"
        )
    if text not in BASES:
        raise RefusedError(f"--base takes {' or '.join(BASES)}, not {text!r}")
    return text


def preview_of(name: str, pattern: re.Pattern[str]) -> Preview | None:
    matched = pattern.match(name)
    return Preview(int(matched[1])) if matched and int(matched[1]) <= HIGHEST_PREVIEW else None


def preview_of_stack(name: str) -> Preview | None:
    return preview_of(name, PREVIEW)
