"""The gateway as it calls the auth service: with credentials of its own."""

from apps.gateway.app import open_neighbours
from tests.fake_auth import open_fake_auth
from tests.gateway.running import REGISTERED_ORIGINS, make_settings, make_token


async def test_keys_and_origins_are_asked_for_with_the_gateways_own_credentials() -> None:
    async with open_fake_auth() as auth:
        upstreams = {**make_settings().upstreams, "auth": auth.url}
        async with open_neighbours(make_settings(upstreams=upstreams)) as found:
            assert await found.fetch_origins() == set(REGISTERED_ORIGINS)
            await found.verifier.refresh()
            principal = await found.verifier.verify_forwarded(make_token("user/Patient.s"))
        assert principal.client_id == "client-1"
        assert not found.verifier.degraded
        assert auth.asked == {"service-gateway:gateway-secret"}
