"""Launches, pushed requests, devices, notices of logout, and what more is known of clients,
codes and users.

The previous release goes on beside this one: every new column has a default, and a trigger fills
`email_key` for it.
"""

import unicodedata

from alembic import op
from sqlalchemy import text

from apps.kit.migrations import runtime_role

revision = "0003"
down_revision = "0002"

TABLES = """
ALTER TABLE clients
    ADD COLUMN jwks_uri text,
    ADD COLUMN backchannel_logout_uri text,
    -- RFC 9449: its access tokens are bound to a key of its own.
    ADD COLUMN dpop_bound boolean NOT NULL DEFAULT false,
    -- RFC 9126: its authorization requests are pushed first.
    ADD COLUMN pushed_requests_only boolean NOT NULL DEFAULT false;
ALTER TABLE clients DROP CONSTRAINT clients_auth_method_check;
ALTER TABLE clients ADD CONSTRAINT clients_auth_method_check CHECK (
    auth_method IN ('client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'));

ALTER TABLE users
    ADD COLUMN practitioner_id text,
    ADD COLUMN email_verified_at timestamptz,
    -- The address as it is compared: NFKC, case folded.
    ADD COLUMN email_key text;

CREATE FUNCTION users_email_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email_key IS NULL THEN
        NEW.email_key := lower(NEW.email);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER users_email_key BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION
    users_email_key();

-- What an application was launched for, carried from the request to its tokens.
ALTER TABLE authorization_codes
    ADD COLUMN patient_id text,
    ADD COLUMN encounter_id text,
    ADD COLUMN session_id text,
    -- RFC 9449, 10: the thumbprint of the key that the tokens will be bound to.
    ADD COLUMN dpop_jkt text;
ALTER TABLE refresh_tokens
    ADD COLUMN patient_id text,
    ADD COLUMN encounter_id text,
    ADD COLUMN session_id text,
    ADD COLUMN dpop_jkt text;

-- The public name of a session (`sid`), in id tokens and notices of logout.
ALTER TABLE sessions ADD COLUMN public_id text NOT NULL DEFAULT gen_random_uuid()::text;
-- When the password was proven once more, for a change of the second factor.
ALTER TABLE sessions ADD COLUMN confirmed_at timestamptz;

CREATE TABLE session_clients (
    session_id text NOT NULL,
    client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (session_id, client_id)
);
CREATE INDEX session_clients_user ON session_clients (user_id);
CREATE INDEX session_clients_expiry ON session_clients (expires_at);

CREATE TABLE logout_notices (
    id uuid PRIMARY KEY,
    client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
    user_id text NOT NULL,
    session_id text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX logout_notices_due ON logout_notices (due_at);

CREATE TABLE launches (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    client_id text REFERENCES clients ON DELETE CASCADE,
    patient_id text NOT NULL,
    encounter_id text,
    expires_at timestamptz NOT NULL
);
CREATE INDEX launches_expiry ON launches (expires_at);

CREATE TABLE pushed_requests (
    uri_hash bytea PRIMARY KEY,
    client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
    parameters text NOT NULL CHECK (length(parameters) <= 20000),
    dpop_jkt text,
    expires_at timestamptz NOT NULL
);
CREATE INDEX pushed_requests_expiry ON pushed_requests (expires_at);

CREATE TABLE device_codes (
    device_code_hash bytea PRIMARY KEY,
    user_code_hash bytea NOT NULL UNIQUE,
    client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
    scope text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'denied',
        'used')),
    user_id uuid REFERENCES users ON DELETE CASCADE,
    family_id uuid,
    session_id text,
    authenticated_at timestamptz,
    methods text[] NOT NULL DEFAULT '{}',
    interval_seconds integer NOT NULL,
    polled_at timestamptz,
    expires_at timestamptz NOT NULL
);
CREATE INDEX device_codes_expiry ON device_codes (expires_at);

-- A browser in which somebody signed in before: guesses of others do not lock them out there.
CREATE TABLE known_devices (
    token_hash bytea NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (token_hash, user_id)
);
CREATE INDEX known_devices_user ON known_devices (user_id);
CREATE INDEX known_devices_expiry ON known_devices (expires_at);

ALTER TABLE attempts DROP CONSTRAINT attempts_kind_check;
ALTER TABLE attempts ADD CONSTRAINT attempts_kind_check CHECK (kind IN ('user', 'address', 'pair',
    'device'));

-- Nobody chooses what is forgotten: failures of nobody known after 90 days, everything after six
-- years.
CREATE FUNCTION delete_old_audit(rows_at_once integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH deleted AS (
        DELETE FROM audit WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM audit
            WHERE occurred_at < now() - interval '6 years'
               OR (occurred_at < now() - interval '90 days' AND outcome = 'failure' AND actor_id =
                   '' AND subject = '')
            ORDER BY occurred_at LIMIT least(rows_at_once, 1000)))
        RETURNING 1)
    SELECT count(*)::integer FROM deleted
$$;
REVOKE ALL ON FUNCTION delete_old_audit(integer) FROM PUBLIC;

UPDATE clients SET scopes = scopes || '{billing.approve,email}' WHERE id = 'password-login';
"""

CHANGEABLE = (
    "session_clients, logout_notices, launches, pushed_requests, device_codes, known_devices"
)


def upgrade() -> None:
    op.execute(TABLES)
    fill_email_keys()
    op.execute("ALTER TABLE users ALTER COLUMN email_key SET NOT NULL")
    op.execute("CREATE UNIQUE INDEX users_email_key ON users (email_key)")
    # The previous release looks users up by it. What is unique is the key alone.
    op.execute("DROP INDEX users_email")
    op.execute("CREATE INDEX users_email ON users (lower(email))")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {CHANGEABLE} TO {runtime_role()}")
    op.execute(f"GRANT EXECUTE ON FUNCTION delete_old_audit(integer) TO {runtime_role()}")


def fill_email_keys() -> None:
    """Sets the key of every user; raises where two users have one address in two spellings,
    naming their ids.
    """
    connection = op.get_bind()
    users = connection.execute(text("SELECT id, email FROM users ORDER BY id")).all()
    seen: dict[str, object] = {}
    for id, email in users:
        key = email_key(email)
        if key in seen:
            raise RuntimeError(f"users {seen[key]} and {id} have one e-mail address: delete one")
        seen[key] = id

    rows = [{"id": id, "key": key} for key, id in seen.items()]
    if rows:
        connection.execute(text("UPDATE users SET email_key = :key WHERE id = :id"), rows)


def email_key(email: str) -> str:
    """Does as `apps.auth.people.users.email_key` did when this migration was written."""
    folded = unicodedata.normalize("NFKC", email.strip()).casefold()
    return unicodedata.normalize("NFKC", folded)
