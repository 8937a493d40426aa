"""Whether a resource in hand meets a criterion, for scopes that are limited by parameters. Pure."""

from apps.patient.search.criteria.criteria import (
    AllOf,
    AnyOf,
    Criterion,
    Exact,
    Missing,
    Not,
    UriBelow,
)
from apps.patient.search.criteria.query import missing_position
from apps.patient.search.index.index_rows import IndexRows


def meets(resource_type: str, index: IndexRows, criterion: Criterion) -> bool:
    """Tells whether the resource with this index meets `criterion`; no for what only the
    database can tell.
    """
    match criterion:
        case AllOf():
            return all(meets(resource_type, index, item) for item in criterion.criteria)
        case AnyOf():
            return any(meets(resource_type, index, item) for item in criterion.criteria)
        case Not():
            # What cannot be told is not allowed, negated or not.
            inner = criterion.criterion
            return isinstance(inner, (Exact, Missing, UriBelow)) and not meets(
                resource_type, index, inner
            )
        case Exact():
            return any(value.matching in index.values for value in criterion.values)
        case UriBelow():
            return any(
                name == criterion.parameter and f"{uri}/".startswith(f"{criterion.uri}/")
                for name, uri in index.uris
            )
        case Missing():
            return all(
                missing_position(resource_type, name) != criterion.position
                for name in index.present
            )
    return False
