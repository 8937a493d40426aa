"""One table for the resources of every type, and the index tables that searches read.

It expands: the tables of 0001 stay, so that the previous release runs on. The service carries over
what they hold, in batches, while it serves (apps/patient/storage/backfill.py), and then has
`drop_previous_tables` drop them.
"""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RESOURCES = """
-- Blocks of a hundred, like the record numbers: a number is known before its row is written.
CREATE SEQUENCE resource_number START 1 INCREMENT 100;

-- The current version of each resource.
CREATE TABLE resource (
    -- The type in the upper bits, then the order of creation: lists and pages follow it.
    number bigint PRIMARY KEY,
    -- A hash of type and id, which references are resolved by.
    reference_hash bigint NOT NULL UNIQUE,
    version_id bigint NOT NULL CHECK (version_id > 0),
    last_updated timestamptz NOT NULL,
    -- Of the parameters that have a value, in the order of their names.
    parameters_present bigint NOT NULL DEFAULT 0,
    -- A hash of the rows in resource_date, resource_string and resource_quantity: what did not
    -- change stays.
    ranges_hash bigint NOT NULL DEFAULT 0,
    -- The definitions that the index columns were made by. 0: not indexed yet.
    index_version smallint NOT NULL DEFAULT 0,
    type text COLLATE "C" NOT NULL CHECK (type ~ '^[A-Z][A-Za-z]{1,63}$'),
    id text COLLATE "C" NOT NULL CHECK (id ~ '^[A-Za-z0-9.-]{1,64}$'),
    -- The patient whose record it belongs to.
    patient_id text COLLATE "C",
    method text NOT NULL CHECK (method IN ('POST', 'PUT', 'PATCH', 'DELETE')),
    -- Hashes of all exact values, and of the resources that it refers to.
    value_hashes bigint[] NOT NULL DEFAULT '{}',
    target_hashes bigint[] NOT NULL DEFAULT '{}',
    -- Of a Patient: the record number, and what /api/patients gives.
    mrn text UNIQUE,
    summary text,
    -- Exactly what is given back; NULL for a deleted resource.
    body text,
    CHECK ((method = 'DELETE') = (body IS NULL))
);
CREATE INDEX resource_updated ON resource (type, last_updated, number);
CREATE INDEX resource_unindexed ON resource (number) WHERE index_version = 0;

-- Exact values: tokens, references and URIs. The key is what a search gives and the order of its
-- pages.
CREATE TABLE resource_value (
    hash bigint NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (hash, number)
);

-- Spans of time in microseconds since 1970, from `low` up to but not with `high`. `*_clock`:
-- minutes from UTC to what
-- the clock showed.
CREATE TABLE resource_date (
    key bigint NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    number bigint NOT NULL,
    low_clock smallint NOT NULL DEFAULT 0,
    high_clock smallint NOT NULL DEFAULT 0
);
CREATE INDEX resource_date_low ON resource_date (key, low, number);
-- 172,800,000,000 microseconds are two days. A longer span is looked up by its end.
CREATE INDEX resource_date_high ON resource_date (key, high, number)
    WHERE high::numeric - low > 172800000000;
CREATE INDEX resource_date_number ON resource_date (number);

-- Texts, normalised: the whole, and from each further word on.
CREATE TABLE resource_string (
    key bigint NOT NULL,
    number bigint NOT NULL,
    -- Values of one name or address.
    part smallint NOT NULL,
    is_whole boolean NOT NULL,
    value text COLLATE "C" NOT NULL CHECK (length(value) <= 200)
);
CREATE INDEX resource_string_value ON resource_string (key, value, number);
CREATE INDEX resource_string_number ON resource_string (number);

-- Numbers and quantities; `low` and `high` are one number but for ranges.
CREATE TABLE resource_quantity (
    key bigint NOT NULL,
    number bigint NOT NULL,
    -- Hashes of the unit: system and code, code, and unit as written.
    system_code bigint,
    code bigint,
    unit bigint,
    low numeric NOT NULL,
    high numeric NOT NULL
);
CREATE INDEX resource_quantity_low ON resource_quantity (key, low, number);
CREATE INDEX resource_quantity_high ON resource_quantity (key, high, number) WHERE high <> low;
CREATE INDEX resource_quantity_number ON resource_quantity (number);

-- The texts that codes come with: `code:text=` and `code:in=` find the codes here.
CREATE TABLE token_text (
    key bigint NOT NULL,
    value text COLLATE "C" NOT NULL CHECK (length(value) <= 200),
    code_hash bigint NOT NULL,
    PRIMARY KEY (key, value, code_hash)
);

-- No version is ever lost: the one that is replaced moves to the history.
ALTER TABLE resource_history DROP CONSTRAINT resource_history_check1;
ALTER TABLE resource_history DROP CONSTRAINT resource_history_method_check;
ALTER TABLE resource_history ADD CONSTRAINT resource_history_method_check
    CHECK (method IN ('POST', 'PUT', 'PATCH', 'DELETE')) NOT VALID;
ALTER TABLE resource_history ALTER COLUMN patient_id DROP NOT NULL;

CREATE FUNCTION keep_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version_id <> OLD.version_id + 1
        AND current_setting('patient.carries_over', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'version conflict' USING ERRCODE = '40001';
    END IF;
    INSERT INTO resource_history (type, id, version_id, patient_id, recorded_at, method, body)
    VALUES (OLD.type, OLD.id, OLD.version_id, OLD.patient_id, OLD.last_updated, OLD.method,
        OLD.body)
    ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;
CREATE TRIGGER resource_version BEFORE UPDATE OF version_id ON resource
    FOR EACH ROW EXECUTE FUNCTION keep_version();

-- Several resources of one request are one entry. `entities`: hashes of the resources and of their
-- patients.
ALTER TABLE audit_event ADD COLUMN entities bigint[];
"""

# What the previous release has written, and writes while both run, is listed to be carried over.
CARRY_OVER = """
CREATE TABLE resource_backlog (
    is_patient boolean NOT NULL,
    type text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    -- Patients first: everything else refers to them.
    PRIMARY KEY (is_patient, type, id)
);
CREATE FUNCTION list_patient() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO resource_backlog VALUES (true, 'Patient', NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE FUNCTION list_clinical() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO resource_backlog VALUES (false, NEW.type, NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER carry_over AFTER INSERT OR UPDATE ON patient
    FOR EACH ROW EXECUTE FUNCTION list_patient();
CREATE TRIGGER carry_over AFTER INSERT OR UPDATE ON clinical
    FOR EACH ROW EXECUTE FUNCTION list_clinical();
INSERT INTO resource_backlog SELECT true, 'Patient', id FROM patient;
INSERT INTO resource_backlog SELECT false, type, id FROM clinical;

-- A resource that this release has changed is hidden from the previous one: it must not change it
-- too.
CREATE FUNCTION hide_from_previous_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.type = 'Patient' THEN
        UPDATE patient SET version_id = NEW.version_id
        WHERE id = NEW.id AND version_id < NEW.version_id;
    ELSE
        UPDATE clinical SET version_id = NEW.version_id
        WHERE type = NEW.type AND id = NEW.id AND version_id < NEW.version_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER hide_from_previous_release AFTER UPDATE OF version_id ON resource
    FOR EACH ROW EXECUTE FUNCTION hide_from_previous_release();

-- The contraction: the service calls it once nothing is listed any more. Tells whether it was done.
CREATE FUNCTION drop_previous_tables() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass('public.resource_backlog') IS NULL THEN
        RETURN true;
    END IF;
    LOCK TABLE public.patient, public.clinical, public.resource_backlog IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM public.resource_backlog) THEN
        RETURN false;
    END IF;
    DROP TRIGGER hide_from_previous_release ON public.resource;
    DROP FUNCTION public.hide_from_previous_release;
    DROP TABLE public.patient_term, public.clinical, public.patient, public.resource_backlog;
    DROP FUNCTION public.list_patient, public.list_clinical;
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION drop_previous_tables() FROM PUBLIC;
"""


def upgrade() -> None:
    op.execute(RESOURCES)
    op.execute(CARRY_OVER)
    role = runtime_role()
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON resource TO {role}")
    op.execute(
        "GRANT SELECT, INSERT, DELETE ON resource_value, resource_date, resource_string,"
        f" resource_quantity, token_text TO {role}"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON resource_backlog TO {role}")
    op.execute(f"GRANT USAGE ON SEQUENCE resource_number TO {role}")
    op.execute(f"GRANT EXECUTE ON FUNCTION drop_previous_tables() TO {role}")
    # A new database has nothing to carry over.
    op.execute("SELECT drop_previous_tables()")
