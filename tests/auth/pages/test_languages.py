"""The language of pages and mails: the application's wish, the person's choice, the browser's."""

import ast
import re
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from apps.auth import pages
from apps.auth.people.mail import factor_changed, invitation
from apps.auth.texts import Texts
from apps.kit.catalogues import each_text
from apps.kit.texts import LANGUAGES
from tests.auth.browser import App, Browser
from tests.auth.conftest import Auth

FOLDER = Path(pages.__file__).parent
# Two words and more, as a person reads them; codes and SQL look otherwise.
SENTENCE = re.compile(r"[A-Z][a-z']* [a-z].*")
SPANISH = {"Accept-Language": "es-MX,en;q=0.5"}


def language_of(page: str) -> str:
    found = re.search(r'<html lang="([a-z]+)">', page)
    assert found, page
    return found[1]


def spanish_browser(auth: Auth) -> Browser:
    browser = Browser(auth)
    browser.http.headers.update(SPANISH)
    return browser


def choose(browser: Browser, page: str, language: str) -> str:
    """Presses a button at the foot of the page; returns the page after it."""
    foot = page[page.index('action="/oauth2/language"') :]
    fields = dict(re.findall(r'name="(csrf|here)" value="([^"]*)"', foot))
    fields["here"] = fields["here"].replace("&amp;", "&")
    answer = browser.http.post("/oauth2/language", data={**fields, "language": language})
    assert answer.status_code == 303
    return browser.get(answer.headers["location"]).text


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_sentence_of_a_page_is_outside_the_catalogue(path: Path) -> None:
    """Each text that the code gives to a page is marked for the catalogues."""
    marked = set(each_text(FOLDER.parent))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    found = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and SENTENCE.match(node.value)
        and node.value not in docstrings
    ]
    assert [text for text in found if text not in marked] == []


@pytest.mark.integration
def test_page_follows_the_browser(auth: Auth) -> None:
    for accepted, language, heading in (
        ("es-MX,en;q=0.5", "es", "<h1>Iniciar sesión</h1>"),
        ("fr", "en", "<h1>Sign in</h1>"),
    ):
        browser = Browser(auth)
        browser.http.headers["Accept-Language"] = accepted
        page = browser.get("/oauth2/sign-in").text
        assert (language_of(page), heading in page) == (language, True)


@pytest.mark.integration
def test_applications_wish_goes_before_the_browsers_to_the_end_of_the_sign_in(auth: Auth) -> None:
    user, app, browser = auth.user("clinician"), App(auth), Browser(auth)
    page = browser.get(app.url(ui_locales="fr-CA es-MX en"))
    assert language_of(page.text) == "es"
    again = browser.sign_in(user.email, "wrong", page=page)
    assert "La dirección de correo o la contraseña no es correcta." in again.text
    consent = browser.sign_in(user.email, page=again)
    assert "¿Permitir Test client?" in consent.text
    assert "Leer y buscar todos los registros de tipo Patient" in consent.text
    assert browser.send(consent, decision="allow").headers["location"].startswith(app.callback)


@pytest.mark.integration
def test_pushed_request_has_a_wish_too(auth: Auth) -> None:
    app, browser = App(auth), Browser(auth)
    query = parse_qs(urlsplit(app.url(ui_locales="es")).query)
    form = {name: values[0] for name, values in query.items()}
    pushed = httpx.post(f"{auth.url}/oauth2/par", auth=app.client, data=form).json()
    reference = {"client_id": app.client[0], "request_uri": pushed["request_uri"]}
    page = browser.get(
        str(browser.http.build_request("GET", "/oauth2/authorize", params=reference).url)
    )
    assert language_of(page.text) == "es"
    chosen = choose(browser, page.text, "en")
    assert language_of(chosen) == "en"


@pytest.mark.integration
def test_persons_choice_goes_before_the_applications_wish_and_stays(auth: Auth) -> None:
    user, app, browser = auth.user("clinician"), App(auth), spanish_browser(auth)
    page = browser.get(app.url(ui_locales="es")).text
    chosen = choose(browser, page, "en")
    assert language_of(chosen) == "en"
    # The sign-in goes on to the application.
    assert "code_challenge" in chosen
    assert language_of(browser.get("/oauth2/account").text) == "en"
    browser.sign_in(user.email)
    account = choose(browser, browser.get("/oauth2/account").text, "es")
    assert "<h1>Su cuenta</h1>" in account


@pytest.mark.integration
def test_language_is_chosen_on_the_page_after_signing_out(auth: Auth) -> None:
    user, browser = auth.user("analyst"), Browser(auth)
    browser.sign_in(user.email)
    page = browser.send(browser.get("/oauth2/logout"))
    assert "You are signed out" in page.text
    assert "Sesión cerrada" in choose(browser, page.text, "es")


@pytest.mark.integration
def test_choice_on_a_form_that_was_refused_loses_no_link(auth: Auth) -> None:
    user, browser = auth.user("clinician", password=None), Browser(auth)
    page = browser.get(auth.reset_link(user.id))
    refused = browser.send(page, new_password="short")
    chosen = choose(browser, refused.text, "es")
    assert "<h1>Elija su contraseña</h1>" in chosen and "token" in chosen


@pytest.mark.integration
@pytest.mark.parametrize(
    ("here", "language"),
    [("https://evil.example/", "es"), ("//evil.example", "es"), ("/oauth2/sign-in", "xx")],
)
def test_choice_leads_nowhere_else(auth: Auth, here: str, language: str) -> None:
    browser = Browser(auth)
    page = browser.get("/oauth2/sign-in").text
    found = re.search(r'name="csrf" value="([^"]*)"', page)
    assert found
    fields = {"csrf": found[1], "here": here, "language": language}
    answer = browser.http.post("/oauth2/language", data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/oauth2/account")
    assert "set-cookie" not in answer.headers


@pytest.mark.integration
def test_codes_that_are_shown_once_are_not_lost_to_a_choice(auth: Auth) -> None:
    user, browser = auth.user("analyst"), Browser(auth)
    browser.sign_in(user.email)
    assert "/oauth2/language" in browser.get("/oauth2/account").text
    browser.get("/oauth2/recovery-codes")
    page = browser.get("/oauth2/confirm-password?then=recovery-codes")
    codes = browser.send(browser.send(page, password="correct horse battery"))
    assert "Keep your recovery codes" in codes.text
    assert "/oauth2/language" not in codes.text


@pytest.mark.integration
def test_page_of_an_error_is_in_the_persons_language(auth: Auth) -> None:
    browser = spanish_browser(auth)
    page = browser.http.post("/oauth2/sign-in", data={"csrf": "another"})
    assert page.status_code == 403 and "Este formulario es demasiado antiguo" in page.text
    assert "La petición de la aplicación no es válida" in browser.get("/oauth2/authorize").text
    # What a script shows.
    browser.http.headers["Accept"] = "application/json"
    answer = browser.http.post("/oauth2/passkeys/sign-in/options")
    assert answer.json()["detail"].startswith("Este formulario es demasiado antiguo")


@pytest.mark.integration
def test_discovery_names_the_languages(auth: Auth) -> None:
    for name in ("openid-configuration", "oauth-authorization-server"):
        document = Browser(auth).get(f"/.well-known/{name}").json()
        assert document["ui_locales_supported"] == list(LANGUAGES)


@pytest.mark.integration
def test_mail_is_in_the_language_of_whoever_asked(auth: Auth) -> None:
    user, browser = auth.user("clinician"), spanish_browser(auth)
    browser.sign_in(user.email)
    page = browser.get("/oauth2/password")
    browser.send(page, password="correct horse battery", new_password="un secreto nuevo y largo")
    (mail,) = auth.sql("SELECT subject, body FROM mails WHERE recipient = $1", user.email)
    assert mail["subject"] == "Se ha cambiado su contraseña"
    assert mail["body"].startswith("Su cuenta en Gestión de pacientes tiene una contraseña nueva.")


@pytest.mark.integration
def test_invitation_is_in_the_language_of_the_administrators_request(auth: Auth) -> None:
    token = auth.login(auth.user("admin").email).json()["token"]
    email = f"{secrets.token_hex(6)}@example.org"
    body = {"email": email, "name": "Ana", "roles": ["clinician"], "invite": True}
    headers = {"Authorization": f"Bearer {token}", **SPANISH}
    httpx.post(f"{auth.url}/auth/v1/users", json=body, headers=headers).raise_for_status()
    (mail,) = auth.sql("SELECT subject FROM mails WHERE recipient = $1", email)
    assert mail["subject"] == "Invitación a Gestión de pacientes"


def test_mail_fills_in_what_it_tells() -> None:
    texts = Texts.choose(("es",), "")
    mail = invitation(texts, "ana@example.org", "https://clinic.example/{x}")
    assert "24 horas:\nhttps://clinic.example/{x}\n" in mail.body
    changed = factor_changed(texts, "ana@example.org", "a passkey was added to it")
    assert "ha cambiado: se le añadió una llave de acceso." in changed.body
