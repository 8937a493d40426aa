"""The routes of analytics and who may call them."""

from starlette.routing import BaseRoute

from apps.analytics.routes.care import (
    active_patients,
    demographics,
    encounters,
    immunization_coverage,
    population,
    prevalence,
    registrations,
    top_codes,
)
from apps.analytics.routes.live import events
from apps.analytics.routes.money import aging, billing, cancellations, payment_days, revenue
from apps.analytics.routes.operations import (
    dead_letter,
    dead_letters,
    discard_dead_letter,
    lag,
    redrive_dead_letter,
)
from apps.kit.web import Operation, PolicedRoute, scopes

READ = scopes("analytics.read")
OPERATE = scopes("admin")

ROOT = "/analytics/v1"


def analytics_routes() -> list[BaseRoute]:
    """Returns every route; figures need `analytics.read`, dead letters `admin`."""
    figures = {
        "/registrations": registrations,
        "/patients": population,
        "/patients/active": active_patients,
        "/demographics": demographics,
        "/encounters": encounters,
        "/conditions/top": top_codes("Condition", "conditions"),
        "/medications/top": top_codes("MedicationRequest", "medications"),
        "/procedures/top": top_codes("Procedure", "procedures"),
        "/immunizations/top": top_codes("Immunization", "immunizations"),
        "/immunizations/coverage": immunization_coverage,
        "/prevalence": prevalence,
        "/billing": billing,
        "/billing/revenue": revenue,
        "/billing/payment-days": payment_days,
        "/billing/cancellations": cancellations,
        "/aging": aging,
        "/events": events,
        "/lag": lag,
    }
    letter = f"{ROOT}/dead-letters/{{id}}"
    return [
        *(
            PolicedRoute(f"{ROOT}{path}", Operation("GET", endpoint, READ))
            for path, endpoint in figures.items()
        ),
        PolicedRoute(f"{ROOT}/dead-letters", Operation("GET", dead_letters, OPERATE)),
        PolicedRoute(letter, Operation("GET", dead_letter, OPERATE)),
        PolicedRoute(f"{letter}/redrive", Operation("POST", redrive_dead_letter, OPERATE)),
        PolicedRoute(f"{letter}/discard", Operation("POST", discard_dead_letter, OPERATE)),
    ]
