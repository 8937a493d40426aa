"""Renders figures as JSON or, where the caller asks for `text/csv`, as CSV (RFC 4180)."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.analytics.figures.suppression import Breakdown, Cell
from apps.analytics.reports.parameters import Period
from apps.kit.web import JSONResponse

CSV = "text/csv"


def respond(request: Request, document: Mapping[str, Any], rows: Sequence[object]) -> Response:
    """Answers `document` as JSON, or `rows` (dataclasses or mappings of one shape) as CSV."""
    headers = {"Vary": "Accept"}
    if not wants_csv(request.headers.get("accept", "")):
        return JSONResponse(document, headers=headers)
    return Response(render_csv(rows), media_type=f"{CSV}; charset=utf-8", headers=headers)


def wants_csv(accept: str) -> bool:
    """Tells whether an Accept header names CSV before JSON; qualities are not weighed."""
    for part in accept.split(","):
        media_type = part.partition(";")[0].strip().lower()
        if media_type == CSV:
            return True
        if media_type in ("application/json", "application/*", "*/*"):
            return False
    return False


def render_csv(rows: Sequence[object]) -> str:
    """Returns a header line and a line a row; nothing at all without rows."""
    out = io.StringIO()
    tables = [
        asdict(row) if is_dataclass(row) and not isinstance(row, type) else row for row in rows
    ]
    if tables:
        writer = csv.DictWriter(out, fieldnames=list(tables[0]), lineterminator="\r\n")  # type: ignore[call-overload]
        writer.writeheader()
        for table in tables:
            writer.writerow({name: _cell(value) for name, value in table.items()})  # type: ignore[attr-defined]
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    # A spreadsheet runs a text that begins so as a formula.
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def render_period(period: Period, points: Sequence[Any]) -> dict[str, Any]:
    """Returns the period as asked for; without a beginning, the first point's start."""
    return {
        "interval": period.interval,
        "timezone": period.timezone,
        "from": period.start or (points[0].start if points else None),
        "to": period.end,
    }


def render_breakdown(name: str, breakdown: Breakdown) -> dict[str, Any]:
    groups = [{name: group.name, "count": group.count} for group in breakdown.groups]
    return {"groups": groups, "suppressed": breakdown.suppressed}


def render_cells(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Returns cells of a table by age group and gender, with the share of those who have it."""
    return [
        {
            "ageGroup": cell.row,
            "gender": cell.column,
            "patients": cell.count,
            "population": cell.population,
            "share": round(cell.count / cell.population, 4) if cell.population else 0.0,
        }
        for cell in cells
    ]
