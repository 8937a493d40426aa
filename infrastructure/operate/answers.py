"""What a verb answers, and how it is printed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

# An object, a list of objects, or text that is printed as it is.
Answer: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | str


class RefusedError(Exception):
    """The verb was not carried out; the message says why."""


def answer_of(line: Mapping[str, Any]) -> Answer:
    """Returns the answer of a service's last line (apps/kit/operate.py). Raises RefusedError."""
    if "refused" in line:
        raise RefusedError(str(line["refused"]))
    answer: Answer = line["answer"]
    return answer


def rows_of(answer: Answer) -> Sequence[Mapping[str, Any]]:
    """Returns an answer's rows, a lone object or text as one."""
    if isinstance(answer, str):
        return [{"answer": answer}] if answer else []
    return [answer] if isinstance(answer, Mapping) else answer


def render(answer: Answer) -> str:
    """Returns a table for a list, `name: value` lines for an object."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Mapping):
        return "\n".join(render_members(answer))
    if not answer:
        return "none"
    names = list(answer[0])
    rows = [names, *([render_value(row.get(name)) for name in names] for row in answer)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def render_members(answer: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in answer.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *render_members(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {render_value(value)}")
    return lines


def render_value(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    # One row stays one line, whatever a name or a reason holds.
    return " ".join(str(value).split())
