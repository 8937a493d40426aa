"""What a caller may do with a resource, decided by the scopes of the token (apps/kit/scopes.py)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from apps.kit.database import Connection
from apps.kit.errors import BadRequest, Forbidden
from apps.kit.scopes import Access, AccessRule, Disclosure, Matches, Principal, disclosure
from apps.patient.codec import decode
from apps.patient.definitions.model import compartment_parameters
from apps.patient.search.criteria.criteria import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Chain,
    Contained,
    Criterion,
    Has,
    Hierarchy,
    Not,
    Owned,
    all_of,
)
from apps.patient.search.criteria.query import Query
from apps.patient.search.index.hashing import resource_hash
from apps.patient.search.index.index_rows import IndexRows
from apps.patient.search.index.resource_index import stored_index
from apps.patient.search.matching import meets
from apps.patient.search.reading.reader import Reader
from apps.patient.storage.patient_records import select_referred
from apps.patient.storage.scanning import Scans
from apps.patient.storage.versions import Author, Change, Version


def is_owned_type(resource_type: str) -> bool:
    """Tells whether resources of the type belong to a patient's record."""
    return resource_type == "Patient" or bool(compartment_parameters(resource_type))


@dataclass(slots=True, kw_only=True)
class Caller:
    """Who calls, and what the scopes allow. `referred` are resources that the caller's own
    record refers to, `scans` what the request may read to compare it.
    """

    principal: Principal
    author: Author
    reader: Reader
    referred: dict[str, frozenset[int]] = field(default_factory=dict)
    scans: Scans = field(default_factory=Scans)
    _criteria: dict[tuple[str, AccessRule], Criterion] = field(default_factory=dict)

    def access(self, resource_type: str, interaction: str) -> Access | None:
        return self.principal.access_to(resource_type, interaction)

    def require(self, resource_type: str, interaction: str) -> Access:
        """Raises Forbidden without a scope for the interaction."""
        access = self.access(resource_type, interaction)
        if access is None:
            raise Forbidden("insufficient_scope", f"this needs {resource_type}.{interaction}")
        return access

    def criterion(self, resource_type: str, interaction: str) -> Criterion:
        """Returns what resources must meet to be reached by `interaction`; NOTHING
        without a scope.
        """
        access = self.access(resource_type, interaction)
        if access is None:
            return NOTHING
        if access.is_unrestricted:
            return EVERYTHING
        rules = [self.rule_criterion(resource_type, rule) for rule in access.rules]
        return rules[0] if len(rules) == 1 else AnyOf(criteria=tuple(rules))

    def limited(self, criterion: Criterion) -> Criterion:
        """Returns the criterion with each step into another type held to what the caller
        may find there.

        Without that `_has` and chains would tell about resources that the scopes do not reach.
        Raises Forbidden where the caller may not search such a type at all.
        """
        match criterion:
            case Chain():
                return replace(criterion, criterion=self._inner(criterion.target_type, criterion))
            case Has():
                return replace(criterion, criterion=self._inner(criterion.source_type, criterion))
            case Hierarchy():
                self.require(criterion.target_type, "s")
                return replace(criterion, reachable=self.criterion(criterion.target_type, "s"))
            case Not() | Contained():
                return replace(criterion, criterion=self.limited(criterion.criterion))
            case AnyOf() | AllOf():
                return replace(
                    criterion, criteria=tuple(self.limited(part) for part in criterion.criteria)
                )
        return criterion

    def _inner(self, resource_type: str, step: Chain | Has) -> Criterion:
        self.require(resource_type, "s")
        inner = self.limited(step.criterion)
        reachable = self.criterion(resource_type, "s")
        return inner if reachable == EVERYTHING else AllOf(criteria=(inner, reachable))

    def rule_criterion(self, resource_type: str, rule: AccessRule) -> Criterion:
        """Returns the criterion of one scope. A scope that names what the type does not have
        reaches nothing.
        """
        key = (resource_type, rule)
        if key not in self._criteria:
            parts: list[Criterion] = []
            if rule.patient_id is not None:
                parts.append(Owned(patient_id=rule.patient_id))
            query = Query(types=(resource_type,))
            try:
                parts += [
                    self.reader.criterion(query, resource_type, name, value, 0)
                    for name, value in rule.parameters
                ]
                self._criteria[key] = all_of(parts)
            except BadRequest:
                self._criteria[key] = NOTHING
        return self._criteria[key]

    def is_of_one_patient(self, resource_type: str) -> bool:
        """Tells whether scopes of one patient alone let the caller write such a resource."""
        found = [self.access(resource_type, interaction) for interaction in "cu"]
        rules = [rule for access in found if access for rule in access.rules]
        return all(rule.patient_id is not None for rule in rules)

    def disclosure(self, resource_type: str, interaction: str, matches: Matches) -> Disclosure:
        return disclosure(self.principal, resource_type, interaction, matches)

    def disclosure_of(self, version: Version, interaction: str) -> Disclosure:
        """Decides what may be told of a version; `load_referred` must have run for
        restricted callers. Raises Forbidden where one patient's scopes alone would change what
        patients share, as an organization: they reach it to be read.
        """
        kind, matches = version.resource_type, self.matcher(version)
        found = self.disclosure(kind, interaction, matches)
        if interaction in "ud" and found is not Disclosure.NOTHING and not is_owned_type(kind):
            reached = self.access(kind, interaction)
            if not reached or not reached.covers(
                lambda rule: rule.patient_id is None and matches(rule)
            ):
                raise Forbidden("insufficient_scope", "one patient's scopes change nothing shared")
        return found

    def disclosure_of_change(self, change: Change, interaction: str) -> Disclosure:
        matches = self.matcher(change.version, change.index)
        return self.disclosure(change.version.resource_type, interaction, matches)

    def matcher(self, version: Version, index: IndexRows | None = None) -> Matches:
        """Returns what tells whether a version satisfies a rule that is limited."""
        made = index

        def matches(rule: AccessRule) -> bool:
            nonlocal made
            if rule.patient_id is not None and not self._is_own(version, rule.patient_id):
                return False
            if not rule.parameters:
                return True
            if made is None:
                resource = decode(version.body) if version.body else {}
                made = (
                    stored_index(resource, self.reader.base_url).rows if resource else IndexRows()
                )
            limited = AccessRule(None, rule.parameters)
            return meets(
                version.resource_type, made, self.rule_criterion(version.resource_type, limited)
            )

        return matches

    def _is_own(self, version: Version, patient_id: str) -> bool:
        if is_owned_type(version.resource_type):
            return version.patient_id == patient_id
        referred = self.referred.get(patient_id, frozenset())
        return resource_hash(version.resource_type, version.id) in referred

    async def load_referred(self, connection: Connection, resource_type: str) -> None:
        """Reads what the caller's own record refers to, if that decides about
        resources of this type.
        """
        if is_owned_type(resource_type):
            return
        for interaction in "rus":
            access = self.access(resource_type, interaction)
            for rule in access.rules if access else ():
                if rule.patient_id is not None and rule.patient_id not in self.referred:
                    found = await select_referred(connection, rule.patient_id)
                    self.referred[rule.patient_id] = frozenset(found)

    def check_change(self, change: Change, interaction: str) -> Disclosure:
        """Returns what may be told of a change; raises Forbidden for one that no scope allows."""
        found = self.disclosure_of_change(change, interaction)
        if found is Disclosure.NOTHING:
            raise Forbidden("insufficient_scope", "this is another patient's record")
        return found


NO_HEADERS: Mapping[str, str] = {}
