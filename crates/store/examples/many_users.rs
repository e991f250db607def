//! Fills the store of a stopped broker with users and roles, to be measured with:
//!
//! ```text
//! many_users DATA_DIR USERS ROLES PERMISSIONS LIKE
//! ```
//!
//! Each role has ten permissions; each user `machine-0000001`, … has one of the roles, so many permissions of its own, and
//! the password of the user LIKE, which is in store already. Written by the database itself: a row a statement would take
//! minutes. Ids are random, as they are in life.

use std::error::Error;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data_dir, users, roles, permissions, like] = arguments.as_slice() else {
        return Err("usage: many_users DATA_DIR USERS ROLES PERMISSIONS LIKE".into());
    };
    let numbers =
        Numbers { users: users.parse()?, roles: roles.parse()?, permissions: permissions.parse()? };
    // Held to the end: no broker may use the store meanwhile.
    let store = Store::open(Path::new(data_dir)).await?;
    let options = SqliteConnectOptions::new().filename(store.file());
    // Only what is there is referred to.
    let mut connection = options.foreign_keys(false).connect().await?;
    fill(&mut connection, &numbers, like).await?;
    connection.close().await?;
    store.close().await;
    Ok(())
}

struct Numbers {
    users: i64,
    roles: i64,
    permissions: i64,
}

async fn fill(
    connection: &mut SqliteConnection,
    numbers: &Numbers,
    like: &str,
) -> Result<(), Box<dyn Error>> {
    let now_ms: i64 =
        sqlx::query_scalar("SELECT unixepoch() * 1000").fetch_one(&mut *connection).await?;
    let hash: String = sqlx::query_scalar(HASH).bind(like).fetch_one(&mut *connection).await?;
    sqlx::query("PRAGMA cache_size = -200000").execute(&mut *connection).await?;
    sqlx::query("BEGIN").execute(&mut *connection).await?;
    for (what, count) in [("new_roles", numbers.roles), ("new_users", numbers.users)] {
        let numbered = format!("CREATE TEMP TABLE {what} AS {NUMBERED}");
        sqlx::query(sqlx::AssertSqlSafe(numbered)).bind(count).execute(&mut *connection).await?;
    }
    sqlx::query(ROLES).bind(now_ms).execute(&mut *connection).await?;
    sqlx::query(ROLE_PERMISSIONS).execute(&mut *connection).await?;
    sqlx::query(USERS).bind(now_ms).execute(&mut *connection).await?;
    sqlx::query(PASSWORDS).bind(now_ms).bind(hash).execute(&mut *connection).await?;
    sqlx::query(USER_ROLES).bind(numbers.roles).execute(&mut *connection).await?;
    sqlx::query(USER_PERMISSIONS).bind(numbers.permissions).execute(&mut *connection).await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await?;
    Ok(())
}

const HASH: &str = "
    SELECT hash FROM user_passwords JOIN users ON user_id = id WHERE name = $1 AND slot = 1";

const NUMBERED: &str = "
    WITH RECURSIVE counted(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM counted WHERE n < $1)
    SELECT n, randomblob(16) AS id FROM counted";

const ROLES: &str = "
    INSERT INTO roles (id, name, built_in, created_at, updated_at, version)
    SELECT id, printf('line-%05d', n), 0, $1, $1, 1 FROM new_roles ORDER BY id";

const ROLE_PERMISSIONS: &str = "
    INSERT INTO role_permissions (owner_id, position, id, resource, operation, context, effect)
    SELECT id, position, randomblob(16), printf('plant/line-%05d/part-%d/#', n, position),
        'readWrite', 'mqtt', 'allow'
    FROM new_roles, (SELECT n - 1 AS position FROM new_users WHERE n <= 10)
    ORDER BY id, position";

const USERS: &str = "
    INSERT INTO users (id, name, grants, enabled, credential_epoch, created_at, updated_at, version)
    SELECT id, printf('machine-%07d', n), 'password', 1, 1, $1, $1, 1 FROM new_users ORDER BY id";

const PASSWORDS: &str = "
    INSERT INTO user_passwords (user_id, slot, hash, created_at)
    SELECT id, 1, $2, $1 FROM new_users ORDER BY id";

const USER_ROLES: &str = "
    INSERT INTO user_roles (user_id, role_id, position)
    SELECT u.id, r.id, 0 FROM new_users u JOIN new_roles r ON r.rowid = 1 + u.n % $1 ORDER BY u.id";

const USER_PERMISSIONS: &str = "
    INSERT INTO user_permissions (owner_id, position, id, resource, operation, context, effect)
    SELECT id, position, randomblob(16), printf('machines/%07d/%d/#', n, position),
        'readWrite', 'mqtt', 'allow'
    FROM new_users, (SELECT n - 1 AS position FROM new_users WHERE n <= $1)
    ORDER BY id, position";
