//! Requests of clients to be let in.

use access::{UserId, UserName};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use crate::column;
use crate::error::StoreError;
use crate::open::Store;
use crate::secret::PasswordHash;
use crate::text::{BadRow, signed};

/// A client's request to be let in. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub struct RegistryRecord {
    /// Its id.
    pub id: Uuid,
    /// The user that the client wants to be. No other request by REST, or by MQTT, has the same name.
    pub username: UserName,
    /// How it came.
    pub origin: RegistryOrigin,
    /// The password that it came with.
    pub password: RegistryPassword,
    /// The certificate signing request that it came with, as PEM.
    pub csr: Option<Box<str>>,
    /// What it would like to have, as JSON that the store does not look into.
    pub wishes: Box<str>,
    /// The client id of an MQTT client.
    pub client_id: Option<Box<str>>,
    /// Where it came from.
    pub address: Box<str>,
    /// The listener it came to.
    pub listener: Box<str>,
    /// When it came.
    pub created_at_ms: u64,
    /// What has become of it.
    pub state: RegistryState,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryOrigin {
    /// By an MQTT login with an unknown user name.
    Mqtt,
    /// By an MQTT login with a valid certificate that names no user.
    MqttCertificate,
    /// By a REST call.
    Rest,
}

/// The password of a request.
#[derive(Clone, Debug)]
pub enum RegistryPassword {
    /// None was given.
    Absent,
    /// One was given that does not fit the policy, and was not kept.
    Unfit,
    /// Its hash.
    Kept(PasswordHash),
}

/// What has become of a request.
#[derive(Clone, Debug)]
pub enum RegistryState {
    /// It waits for a decision.
    Pending,
    /// The user was made.
    Granted {
        /// When.
        at_ms: u64,
        /// The user.
        user: UserId,
        /// The certificate that was signed for it, as PEM.
        certificate: Option<Box<str>>,
    },
    /// It was refused.
    Denied {
        /// When.
        at_ms: u64,
    },
}

/// A change of requests.
#[derive(Clone, Debug)]
pub enum RegistryChange {
    /// Adds one.
    File(Box<RegistryRecord>),
    /// Writes down the state of one that is there.
    Decide(Box<RegistryRecord>),
    /// Removes one, if it is there.
    Remove(Uuid),
}

pub(crate) async fn apply(
    tx: &mut Transaction<'_, Sqlite>,
    change: &RegistryChange,
) -> Result<(), sqlx::Error> {
    match change {
        RegistryChange::File(record) => file(tx, record).await,
        RegistryChange::Decide(record) => decide(tx, record).await,
        RegistryChange::Remove(id) => remove(tx, *id).await,
    }
}

async fn file(
    tx: &mut Transaction<'_, Sqlite>,
    record: &RegistryRecord,
) -> Result<(), sqlx::Error> {
    let (hash, unfit) = match &record.password {
        RegistryPassword::Absent => (None, false),
        RegistryPassword::Unfit => (None, true),
        RegistryPassword::Kept(hash) => (Some(hash.expose()), false),
    };
    let state = StateColumns::of(&record.state);
    sqlx::query(
        "INSERT INTO registry_requests (id, username, origin, hash, unfit, csr, wishes, client_id, \
             address, listener, created_at, state, decided_at, user_id, certificate) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(record.id.as_bytes().to_vec())
    .bind(record.username.as_str())
    .bind(origin_word(record.origin))
    .bind(hash.as_ref().map(|hash| hash.as_str()))
    .bind(unfit)
    .bind(record.csr.as_deref())
    .bind(&*record.wishes)
    .bind(record.client_id.as_deref())
    .bind(&*record.address)
    .bind(&*record.listener)
    .bind(signed(record.created_at_ms))
    .bind(state.word)
    .bind(state.decided_at)
    .bind(state.user)
    .bind(state.certificate)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn decide(
    tx: &mut Transaction<'_, Sqlite>,
    record: &RegistryRecord,
) -> Result<(), sqlx::Error> {
    let state = StateColumns::of(&record.state);
    let touched = sqlx::query(
        "UPDATE registry_requests SET state = $2, decided_at = $3, user_id = $4, certificate = $5 \
         WHERE id = $1",
    )
    .bind(record.id.as_bytes().to_vec())
    .bind(state.word)
    .bind(state.decided_at)
    .bind(state.user)
    .bind(state.certificate)
    .execute(&mut **tx)
    .await?;
    if touched.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

async fn remove(tx: &mut Transaction<'_, Sqlite>, id: Uuid) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM registry_requests WHERE id = $1";
    sqlx::query(sql).bind(id.as_bytes().to_vec()).execute(&mut **tx).await?;
    Ok(())
}

/// A state as it stands in a row.
struct StateColumns<'r> {
    word: &'static str,
    decided_at: Option<i64>,
    user: Option<Vec<u8>>,
    certificate: Option<&'r str>,
}

impl StateColumns<'_> {
    fn of(state: &RegistryState) -> StateColumns<'_> {
        let undecided =
            StateColumns { word: "pending", decided_at: None, user: None, certificate: None };
        match state {
            RegistryState::Pending => undecided,
            RegistryState::Granted { at_ms, user, certificate } => StateColumns {
                word: "granted",
                decided_at: Some(signed(*at_ms)),
                user: Some(user.0.as_bytes().to_vec()),
                certificate: certificate.as_deref(),
            },
            RegistryState::Denied { at_ms } => {
                StateColumns { word: "denied", decided_at: Some(signed(*at_ms)), ..undecided }
            }
        }
    }
}

impl Store {
    pub(crate) async fn load_registry(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
    ) -> Result<Vec<RegistryRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM registry_requests ORDER BY id");
        let rows = rows.fetch_all(&mut **tx).await.map_err(|error| self.error("read", error))?;
        self.each(rows, |row| request(&row))
    }
}

fn request(row: &SqliteRow) -> Result<RegistryRecord, BadRow> {
    let name = column::text(row, "username")?;
    let owned = |text: Option<&str>| text.map(Box::from);
    let hash = column::optional_text(row, "hash")?;
    let password = match (hash, column::number(row, "unfit")?) {
        (Some(hash), _) => RegistryPassword::Kept(PasswordHash::new(hash.to_owned())),
        (None, 0) => RegistryPassword::Absent,
        (None, _) => RegistryPassword::Unfit,
    };
    let decided_at_ms = || {
        let at_ms = column::optional_number(row, "decided_at")?;
        at_ms.ok_or_else(|| BadRow("a decided request has no time".to_owned()))
    };
    let state = match column::text(row, "state")? {
        "pending" => RegistryState::Pending,
        "denied" => RegistryState::Denied { at_ms: decided_at_ms()? },
        "granted" => RegistryState::Granted {
            at_ms: decided_at_ms()?,
            user: UserId(column::id(row, "user_id")?),
            certificate: owned(column::optional_text(row, "certificate")?),
        },
        other => return Err(BadRow(format!("`{other}` is no state of a request"))),
    };
    Ok(RegistryRecord {
        id: column::id(row, "id")?,
        username: UserName::parse(name).map_err(|error| BadRow(format!("`{name}` {error}")))?,
        origin: match column::text(row, "origin")? {
            "mqtt" => RegistryOrigin::Mqtt,
            "mqttCertificate" => RegistryOrigin::MqttCertificate,
            "rest" => RegistryOrigin::Rest,
            other => return Err(BadRow(format!("`{other}` is no origin of a request"))),
        },
        password,
        csr: owned(column::optional_text(row, "csr")?),
        wishes: column::text(row, "wishes")?.into(),
        client_id: owned(column::optional_text(row, "client_id")?),
        address: column::text(row, "address")?.into(),
        listener: column::text(row, "listener")?.into(),
        created_at_ms: column::number(row, "created_at")?,
        state,
    })
}

fn origin_word(origin: RegistryOrigin) -> &'static str {
    match origin {
        RegistryOrigin::Mqtt => "mqtt",
        RegistryOrigin::MqttCertificate => "mqttCertificate",
        RegistryOrigin::Rest => "rest",
    }
}

#[cfg(test)]
mod tests;
