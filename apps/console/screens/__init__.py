"""The pages, one module a screen; each module gives its routes."""

from importlib import import_module

from starlette.routing import BaseRoute

from apps.console.screens import home

SCREENS = (
    "home",
    "patients",
    "registration",
    "chart",
    "results",
    "timeline",
    "entries",
    "summary",
    "vital_signs",
    "writing",
    "encounters",
    "launch",
    "money.account",
    "money.charges",
    "money.invoices",
    "money.payments",
    "money.allocation",
    "money.corrections",
    "money.coverages",
    "money.write_offs",
    "money.reminders",
    "money.statements",
    "money.cash_desk",
    "figures",
    "administration.people",
    "administration.applications",
    "administration.audit",
    "administration.prices",
    "administration.settings",
    "operations",
    "my",
    "my_accesses",
)


def screen_routes() -> list[BaseRoute]:
    """Gives the routes of every screen."""
    found: list[BaseRoute] = []
    for name in SCREENS:
        found += import_module(f"apps.console.screens.{name}").routes()
    return found


def last_routes() -> list[BaseRoute]:
    """Gives the route of every path that is left over."""
    return home.last_routes()
