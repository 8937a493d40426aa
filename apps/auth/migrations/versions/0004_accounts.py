"""Mail, passkeys, changes of an address, other identity providers, what is known of a session.

The previous release goes on beside this one: every new column has a default.
"""

from alembic import op

from apps.kit.migrations import runtime_role

revision = "0004"
down_revision = "0003"

TABLES = """
ALTER TABLE sessions
    ADD COLUMN device text NOT NULL DEFAULT '',
    ADD COLUMN address text NOT NULL DEFAULT '',
    ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN idle_seconds integer NOT NULL DEFAULT 1800;

ALTER TABLE users ADD COLUMN has_passkey boolean NOT NULL DEFAULT false;

-- While a secret is replaced, the previous one works until its time is over.
ALTER TABLE clients
    ADD COLUMN previous_secret_hash bytea,
    ADD COLUMN previous_secret_expires_at timestamptz;

-- Written in the transaction of what it tells, sent afterwards.
CREATE TABLE mails (
    id uuid PRIMARY KEY,
    recipient text NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX mails_due ON mails (due_at);
CREATE INDEX mails_expiry ON mails (expires_at);

-- A link that proves who reads the mail of an address.
CREATE TABLE address_links (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    email text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX address_links_user ON address_links (user_id);
CREATE INDEX address_links_expiry ON address_links (expires_at);

CREATE TABLE passkeys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    credential_id bytea NOT NULL UNIQUE,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
);
CREATE INDEX passkeys_user ON passkeys (user_id);

-- A challenge is good once, in the browser and for the purpose that it was made for.
CREATE TABLE passkey_challenges (
    browser_hash bytea NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('register', 'sign-in')),
    challenge bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (browser_hash, purpose)
);
CREATE INDEX passkey_challenges_expiry ON passkey_challenges (expires_at);

CREATE TABLE external_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX external_identities_user ON external_identities (user_id);

CREATE TABLE external_sign_ins (
    state_hash bytea PRIMARY KEY,
    browser_hash bytea NOT NULL,
    nonce text NOT NULL,
    verifier text NOT NULL,
    next text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX external_sign_ins_expiry ON external_sign_ins (expires_at);
"""
CHANGEABLE = (
    "mails, address_links, passkeys, passkey_challenges, external_identities, external_sign_ins"
)


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {CHANGEABLE} TO {runtime_role()}")
