"""The gateway: the one public service. It verifies, limits and proxies; it holds no data."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request

from apps.gateway.billing import Billing
from apps.gateway.cors import CorsMiddleware, CorsPolicy, PreflightMiddleware
from apps.gateway.error_page import render_refusal
from apps.gateway.middleware import GatewayMiddleware
from apps.gateway.origins import ClientOrigins, FetchOrigins, OriginSource
from apps.gateway.pages import document_routes
from apps.gateway.proxy import Proxy, open_session
from apps.gateway.rate_limit import RateLimiter
from apps.gateway.routes import console_routes, public_routes
from apps.gateway.settings import Settings
from apps.kit.credentials import ServiceCredentials
from apps.kit.rpc import open_channel
from apps.kit.tasks import running
from apps.kit.token_verifier import Verifier, VerifierSettings, open_verifier
from apps.kit.web import Readiness, create_web_app, health_routes

CLIENT_ID = "service-gateway"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The services behind the gateway, as it calls them."""

    verifier: Verifier
    session: aiohttp.ClientSession
    billing: Billing
    fetch_origins: FetchOrigins


OpenNeighbours = Callable[[Settings], AbstractAsyncContextManager[Neighbours]]


@asynccontextmanager
async def open_neighbours(settings: Settings) -> AsyncIterator[Neighbours]:
    """Opens what calls the services; none of them need run yet."""
    auth_url = settings.upstreams["auth"]
    verification = VerifierSettings(
        issuer=settings.public_url,
        audiences=(settings.public_url,),
        auth_url=auth_url,
        client_id=CLIENT_ID,
        client_secret=settings.client_secret,
    )
    async with (
        aiohttp.ClientSession(trust_env=False) as auth_session,
        open_session(settings.limits) as session,
        open_verifier(verification, auth_session) as verifier,
        open_channel(settings.billing_target) as channel,
    ):
        tokens = ServiceCredentials(auth_url, CLIENT_ID, settings.client_secret, auth_session)
        yield Neighbours(
            verifier,
            session,
            Billing(channel, tokens, settings.limits.rpc_seconds),
            OriginSource(auth_url, tokens, auth_session).fetch,
        )


def create_app(settings: Settings, *, neighbours: OpenNeighbours = open_neighbours) -> Starlette:
    origins = ClientOrigins()
    cors = CorsPolicy(settings.cors_allowed_origins, origins)
    limiter = RateLimiter(settings.limits.requests_per_minute)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with (
            neighbours(settings) as found,
            running(origins.keep_fresh(found.fetch_origins)),
        ):
            yield {
                "settings": settings,
                "verifier": found.verifier,
                "proxy": Proxy(found.session, settings),
                "billing": found.billing,
            }

    return create_web_app(
        [
            *public_routes(settings),
            *document_routes(settings),
            *health_routes(readiness),
            *console_routes(settings),
        ],
        lifespan=lifespan,
        middleware=(
            Middleware(CorsMiddleware, policy=cors),
            Middleware(GatewayMiddleware, settings=settings, limiter=limiter),
            Middleware(PreflightMiddleware, policy=cors),
        ),
        render=render_refusal,
    )


async def readiness(request: Request) -> Readiness:
    """Fails only where the keys were never had: one service down never takes the gateway along."""
    state = request.state
    degraded = {
        *state.verifier.degraded,
        *(upstream.name for upstream in state.proxy.upstreams.values() if not upstream.reachable),
        *(() if state.billing.is_reachable else ("billing",)),
    }
    return Readiness(
        failed=() if state.verifier.has_keys else ("keys",), degraded=tuple(sorted(degraded))
    )
