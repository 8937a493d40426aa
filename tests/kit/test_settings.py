import pytest

from apps.kit.settings import Environment, SettingsError


def faults_of(environment: Environment) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        environment.check()
    return str(refused.value).splitlines()


def test_every_fault_is_told_at_once_by_its_name() -> None:
    environment = Environment(
        {"PORT": "many", "LOG_FORMAT": "xml", "URL": "ftp://host", "FLAG": "yes"}
    )
    environment.require("SECRET")
    environment.integer("PORT", minimum=1, maximum=65535)
    environment.choice("LOG_FORMAT", ("text", "json"))
    environment.url("URL")
    environment.flag("FLAG")
    assert [fault.split()[0] for fault in faults_of(environment)] == [
        "SECRET",
        "PORT",
        "LOG_FORMAT",
        "URL",
        "FLAG",
    ]


def test_blank_is_missing() -> None:
    environment = Environment({"SECRET": "  "})
    environment.require("SECRET")
    assert faults_of(environment) == ["SECRET is required"]


def test_missing_variable_is_told_once() -> None:
    environment = Environment({})
    environment.integer("PORT", minimum=1, maximum=65535)
    environment.url("URL")
    environment.choice("KIND", ("a", "b"))
    assert faults_of(environment) == ["PORT is required", "URL is required", "KIND is required"]


@pytest.mark.parametrize("value", ["0", "65536", "-1"])
def test_number_out_of_its_bounds_is_refused(value: str) -> None:
    environment = Environment({"PORT": value})
    environment.integer("PORT", minimum=1, maximum=65535)
    assert faults_of(environment) == [f"PORT must be from 1 to 65535, not {value}"]


def test_default_stands_where_nothing_is_set() -> None:
    environment = Environment({})
    assert environment.integer("SIZE", minimum=1, maximum=9, default=3) == 3
    assert environment.choice("KIND", ("a", "b"), default="b") == "b"
    assert environment.flag("FLAG") is False
    assert environment.optional("TEXT") == ""
    assert environment.items("LIST") == ()
    environment.check()


def test_values_are_read() -> None:
    environment = Environment(
        {"URL": "https://host:8443/", "LIST": "a, b,,c ", "FLAG": "true", "TEXT": " x "}
    )
    assert environment.url("URL") == "https://host:8443"
    assert environment.items("LIST") == ("a", "b", "c")
    assert environment.flag("FLAG") is True
    assert environment.require("TEXT") == "x"
    environment.check()


def test_password_of_a_url_is_not_repeated() -> None:
    environment = Environment({"DATABASE_URL": "mysql://role:hunter2@host/name"})
    environment.url("DATABASE_URL", ("postgresql",))
    (fault,) = faults_of(environment)
    assert "hunter2" not in fault
