"""Sign-in by the organization's own OpenID provider: who it says somebody is, and which
roles that gives.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from apps.auth.people.roles import ROLES
from apps.auth.people.user_fields import is_email
from apps.kit.answer_body import read_answer
from apps.kit.errors import Unavailable

METADATA_LIFE_SECONDS = 300.0
REQUEST_TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 256 * 1024
CLOCK_LEEWAY_SECONDS = 60
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalProvider:
    """An OpenID provider of the organization. `roles`: role of ours by value of its claim
    `roles_claim`.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str
    roles_claim: str
    roles: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalSignIn:
    """A sign-in under way. `next`: the authorization request that it goes on with."""

    nonce: str
    verifier: str
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalPerson:
    """What the provider's id token says, checked."""

    subject: str
    email: str
    name: str
    roles: tuple[str, ...]
    # The provider asked for several factors (RFC 8176, `mfa`).
    has_mfa: bool


class ExternalSignInError(Exception):
    """The provider's answer is not valid; the message is for the log and holds no personal data."""


@dataclass
class ProviderClient:
    """Speaks to the provider: metadata and keys, cached; a code for an id token
    (OIDC Core, 3.1.3).
    """

    provider: ExternalProvider
    session: aiohttp.ClientSession
    _metadata: Mapping[str, Any] = field(default_factory=dict)
    _keys: KeySet | None = None
    _read_at: float = 0.0

    async def authorization_url(self, state: str, nonce: str, challenge: str, callback: str) -> str:
        """Returns where the browser goes to sign in."""
        await self._refresh()
        query = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": callback,
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = str(self._metadata["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def redeem(self, code: str, sign_in: ExternalSignIn, callback: str) -> ExternalPerson:
        """Returns who signed in; raises ExternalSignInError, and Unavailable if the
        provider is away.
        """
        await self._refresh()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": callback,
            "code_verifier": sign_in.verifier,
        }
        credentials = aiohttp.encode_basic_auth(
            quote(self.provider.client_id, safe=""), quote(self.provider.client_secret, safe="")
        )
        answer = await self._fetch(
            "POST", str(self._metadata["token_endpoint"]), form, {"Authorization": credentials}
        )
        return self.read_id_token(answer.get("id_token"), sign_in.nonce)

    def read_id_token(self, token: object, nonce: str) -> ExternalPerson:
        """Checks signature, issuer, audience, times and nonce (OIDC Core, 3.1.3.7)."""
        if not isinstance(token, str) or self._keys is None:
            raise ExternalSignInError("no id token")
        try:
            claims: dict[str, Any] = jwt.decode(token, self._keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ExternalSignInError(type(error).__name__) from None

        now = time.time()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        expires_at = claims.get("exp")
        if claims.get("iss") != self.provider.issuer:
            raise ExternalSignInError("another issuer")
        if self.provider.client_id not in audiences:
            raise ExternalSignInError("another audience")
        if len(audiences) > 1 and claims.get("azp") != self.provider.client_id:
            raise ExternalSignInError("another authorized party")
        if not isinstance(expires_at, int | float) or expires_at < now - CLOCK_LEEWAY_SECONDS:
            raise ExternalSignInError("expired")
        if claims.get("nonce") != nonce:
            raise ExternalSignInError("another nonce")
        return self.read_person(claims)

    def read_person(self, claims: Mapping[str, Any]) -> ExternalPerson:
        subject = claims.get("sub")
        email = claims.get("email")
        if (
            not isinstance(subject, str)
            or not 1 <= len(subject) <= 255
            or not subject.isprintable()
        ):
            raise ExternalSignInError("no subject")
        if (
            not isinstance(email, str)
            or not is_email(email)
            # Some providers write the word.
            or claims.get("email_verified") in (False, "false")
        ):
            raise ExternalSignInError("no verified e-mail address")
        name = claims.get("name")
        groups = claims.get(self.provider.roles_claim)
        values = groups if isinstance(groups, list) else [groups]
        methods = claims.get("amr")
        return ExternalPerson(
            subject=subject,
            email=email,
            name=name[:200] if isinstance(name, str) and name.isprintable() else "",
            roles=roles_of_claim(self.provider.roles, values),
            has_mfa=isinstance(methods, list) and "mfa" in methods,
        )

    async def _refresh(self) -> None:
        """Reads metadata and keys if they are older than METADATA_LIFE_SECONDS."""
        now = time.monotonic()
        if self._keys is not None and now - self._read_at < METADATA_LIFE_SECONDS:
            return
        issuer = self.provider.issuer
        metadata = await self._fetch("GET", f"{issuer}/.well-known/openid-configuration")
        wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        if metadata.get("issuer") != issuer or not all(
            isinstance(metadata.get(name), str) for name in wanted
        ):
            raise Unavailable("external_provider_unavailable", "its metadata is not valid")
        keys = await self._fetch("GET", str(metadata["jwks_uri"]))
        try:
            self._keys = KeySet.import_key_set(keys)  # type: ignore[arg-type]  # checked by it
        except (JoseError, ValueError, KeyError, TypeError):
            raise Unavailable("external_provider_unavailable", "its keys are not valid") from None
        self._metadata = metadata
        self._read_at = now

    async def _fetch(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
        try:
            async with self.session.request(
                method,
                url,
                data=form,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = await read_answer(response, MAX_ANSWER_BYTES)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable("external_provider_unavailable", type(error).__name__) from error
        if method == "POST" and 400 <= status < 500:
            raise ExternalSignInError(f"the token endpoint answered {status}")
        try:
            answer = msgspec.json.decode(body) if status == 200 else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Unavailable("external_provider_unavailable", f"it answered {status}")
        return answer


def roles_of_claim(roles: Mapping[str, str], values: Iterable[object]) -> tuple[str, ...]:
    """Returns the roles that a claim's values give, in one order. Unknown values give nothing."""
    given = {roles[value] for value in values if isinstance(value, str) and value in roles}
    return tuple(role for role in ROLES if role in given)
