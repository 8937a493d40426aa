"""How PostgreSQL plans the service's statements (docs/decisions/0306-search-index.md)."""

from collections.abc import Mapping

# A plan follows from a statement's text: index ranges, joined one row at a time. Planned once a connection, it costs
# nothing later, and neither missing statistics nor those of a bulk load turn it into a scan.
PLANNER_SETTINGS: Mapping[str, str] = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
