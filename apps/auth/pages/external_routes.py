"""Sign-in by the organization's own OpenID provider (OpenID Connect Core 1.0, 3.1)."""

import base64
import hashlib
import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.auth.oauth.refusals import record_refusal
from apps.auth.oauth.revocations import revoke_subject
from apps.auth.pages.rendering import error_page, go_to
from apps.auth.pages.steps import (
    MAX_NEXT_CHARS,
    continue_to,
    record_own_act,
    start_session,
    with_next,
)
from apps.auth.paths import ENROL, EXTERNAL, EXTERNAL_CALLBACK, SECOND_FACTOR, SIGN_IN
from apps.auth.people.external import ExternalSignInError, ProviderClient
from apps.auth.people.external_identities import (
    insert_external_sign_in,
    select_user_id,
    use_external_sign_in,
    user_of_person,
)
from apps.auth.people.sessions import browser_cookie
from apps.auth.people.users import lock_user
from apps.auth.state import state_of
from apps.auth.texts import texts_of
from apps.kit.errors import NotFound
from apps.kit.web import PUBLIC, Operation, PolicedRoute

log = logging.getLogger(__name__)


def provider_of(request: Request) -> ProviderClient:
    """Returns the provider's client; raises NotFound where none is set."""
    provider: ProviderClient | None = request.state.external
    if provider is None:
        raise NotFound("not_found")
    return provider


async def begin(request: Request) -> Response:
    """Sends the browser to the provider."""
    provider = provider_of(request)
    state = state_of(request)
    browser = request.cookies.get(browser_cookie(state.settings.secure), "")
    query = request.query_params.get("next", "")[:MAX_NEXT_CHARS]
    if not browser:
        # The sign-in page sets the cookie that the answer is bound to.
        return go_to(with_next(SIGN_IN, query))
    async with state.database.connection() as connection:
        token, sign_in = await insert_external_sign_in(connection, browser, query)
    challenge = hashlib.sha256(sign_in.verifier.encode()).digest()
    url = await provider.authorization_url(
        token,
        sign_in.nonce,
        base64.urlsafe_b64encode(challenge).decode().rstrip("="),
        state.settings.issuer + EXTERNAL_CALLBACK,
    )
    return Response(status_code=302, headers={"Location": url, "Cache-Control": "no-store"})


async def finish(request: Request) -> Response:
    """Takes the provider's answer: a session, or a page that says that it did not work."""
    provider = provider_of(request)
    state = state_of(request)
    secure = state.settings.secure
    query = request.query_params
    browser = request.cookies.get(browser_cookie(secure), "")
    async with state.database.connection() as connection:
        sign_in = await use_external_sign_in(connection, query.get("state", ""), browser)
    if (
        sign_in is None
        or "code" not in query
        or query.get("iss", provider.provider.issuer) != (provider.provider.issuer)
    ):
        return await refused(request, "invalid_answer")
    try:
        person = await provider.redeem(
            query["code"], sign_in, state.settings.issuer + EXTERNAL_CALLBACK
        )
    except ExternalSignInError as error:
        log.warning("external sign-in refused", extra={"reason": str(error)})
        return await refused(request, "invalid_id_token")

    async with state.database.transaction() as connection:
        found, roles_changed = await user_of_person(connection, provider.provider, person)
        user = await lock_user(connection, found.id) if found else None
        if user is None or user.disabled_at is not None:
            # The provider gave them roles before and does no more: what they hold ends.
            if known := await select_user_id(connection, provider.provider.issuer, person.subject):
                await revoke_subject(connection, known)
            return await refused(request, "no_account")
        if roles_changed:
            await revoke_subject(connection, user.id)
        needs_more = not person.has_mfa and user.must_prove_more(state.settings.mfa_required_roles)
        target = continue_to(sign_in.next)
        if needs_more:
            target = with_next(SECOND_FACTOR if user.has_second_factor else ENROL, sign_in.next)
        response = go_to(target)
        methods = ("fed", "mfa") if person.has_mfa else ("fed",)
        await start_session(
            connection, request, response, user, methods=methods, pending=needs_more
        )
        await record_own_act(connection, request, "sign_in", user.id, reason="external")
    return response


async def refused(request: Request, reason: str) -> Response:
    await record_refusal(request, "sign_in", reason)
    _ = texts_of(request).gettext
    return error_page(
        request,
        403,
        _("That did not work"),
        _("Your organization's sign-in gave you no account here. Ask your administrator."),
    )


def routes() -> list[BaseRoute]:
    return [
        PolicedRoute(EXTERNAL, Operation("GET", begin, PUBLIC)),
        PolicedRoute(EXTERNAL_CALLBACK, Operation("GET", finish, PUBLIC)),
    ]
