"""The release's own side of AWS, against moto: its secrets and its sign-in to databases."""

import json
import secrets
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
from moto import mock_aws

from apps.catalogue import DATABASES, SECRETS, UNSET
from apps.release.aws import NotHere, open_target
from apps.release.bootstrap import DatabaseRoles
from apps.release.secret_places import arns_of, place_of_member, read_place
from apps.release.secrets import fill_secrets

pytestmark = pytest.mark.infrastructure


@pytest.fixture
def target_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What the release's task is given, its secrets made empty in moto as Pulumi makes them."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    # The stacks' own account may be open around this: another region, and names of one's own.
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    own = secrets.token_hex(4)
    with mock_aws():
        client = boto3.client("secretsmanager")
        values = {
            f"{name}_ARN": client.create_secret(Name=f"{own}/{name}")["ARN"] for name in SECRETS
        }
        master = json.dumps({"username": "master", "password": "p/w:d@?"})
        arn = client.create_secret(Name=f"rds!{own}", SecretString=master)["ARN"]
        for database in DATABASES:
            values[f"{database.upper()}_DATABASE_HOST"] = "main.rds.amazonaws.com"
            values[f"{database.upper()}_MASTER_SECRET_ARN"] = arn
        values["PUBLIC_URL"] = "https://dev.example.org"
        yield values


def test_empty_secrets_are_filled_once(target_environment: dict[str, str]) -> None:
    target = open_target(target_environment)
    first = fill_secrets(target.secrets)
    assert set(first) == set(SECRETS)
    made = [value for value in first.values() if value != UNSET]
    assert len(set(made)) == len(made) == len([name for name in SECRETS if SECRETS[name].bytes])
    assert fill_secrets(open_target(target_environment).secrets) == first


def test_secret_that_an_operator_set_stays(target_environment: dict[str, str]) -> None:
    target = open_target(target_environment)
    assert fill_secrets(target.secrets)["AUTH_SMTP_URL"] == UNSET
    boto3.client("secretsmanager").put_secret_value(
        SecretId=target_environment["AUTH_SMTP_URL_ARN"],
        SecretString="smtps://user:password@mail.example.org:465",
    )
    # A rotation is of what the release makes.
    again = fill_secrets(open_target(target_environment).secrets, version=2)
    assert again["AUTH_SMTP_URL"].startswith("smtps://user:")
    assert again["AUTH_EXTERNAL_CLIENT_SECRET"] == UNSET


def test_rotated_secrets_stand_beside_the_ones_before(target_environment: dict[str, str]) -> None:
    first = fill_secrets(open_target(target_environment).secrets)
    rotated = open_target({**target_environment, "SECRETS_VERSION": "2"})
    assert rotated.secrets_version == 2
    second = fill_secrets(rotated.secrets, version=rotated.secrets_version)

    client = boto3.client("secretsmanager")
    for name in (name for name in SECRETS if SECRETS[name].bytes):
        arn = target_environment[f"{name}_ARN"]
        before = client.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")
        assert before["SecretString"] == first[name] != second[name]
    # Repeating it changes nothing.
    again = open_target({**target_environment, "SECRETS_VERSION": "2"})
    assert fill_secrets(again.secrets, version=2) == second


def test_of_two_releases_at_once_the_first_value_of_a_version_stands(
    target_environment: dict[str, str],
) -> None:
    store = open_target(target_environment).secrets
    name = next(iter(SECRETS))
    store.write_all({name: "first"}, 2)
    store.write_all({name: "second"}, 2)
    assert store.read(name) == "first"
    assert store.version(name) == 2


@pytest.fixture
def preview_environment(target_environment: dict[str, str]) -> dict[str, str]:
    """A preview's: one secret holds all."""
    arn = boto3.client("secretsmanager").create_secret(Name=f"preview/{secrets.token_hex(4)}")[
        "ARN"
    ]
    return target_environment | {f"{name}_ARN": place_of_member(arn, name) for name in SECRETS}


def test_previews_secrets_are_filled_once_into_one(preview_environment: dict[str, str]) -> None:
    first = fill_secrets(open_target(preview_environment).secrets)
    (arn,) = arns_of(preview_environment[f"{name}_ARN"] for name in SECRETS)
    client = boto3.client("secretsmanager")
    assert json.loads(client.get_secret_value(SecretId=arn)["SecretString"]) == first
    assert set(first) == set(SECRETS)
    assert fill_secrets(open_target(preview_environment).secrets) == first
    assert len(client.list_secret_version_ids(SecretId=arn)["Versions"]) == 1
    place = preview_environment["PATIENT_CLIENT_SECRET_ARN"]
    assert read_place(client, place) == first["PATIENT_CLIENT_SECRET"]


def test_secret_that_the_catalogue_has_since_joins_the_others(
    preview_environment: dict[str, str],
) -> None:
    store = open_target(preview_environment).secrets
    older = [secret for secret in SECRETS.values() if secret.name != "PATIENT_CLIENT_SECRET"]
    before = fill_secrets(store, older)
    after = fill_secrets(store)
    assert after == {**before, "PATIENT_CLIENT_SECRET": after["PATIENT_CLIENT_SECRET"]}
    assert fill_secrets(store, version=2) != after
    assert store.version("PATIENT_CLIENT_SECRET") == 2


def test_of_two_releases_of_a_preview_the_first_values_stand(
    preview_environment: dict[str, str],
) -> None:
    store = open_target(preview_environment).secrets
    store.write_all(dict.fromkeys(SECRETS, "first"))
    store.write_all(dict.fromkeys(SECRETS, "second"))
    assert {store.read(name) for name in SECRETS} == {"first"}


def test_a_service_may_open_as_many_connections_as_the_stack_reckons(
    target_environment: dict[str, str],
) -> None:
    assert open_target(target_environment).runtime_connections == 60
    assert (
        open_target({**target_environment, "RUNTIME_CONNECTIONS": "240"}).runtime_connections == 240
    )


def test_the_administrator_signs_in_by_token_where_rds_takes_it(
    target_environment: dict[str, str],
) -> None:
    tried: list[str] = []

    def admits(url: str) -> bool:
        tried.append(url)
        return True

    target = open_target(target_environment, admits)
    urls = {target.admin_url(database) for database in DATABASES}
    # One instance, one token: a second's would be another administrator to whoever groups by it.
    assert urls == set(tried) and len(tried) == 1
    parts = urlsplit(tried[0])
    assert (parts.username, parts.path) == ("master", "/postgres")
    assert "Action=connect&DBUser=master" in unquote(parts.password or "")


def test_the_administrator_signs_in_with_rdss_own_secret_over_verified_tls(
    target_environment: dict[str, str],
) -> None:
    target = open_target(target_environment, lambda url: False)
    parts = urlsplit(target.admin_url("patient"))
    assert (parts.username, unquote(parts.password or ""), parts.path) == (
        "master",
        "p/w:d@?",
        "/postgres",
    )
    assert parse_qs(parts.query) == {
        "sslmode": ["verify-full"],
        "sslrootcert": ["/etc/ssl/certs/rds.pem"],
    }
    assert len({target.admin_url(database) for database in DATABASES}) == 1


def test_owners_sign_in_with_a_token(target_environment: dict[str, str]) -> None:
    target = open_target(target_environment)
    parts = urlsplit(target.owner_url("patient", DatabaseRoles("pr_7_patient")))
    assert (parts.username, parts.path) == ("pr_7_patient_owner", "/pr_7_patient")
    assert "Action=connect&DBUser=pr_7_patient_owner" in unquote(parts.password or "")
    assert target.password_of is None


def test_a_previews_release_has_no_administrator(target_environment: dict[str, str]) -> None:
    without = {key: value for key, value in target_environment.items() if "MASTER" not in key}
    with pytest.raises(NotHere, match="PATIENT_MASTER_SECRET_ARN"):
        open_target(without).admin_url("patient")
