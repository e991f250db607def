//! Reading everything at start, in bulk: a few thousand users at a time with all that belongs to them.

use access::{PublishPrefix, Role, RoleId, RoleName, User, UserId, UserName};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use crate::error::StoreError;
use crate::open::Store;
use crate::record::{Contents, PasswordRecord, RoleRecord, UserRecord};
use crate::secret::PasswordHash;
use crate::text::{self, BadColumn};

impl Store {
    /// Reads everything.
    ///
    /// # Errors
    /// If the file cannot be read, or anything in it cannot be understood: nothing is ever left out.
    pub async fn load(&self) -> Result<Contents, StoreError> {
        let mut tx = self.pool.begin().await.map_err(|error| self.error("read", error))?;
        let mut contents = Contents { is_initialized: false, ..Contents::default() };
        let initialized = sqlx::query("SELECT value FROM meta WHERE key = 'initialized'")
            .fetch_optional(&mut *tx)
            .await
            .map_err(|error| self.error("read", error))?;
        contents.is_initialized = initialized.is_some();
        contents.roles = self.load_roles(&mut tx).await?;
        contents.certificates = self.load_certificates(&mut tx).await?;
        contents.tokens = self.load_tokens(&mut tx).await?;
        let mut after = Vec::new();
        loop {
            let chunk = self.load_users_after(&mut tx, &after).await?;
            let Some((last, _)) = chunk.last() else { break };
            after = last.user.id.0.as_bytes().to_vec();
            contents.users.extend(chunk);
        }
        Ok(contents)
    }

    async fn load_roles(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
    ) -> Result<Vec<RoleRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM roles ORDER BY id").fetch_all(&mut **tx).await;
        let rows = rows.map_err(|error| self.error("read", error))?;
        let mut roles = self.each(rows, |row| role(&row))?;
        let sql = "SELECT * FROM role_permissions ORDER BY owner_id, position";
        let rows = sqlx::query(sql).fetch_all(&mut **tx).await;
        let rows = rows.map_err(|error| self.error("read", error))?;
        self.give(&mut roles, rows, "owner_id", |role, row| {
            role.role.permissions.push(text::permission(row)?);
            Ok(())
        })?;
        Ok(roles)
    }

    async fn load_users_after(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        after: &[u8],
    ) -> Result<Vec<(UserRecord, Vec<PasswordRecord>)>, StoreError> {
        let sql = "SELECT * FROM users WHERE id > $1 ORDER BY id LIMIT 10000";
        let rows = sqlx::query(sql).bind(after).fetch_all(&mut **tx).await;
        let rows = rows.map_err(|error| self.error("read", error))?;
        let mut users = self.each(rows, |row| Ok((user(&row)?, Vec::new())))?;
        let Some((last, _)) = users.last() else { return Ok(users) };
        let last = last.user.id.0.as_bytes().to_vec();
        let sql = "SELECT * FROM user_passwords WHERE user_id > $1 AND user_id <= $2 \
             ORDER BY user_id, slot";
        let rows = self.between(tx, sql, after, &last).await?;
        self.give(&mut users, rows, "user_id", |(_, passwords), row| {
            passwords.push(password(row)?);
            Ok(())
        })?;
        let sql = "SELECT * FROM user_roles WHERE user_id > $1 AND user_id <= $2 \
             ORDER BY user_id, position";
        let rows = self.between(tx, sql, after, &last).await?;
        self.give(&mut users, rows, "user_id", |(user, _), row| {
            user.user.roles.push(RoleId(text::id(row, "role_id")?));
            Ok(())
        })?;
        let sql = "SELECT * FROM user_permissions WHERE owner_id > $1 AND owner_id <= $2 \
             ORDER BY owner_id, position";
        let rows = self.between(tx, sql, after, &last).await?;
        self.give(&mut users, rows, "owner_id", |(user, _), row| {
            user.user.permissions.push(text::permission(row)?);
            Ok(())
        })?;
        Ok(users)
    }

    async fn between(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        sql: &'static str,
        after: &[u8],
        last: &[u8],
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let rows = sqlx::query(sql).bind(after).bind(last).fetch_all(&mut **tx).await;
        rows.map_err(|error| self.error("read", error))
    }

    pub(crate) fn each<T>(
        &self,
        rows: Vec<SqliteRow>,
        parse: impl FnMut(SqliteRow) -> Result<T, BadColumn>,
    ) -> Result<Vec<T>, StoreError> {
        let parsed = rows.into_iter().map(parse).collect::<Result<Vec<T>, _>>();
        parsed.map_err(|BadColumn(reason)| self.corrupt(reason))
    }

    /// Gives each row to its owner; both come in the order of the owners' ids.
    fn give<T: Owner>(
        &self,
        owners: &mut [T],
        rows: Vec<SqliteRow>,
        column: &'static str,
        mut take: impl FnMut(&mut T, &SqliteRow) -> Result<(), BadColumn>,
    ) -> Result<(), StoreError> {
        let mut owners = owners.iter_mut().peekable();
        for row in rows {
            let given = (|| {
                let id = text::id(&row, column)?;
                while owners.next_if(|owner| owner.id() < id).is_some() {}
                match owners.peek_mut() {
                    Some(owner) if owner.id() == id => take(owner, &row),
                    _ => Err(BadColumn(format!("a row belongs to `{id}`, which is not there"))),
                }
            })();
            given.map_err(|BadColumn(reason)| self.corrupt(reason))?;
        }
        Ok(())
    }
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

fn role(row: &SqliteRow) -> Result<RoleRecord, BadColumn> {
    let name = text::text(row, "name")?;
    let role = Role {
        id: RoleId(text::id(row, "id")?),
        name: RoleName::parse(name).map_err(|error| BadColumn(format!("`{name}`: {error}")))?,
        permissions: Vec::new(),
    };
    Ok(RoleRecord { role, built_in: text::flag(row, "built_in")?, stamp: text::stamp(row)? })
}

fn user(row: &SqliteRow) -> Result<UserRecord, BadColumn> {
    let name = text::text(row, "name")?;
    let bad = |error: &dyn std::fmt::Display| BadColumn(format!("`{name}`: {error}"));
    let prefix = text::optional_text(row, "publish_prefix")?;
    let user = User {
        id: UserId(text::id(row, "id")?),
        name: UserName::parse(name).map_err(|error| bad(&error))?,
        grants: text::grants(text::text(row, "grants")?)?,
        publish_prefix: prefix.map(PublishPrefix::parse).transpose().map_err(|e| bad(&e))?,
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: text::flag(row, "enabled")?,
        credential_epoch: text::number(row, "credential_epoch")?,
    };
    Ok(UserRecord { user, stamp: text::stamp(row)? })
}

fn password(row: &SqliteRow) -> Result<PasswordRecord, BadColumn> {
    Ok(PasswordRecord {
        slot: text::slot(row)?,
        hash: PasswordHash::new(text::text(row, "hash")?.to_owned()),
        created_at_ms: text::number(row, "created_at")?,
        expires_at_ms: text::optional_number(row, "expires_at")?,
    })
}
