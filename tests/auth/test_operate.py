"""The operators' verbs on the auth service, as `scripts/operate` starts them."""

import base64
import io
import json
import logging
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from apps.auth.__main__ import main
from apps.verbs import VERBS
from tests.auth.browser import Browser
from tests.auth.conftest import PASSWORD, Auth

pytestmark = pytest.mark.integration


def variables(auth: Auth, environment: str = "local") -> dict[str, str]:
    settings = auth.settings
    return {
        "ENVIRONMENT": environment,
        "PORT": str(settings.port),
        "PUBLIC_URL": settings.issuer if environment == "local" else "https://health.example",
        "AUTH_DATABASE_URL": settings.database.url,
        "AUTH_KEY_ENCRYPTION_KEY": base64.urlsafe_b64encode(settings.key_encryption_key).decode(),
    }


def operate(
    auth: Auth, *words: str, environment: str = "local"
) -> subprocess.CompletedProcess[str]:
    """Runs a verb as a process of its own would, in this one: to start one takes a second."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        for name, value in variables(auth, environment).items():
            patch.setenv(name, value)
        # Logging is the whole process's.
        patch.setattr("apps.kit.operate.configure_logging", lambda log_format: None)
        patch.setattr(logging.getLogger(), "setLevel", lambda level: None)
        try:
            status = main(["operate", *words])
        except SystemExit as ended:
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(words, status, output.getvalue(), errors.getvalue())


def answer(auth: Auth, *words: str) -> Any:
    done = operate(auth, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    # On AWS what is not secret passes through a log, which names nobody.
    assert VERBS[" ".join(words[:2])].secret or "@" not in done.stdout
    return json.loads(done.stdout.splitlines()[-1])["answer"]


def refusal(auth: Auth, *words: str) -> str:
    done = operate(auth, *words)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    reason: str = json.loads(done.stdout.splitlines()[-1])["refused"]
    return reason


def set_password(auth: Auth, link: str) -> None:
    browser = Browser(auth)
    browser.send(browser.get(link), new_password=PASSWORD)


def audited(auth: Auth, event: str) -> Any:
    (row,) = auth.sql(
        "SELECT actor_id, subject FROM audit WHERE event = $1 ORDER BY occurred_at DESC LIMIT 1",
        event,
    )
    assert row["actor_id"] == "operator"
    return row["subject"]


def test_verb_runs_in_a_process_of_its_own(auth: Auth) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.auth", "operate", "users", "list"],
        env={**os.environ, **variables(auth)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert isinstance(json.loads(done.stdout.splitlines()[-1])["answer"], list)


def test_first_administrator_is_created_once_and_sets_a_password(auth: Auth) -> None:
    auth.sql("UPDATE users SET disabled_at = now() WHERE 'admin' = ANY(roles)")
    made = answer(auth, "users", "first-admin", "first@example.org")
    set_password(auth, made["link"])
    assert auth.login("first@example.org").status_code == 200
    assert "there is an administrator" in refusal(
        auth, "users", "first-admin", "second@example.org"
    )
    assert audited(auth, "user_created") == made["id"]


def test_user_is_created_found_and_reset(auth: Auth) -> None:
    made = answer(
        auth, "users", "create", "ada@example.org", "--role=clinician", "--name=Ada Quist"
    )
    set_password(auth, made["link"])
    assert auth.login("ada@example.org").status_code == 200
    assert "there is a user" in refusal(auth, "users", "create", "ADA@example.org", "--role=admin")
    for text in ("ADA@", "ada quist", made["id"]):
        (found,) = answer(auth, "users", "find", text)
        assert (found["id"], found["roles"], found["state"]) == (
            made["id"],
            ["clinician"],
            "active",
        )
    assert made["id"] in [each["id"] for each in answer(auth, "users", "list")]
    link = answer(auth, "users", "reset", "ada@example.org")["link"]
    assert "Set your password" in Browser(auth).get(link).text


def test_locked_user_is_let_in_again(auth: Auth) -> None:
    user = auth.user("clinician")
    address = "198.51.100.77"
    for _ in range(7):
        auth.login(user.email, "wrong", address)
    auth.sql(
        "UPDATE attempts SET locked_until = now() + interval '1 minute' "
        "WHERE kind = 'pair' AND failures > 4"
    )
    assert auth.login(user.email, address=address).status_code == 429
    answer(auth, "users", "unlock", user.email)
    assert auth.login(user.email, address=address).status_code == 200
    assert audited(auth, "user_unlocked") == user.id


def test_roles_are_replaced_and_what_the_user_holds_ends(auth: Auth) -> None:
    user = auth.user("clinician")
    changed = answer(auth, "users", "roles", user.email, "--role=analyst", "--role=billing")
    assert changed["roles"] == ["analyst", "billing"]
    assert auth.sql("SELECT 1 FROM revocations WHERE kind = 'subject' AND id = $1", user.id)
    assert "has a record of its own" in refusal(
        auth, "users", "roles", user.email, "--role=patient"
    )


def test_user_is_disabled_and_enabled(auth: Auth) -> None:
    user = auth.user("clinician")
    answer(auth, "users", "disable", user.email)
    assert auth.login(user.email).status_code == 401
    assert auth.sql("SELECT 1 FROM revocations WHERE kind = 'subject' AND id = $1", user.id)
    answer(auth, "users", "enable", user.email)
    assert auth.login(user.email).status_code == 200


def test_second_factor_of_a_lost_device_is_removed(auth: Auth) -> None:
    user = auth.user("clinician")
    auth.sql("UPDATE users SET totp_enabled = true, totp_secret = 'x' WHERE id = $1", user.id)
    auth.sql(
        "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, name) "
        "VALUES (gen_random_uuid(), $1, 'lost', 'key', 0, 'Lost phone')",
        user.id,
    )
    auth.sql("UPDATE users SET has_passkey = true WHERE id = $1", user.id)
    assert auth.login(user.email).status_code == 403
    answer(auth, "users", "second-factor-off", user.email)
    assert auth.login(user.email).status_code == 200
    assert auth.sql("SELECT 1 FROM passkeys WHERE user_id = $1", user.id) == []
    (mail,) = auth.sql("SELECT body FROM mails WHERE recipient = $1", user.email)
    assert "its second factor was removed" in mail["body"]


def test_user_is_deleted_and_stays_in_the_audit(auth: Auth) -> None:
    user = auth.user("clinician")
    auth.login(user.email)
    assert answer(auth, "users", "delete", user.email) == {"deleted": user.id}
    assert auth.login(user.email).status_code == 401
    assert auth.sql("SELECT 1 FROM revocations WHERE kind = 'subject' AND id = $1", user.id)
    events = [each["event"] for each in answer(auth, "audit", "search", f"--subject={user.id}")]
    assert events == ["user_deleted", "sign_in"]


def test_client_is_created_rotated_and_switched(auth: Auth) -> None:
    made = answer(auth, "clients", "create", "Loader", "--scope=system/*.cruds")
    credentials = (made["id"], made["secret"])
    assert auth.token_for(credentials).status_code == 200
    rotated = answer(auth, "clients", "rotate-secret", made["id"])
    assert auth.token_for(credentials).status_code == 401
    credentials = (made["id"], rotated["secret"])
    assert auth.token_for(credentials).status_code == 200
    answer(auth, "clients", "disable", made["id"])
    assert auth.token_for(credentials).status_code == 401
    answer(auth, "clients", "enable", made["id"])
    assert auth.token_for(credentials).status_code == 200
    listed = {each["id"]: each for each in answer(auth, "clients", "list")}
    assert listed[made["id"]]["scopes"] == ["system/*.cruds"]
    for verb in ("rotate-secret", "disable", "enable", "update", "delete"):
        assert "there is no client" in refusal(auth, "clients", verb, "nobody")
        # The platform would fall apart.
        assert "release" in refusal(auth, "clients", verb, "service-patient")


@pytest.mark.parametrize(
    "words",
    [
        ["--scope=analytics.raed"],
        # Of the services themselves.
        ["--scope=billing.system"],
        ["--scope=openid", "--redirect-uri=javascript:alert(1)"],
        ["--scope=analytics.read", "--public"],
    ],
)
def test_client_that_no_administrator_could_make_is_refused(auth: Auth, words: list[str]) -> None:
    assert refusal(auth, "clients", "create", "Refused", *words)
    assert auth.sql("SELECT 1 FROM clients WHERE name = 'Refused'") == []


def test_client_is_changed_and_keeps_two_secrets_for_a_while(auth: Auth) -> None:
    made = answer(auth, "clients", "create", "Loader", "--scope=system/*.cruds")
    old = (made["id"], made["secret"])
    new = (
        made["id"],
        answer(auth, "clients", "rotate-secret", made["id"], "--overlap=60")["secret"],
    )
    assert [auth.token_for(each).status_code for each in (old, new)] == [200, 200]
    assert "at most" in refusal(auth, "clients", "rotate-secret", made["id"], "--overlap=604801")

    changed = answer(auth, "clients", "update", made["id"], "--name=Feed", "--scope=system/*.rs")
    assert changed == {"id": made["id"], "name": "Feed", "scopes": ["system/*.rs"]}
    renamed = answer(auth, "clients", "update", made["id"], "--name=Feeder")
    assert renamed["scopes"] == ["system/*.rs"]
    assert auth.token_for(new).json()["scope"] == "system/*.rs"
    assert auth.sql("SELECT 1 FROM revocations WHERE kind = 'client' AND id = $1", made["id"])
    wrong = refusal(auth, "clients", "update", made["id"], "--redirect-uri=https://app.example/cb")
    assert "authorization_code" in wrong

    assert answer(auth, "clients", "delete", made["id"]) == {"deleted": made["id"]}
    assert auth.token_for(new).status_code == 401
    assert audited(auth, "client_deleted") == made["id"]


def test_user_is_signed_out_everywhere(auth: Auth) -> None:
    user, browser = auth.user("clinician"), Browser(auth)
    browser.http.headers["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"
    browser.sign_in(user.email)
    (session,) = answer(auth, "users", "sessions", user.email)
    assert session["device"] == "Firefox, Windows"
    assert answer(auth, "users", "sign-out", user.email) == {"signed out": user.id}
    assert answer(auth, "users", "sessions", user.email) == []
    assert "Sign in" in browser.get("/oauth2/account").text
    assert audited(auth, "sessions_ended") == user.id


def test_users_are_found_page_by_page(auth: Auth) -> None:
    for number in range(3):
        auth.user("clinician", email=f"page-{number}@example.org")
    first = answer(auth, "users", "find", "page-", "--limit=2")
    rest = answer(auth, "users", "find", "page-", f"--after={first[-1]['id']}")
    found = [user["address"] for user in (*first, *rest)]
    assert found == [f"page-{number}@example.org" for number in range(3)]
    assert len(answer(auth, "users", "list", "--limit=1")) == 1
    assert "id of a user" in refusal(auth, "users", "list", "--after=x")


def test_keys_are_listed_and_rotated(auth: Auth) -> None:
    assert "active" in [each["state"] for each in answer(auth, "keys", "list")]
    assert "next" in [each["state"] for each in answer(auth, "keys", "rotate")]


def test_audit_is_searched_by_subject_event_time_client_and_outcome(auth: Auth) -> None:
    user = auth.user("clinician")
    answer(auth, "users", "disable", user.email)
    answer(auth, "users", "enable", user.email)
    found = answer(auth, "audit", "search", f"--subject={user.id}")
    assert [each["event"] for each in found] == ["user_enabled", "user_disabled"]
    one = answer(auth, "audit", "search", f"--subject={user.id}", "--event=user_disabled")
    assert [each["actor_id"] for each in one] == ["operator"]
    words = ("audit", "search", f"--subject={user.id}")
    assert answer(auth, *words, "--outcome=failure") == []
    Browser(auth).sign_in(user.email, "not the right one")
    assert [each["event"] for each in answer(auth, *words, "--outcome=failure")] == ["sign_in"]
    through = answer(auth, *words, "--client=sign-in-page")
    assert {each["client_id"] for each in through} == {"sign-in-page"} and through
    assert answer(auth, *words, "--client=another") == []
    assert operate(auth, *words, "--outcome=unsure").returncode == 2
    limited = answer(auth, "audit", "search", "--actor=operator", "--limit=1")
    assert len(limited) == 1
    for bound in ("--until=2020-01-01", "--since=2100-01-01T00:00Z"):
        assert answer(auth, "audit", "search", f"--subject={user.id}", bound) == []


def test_person_of_the_organizations_provider_gets_no_password(auth: Auth) -> None:
    user = auth.user("clinician", password=None)
    auth.sql(
        "INSERT INTO external_identities (issuer, subject, user_id) VALUES ('https://i', 'x', $1)",
        user.id,
    )
    assert "signs in by the organization" in refusal(auth, "users", "reset", user.email)


def test_unknown_user_is_not_found(auth: Auth) -> None:
    verbs = ("reset", "unlock", "disable", "enable", "second-factor-off", "sessions", "sign-out")
    for verb in (*verbs, "delete"):
        assert "there is no user" in refusal(auth, "users", verb, "nobody@example.org")


def test_secret_is_never_printed_outside_this_machine(auth: Auth) -> None:
    done = operate(auth, "users", "list", environment="dev")
    assert (done.returncode, done.stdout) == (2, "")
    assert "start it by scripts/operate" in done.stderr


@pytest.mark.parametrize(
    "words", [["users", "nothing"], [], ["users", "reset"], ["outbox", "list"]]
)
def test_wrong_words_are_usage(auth: Auth, words: list[str]) -> None:
    done = operate(auth, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage:" in done.stderr
