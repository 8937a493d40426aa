import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from apps.release.secret_places import place_of_member
from infrastructure.preview.__main__ import FAILED, REFUSED, main
from infrastructure.preview.arguments import parse_lifetime
from infrastructure.preview.base import Base, leftovers_on
from infrastructure.preview.driver import BroughtUp
from infrastructure.preview.errors import PreviewError
from infrastructure.preview.leftovers import Leftovers
from infrastructure.preview.names import Preview, RefusedError
from infrastructure.preview.preview_tests import open_access
from infrastructure.preview.price import cost_usd_a_day
from infrastructure.preview.reap import ReapResult, Verdict
from infrastructure.preview.report import PreviewRow, render, render_markdown, render_rows
from infrastructure.preview.settings import AT_ONCE, Settings
from tests.infrastructure.preview.conftest import Pulumi

pytestmark = pytest.mark.infrastructure

REGION = {"AWS_REGION": "us-east-1"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--pr", "12", "--base", "prod"], "never runs on production"),
        (["up", "--pr", "patient"], "--pr takes"),
        (["up", "--pr", "12", "--ttl", "90d"], "--ttl takes"),
        (["down", "--pr", "0"], "--pr takes"),
        (["reap", "--base", "pr-1"], "--base takes"),
        (["up", "--pr", "12"], "AWS_REGION"),
        (["status", "--pr", "12345678"], "--pr takes"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments, {}) == REFUSED
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_missing_pulumi_command_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        main(["up", "--pr", "12"], {**REGION, "PREVIEW_BACKEND_URL": "file:///nowhere"}) == FAILED
    )
    error = capsys.readouterr().err
    assert error.startswith("the pulumi command is not on the PATH")
    assert error.count("\n") == 1


BASE = {
    "platform": {
        "preview_runner_name": "runner",
        "domain": "dev.example.org",
        "stream_arn": "arn:aws:kafka:x",
    }
}
HERE = {**REGION, "PREVIEW_BACKEND_URL": "file:///nowhere"}


@pytest.fixture
def on_a_base(pulumi: Pulumi, monkeypatch: pytest.MonkeyPatch) -> Pulumi:
    """A base without previews; the region is known by the name that the docs use,
    and by no other.
    """
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setattr(
        "infrastructure.preview.__main__.leftovers_on",
        lambda base, session: leftovers(base, session),
    )
    pulumi.answer(
        {
            "stack ls": "[]",
            "stack output --json --stack dev": json.dumps(BASE),
            "stack output --json --show-secrets --stack dev": json.dumps(BASE),
            "stack output --json --stack pr-": "!error: no stack named 'pr-12' found",
        }
    )
    return pulumi


def leftovers(base: Base, session: boto3.Session) -> Leftovers:
    """The real ones are made, and none is asked."""
    assert leftovers_on(base, session).kinds
    return Leftovers(())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("status", "pr-12: there is no such preview, and nothing is left of one"),
        ("test", "pr-12 is not up: scripts/preview up --pr 12"),
    ],
)
def test_unknown_preview_is_one_clear_line(
    on_a_base: Pulumi, capsys: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    assert main([command, "--pr", "12"], HERE) == FAILED
    told = capsys.readouterr()
    assert (told.out + told.err).strip() == said


def test_report_is_told_also_where_the_people_could_not_be_loaded(
    on_a_base: Pulumi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seed(access_to: object) -> None:
        raise PreviewError("the synthetic people were not all loaded")

    monkeypatch.setattr("infrastructure.preview.__main__.seed", seed)
    monkeypatch.setattr(
        "infrastructure.preview.__main__.wait_until_steady", lambda ecs, outputs: None
    )
    monkeypatch.setattr("infrastructure.preview.__main__.access_to", lambda session, outputs: None)
    monkeypatch.setattr(
        "infrastructure.preview.__main__.cost_usd_a_day", lambda preview, base: 0.45
    )
    shown = json.dumps({"url": "https://pr-12.dev.example.org"})
    on_a_base.answer(
        {
            "stack output --json --stack pr-12": shown,
            "stack output --json --show-secrets --stack pr-12": shown,
        }
    )
    assert main(["up", "--pr", "12"], HERE) == FAILED
    told = capsys.readouterr()
    assert "address     https://pr-12.dev.example.org" in told.out
    assert "not all loaded" in told.err
    assert "scripts/preview down --pr 12" in told.err


def test_numbers_of_those_that_are_over_are_handed_to_a_workflow(
    on_a_base: Pulumi,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    over = [
        Verdict(Preview(number), over=number != 12, reason="it was a test") for number in (3, 12, 7)
    ]

    def reap(
        driver: object, find_pull: object, *, dry_run: bool, only: Preview | None
    ) -> ReapResult:
        assert dry_run
        assert only is None
        return ReapResult(tuple(over), ("pr-9: nobody knows",), ())

    monkeypatch.setattr("infrastructure.preview.__main__.reap", reap)
    output = tmp_path / "output"
    output.write_text("before=1\n")
    # What could not be judged fails, and keeps none of the rest.
    assert main(["reap", "--open-prs", "", "--dry-run", "--over", str(output)], HERE) == FAILED
    assert output.read_text() == "before=1\nnumbers=[3, 7]\n"
    assert "2 of 3 over: a dry run" in capsys.readouterr().out


def test_reaper_is_told_of_one_preview_alone(
    on_a_base: Pulumi, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bool, Preview | None]] = []

    def reap(
        driver: object, find_pull: object, *, dry_run: bool, only: Preview | None
    ) -> ReapResult:
        asked.append((dry_run, only))
        return ReapResult((), (), ())

    monkeypatch.setattr("infrastructure.preview.__main__.reap", reap)
    assert main(["reap", "--open-prs", "", "--pr", "12", "--apply"], HERE) == 0
    for nobody in ("x", ""):
        assert main(["reap", "--open-prs", "", "--pr", nobody, "--apply"], HERE) == REFUSED
    assert asked == [(False, Preview(12))]


def test_list_needs_no_more_than_a_region(
    on_a_base: Pulumi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"], HERE) == 0
    assert capsys.readouterr().out == "no previews\n"


def test_credentials_that_are_not_there_are_one_clear_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert main(["list"], REGION) == FAILED
    error = capsys.readouterr().err
    assert "no AWS credentials" in error
    assert error.count("\n") == 1
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert main(["list"], HERE) == FAILED
    assert "nobody" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "hours"), [("36h", 36), ("3d", 72), ("13d", 312)])
def test_lifetime_is_given_in_hours_or_days(text: str, hours: int) -> None:
    assert parse_lifetime(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "0h", "3", "3w", "14d", "-1h", "1.5d"])
def test_lifetime_beyond_its_images_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        parse_lifetime(text)


def test_state_lies_in_the_previews_own_bucket_under_their_own_key() -> None:
    settings = Settings.from_environment(REGION, lambda region: "123456789012")
    assert (
        settings.backend
        == "s3://patient-management-previews-123456789012-us-east-1?region=us-east-1"
    )
    assert (
        settings.secrets_provider == "awskms:///alias/patient-management/previews?region=us-east-1"
    )


def test_there_are_as_many_previews_as_a_setting_says() -> None:
    def read(environ: dict[str, str]) -> int:
        return Settings.from_environment(
            {**REGION, **environ}, lambda region: "123456789012"
        ).at_once

    assert (read({}), read({"PREVIEWS_AT_ONCE": ""}), read({"PREVIEWS_AT_ONCE": "3"})) == (
        AT_ONCE,
        AT_ONCE,
        3,
    )
    for wrong in ("0", "many", "-1"):
        with pytest.raises(RefusedError, match="PREVIEWS_AT_ONCE"):
            read({"PREVIEWS_AT_ONCE": wrong})


def test_any_backend_is_taken_by_a_setting() -> None:
    def nobody(region: str) -> str:
        raise AssertionError("asked for the account without need")

    settings = Settings.from_environment(
        {**REGION, "PREVIEW_BACKEND_URL": "https://api.pulumi.com"}, nobody
    )
    assert (settings.backend, settings.secrets_provider) == ("https://api.pulumi.com", "default")


BROUGHT = BroughtUp(
    Preview(12),
    {"create": 61, "same": 0},
    {
        "url": "https://pr-12.dev.example.org",
        "sign_in": {
            "user": "admin@example.org",
            "password_arn": "arn:aws:secretsmanager:us-east-1:1:secret:x:PLATFORM_PASSWORD::",
        },
        "changed": ["billing"],
    },
    datetime(2026, 2, 3, 12, tzinfo=UTC),
)


def test_report_says_all_that_a_reviewer_asks() -> None:
    text = render(BROUGHT, 0.61)
    for said in (
        "https://pr-12.dev.example.org",
        "admin@example.org",
        "its password PLATFORM_PASSWORD in the answer to",
        "--secret-id arn:aws:secretsmanager:us-east-1:1:secret:x`",
        "billing",
        "61 create",
        "0.61 USD",
        "2026-02-03",
    ):
        assert said in text
        assert said in render_markdown(BROUGHT, 0.61)


def test_kept_preview_is_not_said_to_go() -> None:
    kept = dataclasses.replace(BROUGHT, outputs={**BROUGHT.outputs, "keep": True})
    assert "2026-02-03" not in render(kept, 0.61)


def test_preview_costs_less_than_half_a_dollar_a_day() -> None:
    assert 0.1 < cost_usd_a_day(Preview(12), "dev") < 0.5


def test_list_is_a_line_a_preview() -> None:
    expires = datetime(2026, 2, 3, 12, tzinfo=UTC)
    rows = [
        PreviewRow(
            preview=Preview(1),
            base="dev",
            expires=expires,
            keep=False,
            resources=70,
            url="https://pr-1.dev.example.org",
        ),
        PreviewRow(preview=Preview(12), base="dev", expires=None, keep=True, resources=0, url=""),
    ]
    lines = render_rows(rows).splitlines()
    assert "2026-02-03 12:00 UTC" in lines[0]
    assert "kept" in lines[1]
    assert render_rows([]) == "no previews"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield boto3.client("secretsmanager", region_name="us-east-1")


def test_visitor_reads_the_secrets_that_the_release_filled(secrets: Any) -> None:
    held = json.dumps({name: f"value of {name}" for name in ("p", "c")})
    arn = secrets.create_secret(Name="preview/pr-12/secrets", SecretString=held)["ARN"]
    made = {name: place_of_member(arn, name) for name in ("p", "c")}
    sign_in = {
        "user": "admin@example.org",
        "client_id": "preview",
        "password_arn": made["p"],
        "client_secret_arn": made["c"],
    }
    access_to = open_access({"url": "https://pr-12.dev.example.org", "sign_in": sign_in}, secrets)
    assert access_to.environment() == {
        "PLATFORM_URL": "https://pr-12.dev.example.org",
        "PLATFORM_USER": "admin@example.org",
        "PLATFORM_PASSWORD": "value of p",
        "PLATFORM_CLIENT_ID": "preview",
        "PLATFORM_CLIENT_SECRET": "value of c",
    }
    assert "value of" not in repr(access_to)

    # As of a secret that was never filled: no "None" to sign in with.
    for missing in (place_of_member(arn, "x"), arn.replace("pr-12", "pr-13")):
        with pytest.raises(PreviewError, match="ResourceNotFoundException"):
            open_access(
                {"url": "https://x", "sign_in": {**sign_in, "password_arn": missing}}, secrets
            )


def test_preview_that_is_not_up_cannot_be_visited(secrets: Any) -> None:
    with pytest.raises(PreviewError, match="not up"):
        open_access({}, secrets)
