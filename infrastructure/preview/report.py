"""What the command says at its end, for a terminal and for a pull request's comment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.release.secret_places import split_place
from infrastructure.preview.driver import BroughtUp
from infrastructure.preview.names import Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRow:
    preview: Preview
    base: str
    expires: datetime | None
    keep: bool
    resources: int
    url: str


def lines_of(brought: BroughtUp, cost_usd_a_day: float) -> list[tuple[str, str]]:
    outputs = brought.outputs
    changed = outputs.get("changed")
    made = ", ".join(
        f"{count} {operation}" for operation, count in sorted(brought.operations.items()) if count
    )
    return [
        ("address", str(outputs.get("url", "unknown"))),
        ("sign in", sign_in_text(outputs.get("sign_in"))),
        ("changed", changed_text(changed)),
        ("operations", made or "none"),
        ("cost a day", f"{cost_usd_a_day:.2f} USD by list price"),
        ("goes", goes_text(brought)),
    ]


def goes_text(brought: BroughtUp) -> str:
    if brought.outputs.get("keep") is True:
        return "when somebody takes it down: it is kept whatever its time"
    return f"{brought.expires:%Y-%m-%d %H:%M} UTC, or when the pull request closes"


def sign_in_text(sign_in: object) -> str:
    """Tells where the password lies, not what it is: reports are read by more people
    than may sign in.
    """
    if not isinstance(sign_in, dict):
        return "unknown"
    arn, member = split_place(str(sign_in["password_arn"]))
    command = "aws secretsmanager get-secret-value --query SecretString --output text --secret-id"
    what = f"{member} in the answer to" if member else "by"
    return f"{sign_in['user']}, its password {what} `{command} {arn}`"


def changed_text(changed: object) -> str:
    if not isinstance(changed, list):
        return "unknown"
    return (
        ", ".join(map(str, changed)) if changed else "no service: every one runs the base's image"
    )


def render(brought: BroughtUp, cost_usd_a_day: float) -> str:
    return "\n".join(f"{name:<11} {value}" for name, value in lines_of(brought, cost_usd_a_day))


def render_markdown(brought: BroughtUp, cost_usd_a_day: float) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in lines_of(brought, cost_usd_a_day))
    return f"### Preview {brought.preview.stack}\n\n| | |\n| --- | --- |\n{rows}\n"


def render_rows(rows: Sequence[PreviewRow]) -> str:
    if not rows:
        return "no previews"
    return "\n".join(render_row(row) for row in rows)


def render_row(row: PreviewRow) -> str:
    start = f"{row.preview.stack:<9} {row.base:<8} {row.resources:>4} resources"
    return f"{start}  {until(row)}  {row.url}".rstrip()


def until(row: PreviewRow) -> str:
    if row.keep:
        return "kept".ljust(20)
    return f"{row.expires:%Y-%m-%d %H:%M} UTC" if row.expires else "no update ended".ljust(20)
