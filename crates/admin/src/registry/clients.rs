//! Requests of MQTT clients: made by an attempt to log in with an unknown user name, while the registry is unlocked.
//!
//! A client must not see by its refusal that it was recorded, which would tell that there is no such user: the code is the
//! same, and so is the time. The one hash that such an attempt costs anyway, of nobody's password, is here made with a
//! salt of its own and kept. Everything else happens after the refusal was given, or takes a microsecond.

use std::sync::{Arc, Weak};

use access::UserName;
use store::{RegistryOrigin, RegistryPassword, RegistryRecord, RegistryState};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::book::Channel;
use super::{Place, Registry, Sighting, book};
use crate::admin::{Admin, Shared};
use crate::attempt::PeerAddress;
use crate::hash::{Hasher, ParsedHash};
use crate::permissions::new_uuid;
use crate::policy::PasswordPolicy;
use crate::protection::{Gate, Locked};
use crate::refusal::RefusalKind;
use crate::secret::Secret;

/// How an MQTT client is called in a request.
#[derive(Clone, Copy, Debug)]
pub struct ClientLabel<'a> {
    /// Its client id.
    pub client_id: &'a str,
    /// The listener it came to.
    pub listener: &'a str,
}

/// Who tries to log in with an unknown user name.
pub(crate) enum Stranger {
    /// Somebody who is to be recorded.
    New(Box<Newcomer>),
    /// Somebody with the name of a request, which has a password.
    Known {
        registry: Arc<Registry>,
        id: Uuid,
        /// To be compared with in place of nobody's, at the same cost.
        hash: Box<Option<ParsedHash>>,
        peer: PeerAddress,
    },
}

/// A client to be recorded. Its request is made of this after the refusal was given.
pub(crate) struct Newcomer {
    name: UserName,
    client_id: Box<str>,
    listener: Box<str>,
    peer: PeerAddress,
    at_ms: u64,
    replaces: Option<Uuid>,
    place: Place,
    policy: PasswordPolicy,
}

/// A request on its way to the store.
pub(crate) struct Filing {
    record: RegistryRecord,
    replaces: Option<Uuid>,
    place: Place,
}

/// An attempt to log in, as far as requests are concerned.
#[derive(Clone, Copy)]
pub(crate) struct Attempted<'a> {
    pub(crate) username: &'a str,
    pub(crate) client: Option<ClientLabel<'a>>,
    pub(crate) peer: PeerAddress,
}

impl Admin {
    /// Whether somebody without a user is to be recorded, or is the client of a request.
    pub(crate) fn stranger(&self, attempted: Attempted<'_>, now_ms: u64) -> Option<Stranger> {
        let Attempted { username, client: Some(client), peer } = attempted else { return None };
        let (registry, settings) = (&self.shared.registry, &self.shared.settings);
        let directory = self.shared.directory.read();
        // Nobody sees what becomes of this, so it may ask for both.
        let present = registry
            .live(&directory, (Channel::Mqtt, username), now_ms)
            .or_else(|| registry.live(&directory, (Channel::Rest, username), now_ms));
        let replaces = match present {
            None => None,
            Some(record) if !book::is_pending(record) => return None,
            Some(record) => match &record.password {
                RegistryPassword::Kept(hash) => {
                    let hash = ParsedHash::parse(hash).ok();
                    // Another cost would take another time: then nobody looks whether it is the same.
                    let hash = hash.filter(|hash| hash.cost() == Some(settings.hash_cost))?;
                    let registry = Arc::clone(registry);
                    let (id, hash) = (record.id, Box::new(Some(hash)));
                    return Some(Stranger::Known { registry, id, hash, peer });
                }
                RegistryPassword::Absent | RegistryPassword::Unfit => match record.origin {
                    RegistryOrigin::Mqtt => Some(record.id),
                    RegistryOrigin::MqttCertificate => return None,
                    RegistryOrigin::Rest => None,
                },
            },
        };
        let name = UserName::parse(username).ok()?;
        let place = registry.reserve((Channel::Mqtt, username), peer.source(), &directory, now_ms);
        let place = place.ok()?;
        drop(directory);
        Some(Stranger::New(Box::new(Newcomer {
            name,
            client_id: client.client_id.into(),
            listener: client.listener.into(),
            peer,
            at_ms: now_ms,
            replaces,
            place,
            policy: settings.password_policy,
        })))
    }

    /// Records a client that was refused for its name alone, without a comparison of passwords.
    pub(crate) fn record_stranger(&self, attempted: Attempted<'_>, refused: RefusalKind) {
        let (password, origin) = match refused {
            RefusalKind::PasswordAbsent => (RegistryPassword::Absent, RegistryOrigin::Mqtt),
            RefusalKind::PasswordEmpty | RefusalKind::PasswordTooLong => {
                (RegistryPassword::Unfit, RegistryOrigin::Mqtt)
            }
            RefusalKind::CertificateUserUnknown => {
                (RegistryPassword::Absent, RegistryOrigin::MqttCertificate)
            }
            _ => return,
        };
        let (registry, now_ms) = (&self.shared.registry, self.now_ms());
        if attempted.client.is_none() || !registry.is_unlocked(now_ms) {
            return;
        }
        let Ok(name) = UserName::parse(attempted.username) else { return };
        let gate = self.shared.protection.gate(name.as_str(), attempted.peer.source(), now_ms);
        let is_silenced = matches!(gate, Gate::Locked { what: Locked::Source, .. });
        let is_new = {
            let directory = self.shared.directory.read();
            let is_here =
                |channel| registry.live(&directory, (channel, name.as_str()), now_ms).is_some();
            !is_here(Channel::Mqtt) && !is_here(Channel::Rest)
        };
        if is_silenced || !is_new || !self.shared.is_stranger(&name) {
            return;
        }
        if let Some(Stranger::New(newcomer)) = self.stranger(attempted, now_ms) {
            newcomer.file(origin, password);
        }
    }

    /// Records a client whose name is locked, so that its password is not even compared. The hash is made when it is the
    /// source's turn, and nobody waits for it.
    pub(crate) fn record_locked_out(&self, attempted: Attempted<'_>, password: &[u8], now_ms: u64) {
        let Some(Stranger::New(newcomer)) = self.stranger(attempted, now_ms) else { return };
        let password = Secret::new(password.to_vec());
        let job = Box::new(move |hasher: &mut Hasher| {
            let made = hasher.make_once(password.expose()).ok();
            newcomer.file_tried(&password, made);
        });
        if let Err(full) = self.shared.pool.submit(attempted.peer.source(), job) {
            tracing::debug!(?full, "a client is not recorded");
        }
    }
}

impl Stranger {
    /// What is to be compared with, if anything in particular.
    pub(crate) fn candidate(&mut self) -> Option<ParsedHash> {
        match self {
            Stranger::New(_) => None,
            Stranger::Known { hash, .. } => hash.take(),
        }
    }

    /// After the refusal: records what was tried. `is_same` says whether the password was the request's.
    pub(crate) fn settle(
        self,
        password: &Secret,
        made: Option<ParsedHash>,
        is_same: bool,
        now_ms: u64,
    ) {
        match self {
            Stranger::New(newcomer) => newcomer.file_tried(password, made),
            Stranger::Known { registry, id, peer, .. } => {
                let sighting = if is_same { Sighting::Same } else { Sighting::Other };
                registry.saw(id, sighting, peer, now_ms);
            }
        }
    }
}

impl Newcomer {
    /// A password that nobody may set is not kept: it could not be the user's.
    fn file_tried(self, password: &Secret, made: Option<ParsedHash>) {
        let is_fit = self.policy.check(password, self.name.as_str()).is_ok();
        let hash = made.filter(|_| is_fit).and_then(|made| made.to_checked_phc().ok());
        let password = hash.map_or(RegistryPassword::Unfit, RegistryPassword::Kept);
        self.file(RegistryOrigin::Mqtt, password);
    }

    fn file(self, origin: RegistryOrigin, password: RegistryPassword) {
        let Newcomer { name, client_id, listener, peer, at_ms, replaces, place, .. } = self;
        let Ok(id) = new_uuid() else { return };
        let record = RegistryRecord {
            id,
            username: name,
            origin,
            password,
            csr: None,
            wishes: NO_WISHES.into(),
            client_id: Some(cut(&client_id)),
            address: peer.to_string().into(),
            listener,
            created_at_ms: at_ms,
            state: RegistryState::Pending,
        };
        place.registry().file(Filing { record, replaces, place });
    }
}

impl Place {
    fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }
}

impl Registry {
    fn file(&self, filing: Filing) {
        if let Err(error) = self.filings.try_send(filing) {
            tracing::debug!(%error, "a client is not recorded");
        }
    }
}

/// Writes down what MQTT clients ask for, until nobody uses the administration any more.
pub(crate) async fn record_filings(mut filings: mpsc::Receiver<Filing>, shared: Weak<Shared>) {
    while let Some(Filing { record, replaces, place }) = filings.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        let (user, id, address) = (record.username.clone(), record.id, record.address.clone());
        let filed = (Admin { shared }).file_request(record, replaces).await;
        drop(place);
        match filed {
            Ok(()) => {
                tracing::info!(%user, %address, request = %id, "a client asks to be let in");
            }
            Err(error) => tracing::warn!(%user, %address, %error, "a client is not recorded"),
        }
    }
}

/// A client id is as long as its sender likes; what is shown of it is not.
fn cut(client_id: &str) -> Box<str> {
    client_id.chars().take(CLIENT_ID_CHARACTERS_MAX).collect::<String>().into()
}

const NO_WISHES: &str = "{}";
const CLIENT_ID_CHARACTERS_MAX: usize = 256;
