//! Certificates in store: made, revoked, and never removed.

use access::{UserId, UserName};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};

use crate::column;
use crate::digest;
use crate::error::StoreError;
use crate::open::Store;
use crate::text::{BadRow, signed};

/// A certificate that was issued here. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// SHA-256 of the DER.
    pub fingerprint: [u8; 32],
    /// The serial number in lower-case hexadecimal.
    pub serial: Box<str>,
    /// Whose it is, or was.
    pub user: UserId,
    /// The user's name at the time of issue: the Common Name.
    pub user_name: UserName,
    /// Where its key comes from.
    pub origin: CertificateOrigin,
    /// Begin of its validity.
    pub not_before_ms: u64,
    /// End of its validity.
    pub not_after_ms: u64,
    /// When it was issued.
    pub created_at_ms: u64,
    /// When and why it was revoked, if it was.
    pub revoked: Option<RevokedRecord>,
}

/// Where the key of a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateOrigin {
    /// It was made here and handed out with the certificate.
    Issued,
    /// Only its user has it: a signing request was signed.
    Signed,
}

/// When and why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedRecord {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Why.
    pub reason: RevokedReason,
}

/// Why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedReason {
    /// Somebody asked for it.
    Unspecified,
    /// Its user was removed.
    UserRemoved,
}

impl Store {
    pub(crate) async fn load_certificates(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        let sql = "SELECT * FROM certificates ORDER BY fingerprint";
        let rows = sqlx::query(sql).fetch_all(&mut **tx).await;
        let rows = rows.map_err(|error| self.error("read", error))?;
        self.each(rows, |row| certificate(&row))
    }
}

pub(crate) async fn put(
    tx: &mut Transaction<'_, Sqlite>,
    record: &CertificateRecord,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO certificates (fingerprint, serial, user_id, user_name, origin, not_before, \
             not_after, created_at, revoked_at, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(digest::hex(&record.fingerprint))
    .bind(&*record.serial)
    .bind(record.user.0.as_bytes().to_vec())
    .bind(record.user_name.as_str())
    .bind(origin_word(record.origin))
    .bind(signed(record.not_before_ms))
    .bind(signed(record.not_after_ms))
    .bind(signed(record.created_at_ms))
    .bind(record.revoked.map(|revoked| signed(revoked.at_ms)))
    .bind(record.revoked.map(|revoked| reason_word(revoked.reason)))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The first revocation of a certificate stands.
pub(crate) async fn revoke(
    tx: &mut Transaction<'_, Sqlite>,
    fingerprint: &[u8; 32],
    revoked: RevokedRecord,
) -> Result<(), sqlx::Error> {
    let sql = "UPDATE certificates SET revoked_at = coalesce(revoked_at, $2), \
         reason = coalesce(reason, $3) WHERE fingerprint = $1";
    let query = sqlx::query(sql)
        .bind(digest::hex(fingerprint))
        .bind(signed(revoked.at_ms))
        .bind(reason_word(revoked.reason));
    let touched = query.execute(&mut **tx).await?;
    if touched.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

fn certificate(row: &SqliteRow) -> Result<CertificateRecord, BadRow> {
    let name = column::text(row, "user_name")?;
    let revoked = match (
        column::optional_number(row, "revoked_at")?,
        column::optional_text(row, "reason")?,
    ) {
        (None, None) => None,
        (Some(at_ms), Some(word)) => Some(RevokedRecord { at_ms, reason: reason(word)? }),
        _ => return Err(BadRow("`revoked_at` and `reason` do not go together".to_owned())),
    };
    Ok(CertificateRecord {
        fingerprint: fingerprint(column::text(row, "fingerprint")?)?,
        serial: column::text(row, "serial")?.into(),
        user: UserId(column::id(row, "user_id")?),
        user_name: UserName::parse(name).map_err(|error| BadRow(format!("`{name}`: {error}")))?,
        origin: origin(column::text(row, "origin")?)?,
        not_before_ms: column::number(row, "not_before")?,
        not_after_ms: column::number(row, "not_after")?,
        created_at_ms: column::number(row, "created_at")?,
        revoked,
    })
}

fn fingerprint(text: &str) -> Result<[u8; 32], BadRow> {
    digest::parse(text).ok_or_else(|| BadRow(format!("`fingerprint` is `{text}`")))
}

fn origin_word(origin: CertificateOrigin) -> &'static str {
    match origin {
        CertificateOrigin::Issued => "issued",
        CertificateOrigin::Signed => "signed",
    }
}

fn origin(word: &str) -> Result<CertificateOrigin, BadRow> {
    match word {
        "issued" => Ok(CertificateOrigin::Issued),
        "signed" => Ok(CertificateOrigin::Signed),
        other => Err(BadRow(format!("`origin` is `{other}`"))),
    }
}

fn reason_word(reason: RevokedReason) -> &'static str {
    match reason {
        RevokedReason::Unspecified => "unspecified",
        RevokedReason::UserRemoved => "userRemoved",
    }
}

fn reason(word: &str) -> Result<RevokedReason, BadRow> {
    match word {
        "unspecified" => Ok(RevokedReason::Unspecified),
        "userRemoved" => Ok(RevokedReason::UserRemoved),
        other => Err(BadRow(format!("`reason` is `{other}`"))),
    }
}
