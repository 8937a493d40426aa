"""Reads a service's settings from its environment: typed, bounded, and every fault
reported at once.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

# The user name and the password of an address, as browsers read it. In lists `|` separates.
_USERINFO = re.compile(r"://[/\\]*[^/\\?#|]*@")

ENVIRONMENTS = ("local", "dev", "staging", "prod", "preview")


class SettingsError(Exception):
    """The environment does not make valid settings; the message has one line a fault,
    naming the variable.
    """


class Environment:
    """`environ` as typed values. A fault is noted, not raised, so that `check` can name all of
    them together.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: list[str] = []
        self._read: dict[str, str] = {}

    def require(self, name: str) -> str:
        value = self._environ.get(name, "").strip()
        if not value:
            self._faults.append(f"{name} is required")
        self._read[name] = value
        return value

    def optional(self, name: str, default: str = "") -> str:
        value = self._environ.get(name, "").strip() or default
        self._read[name] = str(value)
        return value

    def read(self, name: str) -> str:
        """Returns what was read, or what is there for a variable that nobody asked for."""
        return self._read.get(name, self._environ.get(name, "").strip())

    def read_to_show(self, name: str) -> str:
        """Returns what `read` does, for people to look at: a user name or password in an address is
        a fault.
        """
        value = self.read(name)
        if _USERINFO.search(value):
            self._faults.append(f"{name} must have no user name or password in an address")
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        value = self.require(name) if default is None else self.optional(name, default)
        if value and value not in choices:
            self._faults.append(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        return value

    def integer(self, name: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
        text = self.require(name) if default is None else self.optional(name, str(default))
        try:
            value = int(text)
        except ValueError:
            if text:
                self._faults.append(f"{name} must be a whole number, not {text!r}")
            return minimum
        if not minimum <= value <= maximum:
            self._faults.append(f"{name} must be from {minimum} to {maximum}, not {value}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        return self.choice(name, ("true", "false"), "true" if default else "false") == "true"

    def url(self, name: str, schemes: tuple[str, ...] = ("http", "https")) -> str:
        value = self.require(name)
        parts = urlsplit(value)
        if value and (parts.scheme not in schemes or not parts.hostname):
            # The value is not repeated: a database's may carry a password.
            self._faults.append(f"{name} must be a {' or '.join(schemes)} URL")
        return value.rstrip("/")

    def items(self, name: str) -> tuple[str, ...]:
        """Returns a comma-separated list; empty by default."""
        return tuple(item.strip() for item in self.optional(name).split(",") if item.strip())

    def fault(self, message: str) -> None:
        self._faults.append(message)

    def check(self) -> None:
        """Raises SettingsError where anything was wrong; call it before the settings are used."""
        if self._faults:
            raise SettingsError("\n".join(dict.fromkeys(self._faults)))
