"""Running auth services: one whose pages offer passkeys, one that lets another's people in."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from apps.auth.people.external import ExternalProvider
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


@pytest.fixture(scope="module")
def provider(make_database: Any) -> Iterator[Auth]:
    """The organization's provider. Its people have no claim of groups, so their name
    stands for one.
    """
    with make_database("auth") as (runtime_url, _):
        port = free_port()
        # Another host than the other service's: cookies know no ports.
        settings = make_settings(runtime_url, port, issuer=f"http://localhost:{port}")
        yield from serve(settings)


@pytest.fixture(scope="module")
def organization(auth_database: str, provider: Auth) -> Iterator[Auth]:
    """A service that lets the provider's people in."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    client_id, secret = provider.client(
        "openid",
        "profile",
        "email",
        grant_types=("authorization_code",),
        redirect_uris=(f"{url}/oauth2/external/callback",),
        trusted=True,
    )
    external = ExternalProvider(
        issuer=provider.url,
        client_id=client_id,
        client_secret=secret,
        name="Clinic ID",
        roles_claim="name",
        roles={"Doctors": "clinician", "Desk": "registrar"},
    )
    yield from serve(replace(make_settings(auth_database, port), external=external))


@pytest.fixture
def closed_clients(organization: Auth, provider: Auth) -> Iterator[None]:
    yield
    organization.close_clients()
    provider.close_clients()
