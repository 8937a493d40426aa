"""How much one search may ask for."""

from collections.abc import Iterable

from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import Chain, Criterion, Has, Scanned, count_parts

MAX_VALUES = 100
MAX_VALUE_CHARS = 1_000
MAX_CRITERIA = 30
MAX_CHAIN_STEPS = 4
# Each is looked up by itself before the search runs: a chain for each type that it leads to.
MAX_CHAINS = 1_000
# With those that are read and lead nowhere, and those to contained resources: reading them takes
# the event loop's time, and each value is hashed for each path that leads to it.
MAX_STEPS_READ = 1_000
MAX_VALUES_READ = 10_000
# Each reads resources. As many as a `_filter` has comparisons.
MAX_SCANS = 30


def check_costs(criteria: Iterable[Criterion]) -> None:
    """Raises BadRequest for more look-ups than one search is worth."""
    for criterion in criteria:
        if count_parts(criterion, Chain, Has) > MAX_CHAINS:
            raise too_many_chains()
        if count_parts(criterion, Scanned) > MAX_SCANS:
            raise BadRequest(
                "too_costly",
                f"at most {MAX_SCANS} comparisons that no index knows: `_text`,"
                " `_content`, `ew` of a `_filter` and the like",
            )


def too_many_chains() -> BadRequest:
    return BadRequest("too_costly", f"chains lead to more than {MAX_CHAINS} types in all")


def too_many_paths() -> BadRequest:
    return BadRequest(
        "too_costly",
        f"chains lead along more than {MAX_STEPS_READ} paths to types and to what they contain, or"
        f" ask for more than {MAX_VALUES_READ} values on them; name the types"
        " (`subject:Patient.name`) or give fewer values",
    )
