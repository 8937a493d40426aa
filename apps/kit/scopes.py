"""What a token allows: OAuth scopes, with SMART App Launch 2.0 scopes among them.

Source: https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

import re
from dataclasses import dataclass
from functools import lru_cache

# context / resource . interactions: create, read, update, delete, search, in that order.
_SMART = re.compile(r"(patient|user|system)/([A-Z][A-Za-z]*|\*)\.(c?r?u?d?s?)")


@dataclass(frozen=True, slots=True)
class SmartScope:
    context: str
    resource_type: str
    interactions: str


@lru_cache(maxsize=1024)
def parse_smart_scope(scope: str) -> SmartScope | None:
    """The parts of a SMART v2 scope; None for any other scope, and for one without an interaction."""
    match = _SMART.fullmatch(scope)
    if match is None or not match[3]:
        return None
    return SmartScope(match[1], match[2], match[3])


@dataclass(frozen=True, slots=True)
class Principal:
    """Who stands behind a verified access token (RFC 9068)."""

    subject: str
    client_id: str
    audience: str
    scopes: frozenset[str]
    roles: tuple[str, ...]
    token_id: str
    issued_at: int
    expires_at: int
    # The record that a patient's own login is bound to.
    patient_id: str | None = None
    # The grant that the token came from: revoking the grant revokes the token.
    family: str | None = None

    def has_scope(self, *any_of: str) -> bool:
        return not self.scopes.isdisjoint(any_of)

    def access_to(self, resource_type: str, interaction: str) -> str | None:
        """`"all"`, `"own"` (the patient's own record, `patient_id`), or None. `interaction` is one of c r u d s."""
        own = False
        for scope in self.scopes:
            smart = parse_smart_scope(scope)
            if smart is None or interaction not in smart.interactions:
                continue
            if smart.resource_type not in ("*", resource_type):
                continue
            if smart.context in ("user", "system"):
                return "all"
            own = True
        return "own" if own and self.patient_id else None
