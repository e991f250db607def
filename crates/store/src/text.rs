//! Between columns and parsed words. Whatever does not parse is corrupt: a rule that is skipped could be a deny.

use access::{
    AuthMethod, Context, Effect, Grant, GrantTypes, Operation, Permission, PermissionId, Resource,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::record::{PasswordSlot, Stamp};

/// A column that does not hold what it must; becomes [`crate::StoreError::Corrupt`].
#[derive(Debug)]
pub(crate) struct BadColumn(pub(crate) String);

pub(crate) fn id(row: &SqliteRow, column: &'static str) -> Result<Uuid, BadColumn> {
    let bytes: &[u8] = row.try_get(column).map_err(|error| BadColumn(error.to_string()))?;
    Uuid::from_slice(bytes).map_err(|error| BadColumn(format!("`{column}`: {error}")))
}

pub(crate) fn text<'r>(row: &'r SqliteRow, column: &'static str) -> Result<&'r str, BadColumn> {
    row.try_get(column).map_err(|error| BadColumn(error.to_string()))
}

pub(crate) fn optional_text<'r>(
    row: &'r SqliteRow,
    column: &'static str,
) -> Result<Option<&'r str>, BadColumn> {
    row.try_get(column).map_err(|error| BadColumn(error.to_string()))
}

pub(crate) fn number(row: &SqliteRow, column: &'static str) -> Result<u64, BadColumn> {
    let number: i64 = row.try_get(column).map_err(|error| BadColumn(error.to_string()))?;
    u64::try_from(number).map_err(|_| BadColumn(format!("`{column}` is negative")))
}

pub(crate) fn optional_number(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<u64>, BadColumn> {
    let number: Option<i64> = row.try_get(column).map_err(|error| BadColumn(error.to_string()))?;
    let Some(number) = number else { return Ok(None) };
    u64::try_from(number).map(Some).map_err(|_| BadColumn(format!("`{column}` is negative")))
}

pub(crate) fn flag(row: &SqliteRow, column: &'static str) -> Result<bool, BadColumn> {
    Ok(number(row, column)? != 0)
}

pub(crate) fn stamp(row: &SqliteRow) -> Result<Stamp, BadColumn> {
    Ok(Stamp {
        created_at_ms: number(row, "created_at")?,
        updated_at_ms: number(row, "updated_at")?,
        version: number(row, "version")?,
    })
}

pub(crate) fn slot(row: &SqliteRow) -> Result<PasswordSlot, BadColumn> {
    match number(row, "slot")? {
        1 => Ok(PasswordSlot::First),
        2 => Ok(PasswordSlot::Second),
        other => Err(BadColumn(format!("`slot` is {other}"))),
    }
}

pub(crate) fn slot_number(slot: PasswordSlot) -> i64 {
    match slot {
        PasswordSlot::First => 1,
        PasswordSlot::Second => 2,
    }
}

/// Numbers of the store are below 2^63; a time or counter beyond is cut off there.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn permission(row: &SqliteRow) -> Result<Permission, BadColumn> {
    let context: Context = parsed(row, "context")?;
    let resource = text(row, "resource")?;
    Ok(Permission {
        id: PermissionId(id(row, "id")?),
        resource: Resource::parse(resource, context)
            .map_err(|error| BadColumn(format!("`resource` `{resource}`: {error}")))?,
        operation: parsed::<Operation>(row, "operation")?,
        context,
        effect: parsed::<Effect>(row, "effect")?,
    })
}

pub(crate) fn grants(text: &str) -> Result<GrantTypes, BadColumn> {
    let grant = |word: &str| {
        let (method, is_required) = match word.strip_suffix(REQUIRED) {
            Some(method) => (method, true),
            None => (word, false),
        };
        let method = method
            .parse::<AuthMethod>()
            .map_err(|error| BadColumn(format!("`grants`: `{word}` {error}")))?;
        Ok(Grant { method, is_required })
    };
    text.split_ascii_whitespace().map(grant).collect()
}

pub(crate) fn grants_text(grants: GrantTypes) -> String {
    let word = |grant: Grant| {
        let suffix = if grant.is_required { REQUIRED } else { "" };
        format!("{}{suffix}", grant.method)
    };
    grants.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn parsed<T: std::str::FromStr>(row: &SqliteRow, column: &'static str) -> Result<T, BadColumn> {
    let text = text(row, column)?;
    text.parse().map_err(|_| BadColumn(format!("`{column}` is `{text}`")))
}

const REQUIRED: &str = ":required";
