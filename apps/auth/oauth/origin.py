"""The sign-in that a person's tokens come from."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.auth.oauth.codes import AuthorizationCode
from apps.auth.oauth.refresh_tokens import RefreshToken

FEDERATED_LIFE_HOURS = 24


@dataclass(frozen=True, slots=True)
class Origin:
    """A sign-in, as a code or a refresh token carries it on."""

    family_id: str
    scope: str
    authenticated_at: datetime
    methods: tuple[str, ...]
    patient_id: str | None = None
    encounter_id: str | None = None
    session_id: str | None = None
    dpop_jkt: str | None = None
    # Of the refresh token that is replaced: when its family ends, and the token that
    # takes its place.
    expires_at: datetime | None = None
    successor: str | None = None

    @classmethod
    def of(cls, credential: AuthorizationCode | RefreshToken) -> "Origin":
        return cls(
            family_id=credential.family_id,
            scope=credential.scope,
            authenticated_at=credential.authenticated_at,
            methods=credential.methods,
            patient_id=credential.patient_id,
            encounter_id=credential.encounter_id,
            session_id=credential.session_id,
            dpop_jkt=credential.dpop_jkt,
        )


def end_of_federated(origin: Origin) -> datetime | None:
    """Returns when the refresh tokens of a sign-in by the organization's provider end; None for any
    other sign-in.

    The provider says when somebody leaves, and is asked at each sign-in alone.
    """
    if "fed" not in origin.methods:
        return None
    return origin.authenticated_at + timedelta(hours=FEDERATED_LIFE_HOURS)
