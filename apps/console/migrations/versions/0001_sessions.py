"""People's sessions with their tokens, encrypted, and the patients that each person opened last."""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE session (
            token_hash bytea PRIMARY KEY,
            subject text NOT NULL,
            -- The session at the auth service (OpenID Connect `sid`), which its logout names.
            auth_session text NOT NULL,
            -- Access, refresh and id token and the person's name, encrypted.
            tokens bytea NOT NULL,
            access_expires_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            seen_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX session_subject ON session (subject)")
    op.execute("CREATE INDEX session_seen ON session (seen_at)")
    op.execute("""
        CREATE TABLE recent_patient (
            subject text NOT NULL,
            patient_id text NOT NULL,
            opened_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (subject, patient_id)
        )
    """)
    op.execute(
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON session, recent_patient TO {runtime_role()}"
    )
