-- Certificates outlive their users: what was revoked stays revoked, and who had which one can still be told. So there is no
-- reference to `users`, and the name is the one at the time of issue.

CREATE TABLE certificates (
    -- SHA-256 of the DER, 64 lower-case hexadecimal digits
    fingerprint TEXT PRIMARY KEY NOT NULL CHECK (length(fingerprint) = 64),
    -- lower-case hexadecimal digits
    serial      TEXT NOT NULL,
    user_id     BLOB NOT NULL CHECK (length(user_id) = 16),
    user_name   TEXT NOT NULL,
    -- whether the key was made here too, or a signing request was signed
    origin      TEXT NOT NULL CHECK (origin IN ('issued', 'signed')),
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    revoked_at  INTEGER,
    reason      TEXT CHECK (reason IN ('unspecified', 'userRemoved')),
    CHECK ((revoked_at IS NULL) = (reason IS NULL))
) STRICT, WITHOUT ROWID;
