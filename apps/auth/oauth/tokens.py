"""Access tokens as RFC 9068 says, and id tokens as OpenID Connect says."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jwt

from apps.auth.keys import SigningKey
from apps.auth.oauth.clients import Client
from apps.auth.people.roles import intersect, scopes_of_roles
from apps.auth.people.users import User
from apps.kit.claims import ACCESS_TOKEN_SECONDS
from apps.kit.context import new_id
from apps.kit.operation_outcomes import FHIR_PATH

LOOKUP_TOKEN_SECONDS = 60
LOOKUP_CLIENT = "patient-picker"


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
    # SMART: what the application was launched for.
    patient_id: str | None = None
    encounter_id: str | None = None
    # RFC 9449: the thumbprint of the key that the token is bound to.
    dpop_jkt: str | None = None
    # RFC 8693: who acts for the person, and how long the token that was exchanged lives.
    actor_id: str | None = None
    expires_at: int | None = None

    @property
    def scope(self) -> str:
        return " ".join(sorted(self.scopes))


def sign_access_token(key: SigningKey, grant: Grant) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": grant.issuer,
        "sub": grant.user.id if grant.user else grant.client.id,
        "aud": grant.audience,
        "exp": min(now + ACCESS_TOKEN_SECONDS, grant.expires_at or now + ACCESS_TOKEN_SECONDS),
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
    patient_id = grant.user.patient_id if grant.user else None
    if patient_id or grant.patient_id:
        claims["patient"] = patient_id or grant.patient_id
    if grant.encounter_id:
        claims["encounter"] = grant.encounter_id
    if grant.user and grant.user.fhir_user and "fhirUser" in grant.scopes:
        claims["fhirUser"] = f"{grant.issuer}{FHIR_PATH}/{grant.user.fhir_user}"
    if grant.dpop_jkt:
        claims["cnf"] = {"jkt": grant.dpop_jkt}
    if grant.actor_id:
        claims["act"] = {"sub": grant.actor_id}
    return sign(key, claims, "at+jwt")


def sign_lookup_token(key: SigningKey, issuer: str, user: User) -> str:
    """Returns a token for the person themself, good for a minute, to look patients up on
    a page of ours.
    """
    now = int(time.time())
    claims = {
        "iss": issuer,
        "sub": user.id,
        "aud": issuer,
        "exp": now + LOOKUP_TOKEN_SECONDS,
        "iat": now,
        "jti": new_id(),
        "client_id": LOOKUP_CLIENT,
        "scope": " ".join(sorted(intersect(["user/Patient.rs"], scopes_of_roles(user.roles)))),
        "roles": list(user.roles),
    }
    return sign(key, claims, "at+jwt")


def sign(key: SigningKey, claims: dict[str, Any], kind: str) -> str:
    header = {"alg": key.algorithm, "kid": key.id, "typ": kind}
    return jwt.encode(header, claims, key.key, [key.algorithm])


def user_info(user: User, scopes: Iterable[str], issuer: str) -> dict[str, Any]:
    """Returns the claims about a person that these scopes show (OpenID Connect
    Core, 5.1 and 5.4).
    """
    scopes = frozenset(scopes)
    claims: dict[str, Any] = {"sub": user.id}
    if "profile" in scopes:
        claims |= {"name": user.name or user.email, "updated_at": int(user.updated_at.timestamp())}
    if "email" in scopes:
        claims |= {"email": user.email, "email_verified": user.email_verified_at is not None}
    if "fhirUser" in scopes and user.fhir_user:
        claims["fhirUser"] = f"{issuer}{FHIR_PATH}/{user.fhir_user}"
    return claims
