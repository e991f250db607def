ALTER TABLE user_passwords ADD COLUMN
    -- SHA-256 of the hash that was set, 64 lower-case hexadecimal digits, once `hash` is a stronger one of the same password
    renewed_from TEXT CHECK (length(renewed_from) = 64);
-- a minute late, for the sake of the disk
ALTER TABLE user_passwords ADD COLUMN last_used_at INTEGER;
-- which of the user's passwords made the token
ALTER TABLE tokens ADD COLUMN password_slot INTEGER NOT NULL DEFAULT 1 CHECK (password_slot IN (1, 2));
