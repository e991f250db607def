-- What administrators changed, and which logins were refused: two chains, so that a flood of the second kind cannot push
-- the first out. A record is JSON text and holds the hash of the one before it; `hash` is the SHA-256 of that text.

CREATE TABLE audit (
    -- 1: changes, 2: refusals
    chain  INTEGER NOT NULL CHECK (chain IN (1, 2)),
    -- counts from 1 without gaps
    seq    INTEGER NOT NULL,
    -- copies of what is in the record, to search by
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    record TEXT NOT NULL,
    -- 64 lower-case hexadecimal digits
    hash   TEXT NOT NULL,
    PRIMARY KEY (chain, seq)
) STRICT;

CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_actor ON audit (actor);

-- Where each chain ends, and which records of it were given up for their age.
CREATE TABLE audit_heads (
    chain         INTEGER PRIMARY KEY NOT NULL CHECK (chain IN (1, 2)),
    seq           INTEGER NOT NULL,
    hash          TEXT NOT NULL,
    given_up      INTEGER NOT NULL,
    given_up_hash TEXT NOT NULL
) STRICT;

INSERT INTO audit_heads VALUES
    (1, 0, '0000000000000000000000000000000000000000000000000000000000000000',
     0, '0000000000000000000000000000000000000000000000000000000000000000'),
    (2, 0, '0000000000000000000000000000000000000000000000000000000000000000',
     0, '0000000000000000000000000000000000000000000000000000000000000000');
