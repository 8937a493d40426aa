"""The record: heads with their search columns, every version, the audit trail, the outbox,
idempotency keys.
"""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
-- A block of a hundred at a time: a number is known before its row is written.
CREATE SEQUENCE mrn START 1 INCREMENT 100;

-- The head of each Patient: what the list and the search read, without parsing JSON.
CREATE TABLE patient (
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9.-]{1,64}$'),
    version_id bigint NOT NULL CHECK (version_id > 0),
    last_updated timestamptz NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    mrn text NOT NULL UNIQUE,
    name text,
    address text,
    email text,
    birth_date text,
    born_from date,
    born_before date,
    gender text CHECK (gender IN ('male', 'female', 'other', 'unknown')),
    active boolean
);

-- Strings (folded) and tokens to find a Patient by.
CREATE TABLE patient_term (
    patient_id text COLLATE "C" NOT NULL REFERENCES patient (id),
    parameter text NOT NULL CHECK (parameter IN ('name', 'family', 'given', 'identifier', 'telecom',
        'postalcode')),
    system text NOT NULL DEFAULT '',
    value text COLLATE "C" NOT NULL CHECK (length(value) <= 200)
);
CREATE INDEX patient_term_value ON patient_term (parameter, value, patient_id);
CREATE INDEX patient_term_patient ON patient_term (patient_id);

-- The head of each resource of the medical history.
CREATE TABLE clinical (
    type text COLLATE "C" NOT NULL CHECK (type ~ '^[A-Z][A-Za-z]{1,63}$' AND type <> 'Patient'),
    id text COLLATE "C" NOT NULL CHECK (id ~ '^[A-Za-z0-9.-]{1,64}$'),
    version_id bigint NOT NULL CHECK (version_id > 0),
    patient_id text COLLATE "C" NOT NULL REFERENCES patient (id),
    last_updated timestamptz NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    status text,
    -- Each coding twice: `code` and `system|code`.
    codes text[] NOT NULL DEFAULT '{}',
    categories text[] NOT NULL DEFAULT '{}',
    happened_from timestamptz,
    happened_before timestamptz,
    PRIMARY KEY (type, id)
);
CREATE INDEX clinical_patient ON clinical (patient_id, type, id);

-- Every version, the current one too: a body lies here once, exactly as it is given back, and never
-- changes.
-- The primary key lets one writer only make a version.
CREATE TABLE resource_history (
    type text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version_id bigint NOT NULL CHECK (version_id > 0),
    patient_id text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL,
    method text NOT NULL CHECK (method IN ('POST', 'PUT', 'DELETE')),
    body text,
    PRIMARY KEY (type, id, version_id),
    CHECK ((method = 'DELETE') = (body IS NULL)),
    CHECK ((method = 'POST') = (version_id = 1))
);

-- Who did what, when, from which client; for searches the criteria and the ids returned.
CREATE TABLE audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL CHECK (action IN ('create', 'read', 'update', 'delete', 'search',
        'history')),
    actor_id text NOT NULL,
    client_id text NOT NULL,
    request_id text NOT NULL,
    resource_type text NOT NULL,
    resource_id text,
    version_id bigint,
    patient_id text,
    query text,
    returned_ids text[]
);

-- What is still to be sent, a row a destination; a row that was sent is gone.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    destination text NOT NULL CHECK (destination IN ('billing', 'kafka')),
    patient_id text COLLATE "C" NOT NULL,
    event_id text NOT NULL,
    payload bytea NOT NULL,
    request_id text NOT NULL,
    traceparent text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- Set while the row, and all behind it of the same patient, must wait; for a parked row until
    -- an operator acts.
    held_until timestamptz,
    parked boolean NOT NULL DEFAULT false,
    reason text,
    UNIQUE (destination, event_id),
    CHECK (NOT parked OR reason IS NOT NULL)
);
CREATE INDEX outbox_unsent ON outbox (destination, id);
CREATE INDEX outbox_held ON outbox (destination, patient_id) WHERE parked OR held_until IS NOT NULL;

CREATE TABLE idempotency_key (
    client_id text NOT NULL,
    subject text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    body_sha256 text NOT NULL CHECK (length(body_sha256) = 64),
    -- What was made, a line each: `201 Patient/<id>/_history/1`.
    reference text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client_id, subject, method, path, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (created_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
    role = runtime_role()
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON patient, clinical TO {role}")
    op.execute(f"GRANT SELECT, INSERT, DELETE ON patient_term, idempotency_key TO {role}")
    op.execute(f"GRANT SELECT, INSERT ON resource_history, audit_event TO {role}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO {role}")
    op.execute(f"GRANT USAGE ON SEQUENCE mrn TO {role}")
