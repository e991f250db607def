//! What clients were refused, as texts by number; and the number of this run of the broker, which tells its decisions from
//! those of runs before.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::column;
use crate::error::StoreError;
use crate::open::Store;
use crate::text::{BadRow, signed};
use crate::writing::Writing;

/// A refusal in store, or that there is none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalRow {
    /// Its number.
    pub number: u64,
    /// JSON text; `None` removes it.
    pub record: Option<String>,
}

impl Store {
    /// Counts one more run, and gives its number, from 1.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn begin_run(&self) -> Result<u32, StoreError> {
        let sql = "INSERT INTO meta (key, value) VALUES ('runs', '1') \
             ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) \
             RETURNING CAST(value AS INTEGER)";
        let run = sqlx::query_scalar::<_, i64>(sql).fetch_one(&self.pool).await;
        let run = run.map_err(|error| self.error("write", error))?;
        u32::try_from(run).map_err(|_| self.corrupt("the count of runs is none"))
    }

    /// Reads all refusals, by number.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn load_refusals(&self) -> Result<Vec<(u64, String)>, StoreError> {
        let sql = "SELECT number, record FROM refusals ORDER BY number";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await;
        let rows = rows.map_err(|error| self.error("read", error))?;
        self.each(rows, |row| refusal(&row))
    }

    /// Writes refusals and removes others, all or none.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn write_refusals(&self, rows: &[RefusalRow]) -> Result<(), StoreError> {
        let failed = |error| self.error("write", error);
        let mut writing = Writing::on(self.pool.acquire().await.map_err(failed)?);
        let mut tx = writing.begin().await.map_err(failed)?;
        for row in rows {
            let query = match &row.record {
                Some(record) => sqlx::query("INSERT OR REPLACE INTO refusals VALUES ($1, $2)")
                    .bind(signed(row.number))
                    .bind(record),
                None => {
                    sqlx::query("DELETE FROM refusals WHERE number = $1").bind(signed(row.number))
                }
            };
            query.execute(&mut *tx).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        writing.give_back();
        Ok(())
    }
}

fn refusal(row: &SqliteRow) -> Result<(u64, String), BadRow> {
    let record = row.try_get("record").map_err(|error| BadRow(error.to_string()))?;
    Ok((column::number(row, "number")?, record))
}
