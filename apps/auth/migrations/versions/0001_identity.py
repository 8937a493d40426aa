"""Users, clients, keys, grants, and what is remembered about them."""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    name text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    password_hash text,
    roles text[] NOT NULL,
    patient_id text,
    totp_secret bytea,
    totp_enabled boolean NOT NULL DEFAULT false,
    totp_last_step bigint NOT NULL DEFAULT 0,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    CHECK (totp_secret IS NOT NULL OR NOT totp_enabled)
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE recovery_codes (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    PRIMARY KEY (user_id, code_hash)
);

CREATE TABLE clients (
    id text PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 100),
    name text NOT NULL CHECK (length(name) <= 200),
    auth_method text NOT NULL CHECK (auth_method IN ('client_secret_basic', 'private_key_jwt',
        'none')),
    secret_hash bytea,
    jwks jsonb,
    grant_types text[] NOT NULL,
    redirect_uris text[] NOT NULL DEFAULT '{}',
    post_logout_redirect_uris text[] NOT NULL DEFAULT '{}',
    scopes text[] NOT NULL,
    -- The callees whose tokens it may have; none of them means tokens for the public interface.
    audiences text[] NOT NULL DEFAULT '{}',
    -- The house's own: its users are not asked for consent.
    trusted boolean NOT NULL DEFAULT false,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1
);

CREATE TABLE signing_keys (
    id text PRIMARY KEY,
    algorithm text NOT NULL CHECK (algorithm IN ('RS256', 'ES256')),
    state text NOT NULL CHECK (state IN ('next', 'active', 'retired')),
    public_jwk jsonb NOT NULL,
    private_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    retired_at timestamptz
);
CREATE UNIQUE INDEX signing_keys_active ON signing_keys (state) WHERE state = 'active';

CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    authenticated_at timestamptz NOT NULL DEFAULT now(),
    methods text[] NOT NULL,
    -- Signed in only as far as the second factor.
    pending boolean NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE consents (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
    scopes text[] NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, client_id)
);

CREATE TABLE authorization_codes (
    code_hash bytea PRIMARY KEY,
    client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    -- The family of all tokens that come of it.
    family_id uuid NOT NULL,
    redirect_uri text NOT NULL,
    scope text NOT NULL,
    nonce text,
    code_challenge text NOT NULL,
    authenticated_at timestamptz NOT NULL,
    methods text[] NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);

CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    family_id uuid NOT NULL,
    client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    scope text NOT NULL,
    authenticated_at timestamptz NOT NULL,
    methods text[] NOT NULL,
    issued_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    rotated_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_client ON refresh_tokens (client_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE revocations (
    kind text NOT NULL CHECK (kind IN ('token', 'subject', 'client', 'family')),
    id text NOT NULL,
    not_before timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX revocations_expiry ON revocations (expires_at);

CREATE TABLE attempts (
    kind text NOT NULL CHECK (kind IN ('user', 'address')),
    key bytea NOT NULL,
    failures integer NOT NULL,
    locked_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX attempts_expiry ON attempts (expires_at);

CREATE TABLE password_resets (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX password_resets_expiry ON password_resets (expires_at);

CREATE TABLE client_assertions (
    client_id text NOT NULL,
    jti_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, jti_hash)
);
CREATE INDEX client_assertions_expiry ON client_assertions (expires_at);

CREATE TABLE audit (
    id uuid PRIMARY KEY,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('success', 'failure')),
    reason text NOT NULL DEFAULT '',
    actor_id text NOT NULL DEFAULT '',
    client_id text NOT NULL DEFAULT '',
    subject text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT ''
);
CREATE INDEX audit_time ON audit (occurred_at);
CREATE INDEX audit_subject ON audit (subject, occurred_at);

INSERT INTO clients (id, name, auth_method, grant_types, scopes, trusted) VALUES (
    'password-login', 'Sign-in by e-mail and password', 'none', '{}',
    '{admin,user/*.cruds,patient/*.rs,billing.read,billing.write,analytics.read}', true
);
"""

CHANGEABLE = (
    "users, recovery_codes, clients, signing_keys, sessions, consents, authorization_codes, "
    "refresh_tokens, "
    "revocations, attempts, password_resets, client_assertions"
)


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {CHANGEABLE} TO {runtime_role()}")
    # Nobody rewrites what was recorded.
    op.execute(f"GRANT SELECT, INSERT ON audit TO {runtime_role()}")
