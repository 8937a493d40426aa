"""The services' secrets: the release fills those that are empty, and gives all a new value with
each version.

So none lies in a stack's state. `secrets-version` of a stack's configuration is the version.
"""

import base64
import os
from collections.abc import Iterable, Mapping
from typing import Protocol

from apps.catalogue import SECRETS, SERVICES, UNSET, Secret


class SecretStore(Protocol):
    def read(self, name: str) -> str | None:
        """Returns the secret's value, None while it is empty."""
        ...

    def version(self, name: str) -> int:
        """Returns the version of the secret's value, from 1 up."""
        ...

    def write_all(self, values: Mapping[str, str], version: int = 1) -> None:
        """Keeps values by name. Where this version has one already, by another release, that one
        stays.
        """
        ...


def generate(secret: Secret) -> str:
    """Returns random bytes in base64url, padded: as many as the catalogue says.

    UNSET for an operator's secret.
    """
    if not secret.bytes:
        return UNSET
    return base64.urlsafe_b64encode(os.urandom(secret.bytes)).decode()


def rotate(secret: Secret, current: str) -> str:
    """Returns a new value. What encrypts keeps the newest value before, with a comma between."""
    made = generate(secret)
    return f"{made},{current.partition(',')[0]}" if secret.encrypts else made


def is_due(store: SecretStore, secret: Secret, version: int) -> bool:
    """Returns whether the secret has a value of a version before.

    An operator's secret is not rotated here.
    """
    value = store.read(secret.name)
    return bool(value and secret.bytes) and store.version(secret.name) < version


def fill_secrets(
    store: SecretStore, secrets: Iterable[Secret] = SECRETS.values(), version: int = 1
) -> dict[str, str]:
    """Returns all secrets by name. Those that are empty or of a version before get a value now."""
    values: dict[str, str] = {}
    made: dict[str, str] = {}
    for secret in secrets:
        value = store.read(secret.name)
        if not value:
            made[secret.name] = generate(secret)
        elif is_due(store, secret, version):
            made[secret.name] = rotate(secret, value)
        else:
            values[secret.name] = value
    if made:
        store.write_all(made, version)
    # Another release may have been first: its value is the one that is kept.
    return values | {name: store.read(name) or value for name, value in made.items()}


def service_clients(secrets: dict[str, str]) -> dict[str, str]:
    """Returns `service-<name>` -> secret of each service that has a client of its own."""
    return {
        f"service-{name}": secrets[variable]
        for name in SERVICES
        if (variable := f"{name.upper()}_CLIENT_SECRET") in secrets
    }
