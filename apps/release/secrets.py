"""The services' secrets, which the release fills once, while they are still empty: so none lies in a stack's state."""

import base64
import os
from collections.abc import Iterable
from typing import Protocol

from apps.catalogue import SECRETS, SERVICES, UNSET, Secret


class SecretStore(Protocol):
    def read(self, name: str) -> str | None:
        """The secret's value, None while it is empty."""
        ...

    def write(self, name: str, value: str) -> None: ...


def generate(secret: Secret) -> str:
    """Returns random bytes in base64url, padded: as many as the catalogue says. UNSET for an operator's secret."""
    if not secret.bytes:
        return UNSET
    return base64.urlsafe_b64encode(os.urandom(secret.bytes)).decode()


def fill_secrets(
    store: SecretStore, secrets: Iterable[Secret] = SECRETS.values()
) -> dict[str, str]:
    """All secrets by name; those that were empty are filled now."""
    values: dict[str, str] = {}
    for secret in secrets:
        value = store.read(secret.name)
        if not value:
            value = generate(secret)
            store.write(secret.name, value)
        values[secret.name] = value
    return values


def service_clients(secrets: dict[str, str]) -> dict[str, str]:
    """`service-<name>` -> secret of each service that has a client of its own."""
    return {
        f"service-{name}": secrets[variable]
        for name in SERVICES
        if (variable := f"{name.upper()}_CLIENT_SECRET") in secrets
    }
