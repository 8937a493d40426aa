"""The index of the entries that count at another time than they were written down."""

from apps.kit.migrations import build_index

revision = "0007a"
down_revision = "0007"


def upgrade() -> None:
    # A box of no width at the account's hash, from one time to the other: GiST finds those over a
    # moment, of one account, without an extension. The account and the times are compared once
    # more by who asks.
    build_index(
        "ledger_entry_shift",
        "ON ledger_entry USING gist (shift_of(ledger_account_id, posted_at, effective_at))"
        # All that a balance needs: no visit to the table for each of them.
        " INCLUDE (ledger_account_id, posted_at, effective_at, side, amount)"
        " WHERE effective_at <> posted_at",
    )
