"""What each role may have, and what is granted: what the client may ask for AND what the
role may have.
"""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from apps.kit.scopes import (
    MAX_SCOPES,
    MAX_SCOPES_CHARS,
    SmartScope,
    parse_smart_scope,
)

# Who one is, not what one may see: any person may have these.
IDENTITY_SCOPES = frozenset({"openid", "profile", "email", "fhirUser", "offline_access", "account"})
# SMART App Launch: the application asks for the patient or encounter that it is to show.
LAUNCH_SCOPES = frozenset({"launch", "launch/patient", "launch/encounter"})

_BILLING = frozenset({"billing.read", "billing.write", "user/Patient.rs", "user/Coverage.cruds"})

ROLES: Mapping[str, frozenset[str]] = {
    "admin": frozenset(
        {"admin", "user/*.cruds", "billing.read", "billing.write", "billing.approve"}
        | {"analytics.read"}
    ),
    "clinician": frozenset({"user/*.cruds"}),
    "registrar": frozenset(
        f"user/{resource_type}.crus"
        for resource_type in ("Patient", "RelatedPerson", "Coverage", "Appointment")
    ),
    "billing": _BILLING,
    "billing_manager": _BILLING | {"billing.approve"},
    "analyst": frozenset({"analytics.read"}),
    "patient": frozenset({"patient/*.rs"}),
}

# What a client may be registered for, next to SMART scopes.
PLAIN_SCOPES = (
    IDENTITY_SCOPES
    | LAUNCH_SCOPES
    | {
        "admin",
        "billing.read",
        "billing.write",
        "billing.approve",
        "billing.system",
        "analytics.read",
    }
)

# The types that the record serves. No token is given for another one.
RESOURCE_TYPES = frozenset(
    {
        "Patient",
        "RelatedPerson",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Location",
        "HealthcareService",
        "Encounter",
        "Condition",
        "AllergyIntolerance",
        "MedicationRequest",
        "MedicationStatement",
        "MedicationAdministration",
        "Medication",
        "Immunization",
        "Procedure",
        "Observation",
        "DiagnosticReport",
        "ServiceRequest",
        "CarePlan",
        "CareTeam",
        "Goal",
        "DocumentReference",
        "Binary",
        "Coverage",
        "Claim",
        "ExplanationOfBenefit",
        "ImagingStudy",
        "Device",
        "SupplyDelivery",
        "Appointment",
        "Consent",
        "Provenance",
        "AuditEvent",
    }
)


# Two lists of scopes with search parameters share up to their product, of which no token
# holds so many.
MAX_SHARED_SCOPES = 4 * MAX_SCOPES


class TooManyScopesError(ValueError):
    """A list of scopes is longer than any application needs."""


def split_scopes(text: str) -> tuple[str, ...]:
    """Returns the distinct scopes of a request, in order. Raises TooManyScopesError beyond the
    bounds of the kit.

    Nobody has to be signed in to send this text: its length is checked before anything looks at it.
    """
    if len(text) > MAX_SCOPES_CHARS:
        raise TooManyScopesError
    scopes = tuple(dict.fromkeys(text.split()))
    if len(scopes) > MAX_SCOPES:
        raise TooManyScopesError
    return scopes


def read_smart_scope(scope: str) -> SmartScope | None:
    """Returns the parts of a SMART scope on a type that the record serves, else None."""
    # Made-up types must not fill the cache of the parser.
    _, _, rest = scope.partition("/")
    resource_type = rest.partition(".")[0]
    if resource_type != "*" and resource_type not in RESOURCE_TYPES:
        return None
    return parse_smart_scope(scope)


def is_scope(scope: str) -> bool:
    return scope in PLAIN_SCOPES or read_smart_scope(scope) is not None


def scopes_of_roles(roles: Iterable[str], *, launched: bool = False) -> frozenset[str]:
    """Returns what a person of these roles may have.

    `launched`: a patient was chosen for the application. Then `patient/` scopes, which reach that
    patient's record alone, give what the `user/` scopes of the roles give.
    """
    scopes = IDENTITY_SCOPES.union(*(ROLES.get(role, frozenset()) for role in roles))
    if launched or any(scope.startswith("patient/") for scope in scopes):
        scopes |= LAUNCH_SCOPES
    if launched:
        scopes |= {
            scope.replace("user/", "patient/", 1) for scope in scopes if scope.startswith("user/")
        }
    return scopes


def may_pick_patient(roles: Iterable[str]) -> bool:
    """Tells whether the person may search all patients, and so choose one for an application."""
    return any(
        smart.context == "user"
        and smart.resource_type in ("*", "Patient")
        and {"r", "s"} <= set(smart.interactions)
        for scope in scopes_of_roles(roles)
        if (smart := read_smart_scope(scope))
    )


def scopes_of_client(scopes: Iterable[str]) -> frozenset[str]:
    """Returns what a client may have in its own name: nothing that speaks for a person."""
    return frozenset(
        scope
        for scope in scopes
        if scope not in IDENTITY_SCOPES | LAUNCH_SCOPES
        and not scope.startswith(("user/", "patient/"))
    )


def intersect(one: Iterable[str], other: Iterable[str]) -> frozenset[str]:
    """Returns the scopes that both allow. Two SMART scopes allow what their types and
    interactions share.

    A scope of `one` that `other` allows in full is kept as it was written: an application that asks
    for `patient/*.read` is told `patient/*.read`. Raises TooManyScopesError where scopes with
    different search parameters multiply each other.
    """
    others = frozenset(other)
    index = _Index((scope, smart) for scope in others if (smart := read_smart_scope(scope)))

    shared: dict[str, SmartScope | None] = {}
    for scope in frozenset(one):
        mine = read_smart_scope(scope)
        if mine is None:
            if scope in others:
                shared[scope] = None
            continue
        candidates = index.sharing_a_type_with(mine)
        if any(_narrow(mine, theirs) == mine for _, theirs in candidates):
            # Whatever else it shares with another one is a part of it.
            shared[scope] = mine
            continue
        for theirs_text, theirs in candidates:
            narrowed = _narrow(mine, theirs)
            if narrowed == theirs:
                shared[theirs_text] = theirs
            elif narrowed:
                shared[_write(narrowed)] = narrowed
        if len(shared) > MAX_SHARED_SCOPES:
            raise TooManyScopesError
    return _without_implied(shared)


class _Index:
    """SMART scopes by context and type: of fifty scopes on as many types each is compared
    with few others.
    """

    def __init__(self, scopes: Iterable[tuple[str, SmartScope]]) -> None:
        self._by_type: dict[tuple[str, str], list[tuple[str, SmartScope]]] = {}
        self._by_context: dict[str, list[tuple[str, SmartScope]]] = {}
        for text, scope in scopes:
            key = (scope.context, scope.resource_type)
            self._by_type.setdefault(key, []).append((text, scope))
            self._by_context.setdefault(scope.context, []).append((text, scope))

    def sharing_a_type_with(self, scope: SmartScope) -> Sequence[tuple[str, SmartScope]]:
        if scope.resource_type == "*":
            return self._by_context.get(scope.context, [])
        return [
            *self._by_type.get((scope.context, scope.resource_type), ()),
            *self._by_type.get((scope.context, "*"), ()),
        ]


def _without_implied(scopes: Mapping[str, SmartScope | None]) -> frozenset[str]:
    """Drops what another scope includes: `user/Patient.r` says nothing where `user/*.rs` is
    granted as well.
    """
    smart = {}
    for text, scope in sorted(scopes.items()):
        # Of two spellings of one scope the first stays.
        if scope and scope not in smart:
            smart[scope] = text

    kept = {text for text, scope in scopes.items() if scope is None}
    index = _Index((text, scope) for scope, text in smart.items())
    for scope, text in smart.items():
        wider = index.sharing_a_type_with(scope)
        if not any(wide != scope and _narrow(scope, wide) == scope for _, wide in wider):
            kept.add(text)
    return frozenset(kept)


def _narrow(one: SmartScope, other: SmartScope) -> SmartScope | None:
    """Returns what both allow: their type, common interactions, and the search
    parameters of both.
    """
    if one.context != other.context:
        return None
    if one.resource_type == "*" or other.resource_type in ("*", one.resource_type):
        resource_type = other.resource_type if one.resource_type == "*" else one.resource_type
    else:
        return None
    interactions = "".join(letter for letter in one.interactions if letter in other.interactions)
    if not interactions:
        return None
    parameters = tuple(sorted({*one.parameters, *other.parameters}))
    return SmartScope(one.context, resource_type, interactions, parameters)


def _write(scope: SmartScope) -> str:
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in scope.parameters)
    text = f"{scope.context}/{scope.resource_type}.{scope.interactions}"
    return f"{text}?{query}" if query else text
