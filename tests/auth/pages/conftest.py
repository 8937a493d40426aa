"""A running auth service whose pages offer passkeys."""

from collections.abc import Iterator

import pytest

from tests.auth.conftest import Auth, make_settings, serve
from tests.ports import free_port


@pytest.fixture
def site(named_site: Auth) -> Iterator[Auth]:
    yield named_site
    named_site.close_clients()


@pytest.fixture(scope="module")
def named_site(auth_database: str) -> Iterator[Auth]:
    """A service whose address has a name: a relying party is no IP address."""
    port = free_port()
    settings = make_settings(
        auth_database,
        port,
        issuer=f"http://localhost:{port}",
        mfa_required_roles=frozenset({"admin"}),
    )
    yield from serve(settings)
