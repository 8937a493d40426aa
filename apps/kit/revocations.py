"""What was revoked before its time: the list that the auth service gives and every
verifier holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.kit.scopes import Principal

NotBefore = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Revocations:
    """Revoked token ids, and times (Unix seconds) up to which all tokens of a subject, client or
    family are void.
    """

    tokens: frozenset[str] = frozenset()
    subjects: NotBefore = field(default_factory=dict)
    clients: NotBefore = field(default_factory=dict)
    families: NotBefore = field(default_factory=dict)

    def covers(self, principal: Principal) -> bool:
        """Tells whether the token is void. A token of the very second of a revocation is void too:
        which came first cannot be told.
        """
        issued_at = principal.issued_at
        return (
            principal.token_id in self.tokens
            or issued_at <= self.subjects.get(principal.subject, -1)
            or issued_at <= self.clients.get(principal.client_id, -1)
            or (
                principal.family is not None
                and issued_at <= self.families.get(principal.family, -1)
            )
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "tokens": sorted(self.tokens),
            "subjects": dict(sorted(self.subjects.items())),
            "clients": dict(sorted(self.clients.items())),
            "families": dict(sorted(self.families.items())),
        }


def parse_revocations(document: Any) -> Revocations:
    """Parses the document of `GET /oauth2/revocations`; raises ValueError for any other."""
    if not isinstance(document, dict) or not isinstance(document.get("tokens"), list):
        raise ValueError("not a list of revocations")
    times: list[NotBefore] = []
    for name in ("subjects", "clients", "families"):
        value = document.get(name)
        if not isinstance(value, dict) or not all(isinstance(time, int) for time in value.values()):
            raise ValueError(f"not a list of revocations: {name}")
        times.append(value)
    return Revocations(frozenset(map(str, document["tokens"])), *times)
