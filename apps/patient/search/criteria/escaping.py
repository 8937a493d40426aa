r"""Search values as they are written: `,` `$` and `|` separate, `\` escapes
(https://hl7.org/fhir/R4/search.html#escaping).
"""

import re

_ESCAPED = re.compile(r"\\([,|$\\])")


def split(text: str, separator: str, maximum: int = -1) -> list[str]:
    """Returns the parts between separators that are not escaped; escapes stay as they are."""
    parts = [""]
    index = 0
    while index < len(text):
        char = text[index]
        if char == "\\" and index + 1 < len(text):
            parts[-1] += text[index : index + 2]
            index += 2
            continue
        if char == separator and maximum != 0:
            parts.append("")
            maximum -= 1
        else:
            parts[-1] += char
        index += 1
    return parts


def unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def escape(text: str) -> str:
    return re.sub(r"([,|$\\])", r"\\\1", text)
