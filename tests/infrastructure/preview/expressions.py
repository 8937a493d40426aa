"""What a condition of a workflow comes to, for an event: as much of GitHub's expressions as our
workflows use.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

TOKEN = re.compile(r"\s*(?:('[^']*')|(&&|\|\||==|!=|[!(),])|([\w.*-]+))")
WORDS = {"&&": "and", "||": "or", "!": "not "}
FUNCTIONS = ("always", "cancelled", "contains", "fromJSON")


def holds(condition: str, context: Mapping[str, Any]) -> bool:
    """Raises where the condition holds what is not known here: no rule passes unread."""
    text = condition.removeprefix("${{").removesuffix("}}").strip()
    functions = {
        "always": lambda: True,
        "cancelled": lambda: False,
        "contains": contains,
        "fromJSON": json.loads,
    }
    known = {"look": lambda path: look(context, path.split(".")), **functions}
    return bool(eval(translate(text), {"__builtins__": {}}, known))  # noqa: S307 - our own files


def translate(text: str) -> str:
    parts, position = [], 0
    while position < len(text):
        token = TOKEN.match(text, position)
        assert token, text[position:]
        quoted, operator, word = token.groups()
        if word and word not in FUNCTIONS:
            parts.append(f"look({word!r})")
        else:
            parts.append(quoted or WORDS.get(operator or "", operator) or word)
        position = token.end()
    return " ".join(parts)


def look(value: Any, path: list[str]) -> Any:
    """What is not there is null, as GitHub has it."""
    for index, part in enumerate(path):
        if part == "*":
            return [look(each, path[index + 1 :]) for each in value or ()]
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def contains(there: Any, wanted: Any) -> bool:
    return wanted in (there or ())
