"""The indexes of the audit and of the histories, which grow with every read and change."""

from apps.kit.migrations import build_index

revision = "0002a"
down_revision = "0002"

INDEXES = {
    "audit_event_entities": "ON audit_event USING gin (entities)",
    "audit_event_patient": "ON audit_event (patient_id, id) WHERE patient_id IS NOT NULL",
    # Entries of the release before have no entities.
    "audit_event_resource": "ON audit_event (resource_id) WHERE entities IS NULL",
    "audit_event_actor": "ON audit_event (actor_id, recorded_at, id)",
    "resource_history_recorded": "ON resource_history (type, recorded_at)",
    "audit_event_recorded": "ON audit_event (recorded_at, id)",
}


def upgrade() -> None:
    for name, definition in INDEXES.items():
        build_index(name, definition)
