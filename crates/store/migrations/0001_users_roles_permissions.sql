-- Times are milliseconds since the Unix epoch, ids the 16 bytes of a UUID, versions count the changes of a row.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE roles (
    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    name       TEXT NOT NULL UNIQUE,
    built_in   INTEGER NOT NULL CHECK (built_in IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id               BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    name             TEXT NOT NULL UNIQUE,
    -- `password`, `certificate`, each with `:required` where it must be proven, separated by a space
    grants           TEXT NOT NULL,
    publish_prefix   TEXT,
    enabled          INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    -- changes whenever logins made before must end
    credential_epoch INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    version          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE user_passwords (
    user_id      BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    slot         INTEGER NOT NULL CHECK (slot IN (1, 2)),
    -- PHC string
    hash         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    PRIMARY KEY (user_id, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_roles (
    user_id  BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role_id  BLOB NOT NULL REFERENCES roles (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (user_id, role_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX user_roles_by_role ON user_roles (role_id);

-- A permission belongs to a user or to a role, never to both or to none.
CREATE TABLE user_permissions (
    owner_id  BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    id        BLOB NOT NULL CHECK (length(id) = 16),
    resource  TEXT NOT NULL,
    operation TEXT NOT NULL CHECK (operation IN ('read', 'write', 'readWrite')),
    context   TEXT NOT NULL CHECK (context IN ('mqtt', 'http')),
    effect    TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    PRIMARY KEY (owner_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE role_permissions (
    owner_id  BLOB NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    id        BLOB NOT NULL CHECK (length(id) = 16),
    resource  TEXT NOT NULL,
    operation TEXT NOT NULL CHECK (operation IN ('read', 'write', 'readWrite')),
    context   TEXT NOT NULL CHECK (context IN ('mqtt', 'http')),
    effect    TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    PRIMARY KEY (owner_id, position)
) STRICT, WITHOUT ROWID;
