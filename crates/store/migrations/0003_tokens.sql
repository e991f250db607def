-- Bearer tokens of the HTTP API. Of the token itself only its hash is kept.

CREATE TABLE tokens (
    id               BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    user_id          BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the token
    hash             BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    label            TEXT NOT NULL,
    -- the user's at the login: a token ends with the password that it was made by
    credential_epoch INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    -- a few minutes late, for the sake of the disk
    last_used_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_user ON tokens (user_id);
