"""What each role may have, and what is granted: what the client may ask for AND the role may have."""

from collections.abc import Iterable, Mapping

from apps.kit.scopes import SmartScope, parse_smart_scope

# Who one is, not what one may see: any person may have these.
IDENTITY_SCOPES = frozenset({"openid", "profile", "fhirUser", "offline_access"})

ROLES: Mapping[str, frozenset[str]] = {
    "admin": frozenset(
        {"admin", "user/*.cruds", "billing.read", "billing.write", "analytics.read"}
    ),
    "clinician": frozenset({"user/*.cruds"}),
    "registrar": frozenset({"user/Patient.crus"}),
    "billing": frozenset({"billing.read", "billing.write", "user/Patient.rs"}),
    "analyst": frozenset({"analytics.read"}),
    "patient": frozenset({"patient/*.rs", "launch/patient"}),
}

# What a client may be registered for, next to SMART scopes.
PLAIN_SCOPES = IDENTITY_SCOPES | {
    "admin",
    "billing.read",
    "billing.write",
    "billing.system",
    "analytics.read",
    "launch/patient",
}


def is_scope(scope: str) -> bool:
    return scope in PLAIN_SCOPES or parse_smart_scope(scope) is not None


def scopes_of_roles(roles: Iterable[str]) -> frozenset[str]:
    return IDENTITY_SCOPES.union(*(ROLES.get(role, frozenset()) for role in roles))


def scopes_of_client(scopes: Iterable[str]) -> frozenset[str]:
    """What a client may have in its own name: nothing that speaks for a person."""
    return frozenset(
        scope
        for scope in scopes
        if scope not in IDENTITY_SCOPES
        and scope != "launch/patient"
        and not scope.startswith(("user/", "patient/"))
    )


def intersect(one: Iterable[str], other: Iterable[str]) -> frozenset[str]:
    """The scopes that both allow; two SMART scopes of one context allow what their types and interactions share."""
    others = frozenset(other)
    shared = {scope for mine in one for theirs in others if (scope := _narrow(mine, theirs))}
    # `user/Patient.r` says nothing where `user/*.rs` is granted as well.
    return frozenset(
        scope
        for scope in shared
        if not any(scope != wide and _narrow(scope, wide) == scope for wide in shared)
    )


def _narrow(one: str, other: str) -> str | None:
    if one == other:
        return one
    mine, theirs = parse_smart_scope(one), parse_smart_scope(other)
    if mine is None or theirs is None or mine.context != theirs.context:
        return None
    types = {mine.resource_type, theirs.resource_type} - {"*"}
    interactions = "".join(letter for letter in mine.interactions if letter in theirs.interactions)
    if len(types) > 1 or not interactions:
        return None
    return _write(SmartScope(mine.context, types.pop() if types else "*", interactions))


def _write(scope: SmartScope) -> str:
    return f"{scope.context}/{scope.resource_type}.{scope.interactions}"
