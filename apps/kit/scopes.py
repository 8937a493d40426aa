"""What a token allows: OAuth scopes, with SMART App Launch 2.2 scopes among them.

A SMART scope names a context, a resource type, interactions and optionally search parameters that
every resource must match: `user/Observation.rs?category=laboratory`. The scopes of version 1
(`user/*.read`) are understood too.

Source: https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from urllib.parse import parse_qsl

# More than any application asks for. The bounds keep a token far below the size that
# verifiers accept.
MAX_SCOPES = 50
MAX_SCOPE_CHARS = 200
MAX_SCOPES_CHARS = 2_000
MAX_CONSTRAINT_PARAMETERS = 5
# Answers that a principal remembers: every type's interactions. A request may name types
# that do not exist.
MAX_KNOWN_ACCESS = 256

# context / resource . interactions: create, read, update, delete, search, in that order.
_SMART = re.compile(
    r"(patient|user|system)/([A-Z][A-Za-z]{0,63}|\*)\.(read|write|\*|c?r?u?d?s?)(?:\?([\x21-\x7e]+))?"
)
_INTERACTIONS_OF_VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SmartScope:
    """`parameters` are FHIR search parameters, sorted by name; a resource must
    match all of them.
    """

    context: str
    resource_type: str
    interactions: str
    parameters: Parameters = ()


@lru_cache(maxsize=1024)
def parse_smart_scope(scope: str) -> SmartScope | None:
    """Returns the parts of a SMART scope, or None for any other text and for a scope without
    an interaction.
    """
    match = _SMART.fullmatch(scope) if len(scope) <= MAX_SCOPE_CHARS else None
    if match is None or not match[3]:
        return None

    parameters = _parse_parameters(match[4])
    if parameters is None:
        return None

    interactions = _INTERACTIONS_OF_VERSION_1.get(match[3], match[3])
    return SmartScope(match[1], match[2], interactions, parameters)


def _parse_parameters(query: str | None) -> Parameters | None:
    """Returns the search parameters, or None if the query is malformed. A parameter without a
    value is malformed.
    """
    if query is None:
        return ()
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_CONSTRAINT_PARAMETERS,
        )
    except ValueError:
        return None
    if not all(
        name and value and value.isprintable() and name.isprintable() for name, value in pairs
    ):
        return None
    return tuple(sorted(set(pairs)))


@dataclass(frozen=True, slots=True)
class AccessRule:
    """A set of resources of one type: those of one patient, or of all, that match the
    search parameters.
    """

    # None: the resources of every patient.
    patient_id: str | None = None
    # All must match, as in a search: `(("category", "laboratory"),)`.
    parameters: Parameters = ()

    @property
    def is_unrestricted(self) -> bool:
        return self.patient_id is None and not self.parameters


Matches = Callable[[AccessRule], bool]


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller may reach with one interaction on one resource type: resources that match
    ANY of the rules.

    A search adds the rules to its conditions (joined by OR); a read or write of one resource tests
    them with `covers`.
    """

    rules: tuple[AccessRule, ...]

    @property
    def is_unrestricted(self) -> bool:
        return any(rule.is_unrestricted for rule in self.rules)

    @property
    def has_parameters(self) -> bool:
        """Tells whether search parameters limit the access, beside or instead of a patient."""
        return not self.is_unrestricted and any(rule.parameters for rule in self.rules)

    @property
    def only_patient_id(self) -> str | None:
        """Returns the only patient whose resources can be reached; None if several
        patients' can.
        """
        ids = {rule.patient_id for rule in self.rules}
        return ids.pop() if len(ids) == 1 else None

    def covers(self, matches: Matches) -> bool:
        """Tells whether a resource is reached. `matches` tells whether it satisfies a rule that
        is restricted.
        """
        return any(rule.is_unrestricted or matches(rule) for rule in self.rules)


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
    # The record that a patient's own login is bound to, or that an application was launched for.
    patient_id: str | None = None
    # The grant that the token came from: revoking the grant revokes the token.
    family: str | None = None
    # What the application was launched with, and the record of the person who signed in (SMART).
    encounter_id: str | None = None
    fhir_user: str | None = None
    # RFC 9449: the key that the token is bound to; a request has to prove that it holds it.
    key_thumbprint: str | None = None
    # Every request and every entry of a Bundle asks for the same few.
    _access: dict[tuple[str, str], Access | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def has_scope(self, *any_of: str) -> bool:
        return not self.scopes.isdisjoint(any_of)

    def access_to(self, resource_type: str, interaction: str) -> Access | None:
        """Returns what `interaction` (one of c r u d s) may reach, or None if no
        scope allows it.
        """
        key = (resource_type, interaction)
        if key not in self._access:
            if len(self._access) >= MAX_KNOWN_ACCESS:
                self._access.clear()
            self._access[key] = self._find_access(resource_type, interaction)
        return self._access[key]

    def _find_access(self, resource_type: str, interaction: str) -> Access | None:
        rules: list[AccessRule] = []
        for scope in self.scopes:
            smart = parse_smart_scope(scope)
            if smart is None or interaction not in smart.interactions:
                continue
            if smart.resource_type not in ("*", resource_type):
                continue
            if smart.context == "patient" and not self.patient_id:
                continue
            patient_id = self.patient_id if smart.context == "patient" else None
            rules.append(AccessRule(patient_id, smart.parameters))
        return Access(_without_implied(rules)) if rules else None

    def may_read_own(self, resource_type: str) -> bool:
        """Tells whether this is a patient's own login that may read what is of this type in that
        patient's record.
        """
        if self.patient_id is None or "patient" not in self.roles:
            return False
        smart_scopes = map(parse_smart_scope, self.scopes)
        return any(
            smart.context == "patient"
            and "r" in smart.interactions
            and smart.resource_type in ("*", resource_type)
            and not smart.parameters
            for smart in smart_scopes
            if smart is not None
        )


def _without_implied(rules: list[AccessRule]) -> tuple[AccessRule, ...]:
    """Drops a rule that another rule includes, as `category=laboratory` for a patient includes it
    for nobody else.
    """

    def includes(wide: AccessRule, narrow: AccessRule) -> bool:
        return wide.patient_id in (None, narrow.patient_id) and set(wide.parameters) <= set(
            narrow.parameters
        )

    distinct = sorted(set(rules), key=lambda rule: (rule.patient_id or "", rule.parameters))
    return tuple(
        rule
        for rule in distinct
        if not any(other != rule and includes(other, rule) for other in distinct)
    )


class Disclosure(Enum):
    """What a response may contain about one resource."""

    # Not even that it exists: 403 for a request about it alone, no entry in a list.
    NOTHING = "nothing"
    # Status, id, version, `Location` and `ETag`; no body, whatever `Prefer` asks for.
    LOCATION = "location"
    BODY = "body"


def disclosure(
    principal: Principal,
    resource_type: str,
    interaction: str,
    matches: Matches = lambda rule: False,
) -> Disclosure:
    """Decides what a response may contain about one resource. Every route and every Bundle
    entry asks this.

    `interaction` says how the server came to the resource:

    - `c`, `u`, `d`: the request creates, changes (PUT, PATCH) or deletes it by id;
    - `r`: by its id (read, vread, history, `$everything`);
    - `s`: the server found it by search parameters. That includes a search's matches and
      included resources, the match of `If-None-Exist`, and the target of a conditional update,
      patch or delete.

    SMART scopes are exact. Without the scope for `interaction` the answer is NOTHING: with
    `system/Patient.c` alone a conditional create that finds a patient is refused (403) although it
    would have made one. A body needs `r` as well, for a created or changed resource as for a match
    of a search; without it the answer is LOCATION.

    `matches` tells whether the resource, as it would be returned, satisfies a rule of a scope that
    is limited to a patient or by search parameters. By default a limited scope reaches nothing. For
    a change call it for the stored resource and again for the new one: both must be reached.
    """
    reached = principal.access_to(resource_type, interaction)
    if reached is None or not reached.covers(matches):
        return Disclosure.NOTHING

    readable = principal.access_to(resource_type, "r")
    if readable is None or not readable.covers(matches):
        return Disclosure.LOCATION
    return Disclosure.BODY
