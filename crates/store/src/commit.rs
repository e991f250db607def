//! Writing changes: all of them in one transaction, on disk before it is said.

use access::{Permission, RoleId, UserId};
use sqlx::sqlite::SqliteQueryResult;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use crate::audit::{self, AuditChain};
use crate::certificate;
use crate::digest;
use crate::error::StoreError;
use crate::open::Store;
use crate::record::{
    Change, PasswordRecord, PasswordSlot, PasswordUse, RenewedHash, RoleRecord, UserRecord,
};
use crate::registry;
use crate::text::{budget_text, grants_text, signed, slot_number};
use crate::token;
use crate::writing::Writing;

impl Store {
    /// Makes all the changes, in their order, or none. They are on disk when this returns `Ok`.
    ///
    /// # Errors
    /// If the database refuses, for a name that is taken or a role that is in use among others; or if what was written
    /// reads back differently.
    pub async fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let failed = |error| self.error("write", error);
        let mut writing = Writing::on(self.pool.acquire().await.map_err(failed)?);
        let mut tx = writing.begin().await.map_err(failed)?;
        for change in changes {
            apply(&mut tx, change).await.map_err(failed)?;
        }
        for change in changes {
            if let Change::PutPasswords(user, passwords) = change {
                self.verify_passwords(&mut tx, *user, passwords).await?;
            }
        }
        let changed = if changes.iter().any(is_recorded) {
            let sql = "SELECT seq FROM audit_heads WHERE chain = $1";
            let chain = AuditChain::Changes.number();
            let seq = sqlx::query_scalar::<_, i64>(sql).bind(chain).fetch_one(&mut *tx);
            Some(seq.await.map_err(failed)?)
        } else {
            None
        };
        tx.commit().await.map_err(failed)?;
        writing.give_back();
        if let Some(change) = changed.and_then(|seq| u64::try_from(seq).ok()) {
            self.note_confirmed(change).await;
        }
        Ok(())
    }

    /// Reads back what was written: a broker once stored the user name in the password's place.
    async fn verify_passwords(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        user: UserId,
        passwords: &[PasswordRecord],
    ) -> Result<(), StoreError> {
        let sql = "SELECT hash FROM user_passwords WHERE user_id = $1 ORDER BY slot";
        let hashes = sqlx::query_scalar::<_, String>(sql)
            .bind(bytes(user.0))
            .fetch_all(&mut **tx)
            .await
            .map_err(|error| self.error("write", error))?;
        let hashes: Vec<_> = hashes.into_iter().map(zeroize::Zeroizing::new).collect();
        let mut meant: Vec<_> = passwords.iter().collect();
        meant.sort_by_key(|password| password.slot);
        let is_equal = hashes.len() == meant.len()
            && hashes.iter().zip(meant).all(|(found, meant)| *found == meant.hash.expose());
        if is_equal { Ok(()) } else { Err(self.corrupt("a password reads back differently")) }
    }
}

/// Whether it is a record of a change of rights, which must not be lost unnoticed.
fn is_recorded(change: &Change) -> bool {
    matches!(change, Change::Record(entry) if entry.chain == AuditChain::Changes)
}

async fn apply(tx: &mut Transaction<'_, Sqlite>, change: &Change) -> Result<(), sqlx::Error> {
    match change {
        Change::PutUser(record) => put_user(tx, record).await,
        Change::RemoveUser(id) => remove_user(tx, *id).await,
        Change::PutRole(record) => put_role(tx, record).await,
        Change::RemoveRole(id) => remove_role(tx, *id).await,
        Change::PutPasswords(user, passwords) => put_passwords(tx, *user, passwords).await,
        Change::RenewPassword(user, slot, hash) => renew_password(tx, *user, *slot, hash).await,
        Change::PasswordsUsed(uses) => put_uses(tx, uses).await,
        Change::PutCertificate(record) => certificate::put(tx, record).await,
        Change::RevokeCertificate(fingerprint, revoked) => {
            certificate::revoke(tx, fingerprint, *revoked).await
        }
        Change::Token(change) => token::apply(tx, change).await,
        Change::Registry(change) => registry::apply(tx, change).await,
        Change::Record(entry) => audit::append(tx, entry).await,
        Change::Initialized => initialized(tx).await,
    }
}

async fn put_user(
    tx: &mut Transaction<'_, Sqlite>,
    record: &UserRecord,
) -> Result<(), sqlx::Error> {
    let user = &record.user;
    sqlx::query(
        "INSERT INTO users (id, name, grants, publish_prefix, enabled, credential_epoch, \
             created_at, updated_at, version, publish_budget) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, grants = excluded.grants, \
             publish_prefix = excluded.publish_prefix, enabled = excluded.enabled, \
             credential_epoch = excluded.credential_epoch, updated_at = excluded.updated_at, \
             version = excluded.version, publish_budget = excluded.publish_budget",
    )
    .bind(bytes(user.id.0))
    .bind(user.name.as_str())
    .bind(grants_text(user.grants))
    .bind(user.publish_prefix.as_ref().map(|prefix| prefix.as_str()))
    .bind(user.enabled)
    .bind(signed(user.credential_epoch))
    .bind(signed(record.stamp.created_at_ms))
    .bind(signed(record.stamp.updated_at_ms))
    .bind(signed(record.stamp.version))
    .bind(budget_text(user.publish_budget))
    .execute(&mut **tx)
    .await?;
    remove_rows(tx, "DELETE FROM user_roles WHERE user_id = $1", user.id.0).await?;
    for (position, role) in (0_i64..).zip(&user.roles) {
        sqlx::query("INSERT INTO user_roles (user_id, role_id, position) VALUES ($1, $2, $3)")
            .bind(bytes(user.id.0))
            .bind(bytes(role.0))
            .bind(position)
            .execute(&mut **tx)
            .await?;
    }
    remove_rows(tx, "DELETE FROM user_permissions WHERE owner_id = $1", user.id.0).await?;
    let sql = "INSERT INTO user_permissions \
             (owner_id, position, id, resource, operation, context, effect) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    put_permissions(tx, sql, user.id.0, &user.permissions).await
}

async fn remove_user(tx: &mut Transaction<'_, Sqlite>, id: UserId) -> Result<(), sqlx::Error> {
    let removed = remove_rows(tx, "DELETE FROM users WHERE id = $1", id.0).await?;
    must_be_one(&removed)
}

async fn put_role(
    tx: &mut Transaction<'_, Sqlite>,
    record: &RoleRecord,
) -> Result<(), sqlx::Error> {
    let role = &record.role;
    sqlx::query(
        "INSERT INTO roles (id, name, built_in, created_at, updated_at, version, publish_budget) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at, \
             version = excluded.version, publish_budget = excluded.publish_budget",
    )
    .bind(bytes(role.id.0))
    .bind(role.name.as_str())
    .bind(record.built_in)
    .bind(signed(record.stamp.created_at_ms))
    .bind(signed(record.stamp.updated_at_ms))
    .bind(signed(record.stamp.version))
    .bind(budget_text(role.publish_budget))
    .execute(&mut **tx)
    .await?;
    remove_rows(tx, "DELETE FROM role_permissions WHERE owner_id = $1", role.id.0).await?;
    let sql = "INSERT INTO role_permissions \
             (owner_id, position, id, resource, operation, context, effect) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    put_permissions(tx, sql, role.id.0, &role.permissions).await
}

async fn remove_role(tx: &mut Transaction<'_, Sqlite>, id: RoleId) -> Result<(), sqlx::Error> {
    let removed = remove_rows(tx, "DELETE FROM roles WHERE id = $1", id.0).await?;
    must_be_one(&removed)
}

async fn put_permissions(
    tx: &mut Transaction<'_, Sqlite>,
    sql: &'static str,
    owner: Uuid,
    permissions: &[Permission],
) -> Result<(), sqlx::Error> {
    for (position, permission) in (0_i64..).zip(permissions) {
        sqlx::query(sql)
            .bind(bytes(owner))
            .bind(position)
            .bind(bytes(permission.id.0))
            .bind(permission.resource.as_str())
            .bind(permission.operation.to_string())
            .bind(permission.context.to_string())
            .bind(permission.effect.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn put_passwords(
    tx: &mut Transaction<'_, Sqlite>,
    user: UserId,
    passwords: &[PasswordRecord],
) -> Result<(), sqlx::Error> {
    remove_rows(tx, "DELETE FROM user_passwords WHERE user_id = $1", user.0).await?;
    for password in passwords {
        sqlx::query(
            "INSERT INTO user_passwords \
                 (user_id, slot, hash, created_at, expires_at, renewed_from, last_used_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(bytes(user.0))
        .bind(slot_number(password.slot))
        .bind(password.hash.expose().as_str())
        .bind(signed(password.created_at_ms))
        .bind(password.expires_at_ms.map(signed))
        .bind(password.renewed_from.as_deref().map(digest::hex))
        .bind(password.last_used_at_ms.map(signed))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn renew_password(
    tx: &mut Transaction<'_, Sqlite>,
    user: UserId,
    slot: PasswordSlot,
    renewed: &RenewedHash,
) -> Result<(), sqlx::Error> {
    let sql = "UPDATE user_passwords SET hash = $3, renewed_from = $4 \
         WHERE user_id = $1 AND slot = $2";
    let hash = renewed.hash.expose();
    let query = sqlx::query(sql)
        .bind(bytes(user.0))
        .bind(slot_number(slot))
        .bind(hash.as_str())
        .bind(digest::hex(&renewed.renewed_from));
    must_be_one(&query.execute(&mut **tx).await?)
}

async fn put_uses(
    tx: &mut Transaction<'_, Sqlite>,
    uses: &[PasswordUse],
) -> Result<(), sqlx::Error> {
    for used in uses {
        sqlx::query(
            "UPDATE user_passwords SET last_used_at = max(coalesce(last_used_at, 0), $4) \
             WHERE user_id = $1 AND slot = $2 AND created_at = $3",
        )
        .bind(bytes(used.user.0))
        .bind(slot_number(used.slot))
        .bind(signed(used.created_at_ms))
        .bind(signed(used.used_at_ms))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn initialized(tx: &mut Transaction<'_, Sqlite>) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO meta (key, value) VALUES ('initialized', 'yes')";
    sqlx::query(sql).execute(&mut **tx).await?;
    Ok(())
}

async fn remove_rows(
    tx: &mut Transaction<'_, Sqlite>,
    sql: &'static str,
    owner: Uuid,
) -> Result<SqliteQueryResult, sqlx::Error> {
    sqlx::query(sql).bind(bytes(owner)).execute(&mut **tx).await
}

fn must_be_one(touched: &SqliteQueryResult) -> Result<(), sqlx::Error> {
    if touched.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

fn bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}
