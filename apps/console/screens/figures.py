"""Figures of a period beside the period before: registrations, care and money; as plot, table
and CSV, live.
"""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

import aiohttp
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, load_all
from apps.console.screens.form_values import codes, day
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.plots import Plot, plot_bars
from apps.console.web.rendering import page, protect
from apps.console.web.texts import Texts, major_units
from apps.kit.errors import NotFound
from apps.kit.texts import N_
from apps.kit.web import Operation, scopes

READ = scopes("analytics.read")
BASE = "/analytics/v1"
DEFAULT_DAYS = 30
INTERVALS = {
    "day": N_("Day"),
    "week": N_("Week"),
    "month": N_("Month"),
    "quarter": N_("Quarter"),
    "year": N_("Year"),
}
# What can be had as CSV, and whether a period applies.
TABLES = {
    "registrations": True,
    "encounters": True,
    "patients/active": True,
    "demographics": False,
    "conditions/top": False,
    "billing": True,
    "billing/revenue": True,
    "aging": False,
}
AGES = {
    "not_due": N_("Not yet due"),
    "1-30": N_("Up to 30 days overdue"),
    "31-60": N_("31 to 60 days overdue"),
    "61-90": N_("61 to 90 days overdue"),
    "over_90": N_("More than 90 days overdue"),
}
# The groups of analytics' breakdowns.
GROUPS = (N_("male"), N_("female"), N_("other"), N_("unknown"))
MOST_BARS = 120


def read_period(request: Request) -> dict[str, Any]:
    """Reads the period that is asked for; the last 30 days without one."""
    texts = person_of(request).texts
    today = texts.now().date()
    query = request.query_params
    start_text, end_text = (day(query.get(name, ""), texts) for name in ("from", "to"))
    end = date.fromisoformat(end_text) if len(end_text) == 10 else today
    default = end - timedelta(days=DEFAULT_DAYS - 1)
    start = date.fromisoformat(start_text) if len(start_text) == 10 else default
    interval = query.get("interval", "day")
    length = max((end - start).days + 1, 1)
    return {
        "start": min(start, end),
        "end": end,
        "interval": interval if interval in INTERVALS else "day",
        "before_start": min(start, end) - timedelta(days=length),
        "before_end": min(start, end) - timedelta(days=1),
        "timezone": str(texts.time_zone),
    }


async def find(api: Api, name: str, period: dict[str, Any], *, before: bool = False) -> Any:
    """Gives a figure of the period, or of the one before."""
    prefix = "before_" if before else ""
    query = {
        "interval": period["interval"],
        "from": period[f"{prefix}start"].isoformat(),
        "to": period[f"{prefix}end"].isoformat(),
        "timezone": period["timezone"],
    }
    return (await api.get(f"{BASE}/{name}", query)).body


async def find_plain(api: Api, name: str) -> Any:
    """Gives a figure that has no period."""
    return (await api.get(f"{BASE}/{name}")).body


def step(moment: date, interval: str) -> date:
    """Gives the beginning of the next interval."""
    if interval == "day":
        return moment + timedelta(days=1)
    if interval == "week":
        return moment + timedelta(days=7)
    months = {"month": 1, "quarter": 3, "year": 12}[interval]
    total = moment.year * 12 + moment.month - 1 + months
    return date(total // 12, total % 12 + 1, 1)


def begin(moment: date, interval: str) -> date:
    """Gives the beginning of the interval that holds a day."""
    if interval == "week":
        return moment - timedelta(days=moment.weekday())
    if interval == "month":
        return moment.replace(day=1)
    if interval == "quarter":
        return date(moment.year, (moment.month - 1) // 3 * 3 + 1, 1)
    return date(moment.year, 1, 1) if interval == "year" else moment


def series(
    document: Any, name: str, *, start: date, end: date, interval: str, texts: Texts
) -> list[tuple[str, float]]:
    """Gives a value for each interval, also for those in which nothing happened."""
    found: dict[date, float] = {}
    for point in fhir.as_list(fhir.as_dict(document).get("points")):
        moment = texts.moment(str(point.get("start", ""))).date()
        found[moment] = found.get(moment, 0.0) + float(point.get(name, 0) or 0)
    values: list[tuple[str, float]] = []
    moment = begin(start, interval)
    while moment <= end and len(values) < MOST_BARS:
        values.append((texts.date(moment), found.get(moment, 0.0)))
        moment = step(moment, interval)
    return values


def compare(
    now: Any, before: Any, name: str, period: dict[str, Any], texts: Texts
) -> tuple[Plot | None, float, float, list[tuple[str, float]]]:
    """Gives plot, total, total before, and the values for the table."""
    interval = period["interval"]
    values = series(
        now, name, start=period["start"], end=period["end"], interval=interval, texts=texts
    )
    old = series(
        before,
        name,
        start=period["before_start"],
        end=period["before_end"],
        interval=interval,
        texts=texts,
    )
    totals = [sum(value for _, value in each) for each in (values, old)]
    return plot_bars(values, [value for _, value in old]), totals[0], totals[1], values


def compare_money(
    now: Any, before: Any, period: dict[str, Any], texts: Texts
) -> list[dict[str, Any]]:
    """Gives for each currency the totals of both periods, and what was invoiced by interval as
    plot and values.
    """
    old = {each["currency"]: each for each in fhir.as_list(fhir.as_dict(before).get("totals"))}
    found = []
    for total in fhir.as_list(fhir.as_dict(now).get("totals")):
        currency = total["currency"]
        own, former = (_of_currency(each, currency) for each in (now, before))
        plot, _, _, values = compare(own, former, "invoiced", period, texts)
        found.append(
            {"total": total, "before": old.get(currency, {}), "plot": plot, "values": values}
        )
    return found


def _of_currency(document: Any, currency: str) -> dict[str, Any]:
    """Gives the points of one currency, in its whole units."""
    points = [
        {
            "start": each["start"],
            "invoiced": major_units({"minorUnits": each["invoiced"], "currency": currency}),
        }
        for each in fhir.as_list(fhir.as_dict(document).get("points"))
        if each["currency"] == currency
    ]
    return {"points": points}


def sum_by_group(revenue: Any) -> list[dict[str, Any]]:
    """Adds up the revenue of a period by group and currency, the largest first."""
    sums: dict[tuple[str, str], int] = {}
    for each in fhir.as_list(fhir.as_dict(revenue).get("points")):
        key = (str(each["name"]), str(each["currency"]))
        sums[key] = sums.get(key, 0) + int(each["net"])
    return [
        {"name": name, "net": {"minorUnits": net, "currency": currency}}
        for (name, currency), net in sorted(sums.items(), key=lambda item: -item[1])
    ]


async def show(request: Request) -> Response:
    """Shows the figures."""
    person = person_of(request)
    api, texts, period = person.api, person.texts, read_period(request)
    parts = await load_all(
        registrations=find(api, "registrations", period),
        registrations_before=find(api, "registrations", period, before=True),
        encounters=find(api, "encounters", period),
        encounters_before=find(api, "encounters", period, before=True),
        demographics=find_plain(api, "demographics"),
        conditions=find_plain(api, "conditions/top"),
        billing=find(api, "billing", period),
        billing_before=find(api, "billing", period, before=True),
        revenue=find(api, "billing/revenue", period),
        aging=find_plain(api, "aging"),
    )
    compared = {
        name: compare(parts[name].value, parts[f"{name}_before"].value, "count", period, texts)
        for name in ("registrations", "encounters")
    }
    link = {
        "interval": period["interval"],
        "from": period["start"].isoformat(),
        "to": period["end"].isoformat(),
    }
    return page(
        request,
        "figures/figures.html",
        parts=parts,
        compared=compared,
        money=compare_money(parts["billing"].value, parts["billing_before"].value, period, texts),
        groups=sum_by_group(parts["revenue"].value),
        period=period,
        intervals=INTERVALS,
        ages=AGES,
        names={code: display for _, code, display in codes("condition")},
        link=urlencode(link),
        values={
            "from": texts.short_date(period["start"]),
            "to": texts.short_date(period["end"]),
            "interval": period["interval"],
        },
    )


async def send_csv(request: Request) -> Response:
    """Answers a figure as CSV, for a spreadsheet."""
    name = request.path_params["name"]
    if name not in TABLES:
        raise NotFound("not_found")
    period = read_period(request)
    query = {
        "interval": period["interval"],
        "from": period["start"].isoformat(),
        "to": period["end"].isoformat(),
        "timezone": period["timezone"],
    }
    path = f"{BASE}/{name}" + ("?" + urlencode(query) if TABLES[name] else "")
    answer = await person_of(request).api.send("GET", path, accept="text/csv")
    content = answer.body if isinstance(answer.body, bytes) else b""
    response = Response(content, media_type="text/csv; charset=utf-8")
    file_name = name.replace("/", "-")
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name}.csv"'
    protect(response)
    return response


async def listen(request: Request) -> Response:
    """Passes on that figures changed (server-sent events); the page then asks for itself again."""
    api = person_of(request).api
    # Opened here: a refusal is answered as such, not as an empty stream.
    answer = await api.open_stream(f"{BASE}/events")

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in answer.content.iter_any():
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError):
            return
        finally:
            answer.close()

    return StreamingResponse(pieces(), media_type="text/event-stream")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute("/figures", Operation("GET", show, READ)),
        ScreenRoute("/figures/events", Operation("GET", listen, READ)),
        ScreenRoute("/figures/csv/{name:path}", Operation("GET", send_csv, READ)),
    ]
