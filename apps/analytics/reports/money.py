"""The SQL that reads figures of money. Amounts are integers in minor units, always by currency.

Everything counts at its `effective_at`, so a late or corrected event changes the day it belongs to.
"""

from dataclasses import dataclass
from datetime import date, datetime

from apps.analytics.reports.care import bounded
from apps.analytics.reports.parameters import MAX_POINTS, Period
from apps.kit.database import Connection

AGES = ("not_due", "1-30", "31-60", "61-90", "over_90")

_IN_PERIOD = (
    "effective_at >= coalesce($1, '-infinity'::timestamptz)"
    " AND effective_at < coalesce($2, 'infinity'::timestamptz)"
)


@dataclass(frozen=True, slots=True)
class MoneyPoint:
    """`outstanding`: what stood open on invoices at the end of the interval. Tax is
    in `invoiced`.
    """

    start: datetime
    currency: str
    charged: int
    invoiced: int
    paid: int
    refunded: int
    outstanding: int


@dataclass(frozen=True, slots=True)
class RevenuePoint:
    """What invoices brought less what credit notes took back. `name`: the group or the payer."""

    start: datetime
    currency: str
    name: str
    net: int
    tax: int


@dataclass(frozen=True, slots=True)
class AgePoint:
    """Open invoices by days past their due date. `age`: one of AGES."""

    currency: str
    age: str
    invoices: int
    amount: int


@dataclass(frozen=True, slots=True)
class PaymentDays:
    """Invoices that were fully paid in the interval, and their days from issue to payment."""

    start: datetime
    currency: str
    invoices: int
    mean_days: float
    median_days: float


@dataclass(frozen=True, slots=True)
class CancellationPoint:
    """Invoices issued in the interval, and how many of them were cancelled since."""

    start: datetime
    currency: str
    issued: int
    cancelled: int
    share: float


async def select_money(connection: Connection, period: Period) -> list[MoneyPoint]:
    """Returns a point for each interval and currency in which something happened."""
    rows = await connection.fetch(
        """
        WITH open_change AS (
            SELECT currency, effective_at, open - coalesce(
                lag(open) OVER (PARTITION BY invoice_id ORDER BY version), 0) AS amount
            FROM invoice_version
        ), movement AS (
            SELECT effective_at, currency, 'charged' AS kind, net AS amount
                FROM charge WHERE NOT voided
            UNION ALL SELECT effective_at, currency, 'invoiced', net + tax FROM revenue
            UNION ALL SELECT effective_at, currency,
                CASE WHEN refund_id = '' THEN 'paid' ELSE 'refunded' END, abs(amount) FROM payment
            UNION ALL SELECT effective_at, currency, 'open', amount FROM open_change
        ), point AS (
            SELECT date_trunc($3, effective_at, $4) AS start, currency,
                coalesce(sum(amount) FILTER (WHERE kind = 'charged'), 0)::bigint AS charged,
                coalesce(sum(amount) FILTER (WHERE kind = 'invoiced'), 0)::bigint AS invoiced,
                coalesce(sum(amount) FILTER (WHERE kind = 'paid'), 0)::bigint AS paid,
                coalesce(sum(amount) FILTER (WHERE kind = 'refunded'), 0)::bigint AS refunded,
                coalesce(sum(amount) FILTER (WHERE kind = 'open'), 0)::bigint AS opened
            FROM movement
            WHERE effective_at < coalesce($2, 'infinity'::timestamptz)
            GROUP BY 1, 2
        ), standing AS (
            SELECT *, (sum(opened) OVER (PARTITION BY currency ORDER BY start))::bigint
                AS outstanding
            FROM point
        )
        SELECT start, currency, charged, invoiced, paid, refunded, outstanding FROM standing
        WHERE start >= coalesce(date_trunc($3, $1, $4), '-infinity'::timestamptz)
        ORDER BY start, currency LIMIT $5
        """,
        period.start,
        period.end,
        period.interval,
        period.timezone,
        MAX_POINTS + 1,
    )
    return bounded([MoneyPoint(**row) for row in rows])


async def select_revenue(
    connection: Connection, period: Period, grouped_by: str
) -> list[RevenuePoint]:
    """Returns revenue by `group` or `payer`; an empty name is the patient as payer, or no group."""
    column = {"group": "revenue_group", "payer": "payer_id"}[grouped_by]
    rows = await connection.fetch(
        f"""
        SELECT date_trunc($3, effective_at, $4) AS start, currency, {column} AS name,
            sum(net)::bigint AS net, sum(tax)::bigint AS tax
        FROM revenue WHERE {_IN_PERIOD}
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $5
        """,  # noqa: S608
        period.start,
        period.end,
        period.interval,
        period.timezone,
        MAX_POINTS + 1,
    )
    return bounded([RevenuePoint(**row) for row in rows])


async def select_aging(connection: Connection, on: date, timezone: str) -> list[AgePoint]:
    """Returns open invoices by age as of the end of day `on`; without a due date
    they are not due.
    """
    rows = await connection.fetch(
        """
        WITH standing AS (
            SELECT DISTINCT ON (invoice_id) currency, open, $1::date - due_on AS days
            FROM invoice_version
            WHERE effective_at < (($1::date + 1)::timestamp AT TIME ZONE $2)
            ORDER BY invoice_id, version DESC
        )
        SELECT currency,
            CASE WHEN coalesce(days, 0) <= 0 THEN 'not_due' WHEN days <= 30 THEN '1-30'
                WHEN days <= 60 THEN '31-60' WHEN days <= 90 THEN '61-90' ELSE 'over_90' END AS age,
            count(*) AS invoices, sum(open)::bigint AS amount
        FROM standing WHERE open > 0 GROUP BY 1, 2
        """,
        on,
        timezone,
    )
    points = [AgePoint(**row) for row in rows]
    return sorted(points, key=lambda point: (point.currency, AGES.index(point.age)))


async def select_payment_days(connection: Connection, period: Period) -> list[PaymentDays]:
    rows = await connection.fetch(
        f"""
        WITH latest AS (
            SELECT DISTINCT ON (invoice_id) currency, event_type, open, issued_on, effective_at
            FROM invoice_version ORDER BY invoice_id, version DESC
        ), settled AS (
            SELECT currency, effective_at, (effective_at AT TIME ZONE $4)::date - issued_on AS days
            FROM latest WHERE event_type = 'invoice.paid' AND open = 0 AND {_IN_PERIOD}
        )
        SELECT date_trunc($3, effective_at, $4) AS start, currency, count(*) AS invoices,
            round(avg(days), 2)::float8 AS mean_days,
            (percentile_cont(0.5) WITHIN GROUP (ORDER BY days))::float8 AS median_days
        FROM settled GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $5
        """,  # noqa: S608
        period.start,
        period.end,
        period.interval,
        period.timezone,
        MAX_POINTS + 1,
    )
    return bounded([PaymentDays(**row) for row in rows])


async def select_cancellations(connection: Connection, period: Period) -> list[CancellationPoint]:
    rows = await connection.fetch(
        f"""
        WITH issued AS (
            SELECT invoice_id, currency, effective_at FROM invoice_version
            WHERE event_type = 'invoice.issued' AND {_IN_PERIOD}
        ), cancelled AS (
            SELECT DISTINCT invoice_id FROM invoice_version WHERE event_type = 'invoice.cancelled'
        )
        SELECT date_trunc($3, effective_at, $4) AS start, currency, count(*) AS issued,
            count(cancelled.invoice_id) AS cancelled,
            round(count(cancelled.invoice_id)::numeric / count(*), 4)::float8 AS share
        FROM issued LEFT JOIN cancelled USING (invoice_id)
        GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $5
        """,  # noqa: S608
        period.start,
        period.end,
        period.interval,
        period.timezone,
        MAX_POINTS + 1,
    )
    return bounded([CancellationPoint(**row) for row in rows])
