"""Who sees which page and may send which form: every route of the console stands in this table."""

import html
import re
from contextlib import closing

import pytest

from apps.catalogue import SERVICES
from apps.console.app import create_app
from apps.kit.web import every_route
from tests.console.sessions import Visitor, admin_client
from tests.test_architecture import local_environment, settings_of

pytestmark = pytest.mark.integration

STAFF = {"admin", "clinician", "registrar", "billing", "billing_manager"}
WRITES = {"admin", "clinician", "registrar"}
CARE = {"admin", "clinician"}
MONEY = {"admin", "billing", "billing_manager"}
APPROVERS = {"admin", "billing_manager"}
EVERYBODY = {*STAFF, "analyst", "patient"}
CHART = {*STAFF, "patient"}
ADMIN = {"admin"}
OWN = {"patient"}

PAGES: dict[str, set[str]] = {
    "/patients": STAFF,
    "/patients/new": WRITES,
    "/patients/similar": WRITES,
    "/patients/{id}/edit": WRITES,
    "/patients/{id}": CHART,
    "/patients/{id}/results": {*CARE, "patient"},
    "/patients/{id}/results/{observation}": {*CARE, "patient"},
    "/patients/{id}/timeline": CHART,
    "/patients/{id}/summary": CHART,
    "/patients/{id}/entries/{type}/{entry}": {*CARE, "patient"},
    "/patients/{id}/entries/{type}/{entry}/amend": CARE,
    "/patients/{id}/entries/{type}/{entry}/error": CARE,
    "/patients/{id}/write/vitals": CARE,
    "/patients/{id}/write/{kind}": CARE,
    "/patients/{id}/encounters/new": CARE,
    "/patients/{id}/encounters/{entry}/finish": CARE,
    "/patients/{id}/launch/{client}": STAFF,
    "/patients/{id}/applications": STAFF,
    "/cash-desk": MONEY,
    "/cash-desk/day": APPROVERS,
    "/reminders": MONEY,
    "/write-offs": APPROVERS,
    "/write-offs/{write_off}/approve": APPROVERS,
    "/write-offs/{write_off}/refuse": APPROVERS,
    "/patients/{id}/money/invoices/{invoice}/write-off": APPROVERS,
    "/figures": {"admin", "analyst"},
    "/figures/events": {"admin", "analyst"},
    "/figures/csv/{name}": {"admin", "analyst"},
    "/operations": ADMIN,
    "/operations/lag": ADMIN,
    "/operations/dead-letters/{service}/{letter}": ADMIN,
    "/operations/outbox/{service}/{row}": ADMIN,
    "/session": EVERYBODY,
    "/sign-out": EVERYBODY,
}
PREFIXES = {"/patients/{id}/money": MONEY, "/administration": ADMIN, "/my": OWN}
# Anybody's, without a session too.
PUBLIC = {
    "/",
    "/sign-in",
    "/sign-in/callback",
    "/signed-out",
    "/sign-out/back-channel",
    "/language",
    "/static/{name}",
    "/livez",
    "/readyz",
    "/{path}",
}
VALUES = {"type": "Condition", "kind": "condition", "name": "registrations"}
# Would end the session, or never end.
NOT_TRIED = {"/sign-out", "/figures/events"}


def allowed(path: str) -> set[str]:
    """Gives who may use a path; raises where the table does not say."""
    if path in PAGES:
        return PAGES[path]
    return next(roles for prefix, roles in PREFIXES.items() if path.startswith(prefix))


def guarded_operations() -> list[tuple[str, str]]:
    entry = SERVICES["console"]
    app = create_app(settings_of(entry, local_environment(entry)))
    return [
        (route.path_format, method)
        for route in every_route(app)
        if route.path_format not in PUBLIC | NOT_TRIED
        for method in route.operations
    ]


def concrete(path: str, patient_id: str) -> str:
    """Fills in a path: the patient is there, nothing else is."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        return patient_id if name == "id" else VALUES.get(name, "none")

    return re.sub(r"\{([a-z]+)\}", value, path)


@pytest.mark.parametrize(("path", "method"), guarded_operations())
def test_only_who_may_gets_through(
    visitors: dict[str, Visitor], patient_id: str, path: str, method: str
) -> None:
    target = concrete(path, patient_id)
    for role, visitor in visitors.items():
        form = {"csrf": visitor.csrf}
        answer = visitor.get(target) if method == "GET" else visitor.post(target, form)
        if role in allowed(path):
            assert answer.status_code != 403, f"{role} {method} {target}"
            assert answer.status_code not in (500, 502), f"{role} {method} {target}"
        else:
            assert answer.status_code == 403, f"{role} {method} {target}: {answer.status_code}"


@pytest.mark.parametrize(("path", "method"), guarded_operations())
def test_without_a_session_there_is_only_the_sign_in(path: str, method: str) -> None:
    target = concrete(path, "none")
    with closing(admin_client()) as http:
        # A bearer token opens nothing here.
        if method == "GET":
            answer = http.get(target, headers={"Accept": "text/html"})
            assert answer.status_code == 303
            assert answer.headers["Location"].startswith("/sign-in?next=")
        else:
            answer = http.post(target, data={"x": "1"}, headers={"Accept": "text/html"})
            assert answer.status_code == 401
            assert "/sign-in" in answer.text


def test_what_is_offered_can_be_opened(visitors: dict[str, Visitor], patient_id: str) -> None:
    for role, visitor in visitors.items():
        start = "/my" if role == "patient" else "/"
        pages = {start}
        if role not in ("patient", "analyst"):
            pages.add(f"/patients/{patient_id}")
        seen: set[str] = set()
        for page in pages:
            text = visitor.get(page).text
            seen |= {html.unescape(link) for link in re.findall(r'href="(/[^"#]*)"', text)}
        for link in sorted(seen):
            if link.startswith(("/docs", "/oauth2", "/static", "/sign-in")):
                continue
            answer = visitor.get(link)
            assert answer.status_code in (200, 303), f"{role} {link}: {answer.status_code}"


def test_form_of_another_site_is_refused(visitors: dict[str, Visitor]) -> None:
    visitor = visitors["registrar"]
    form = {"csrf": visitor.csrf, "q": "Matrix"}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = visitor.http.post("/patients", data=form, headers=headers)
        assert answer.status_code == 403


def test_form_with_an_old_token_is_asked_for_again(visitors: dict[str, Visitor]) -> None:
    answer = visitors["registrar"].post("/patients/new", {"csrf": "old", "family": "Typed & kept"})
    assert answer.status_code == 403
    assert 'name="family" value="Typed &amp; kept"' in answer.text


def test_pages_are_kept_nowhere_and_load_nothing_foreign(visitors: dict[str, Visitor]) -> None:
    answer = visitors["admin"].get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert not re.findall(r'(?:src|href)="https?://', answer.text)
    assert not re.findall(r"<script(?! src=)| style=| on[a-z]+=", answer.text)
