//! Reading the audit log, on a connection of its own: no change waits for a reader.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::AuditChain;
use crate::column;
use crate::error::StoreError;
use crate::open::Store;
use crate::text::{BadRow, signed};

/// Which records are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Of this chain only.
    pub chain: Option<AuditChain>,
    /// By exactly this actor only.
    pub actor: Option<String>,
    /// Of this action, or of those below it: `user` stands for `user.create` and all others.
    pub action: Option<String>,
    /// Not before this time, in milliseconds since the Unix epoch.
    pub from_ms: Option<u64>,
    /// Before this time.
    pub to_ms: Option<u64>,
    /// After this number only.
    pub after_seq: Option<u64>,
    /// In which order.
    pub order: AuditOrder,
    /// How many of them to leave out.
    pub skip: u64,
    /// How many at most.
    pub limit: u32,
}

/// In which order records come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditOrder {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// A record as it is in store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// The JSON text that the hash is of.
    pub record: String,
    /// SHA-256 of the text, in lower-case hexadecimal digits.
    pub hash: String,
}

/// Some of the records that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// In the order that was asked for.
    pub rows: Vec<AuditRow>,
    /// How many there are in all.
    pub total: u64,
}

/// The end of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Which chain.
    pub chain: AuditChain,
    /// Number of its last record; 0 if there is none.
    pub seq: u64,
    /// Hash of that record.
    pub hash: String,
    /// Number of the last record that was given up for its age; 0 if none was.
    pub given_up: u64,
    /// Hash of that record.
    pub given_up_hash: String,
}

impl Store {
    /// Reads records.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn audit_page(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let failed = |error| self.error("read", error);
        let mut count = QueryBuilder::new("SELECT count(*) FROM audit WHERE TRUE");
        only(&mut count, query);
        let total: i64 =
            count.build_query_scalar().fetch_one(&self.readers).await.map_err(failed)?;
        let mut rows = QueryBuilder::new("SELECT record, hash FROM audit WHERE TRUE");
        only(&mut rows, query);
        rows.push(match query.order {
            AuditOrder::Newest => " ORDER BY at DESC, chain, seq DESC",
            // The order of a chain is that of its numbers, whatever the clock said.
            AuditOrder::Oldest if query.chain.is_some() => " ORDER BY seq",
            AuditOrder::Oldest => " ORDER BY at, chain, seq",
        });
        rows.push(" LIMIT ").push_bind(i64::from(query.limit));
        rows.push(" OFFSET ").push_bind(signed(query.skip));
        let rows = rows.build().fetch_all(&self.readers).await.map_err(failed)?;
        let rows = self.each(rows, |row| {
            let record = column::text(&row, "record")?.to_owned();
            Ok(AuditRow { record, hash: column::text(&row, "hash")?.to_owned() })
        })?;
        Ok(AuditPage { rows, total: u64::try_from(total).unwrap_or_default() })
    }

    /// Where the chains end.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn audit_heads(&self) -> Result<Vec<AuditHead>, StoreError> {
        let sql = "SELECT * FROM audit_heads ORDER BY chain";
        let rows = sqlx::query(sql).fetch_all(&self.readers).await;
        self.each(rows.map_err(|error| self.error("read", error))?, |row| head(&row))
    }
}

fn only(sql: &mut QueryBuilder<Sqlite>, query: &AuditQuery) {
    if let Some(chain) = query.chain {
        sql.push(" AND chain = ").push_bind(chain.number());
    }
    if let Some(actor) = &query.actor {
        sql.push(" AND actor = ").push_bind(actor.clone());
    }
    if let Some(action) = &query.action {
        sql.push(" AND (action = ").push_bind(action.clone());
        // Between `user.` and `user/` is all that begins with `user.`: `.` is followed by `/`.
        sql.push(" OR (action > ").push_bind(format!("{action}."));
        sql.push(" AND action < ").push_bind(format!("{action}/")).push("))");
    }
    if let Some(from) = query.from_ms {
        sql.push(" AND at >= ").push_bind(signed(from));
    }
    if let Some(to) = query.to_ms {
        sql.push(" AND at < ").push_bind(signed(to));
    }
    if let Some(after) = query.after_seq {
        sql.push(" AND seq > ").push_bind(signed(after));
    }
}

pub(super) fn head(row: &SqliteRow) -> Result<AuditHead, BadRow> {
    let number: i64 = row.try_get("chain").map_err(|error| BadRow(error.to_string()))?;
    let chain = AuditChain::of_number(number);
    Ok(AuditHead {
        chain: chain.ok_or_else(|| BadRow(format!("there is no chain {number}")))?,
        seq: column::number(row, "seq")?,
        hash: column::text(row, "hash")?.to_owned(),
        given_up: column::number(row, "given_up")?,
        given_up_hash: column::text(row, "given_up_hash")?.to_owned(),
    })
}
