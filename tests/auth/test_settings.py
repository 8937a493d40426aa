import pytest

from apps.auth.settings import Settings
from apps.kit.settings import SettingsError

ENVIRON = {
    "ENVIRONMENT": "dev",
    "PORT": "4005",
    "PUBLIC_URL": "https://health.example/",
    "AUTH_DATABASE_URL": "postgresql://auth:s3cret@127.0.0.1:5432/auth",
    "AUTH_KEY_ENCRYPTION_KEY": "A" * 43,
}


def test_settings_are_read_and_show_no_secret() -> None:
    settings = Settings.from_environment(ENVIRON)
    assert settings.issuer == "https://health.example" and len(settings.key_encryption_key) == 32
    assert (
        settings.mfa_required_roles == {"admin", "clinician"}
        and not settings.password_login_enabled
    )
    assert "x00" not in repr(settings)


def test_operators_secrets_are_read_and_not_shown() -> None:
    unset = {"AUTH_SMTP_URL": "unset", "AUTH_EXTERNAL_CLIENT_SECRET": "unset"}
    settings = Settings.from_environment({**ENVIRON, **unset})
    assert settings.mail.smtp_url == "" and settings.external is None

    given = {
        "AUTH_SMTP_URL": "smtps://us:pass-word@mail.example:465",
        "AUTH_EXTERNAL_ISSUER": "https://id.example",
        "AUTH_EXTERNAL_CLIENT_ID": "us",
        "AUTH_EXTERNAL_CLIENT_SECRET": "client-secret",
    }
    settings = Settings.from_environment({**ENVIRON, **given})
    assert settings.mail.smtp_url == given["AUTH_SMTP_URL"]
    assert settings.external and settings.external.client_secret == "client-secret"
    assert "pass-word" not in repr(settings) and "client-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("environment", "roles"),
    [
        ("local", set()),
        ("preview", set()),
        ("staging", {"admin", "clinician"}),
        ("prod", {"admin", "clinician"}),
    ],
)
def test_second_factor_is_asked_for_wherever_people_are_real(
    environment: str, roles: set[str]
) -> None:
    assert (
        Settings.from_environment({**ENVIRON, "ENVIRONMENT": environment}).mfa_required_roles
        == roles
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"AUTH_KEY_ENCRYPTION_KEY": ""}, "AUTH_KEY_ENCRYPTION_KEY"),
        ({"AUTH_KEY_ENCRYPTION_KEY": "short"}, "AUTH_KEY_ENCRYPTION_KEY"),
        ({"AUTH_KEY_ENCRYPTION_KEY": "A" * 42 + "!"}, "AUTH_KEY_ENCRYPTION_KEY"),
        (
            {"ENVIRONMENT": "prod", "AUTH_PASSWORD_LOGIN_ENABLED": "true"},
            "AUTH_PASSWORD_LOGIN_ENABLED",
        ),
        ({"PUBLIC_URL": "http://health.example"}, "PUBLIC_URL"),
        ({"AUTH_SIGNING_ALGORITHM": "HS256"}, "AUTH_SIGNING_ALGORITHM"),
        ({"AUTH_MFA_REQUIRED_ROLES": "admin,boss"}, "AUTH_MFA_REQUIRED_ROLES"),
        ({"AUTH_DATABASE_URL": ""}, "AUTH_DATABASE_URL"),
        ({"AUTH_SMTP_URL": "http://mail.example"}, "AUTH_SMTP_URL"),
        (
            {
                "ENVIRONMENT": "preview",
                "PUBLIC_URL": "https://health.example",
                "AUTH_MAIL_FOLDER": "/mail",
            },
            "AUTH_MAIL_FOLDER",
        ),
        (
            {
                "AUTH_EXTERNAL_ISSUER": "https://id.example",
                "AUTH_EXTERNAL_CLIENT_ID": "us",
                "AUTH_EXTERNAL_CLIENT_SECRET": "unset",
            },
            "AUTH_EXTERNAL_CLIENT_SECRET",
        ),
    ],
)
def test_unsafe_or_missing_setting_is_refused_by_name(changes: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.from_environment({**ENVIRON, **changes})
