-- Requests of clients to be let in: those that wait for a decision, and for a while those that were decided, so that the
-- client learns of it. Of each name there is one at most by REST, and one by MQTT.

CREATE TABLE registry_requests (
    id          BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    username    TEXT NOT NULL,
    -- by an MQTT login with an unknown user name, by one with a certificate that names nobody, or by REST
    origin      TEXT NOT NULL CHECK (origin IN ('mqtt', 'mqttCertificate', 'rest')),
    -- PHC string; NULL where no password was given, or none that may be kept
    hash        TEXT,
    -- 1: a password was given, but does not fit the policy
    unfit       INTEGER NOT NULL CHECK (unfit IN (0, 1) AND (unfit = 0 OR hash IS NULL)),
    -- PEM
    csr         TEXT,
    -- JSON: what the client would like to have, and what it says of itself
    wishes      TEXT NOT NULL,
    client_id   TEXT,
    address     TEXT NOT NULL,
    listener    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'granted', 'denied')),
    decided_at  INTEGER,
    -- the user that was made, and the PEM of the certificate that was signed
    user_id     BLOB CHECK (length(user_id) = 16),
    certificate TEXT,
    CHECK ((state = 'pending') = (decided_at IS NULL)),
    CHECK ((state = 'granted') = (user_id IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX registry_requests_by_name ON registry_requests (username, origin = 'rest');
