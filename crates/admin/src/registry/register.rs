//! Requests over REST: made by whoever asks while the registry is unlocked, and asked after by whoever made them.
//!
//! What an answer tells: that somebody has asked over REST for this name before, to whoever comes with another password. Not
//! whether there is such a user: a request for the name of one is taken like any other, and it is the administrator who sees
//! it. The way to an answer asks nowhere for users, nor for what only those who are no users bring about.

use std::sync::Arc;

use access::{RoleName, UserName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{RegistryOrigin, RegistryPassword, RegistryRecord, RegistryState};
use uuid::Uuid;

use super::book::Channel;
use super::{NoPlace, Place, Sighting, book};
use crate::admin::{Admin, hash_from};
use crate::attempt::PeerAddress;
use crate::error::AdminError;
use crate::hash::{HashError, Hasher, ParsedHash};
use crate::model::{NewPermission, Registration, RegistrationView, RegistryStatus};
use crate::permissions::{self, new_uuid};
use crate::pool::Source;
use crate::proof::Tag;
use crate::protection::{Gate, Locked};
use crate::refused_logins::RefusedLogin;
use crate::secret::Secret;
use crate::users;

/// Why a client's request was not taken, or is not granted.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationRefused {
    /// The registry is locked.
    #[error("the client registry is locked")]
    Locked,
    /// An administrator has refused it.
    #[error("the request was denied")]
    Denied,
    /// There is another request for this name.
    #[error("there is another request for this user name, with another {field}")]
    Taken {
        /// What differs.
        field: &'static str,
    },
    /// The source has brought too many new requests.
    #[error("too many requests from this address")]
    TooMany {
        /// When it may bring more, in milliseconds.
        retry_after_ms: u64,
    },
    /// Too many requests wait for a decision.
    #[error("too many requests wait for a decision")]
    Full,
    /// It is not right, or cannot be worked on now.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// What a client would like to have, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Wishes {
    #[serde(default)]
    pub(super) roles: Vec<String>,
    #[serde(default)]
    pub(super) permissions: Vec<NewPermission>,
    #[serde(default)]
    pub(super) context: Option<Value>,
}

/// What comes of comparing a call with the request of its name.
enum Match {
    Same,
    Other { field: &'static str },
}

/// Whether a password may be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gates {
    Open,
    NameLocked,
}

impl Admin {
    /// Takes a client's request, or says what has become of it. A new one is on disk when this returns.
    ///
    /// # Errors
    /// If the registry is locked and there is no such request, the request was denied, another has the name, there are
    /// too many, or something in it is not right.
    pub async fn register(
        &self,
        asked: Registration,
        peer: PeerAddress,
    ) -> Result<RegistrationView, RegistrationRefused> {
        let name = users::user_name(&asked.username)?;
        let bytes_max = self.shared.settings.password_bytes_max;
        if asked.password.as_ref().is_some_and(|it| it.expose().len() > bytes_max) {
            let reason = format!("has more than {bytes_max} bytes");
            return Err(AdminError::invalid("password", reason).into());
        }
        let now_ms = self.now_ms();
        let record = {
            let directory = self.shared.directory.read();
            let key = (Channel::Rest, name.as_str());
            self.shared.registry.live(&directory, key, now_ms).map(Arc::clone)
        };
        let Some(record) = record else { return self.ask(name, asked, peer).await };
        match self.compare_request(&record, &asked, peer).await? {
            Match::Same => self.answer(&record),
            Match::Other { field } => Err(self.refuse_other(&record, field, peer)),
        }
    }

    /// What has become of a request, for the client that made it.
    fn answer(&self, record: &RegistryRecord) -> Result<RegistrationView, RegistrationRefused> {
        let username = record.username.as_str().to_owned();
        match &record.state {
            RegistryState::Pending => Ok(pending(username)),
            RegistryState::Denied { .. } => Err(RegistrationRefused::Denied),
            RegistryState::Granted { certificate, .. } => Ok(RegistrationView {
                status: RegistryStatus::Granted,
                username,
                certificate: certificate.as_deref().map(str::to_owned),
                ca: certificate.is_some().then(|| self.shared.pki.authority_pem()),
            }),
        }
    }

    /// Whether a call is the one that made the request.
    async fn compare_request(
        &self,
        record: &RegistryRecord,
        asked: &Registration,
        peer: PeerAddress,
    ) -> Result<Match, RegistrationRefused> {
        let has_same_csr =
            record.csr.as_deref().map(str::trim) == asked.csr.as_deref().map(str::trim);
        let field = match (&record.password, &asked.password) {
            (RegistryPassword::Kept(hash), Some(password)) => {
                let hash = ParsedHash::parse(hash).map_err(AdminError::from)?;
                if !self.is_password_of(record, hash, password, peer).await? {
                    "password"
                } else if has_same_csr {
                    return Ok(Match::Same);
                } else {
                    "csr"
                }
            }
            (RegistryPassword::Kept(_), None) => "password",
            (RegistryPassword::Absent | RegistryPassword::Unfit, given) => {
                self.pass_gate(record.username.as_str(), peer.source())?;
                if given.is_some() {
                    self.waste_a_hash(given.as_ref(), peer).await?;
                    "password"
                } else if has_same_csr {
                    self.shared.registry.saw(record.id, Sighting::Same, peer, self.now_ms());
                    return Ok(Match::Same);
                } else {
                    "csr"
                }
            }
        };
        Ok(Match::Other { field })
    }

    /// Judges a password by the request's. A wrong one is a failed login: the name is or may become a user's.
    async fn is_password_of(
        &self,
        record: &RegistryRecord,
        hash: ParsedHash,
        password: &Secret,
        peer: PeerAddress,
    ) -> Result<bool, RegistrationRefused> {
        let (name, source, now_ms) = (record.username.as_str(), peer.source(), self.now_ms());
        let (registry, protection) = (&self.shared.registry, &self.shared.protection);
        let tag = self.tag_of(record.id, password);
        let is_known = registry.is_proven(record.id, tag);
        let is_usual = is_known && book::source(record) == source;
        if !is_usual && self.pass_gate(name, source)? == Gates::NameLocked {
            self.waste_a_hash(Some(password), peer).await?;
            return Ok(false);
        }
        let is_same = is_known || self.compare_on_pool(hash, password, source).await?;
        if is_same {
            registry.remember_proven(record.id, tag);
            registry.saw(record.id, Sighting::Same, peer, now_ms);
        } else {
            registry.saw(record.id, Sighting::Other, peer, now_ms);
            let delay = protection.failed(Some(name), source, self.now_ms());
            if registry.is_unlocked(now_ms) {
                self.hold_back(delay).await;
            }
        }
        Ok(is_same)
    }

    /// While the registry is locked, who comes with another password learns no more than who comes with another name.
    fn refuse_other(
        &self,
        record: &RegistryRecord,
        field: &'static str,
        peer: PeerAddress,
    ) -> RegistrationRefused {
        self.record_refused_login(RefusedLogin {
            username: Some(record.username.as_str()),
            client_id: None,
            address: &peer.to_string(),
            listener: LISTENER,
            reason: &format!(
                "client registry: another request has this name, with another {field}"
            ),
        });
        if self.shared.registry.is_unlocked(self.now_ms()) {
            RegistrationRefused::Taken { field }
        } else {
            RegistrationRefused::Locked
        }
    }

    /// Takes a new request.
    async fn ask(
        &self,
        name: UserName,
        asked: Registration,
        peer: PeerAddress,
    ) -> Result<RegistrationView, RegistrationRefused> {
        let (source, now_ms) = (peer.source(), self.now_ms());
        let registry = &self.shared.registry;
        let is_unlocked = registry.is_unlocked(now_ms);
        let has_requests = self.shared.directory.read().registry.has_any(Channel::Rest);
        if !is_unlocked && !has_requests {
            return Err(RegistrationRefused::Locked);
        }
        self.pass_gate(name.as_str(), source)?;
        if !is_unlocked {
            // As long as with the name of a request and another password.
            self.waste_a_hash(asked.password.as_ref(), peer).await?;
            return Err(RegistrationRefused::Locked);
        }
        let place = self.place_for(name.as_str(), source, now_ms)?;
        let record = self.draft_request(name, &asked, peer, now_ms).await?;
        let (id, username) = (record.id, record.username.as_str().to_owned());
        self.file_request(record, None).await?;
        drop(place);
        if let Some(password) = &asked.password {
            registry.remember_proven(id, self.tag_of(id, password));
        }
        tracing::info!(user = %username, %peer, request = %id, "a client asks to be let in");
        Ok(pending(username))
    }

    fn place_for(
        &self,
        name: &str,
        source: Source,
        now_ms: u64,
    ) -> Result<Place, RegistrationRefused> {
        let directory = self.shared.directory.read();
        let place = self.shared.registry.reserve((Channel::Rest, name), source, &directory, now_ms);
        place.map_err(|none| match none {
            NoPlace::Locked => RegistrationRefused::Locked,
            NoPlace::Twice => AdminError::Busy.into(),
            NoPlace::Full => RegistrationRefused::Full,
            NoPlace::FullForSource => {
                RegistrationRefused::TooMany { retry_after_ms: FULL_RETRY_MS }
            }
            NoPlace::TooFast { retry_after_ms } => RegistrationRefused::TooMany { retry_after_ms },
        })
    }

    /// Judges all that a request brings, and hashes its password.
    async fn draft_request(
        &self,
        username: UserName,
        asked: &Registration,
        peer: PeerAddress,
        now_ms: u64,
    ) -> Result<RegistryRecord, RegistrationRefused> {
        let wishes = wishes(asked)?;
        if let Some(csr) = &asked.csr {
            self.check_csr(csr, &username).await?;
        }
        let password = match &asked.password {
            None => RegistryPassword::Absent,
            Some(password) => {
                self.check_new_password(password, username.as_str())?;
                let password = password.clone();
                let make = move |hasher: &mut Hasher| hasher.make(password.expose());
                RegistryPassword::Kept(self.on_pool(peer.source(), make).await?)
            }
        };
        Ok(RegistryRecord {
            id: new_uuid()?,
            username,
            origin: RegistryOrigin::Rest,
            password,
            csr: asked.csr.as_deref().map(Box::from),
            wishes: wishes.into(),
            client_id: None,
            address: peer.to_string().into(),
            listener: LISTENER.into(),
            created_at_ms: now_ms,
            state: RegistryState::Pending,
        })
    }

    /// A signature or two: no work for a thread that serves others.
    async fn check_csr(&self, csr: &str, username: &UserName) -> Result<(), AdminError> {
        let (pki, csr, name) = (Arc::clone(&self.shared.pki), csr.to_owned(), username.clone());
        let checked = tokio::task::spawn_blocking(move || pki.check_csr(&csr, name.as_str()));
        let checked = checked.await.map_err(|error| AdminError::Internal(error.to_string()))?;
        Ok(checked?)
    }

    fn tag_of(&self, id: Uuid, password: &Secret) -> Tag {
        self.shared.proof_key.of_password(id, 0, password.expose())
    }

    /// Turns those away who are locked out. While the registry is locked, a locked name is not told: it may be locked by
    /// guesses at its request, and that there is one is nobody's business then.
    fn pass_gate(&self, name: &str, source: Source) -> Result<Gates, AdminError> {
        let now_ms = self.now_ms();
        match self.shared.protection.gate(name, source, now_ms) {
            Gate::Open => Ok(Gates::Open),
            Gate::Locked { what: Locked::User, .. }
                if !self.shared.registry.is_unlocked(now_ms) =>
            {
                Ok(Gates::NameLocked)
            }
            Gate::Locked { until_ms, .. } => {
                Err(AdminError::Locked { retry_after_ms: until_ms.saturating_sub(now_ms) })
            }
        }
    }

    /// Takes the time of a comparison, and counts it against its source.
    async fn waste_a_hash(
        &self,
        password: Option<&Secret>,
        peer: PeerAddress,
    ) -> Result<(), RegistrationRefused> {
        let Some(password) = password else { return Ok(()) };
        let nobodys = ParsedHash::parse(&self.shared.dummy).map_err(AdminError::from)?;
        self.compare_on_pool(nobodys, password, peer.source()).await?;
        // Not held back: how long it would be depends on who is asked for.
        self.shared.protection.failed(None, peer.source(), self.now_ms());
        Ok(())
    }

    async fn compare_on_pool(
        &self,
        hash: ParsedHash,
        password: &Secret,
        source: Source,
    ) -> Result<bool, AdminError> {
        let password = password.clone();
        let compare =
            move |hasher: &mut Hasher| Ok(hasher.verify(password.expose(), &[hash]).is_some());
        self.on_pool(source, compare).await
    }

    /// In the source's turn, and not for longer than a login waits.
    async fn on_pool<T: Send + 'static>(
        &self,
        source: Source,
        work: impl FnOnce(&mut Hasher) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let deadline = self.shared.settings.hash_pool.deadline;
        let done = hash_from(&self.shared.pool, source, work);
        tokio::time::timeout(deadline, done).await.map_err(|_| AdminError::Busy)?
    }
}

fn pending(username: String) -> RegistrationView {
    let status = RegistryStatus::Pending;
    RegistrationView { status, username, certificate: None, ca: None }
}

/// The wishes as they are kept. Nothing of them is looked up: the answer must not tell which roles there are.
fn wishes(asked: &Registration) -> Result<String, AdminError> {
    let Registration { roles, permissions, context, .. } = asked;
    if roles.len() > WISHES_MAX {
        return Err(AdminError::invalid("roles", format!("more than {WISHES_MAX}")));
    }
    for (index, role) in roles.iter().enumerate() {
        RoleName::parse(role)
            .map_err(|error| AdminError::invalid(format!("roles[{index}]"), error))?;
    }
    permissions::parse(permissions, &[], WISHES_MAX)?;
    let context_bytes = context.as_ref().map_or(0, |context| context.to_string().len());
    if context_bytes > CONTEXT_BYTES_MAX {
        let reason = format!("has more than {CONTEXT_BYTES_MAX} bytes");
        return Err(AdminError::invalid("context", reason));
    }
    let wishes =
        Wishes { roles: roles.clone(), permissions: permissions.clone(), context: context.clone() };
    serde_json::to_string(&wishes).map_err(|error| AdminError::Internal(error.to_string()))
}

/// Roles, and permissions, that a request may wish for.
const WISHES_MAX: usize = 100;
/// What a client may say of itself.
const CONTEXT_BYTES_MAX: usize = 4096;
/// What requests over REST are listed under.
const LISTENER: &str = "api";
/// When a source whose requests wait may look again whether some were decided.
const FULL_RETRY_MS: u64 = 60_000;
