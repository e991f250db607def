//! Bearer tokens in store: whose, until when, and the hash of each.

use access::UserId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use uuid::Uuid;

use crate::column;
use crate::error::StoreError;
use crate::open::Store;
use crate::record::PasswordSlot;
use crate::text::{BadRow, signed, slot, slot_number};

/// A bearer token, of which only the hash is known. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id, which is no secret.
    pub id: Uuid,
    /// Whose it is.
    pub user: UserId,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it is for, in its owner's words; may be empty.
    pub label: Box<str>,
    /// Which of the user's passwords made it.
    pub password: PasswordSlot,
    /// The user's credential epoch at the login.
    pub credential_epoch: u64,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it ends.
    pub expires_at_ms: u64,
    /// When it was used last, as far as that was written down.
    pub last_used_at_ms: Option<u64>,
}

/// A change of tokens.
#[derive(Clone, Debug)]
pub enum TokenChange {
    /// Adds one.
    Put(TokenRecord),
    /// Writes down that one was used, at this time.
    Touch(Uuid, u64),
    /// Removes one, if it is there.
    Remove(Uuid),
    /// Removes all of a user.
    RemoveOf(UserId),
    /// Removes all of a user that its second password has made.
    RemoveOfSecond(UserId),
}

pub(crate) async fn apply(
    tx: &mut Transaction<'_, Sqlite>,
    change: &TokenChange,
) -> Result<(), sqlx::Error> {
    match change {
        TokenChange::Put(record) => put(tx, record).await,
        TokenChange::Touch(id, at_ms) => touch(tx, *id, *at_ms).await,
        TokenChange::Remove(id) => remove(tx, *id).await,
        TokenChange::RemoveOf(user) => remove_of(tx, *user).await,
        TokenChange::RemoveOfSecond(user) => remove_of_second(tx, *user).await,
    }
}

async fn put(tx: &mut Transaction<'_, Sqlite>, record: &TokenRecord) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO tokens (id, user_id, hash, label, credential_epoch, created_at, expires_at, \
             last_used_at, password_slot) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(record.id.as_bytes().to_vec())
    .bind(record.user.0.as_bytes().to_vec())
    .bind(record.hash.to_vec())
    .bind(&*record.label)
    .bind(signed(record.credential_epoch))
    .bind(signed(record.created_at_ms))
    .bind(signed(record.expires_at_ms))
    .bind(record.last_used_at_ms.map(signed))
    .bind(slot_number(record.password))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn touch(tx: &mut Transaction<'_, Sqlite>, id: Uuid, at_ms: u64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE tokens SET last_used_at = $2 WHERE id = $1")
        .bind(id.as_bytes().to_vec())
        .bind(signed(at_ms))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn remove(tx: &mut Transaction<'_, Sqlite>, id: Uuid) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM tokens WHERE id = $1";
    sqlx::query(sql).bind(id.as_bytes().to_vec()).execute(&mut **tx).await?;
    Ok(())
}

async fn remove_of(tx: &mut Transaction<'_, Sqlite>, user: UserId) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM tokens WHERE user_id = $1";
    sqlx::query(sql).bind(user.0.as_bytes().to_vec()).execute(&mut **tx).await?;
    Ok(())
}

async fn remove_of_second(
    tx: &mut Transaction<'_, Sqlite>,
    user: UserId,
) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM tokens WHERE user_id = $1 AND password_slot = 2";
    sqlx::query(sql).bind(user.0.as_bytes().to_vec()).execute(&mut **tx).await?;
    Ok(())
}

impl Store {
    pub(crate) async fn load_tokens(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
    ) -> Result<Vec<TokenRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY id").fetch_all(&mut **tx).await;
        let rows = rows.map_err(|error| self.error("read", error))?;
        self.each(rows, |row| token(&row))
    }
}

fn token(row: &SqliteRow) -> Result<TokenRecord, BadRow> {
    let hash: &[u8] = row.try_get("hash").map_err(|error| BadRow(error.to_string()))?;
    Ok(TokenRecord {
        id: column::id(row, "id")?,
        user: UserId(column::id(row, "user_id")?),
        hash: hash.try_into().map_err(|_| BadRow("`hash` has not 32 bytes".to_owned()))?,
        label: column::text(row, "label")?.into(),
        password: slot(column::number(row, "password_slot")?)?,
        credential_epoch: column::number(row, "credential_epoch")?,
        created_at_ms: column::number(row, "created_at")?,
        expires_at_ms: column::number(row, "expires_at")?,
        last_used_at_ms: column::optional_number(row, "last_used_at")?,
    })
}
