"""The index of the charges that came by a merge of patients, to be found when it is undone."""

from apps.kit.migrations import build_index

revision = "0006a"
down_revision = "0006"


def upgrade() -> None:
    build_index(
        "charge_item_origin",
        "ON charge_item (origin_account_id) WHERE origin_account_id IS NOT NULL",
    )
