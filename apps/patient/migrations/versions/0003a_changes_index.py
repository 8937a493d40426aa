"""The index of what was changed, in the order of changes."""

from apps.kit.migrations import build_index

revision = "0003a"
down_revision = "0003"


def upgrade() -> None:
    # The number has the type in its upper bits: keys of one length fill their pages.
    build_index("resource_changed", "ON resource ((number >> 48), last_updated, number)")
