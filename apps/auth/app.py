"""The auth service, put together."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request

from apps.auth.admin import (
    audit_routes,
    client_routes,
    launch_routes,
    name_routes,
    own_routes,
    user_routes,
)
from apps.auth.cleanup import keep_clean
from apps.auth.oauth import legacy_login_routes, oauth_routes, well_known
from apps.auth.oauth.logout_notices import keep_sending
from apps.auth.oauth.revocations import OwnSource
from apps.auth.outbound import ClientKeys, OutboundHttp
from apps.auth.pages import (
    account_routes,
    authorize_routes,
    confirm_routes,
    device_routes,
    email_routes,
    external_routes,
    forgotten_routes,
    language_routes,
    passkey_routes,
    rendering,
    second_factor_routes,
    session_routes,
    sign_in_routes,
)
from apps.auth.people.external import ProviderClient
from apps.auth.people.mail_sender import keep_mailing
from apps.auth.people.passwords import Hashing
from apps.auth.settings import Settings
from apps.auth.state import AuthState, state_of
from apps.kit.database import open_database
from apps.kit.shown_settings import settings_routes
from apps.kit.token_verifier import Verifier, keep_fresh
from apps.kit.web import Readiness, create_web_app, health_routes

ROUTED = (
    well_known,
    oauth_routes,
    authorize_routes,
    sign_in_routes,
    second_factor_routes,
    account_routes,
    device_routes,
    rendering,
    legacy_login_routes,
    user_routes,
    client_routes,
    audit_routes,
    name_routes,
    own_routes,
    confirm_routes,
    email_routes,
    external_routes,
    forgotten_routes,
    language_routes,
    passkey_routes,
    session_routes,
    launch_routes,
)


def create_app(settings: Settings) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with (
            open_database(settings.database) as database,
            aiohttp.ClientSession() as session,
        ):
            http = OutboundHttp(allow_loopback=settings.environment == "local")
            state = AuthState(
                settings=settings,
                database=database,
                hashing=Hashing(),
                http=http,
                client_keys=ClientKeys(http),
            )
            verifier = Verifier(
                settings.issuer, (settings.issuer, "auth"), OwnSource(database, state.load_keys)
            )
            tasks = [
                asyncio.create_task(state.refresh_keys()),
                asyncio.create_task(keep_clean(database)),
                asyncio.create_task(
                    keep_mailing(database, settings.mail, settings.key_encryption_key)
                ),
                asyncio.create_task(keep_sending(state, http)),
            ]
            try:
                async with keep_fresh(verifier):
                    yield {
                        "settings": settings,
                        "database": database,
                        "auth": state,
                        "verifier": verifier,
                        "external": ProviderClient(settings.external, session)
                        if settings.external
                        else None,
                    }
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                state.hashing.close()
                await http.close()

    routes = [route for module in ROUTED for route in module.routes()]
    return create_web_app(
        [*health_routes(readiness), *routes, *settings_routes("/auth/v1/settings")],
        lifespan=lifespan,
        render=rendering.render,
    )


async def readiness(request: Request) -> Readiness:
    state = state_of(request)
    if not await state.database.is_ready():
        return Readiness(failed=("database",))
    if state.keys_are_undecryptable:
        return Readiness(failed=("signing_key_sealed_under_another_AUTH_KEY_ENCRYPTION_KEY",))
    return Readiness(failed=() if state.has_keys and request.state.verifier.has_keys else ("keys",))
