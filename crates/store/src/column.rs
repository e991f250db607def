//! Single columns of a row, for the tables that are read row by row.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::text::BadRow;

pub(crate) fn id(row: &SqliteRow, column: &'static str) -> Result<Uuid, BadRow> {
    let bytes: &[u8] = row.try_get(column).map_err(|error| BadRow(error.to_string()))?;
    Uuid::from_slice(bytes).map_err(|error| BadRow(format!("`{column}`: {error}")))
}

pub(crate) fn text<'r>(row: &'r SqliteRow, column: &'static str) -> Result<&'r str, BadRow> {
    row.try_get(column).map_err(|error| BadRow(error.to_string()))
}

pub(crate) fn optional_text<'r>(
    row: &'r SqliteRow,
    column: &'static str,
) -> Result<Option<&'r str>, BadRow> {
    row.try_get(column).map_err(|error| BadRow(error.to_string()))
}

pub(crate) fn number(row: &SqliteRow, column: &'static str) -> Result<u64, BadRow> {
    let number: i64 = row.try_get(column).map_err(|error| BadRow(error.to_string()))?;
    u64::try_from(number).map_err(|_| BadRow(format!("`{column}` is negative")))
}

pub(crate) fn optional_number(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<u64>, BadRow> {
    let number: Option<i64> = row.try_get(column).map_err(|error| BadRow(error.to_string()))?;
    let Some(number) = number else { return Ok(None) };
    u64::try_from(number).map(Some).map_err(|_| BadRow(format!("`{column}` is negative")))
}
