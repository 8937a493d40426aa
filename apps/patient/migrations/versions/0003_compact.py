"""Bodies that are packed, fewer rows in the index, and what is known of the layout of the rows.

It expands: the service reads both layouts and writes the new one from `compact_from` on, when no
replica of the previous release runs any more. It then rewrites the rows in batches
(apps/patient/storage/reindexing.py).
"""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0003"
down_revision = "0002a"
branch_labels = None
depends_on = None

COMPACT = """
-- A zstd frame. `body` has what the release before this one wrote, until it is rewritten.
ALTER TABLE resource ADD COLUMN packed bytea;
ALTER TABLE resource_history ADD COLUMN packed bytea;
-- It is compressed already.
ALTER TABLE resource ALTER COLUMN packed SET STORAGE EXTERNAL;
ALTER TABLE resource_history ALTER COLUMN packed SET STORAGE EXTERNAL;
ALTER TABLE resource DROP CONSTRAINT resource_check;
ALTER TABLE resource ADD CONSTRAINT resource_body_check
    CHECK ((method = 'DELETE') = (body IS NULL AND packed IS NULL)) NOT VALID;
ALTER TABLE resource_history DROP CONSTRAINT resource_history_check;
ALTER TABLE resource_history ADD CONSTRAINT resource_history_body_check
    CHECK ((method = 'DELETE') = (body IS NULL AND packed IS NULL)) NOT VALID;

CREATE OR REPLACE FUNCTION keep_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version_id <> OLD.version_id + 1
        AND current_setting('patient.carries_over', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'version conflict' USING ERRCODE = '40001';
    END IF;
    INSERT INTO resource_history
        (type, id, version_id, patient_id, recorded_at, method, body, packed)
    VALUES (OLD.type, OLD.id, OLD.version_id, OLD.patient_id, OLD.last_updated, OLD.method,
        OLD.body, OLD.packed)
    ON CONFLICT DO NOTHING;
    -- A previous release knows one of the columns only.
    IF NEW.packed IS NOT NULL AND (NEW.body IS NOT NULL OR NEW.method = 'DELETE') THEN
        NEW.packed := NULL;
    END IF;
    RETURN NEW;
END $$;

-- One row. Each row of `resource` has at least `index_version`; those up to `position` have
-- `target_version`, which
-- the rewriting of the others began with at `starts_at`.
CREATE TABLE record_layout (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    compact_from timestamptz NOT NULL,
    index_version smallint NOT NULL,
    target_version smallint NOT NULL,
    starts_at timestamptz NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    is_forced boolean NOT NULL DEFAULT false
);
-- A new database has no previous release.
INSERT INTO record_layout (compact_from, index_version, target_version, starts_at)
SELECT moment, CASE WHEN is_new THEN 2 ELSE 1 END, 2, moment FROM (
    SELECT now() + CASE WHEN is_new THEN interval '0' ELSE interval '1 hour' END AS moment, is_new
    FROM (SELECT NOT EXISTS (SELECT FROM resource) AND NOT EXISTS (SELECT FROM audit_event)
        AND to_regclass('resource_backlog') IS NULL AS is_new) AS found) AS chosen;

-- The contraction: the service calls it once every row has the new layout.
CREATE FUNCTION drop_previous_layout() RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    DROP INDEX IF EXISTS public.resource_updated, public.resource_unindexed;
$$;
REVOKE EXECUTE ON FUNCTION drop_previous_layout() FROM PUBLIC;

-- Rows come and go by thousands a second: dead ones are taken away after a thousand, not after a
-- fifth of all.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
"""


def upgrade() -> None:
    op.execute(COMPACT)
    role = runtime_role()
    op.execute(f"GRANT SELECT, UPDATE ON record_layout TO {role}")
    op.execute(f"GRANT EXECUTE ON FUNCTION drop_previous_layout() TO {role}")
    # A new database has no previous layout.
    op.execute("SELECT drop_previous_layout() FROM record_layout WHERE index_version = 2")
