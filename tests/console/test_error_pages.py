"""Each refusal is a page where a browser asks for HTML, in the reader's language, with
the request's id.
"""

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.requests import Request
from starlette.responses import Response

from apps.catalogue import SERVICES
from apps.console.web.rendering import render
from apps.console.web.texts import SENTENCES, choose_texts
from apps.kit.context import read_context, use_context
from apps.kit.errors import Problem
from tests.test_architecture import local_environment, settings_of

STATUSES = (400, 401, 403, 404, 409, 410, 413, 429, 500, 503)


def refusal(status: int, accept: str, language: str = "en", method: str = "POST") -> Response:
    """Renders a problem with this status for a client that asks so."""
    settings: Any = settings_of(SERVICES["console"], local_environment(SERVICES["console"]))
    headers = {"accept": accept, "accept-language": language}
    scope = {
        "type": "http",
        "method": method,
        "path": "/patients/new",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "state": {"settings": settings},
    }
    problem = Problem("a_code", "<b>a detail</b>", headers={"Retry-After": "7"})
    problem.status = status
    with use_context(read_context("request-1", None)):
        return render(Request(scope), problem)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("language", ["en", "es"])
def test_browser_gets_a_page_in_its_language(status: int, language: str) -> None:
    answer = refusal(status, "text/html,*/*;q=0.8", language)
    page = bytes(answer.body).decode()
    assert (answer.status_code, answer.media_type) == (status, "text/html")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Retry-After"] == "7"
    texts = choose_texts("", language, ZoneInfo("UTC"))
    assert f"<h1>{texts.gettext(SENTENCES[status])}</h1>" in page
    assert f'<html lang="{language}"' in page
    assert "request-1" in page
    assert "<b>a detail</b>" not in page


def test_page_that_needs_a_sign_in_leads_there() -> None:
    answer = refusal(401, "text/html", method="GET")
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        "/sign-in?next=%2Fpatients%2Fnew",
    )


@pytest.mark.parametrize("status", STATUSES)
def test_program_gets_problem_details(status: int) -> None:
    answer = refusal(status, "application/json")
    assert answer.media_type == "application/problem+json"
    problem = json.loads(bytes(answer.body))
    assert (problem["status"], problem["requestId"]) == (status, "request-1")
