//! Reading everything at start, in bulk: some thousand users at a time with all that belongs to them.
//!
//! The database gives each table's part as one JSON text: a row by itself costs the driver some ten microseconds, which
//! a million users would wait minutes for.

use access::RoleId;
use serde::de::DeserializeOwned;
use sqlx::{Sqlite, Transaction};
use tokio::sync::mpsc;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::open::Store;
use crate::record::{Contents, PasswordRecord, RoleRecord, UserRecord};
use crate::text::{BadRow, PasswordRow, PermissionRow, RoleRow, UserRoleRow, UserRow};

/// The users as of one moment, in portions: all of them at once beside what is made of them take twice the memory. While
/// one portion is made use of, the database reads the next.
pub struct Reading {
    store: Store,
    portions: mpsc::Receiver<Result<Portion, sqlx::Error>>,
    user_count: usize,
    read_count: usize,
}

/// Some users with all that belongs to them, as the database writes it. It may hold password hashes.
struct Portion {
    users: Zeroizing<String>,
    passwords: Zeroizing<String>,
    roles: Zeroizing<String>,
    permissions: Zeroizing<String>,
}

impl Reading {
    /// How many users there are.
    pub fn user_count(&self) -> usize {
        self.user_count
    }

    /// The next users by id, with their passwords by slot; `None` after the last one.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn users(
        &mut self,
    ) -> Result<Option<Vec<(UserRecord, Vec<PasswordRecord>)>>, StoreError> {
        let Some(portion) = self.portions.recv().await else {
            // Also if whoever reads has come to an early end.
            self.store.check_complete(self.user_count, self.read_count)?;
            return Ok(None);
        };
        let users =
            self.store.users_of(&portion.map_err(|error| self.store.error("read", error))?)?;
        self.read_count = self.read_count.saturating_add(users.len());
        Ok(Some(users))
    }
}

impl Store {
    /// Reads everything.
    ///
    /// # Errors
    /// If the file cannot be read, or anything in it cannot be understood: nothing is ever left out.
    pub async fn load(&self) -> Result<Contents, StoreError> {
        let (mut contents, mut reading) = self.read().await?;
        while let Some(users) = reading.users().await? {
            contents.users.extend(users);
        }
        Ok(contents)
    }

    /// Reads everything but the users, and begins with these. Nothing is changed before the reading is dropped.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn read(&self) -> Result<(Contents, Reading), StoreError> {
        let mut tx = self.pool.begin().await.map_err(|error| self.error("read", error))?;
        let mut contents = Contents::default();
        let initialized = sqlx::query("SELECT value FROM meta WHERE key = 'initialized'")
            .fetch_optional(&mut *tx)
            .await
            .map_err(|error| self.error("read", error))?;
        contents.is_initialized = initialized.is_some();
        contents.roles = self.load_roles(&mut tx).await?;
        contents.certificates = self.load_certificates(&mut tx).await?;
        contents.tokens = self.load_tokens(&mut tx).await?;
        contents.registry = self.load_registry(&mut tx).await?;
        let role_count = self.count(&mut tx, "SELECT count(*) FROM roles").await?;
        self.check_complete(role_count, contents.roles.len())?;
        let user_count = self.count(&mut tx, "SELECT count(*) FROM users").await?;
        let (sender, portions) = mpsc::channel(PORTIONS_AHEAD);
        tokio::spawn(send_portions(tx, sender));
        Ok((contents, Reading { store: self.clone(), portions, user_count, read_count: 0 }))
    }

    async fn count(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        sql: &'static str,
    ) -> Result<usize, StoreError> {
        let count = sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut **tx).await;
        let count = count.map_err(|error| self.error("read", error))?;
        usize::try_from(count).map_err(|_| self.corrupt(format!("a table has {count} rows")))
    }

    /// Trusts no id to be what the steps through them take it for.
    fn check_complete(&self, count: usize, found: usize) -> Result<(), StoreError> {
        if count != found {
            return Err(self.corrupt(format!("of {count} rows only {found} could be read")));
        }
        Ok(())
    }

    async fn load_roles(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
    ) -> Result<Vec<RoleRecord>, StoreError> {
        let all = (Uuid::nil(), Uuid::max());
        let rows: Vec<RoleRow> = self.rows(&self.text(tx, ROLES, all).await?)?;
        let mut roles = self.each(rows, RoleRow::parse)?;
        roles.sort_unstable_by_key(Owner::id);
        let mut rows: Vec<PermissionRow> =
            self.rows(&self.text(tx, ROLE_PERMISSIONS, all).await?)?;
        rows.sort_unstable_by_key(|row| (row.owner, row.position));
        let owner = |row: &PermissionRow| row.owner;
        self.give(&mut roles, rows, owner, |role, row| {
            push(&mut role.role.permissions, row.parse()?);
            Ok(())
        })?;
        for role in &mut roles {
            role.role.permissions.shrink_to_fit();
        }
        Ok(roles)
    }

    /// Most often the rows come in their order already; but that is the database's affair.
    fn users_of(
        &self,
        portion: &Portion,
    ) -> Result<Vec<(UserRecord, Vec<PasswordRecord>)>, StoreError> {
        let rows: Vec<UserRow> = self.rows(&portion.users)?;
        let mut users = self.each(rows, |row| Ok((row.parse()?, Vec::new())))?;
        users.sort_unstable_by_key(Owner::id);
        let mut rows: Vec<PasswordRow> = self.rows(&portion.passwords)?;
        rows.sort_unstable_by_key(|row| (row.owner, row.slot));
        let owner = |row: &PasswordRow| row.owner;
        self.give(&mut users, rows, owner, |(_, passwords), row| {
            push(passwords, row.parse()?);
            Ok(())
        })?;
        let mut rows: Vec<UserRoleRow> = self.rows(&portion.roles)?;
        rows.sort_unstable_by_key(|row| (row.owner, row.position));
        let owner = |row: &UserRoleRow| row.owner;
        self.give(&mut users, rows, owner, |(user, _), row| {
            user.user.roles.push(RoleId(row.role));
            Ok(())
        })?;
        let mut rows: Vec<PermissionRow> = self.rows(&portion.permissions)?;
        rows.sort_unstable_by_key(|row| (row.owner, row.position));
        let owner = |row: &PermissionRow| row.owner;
        self.give(&mut users, rows, owner, |(user, _), row| {
            push(&mut user.user.permissions, row.parse()?);
            Ok(())
        })?;
        for (record, passwords) in &mut users {
            passwords.shrink_to_fit();
            record.user.roles.shrink_to_fit();
            record.user.permissions.shrink_to_fit();
        }
        Ok(users)
    }

    async fn text(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        sql: &'static str,
        part: (Uuid, Uuid),
    ) -> Result<Zeroizing<String>, StoreError> {
        text(tx, sql, part).await.map_err(|error| self.error("read", error))
    }

    fn rows<T: DeserializeOwned>(&self, text: &str) -> Result<Vec<T>, StoreError> {
        serde_json::from_str(text).map_err(|error| self.corrupt(error.to_string()))
    }

    pub(crate) fn each<R, T>(
        &self,
        rows: Vec<R>,
        parse: impl FnMut(R) -> Result<T, BadRow>,
    ) -> Result<Vec<T>, StoreError> {
        let parsed = rows.into_iter().map(parse).collect::<Result<Vec<T>, _>>();
        parsed.map_err(|BadRow(reason)| self.corrupt(reason))
    }

    /// Gives each row to its owner; both come in the order of the owners' ids.
    fn give<T: Owner, R>(
        &self,
        owners: &mut [T],
        rows: Vec<R>,
        owner_of: impl Fn(&R) -> Uuid,
        mut take: impl FnMut(&mut T, R) -> Result<(), BadRow>,
    ) -> Result<(), StoreError> {
        let mut owners = owners.iter_mut().peekable();
        for row in rows {
            let id = owner_of(&row);
            while owners.next_if(|owner| owner.id() < id).is_some() {}
            let given = match owners.peek_mut() {
                Some(owner) if owner.id() == id => take(owner, row),
                _ => Err(BadRow(format!("a row belongs to `{id}`, which is not there"))),
            };
            given.map_err(|BadRow(reason)| self.corrupt(reason))?;
        }
        Ok(())
    }
}

/// Reads ahead of whoever makes use of it, until there is nothing more, or nobody wants it. It has no share in the store:
/// that is given up when its owners say so, not when this is noticed here.
async fn send_portions(
    mut tx: Transaction<'static, Sqlite>,
    sender: mpsc::Sender<Result<Portion, sqlx::Error>>,
) {
    // No id is nil, so the first are those after nil.
    let mut next = Some(Uuid::nil());
    while let Some(after) = next {
        let portion = match portion_end(&mut tx, after).await {
            Ok(last) => {
                next = last;
                portion(&mut tx, (after, last.unwrap_or(Uuid::max()))).await
            }
            Err(error) => Err(error),
        };
        if portion.is_err() {
            next = None;
        }
        if sender.send(portion).await.is_err() {
            return;
        }
    }
}

/// The last user of the next portion; `None` if all that are left make one.
async fn portion_end(
    tx: &mut Transaction<'_, Sqlite>,
    after: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    let last = sqlx::query_scalar::<_, Vec<u8>>(PORTION_END)
        .bind(after.as_bytes().to_vec())
        .bind(PORTION_USERS - 1)
        .fetch_optional(&mut **tx)
        .await?;
    let last = last.map(|last| Uuid::from_slice(&last)).transpose();
    last.map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// The users after the first id and not after the second.
async fn portion(
    tx: &mut Transaction<'_, Sqlite>,
    part: (Uuid, Uuid),
) -> Result<Portion, sqlx::Error> {
    Ok(Portion {
        users: text(tx, USERS, part).await?,
        passwords: text(tx, USER_PASSWORDS, part).await?,
        roles: text(tx, USER_ROLES, part).await?,
        permissions: text(tx, USER_PERMISSIONS, part).await?,
    })
}

/// The rows whose owner is after the first id and not after the second, as one text.
async fn text(
    tx: &mut Transaction<'_, Sqlite>,
    sql: &'static str,
    (after, last): (Uuid, Uuid),
) -> Result<Zeroizing<String>, sqlx::Error> {
    let text = sqlx::query_scalar::<_, String>(sql)
        .bind(after.as_bytes().to_vec())
        .bind(last.as_bytes().to_vec())
        .fetch_one(&mut **tx)
        .await;
    text.map(Zeroizing::new)
}

/// Most lists have one item, which would take the room of four.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.push(item);
}

/// What rows of other tables belong to.
trait Owner {
    fn id(&self) -> Uuid;
}

impl Owner for RoleRecord {
    fn id(&self) -> Uuid {
        self.role.id.0
    }
}

impl Owner for (UserRecord, Vec<PasswordRecord>) {
    fn id(&self) -> Uuid {
        self.0.user.id.0
    }
}

/// Users that are read at once.
const PORTION_USERS: i64 = 4000;
/// Portions that wait to be made use of.
const PORTIONS_AHEAD: usize = 1;

// No order is asked for: to bring what it groups into an order, the database makes a table of it, which takes it longer
// than everything else.

const ROLES: &str = "
    SELECT json_group_array(json_array(
        hex(id), name, built_in, publish_budget, json_array(created_at, updated_at, version)))
    FROM roles WHERE id > $1 AND id <= $2";

const ROLE_PERMISSIONS: &str = "
    SELECT json_group_array(json_array(
        hex(owner_id), position, hex(id), resource, operation, context, effect))
    FROM role_permissions WHERE owner_id > $1 AND owner_id <= $2";

const PORTION_END: &str = "SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2";

const USERS: &str = "
    SELECT json_group_array(json_array(
        hex(id), name, grants, publish_prefix, enabled, credential_epoch, publish_budget,
        json_array(created_at, updated_at, version)))
    FROM users WHERE id > $1 AND id <= $2";

const USER_PASSWORDS: &str = "
    SELECT json_group_array(json_array(
        hex(user_id), slot, hash, created_at, expires_at, renewed_from, last_used_at))
    FROM user_passwords WHERE user_id > $1 AND user_id <= $2";

const USER_ROLES: &str = "
    SELECT json_group_array(json_array(hex(user_id), hex(role_id), position))
    FROM user_roles WHERE user_id > $1 AND user_id <= $2";

const USER_PERMISSIONS: &str = "
    SELECT json_group_array(json_array(
        hex(owner_id), position, hex(id), resource, operation, context, effect))
    FROM user_permissions WHERE owner_id > $1 AND owner_id <= $2";
