"""The figures, what they are made of, and how far each partition was read: changed together
or not at all.
"""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0001"
down_revision = None


def upgrade() -> None:
    # A batch moves its partitions on from the offset that it began at, or not at all: so one that
    # lost its partitions meanwhile changes nothing.
    op.execute("""
        CREATE TABLE consumed (
            topic text NOT NULL,
            partition integer NOT NULL,
            next_offset bigint NOT NULL CHECK (next_offset >= 0),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (topic, partition)
        )
    """)
    op.execute(
        "CREATE TABLE seen_event (event_id uuid PRIMARY KEY, seen_at timestamptz NOT NULL DEFAULT "
        "now())"
    )
    op.execute("CREATE INDEX seen_event_seen_at ON seen_event (seen_at)")
    op.execute("CREATE TABLE registration (hour timestamptz PRIMARY KEY, count bigint NOT NULL)")
    # The newest version that was heard of, whichever order the versions came in.
    op.execute("""
        CREATE TABLE patient (
            patient_id text PRIMARY KEY,
            version_id bigint NOT NULL,
            birth_year integer NOT NULL,
            gender text NOT NULL,
            postal_prefix text NOT NULL,
            deleted boolean NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE fact (
            resource_type text NOT NULL,
            resource_id text NOT NULL,
            version_id bigint NOT NULL,
            patient_id text NOT NULL,
            system text NOT NULL,
            code text NOT NULL,
            category text NOT NULL,
            effective_at timestamptz,
            deleted boolean NOT NULL,
            PRIMARY KEY (resource_type, resource_id)
        )
    """)
    op.execute("CREATE INDEX fact_code ON fact (resource_type, system, code) WHERE NOT deleted")
    op.execute(
        "CREATE INDEX fact_effective_at ON fact (resource_type, effective_at) WHERE NOT deleted"
    )
    op.execute("""
        CREATE TABLE dead_letter (
            topic text NOT NULL,
            partition integer NOT NULL,
            record_offset bigint NOT NULL,
            reason text NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (topic, partition, record_offset)
        )
    """)
    runtime = runtime_role()
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON consumed TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT, DELETE ON seen_event TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON registration, patient, fact TO {runtime}")
    op.execute(f"GRANT SELECT, INSERT ON dead_letter TO {runtime}")
