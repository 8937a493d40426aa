"""Figures of money over HTTP: integers in minor units, always with their currency."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.analytics.reports.money import (
    MoneyPoint,
    select_aging,
    select_cancellations,
    select_money,
    select_payment_days,
    select_revenue,
)
from apps.analytics.reports.parameters import parse_choice, parse_day, parse_period
from apps.analytics.routes.rendering import render_period, respond


async def billing(request: Request) -> Response:
    """Returns what was charged, invoiced, paid and refunded in each interval, and what stood
    open after it.
    """
    period = parse_period(request.query_params)
    async with request.state.database.connection() as connection:
        points = await select_money(connection, period)
    document = {**render_period(period, points), "totals": totals_of(points), "points": points}
    return respond(request, document, points)


def totals_of(points: list[MoneyPoint]) -> list[dict[str, Any]]:
    """Adds up the points of each currency; `outstanding` is the last one's."""
    totals: dict[str, dict[str, Any]] = {}
    for point in points:
        total = totals.setdefault(
            point.currency,
            {"currency": point.currency, "charged": 0, "invoiced": 0, "paid": 0, "refunded": 0},
        )
        total["charged"] += point.charged
        total["invoiced"] += point.invoiced
        total["paid"] += point.paid
        total["refunded"] += point.refunded
        total["outstanding"] = point.outstanding
    return [totals[currency] for currency in sorted(totals)]


async def revenue(request: Request) -> Response:
    """Returns revenue, which is invoices less credit notes, by interval and revenue
    group or payer.
    """
    period = parse_period(request.query_params, "by")
    grouped_by = parse_choice(request.query_params, "by", ("group", "payer"))
    async with request.state.database.connection() as connection:
        points = await select_revenue(connection, period, grouped_by)
    document = {**render_period(period, points), "by": grouped_by, "points": points}
    return respond(request, document, points)


async def aging(request: Request) -> Response:
    """Returns open invoices by days past their due date, at the end of a day (`on`)."""
    period = parse_period(request.query_params, "on")
    on = parse_day(request.query_params, "on", period.timezone)
    async with request.state.database.connection() as connection:
        ages = await select_aging(connection, on, period.timezone)
    document = {"on": on, "timezone": period.timezone, "ages": ages}
    return respond(request, document, ages)


async def payment_days(request: Request) -> Response:
    period = parse_period(request.query_params)
    async with request.state.database.connection() as connection:
        points = await select_payment_days(connection, period)
    document = {
        **render_period(period, points),
        "points": [
            {
                "start": point.start,
                "currency": point.currency,
                "invoices": point.invoices,
                "meanDays": point.mean_days,
                "medianDays": point.median_days,
            }
            for point in points
        ],
    }
    return respond(request, document, points)


async def cancellations(request: Request) -> Response:
    period = parse_period(request.query_params)
    async with request.state.database.connection() as connection:
        points = await select_cancellations(connection, period)
    return respond(request, {**render_period(period, points), "points": points}, points)
