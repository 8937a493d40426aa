"""The pages, one module a screen; each module gives its routes."""

from importlib import import_module

from starlette.routing import BaseRoute

SCREENS = ("home", "patients", "registration", "chart", "results", "timeline", "entries", "summary")


def screen_routes() -> list[BaseRoute]:
    """Gives the routes of every screen."""
    found: list[BaseRoute] = []
    for name in SCREENS:
        found += import_module(f"apps.console.screens.{name}").routes()
    return found
