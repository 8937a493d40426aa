"""Access tokens as RFC 9068 says, and id tokens as OpenID Connect says."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jwt

from apps.auth.keys import SigningKey
from apps.auth.oauth.clients import Client
from apps.auth.people.users import User
from apps.kit.claims import ACCESS_TOKEN_SECONDS
from apps.kit.context import new_id


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token says beyond its times. Without a user the client speaks in its own name."""

    issuer: str
    audience: str
    client: Client
    scopes: frozenset[str]
    user: User | None = None
    # All tokens of one sign-in at one client: revoked together.
    family: str | None = None
    authenticated_at: datetime | None = None
    methods: tuple[str, ...] = ()

    @property
    def scope(self) -> str:
        return " ".join(sorted(self.scopes))


def sign_access_token(key: SigningKey, grant: Grant) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": grant.issuer,
        "sub": grant.user.id if grant.user else grant.client.id,
        "aud": grant.audience,
        "exp": now + ACCESS_TOKEN_SECONDS,
        "iat": now,
        "jti": new_id(),
        "client_id": grant.client.id,
        "scope": grant.scope,
        "roles": list(grant.user.roles) if grant.user else [],
    }
    if grant.authenticated_at:
        claims["auth_time"] = int(grant.authenticated_at.timestamp())
        claims["amr"] = list(grant.methods)
    if grant.family:
        claims["family"] = grant.family
    if grant.user and grant.user.patient_id:
        claims["patient"] = grant.user.patient_id
    return sign(key, claims, "at+jwt")


def sign(key: SigningKey, claims: dict[str, Any], kind: str) -> str:
    header = {"alg": key.algorithm, "kid": key.id, "typ": kind}
    return jwt.encode(header, claims, key.key, [key.algorithm])


def user_info(user: User, scopes: Iterable[str], issuer: str) -> dict[str, Any]:
    """The claims about a person that these scopes show."""
    claims: dict[str, Any] = {"sub": user.id}
    if "profile" in scopes:
        claims |= {
            "name": user.name or user.email,
            "email": user.email,
            "updated_at": int(user.created_at.timestamp()),
        }
    if "fhirUser" in scopes and user.patient_id:
        claims["fhirUser"] = f"{issuer}/fhir/R4/Patient/{user.patient_id}"
    return claims
