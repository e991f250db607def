//! The use cases' shared state, and the one way to change it.
//!
//! Invariants: a change is on disk before it is seen by anybody; changes are made one after the other, so that the store,
//! the directory and the policy have the same order; a change that was begun is finished, whoever stops waiting for it.

use std::sync::Arc;

use access::{Policy, PolicyChange, UserId};
use arc_swap::ArcSwap;
use parking_lot::RwLock;
use pki::Pki;
use store::{Change, Contents, PasswordHash, Reading, Store};
use tokio::sync::{Mutex, Semaphore, oneshot, watch};

use crate::audit;
use crate::caller::Caller;
use crate::decisions::{self, Decisions};
use crate::directory::Directory;
use crate::error::AdminError;
use crate::escalation;
use crate::first_start;
use crate::flight::Flights;
use crate::hash::{HashError, Hasher, ParsedHash};
use crate::pool::{HashPool, HashingView, Source};
use crate::proof::{ProofKey, Refusals};
use crate::protection::Protection;
use crate::refused_logins::RefusedLogins;
use crate::registry::{self, Registry};
use crate::revoked::{self, RevokedCertificates};
use crate::secret::Secret;
use crate::settings::Settings;
use crate::tokens;
use crate::uses;

/// Users, roles and passwords: logging in, and administration. Clones share everything.
#[derive(Clone)]
pub struct Admin {
    pub(crate) shared: Arc<Shared>,
}

/// What [`Admin::open`] gives.
pub struct Opened {
    /// The use cases.
    pub admin: Admin,
    /// The random password of the first administrator, at the first start only. It is known nowhere else.
    pub first_admin_password: Option<Secret>,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clock: fn() -> u64,
    pub(crate) store: Store,
    pub(crate) pki: Arc<Pki>,
    /// Held for the whole of a change.
    writing: Mutex<()>,
    pub(crate) directory: RwLock<Directory>,
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    changed: watch::Sender<u64>,
    pub(crate) identities: watch::Sender<RevokedCertificates>,
    pub(crate) pool: HashPool,
    pub(crate) flights: Flights,
    pub(crate) proof_key: ProofKey,
    pub(crate) protection: Arc<Protection>,
    /// Places for refusals that are held back.
    pub(crate) held_back: Semaphore,
    pub(crate) refusals: Refusals,
    pub(crate) refused_logins: RefusedLogins,
    pub(crate) registry: Arc<Registry>,
    pub(crate) decisions: Decisions,
    /// Users whose passwords were used since that was written down last.
    pub(crate) used: parking_lot::Mutex<Vec<UserId>>,
    /// A hash of nobody's password, to be compared with where there is no other.
    pub(crate) dummy: PasswordHash,
}

impl Admin {
    /// Loads everything, and makes the built-in roles and the first administrator if the store was never started.
    /// `clock` gives milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// If the store cannot be read or written, a password hash in it is malformed, the given first password does not
    /// fit the policy, or what is revoked cannot be put on the revocation list.
    pub async fn open(
        store: Store,
        pki: Arc<Pki>,
        settings: Settings,
        clock: fn() -> u64,
    ) -> Result<Opened, AdminError> {
        let pool = HashPool::start(settings.hash_pool, settings.hash_cost)
            .map_err(|error| AdminError::Internal(format!("no thread to hash on: {error}")))?;
        let nobody = crate::hash::random::<32>()?;
        let dummy = hash_on(&pool, move |hasher| hasher.make(&nobody)).await?;
        let (mut contents, mut reading) = store.read().await?;
        let mut first_admin_password = None;
        if !contents.is_initialized {
            let first = first_start::plan(&settings, clock(), &pool).await?;
            let mut changes = first.changes;
            let nothing = Directory::default();
            changes.extend(audit::records(&nothing, &changes, &Caller::Broker, clock()));
            // Nothing can be written while something is read.
            drop(reading);
            store.commit(&changes).await?;
            first_admin_password = first.random_password;
            (contents, reading) = store.read().await?;
        }
        let mut directory = directory_of(&store, contents, reading).await?;
        let policy = directory.complete();
        let revoked = directory.certificates.all().filter(|record| record.revoked.is_some());
        let revoked = revoked.map(|record| record.fingerprint).collect::<RevokedCertificates>();
        let (changed, _) = watch::channel(policy.generation());
        let (refused_logins, recorder) = RefusedLogins::new();
        let (registry, filings) = Registry::new(settings.registry);
        let (decisions, inlet) = Decisions::open(&store, settings.refusals).await?;
        let protection = Arc::new(Protection::new(settings.protection)?);
        let shared = Shared {
            settings,
            clock,
            store,
            pki,
            writing: Mutex::new(()),
            directory: RwLock::new(directory),
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            changed,
            identities: watch::channel(revoked).0,
            pool,
            flights: Flights::default(),
            proof_key: ProofKey::draw()?,
            protection,
            held_back: Semaphore::new(HELD_BACK_MAX),
            refusals: Refusals::new(),
            refused_logins,
            registry,
            decisions,
            used: parking_lot::Mutex::default(),
            dummy,
        };
        let admin = Admin { shared: Arc::new(shared) };
        tokio::spawn(recorder.run(Arc::downgrade(&admin.shared)));
        tokio::spawn(registry::record_filings(filings, Arc::downgrade(&admin.shared)));
        decisions::start(inlet, &admin.shared);
        tokio::spawn(uses::write_down(Arc::downgrade(&admin.shared)));
        admin.list_revoked().await?;
        admin.watch_expiry();
        admin.sweep_registry();
        admin.remove_ended_tokens().await?;
        Ok(Opened { admin, first_admin_password })
    }

    /// The compiled policy, swapped at each change.
    pub fn policy(&self) -> &Arc<ArcSwap<Policy>> {
        &self.shared.policy
    }

    /// Tells the generation of the policy after each change.
    pub fn policy_changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Tells after each revocation which certificates are revoked: live connections that one of them has proven are to
    /// end. It does not wait for the revocation list, and holds even if that cannot be written.
    pub fn identity_changes(&self) -> watch::Receiver<RevokedCertificates> {
        self.shared.identities.subscribe()
    }

    /// Logins and new passwords that wait to be hashed now.
    pub fn hashes_waiting(&self) -> usize {
        self.shared.pool.waiting()
    }

    /// How the hashing of passwords is doing.
    #[must_use]
    pub fn hashing(&self) -> HashingView {
        self.shared.pool.view()
    }

    /// The time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.shared.clock)()
    }

    async fn list_revoked(&self) -> Result<(), AdminError> {
        let shared = Arc::clone(&self.shared);
        let listing = tokio::task::spawn_blocking(move || shared.list_revoked());
        listing.await.map_err(|error| AdminError::Internal(error.to_string()))?
    }

    /// Makes a change: `plan` decides on it by the present state, and `view` shows the state right after it. Nothing
    /// changes if `plan` or the store refuses, or the caller would give somebody a right that it does not have.
    pub(crate) async fn change<S, T>(
        &self,
        caller: &Caller,
        plan: impl FnOnce(&Directory) -> Result<(Vec<Change>, S), AdminError> + Send + 'static,
        view: impl FnOnce(&Directory, S) -> T + Send + 'static,
    ) -> Result<T, AdminError>
    where
        S: Send + 'static,
        T: Send + 'static,
    {
        let (shared, caller) = (Arc::clone(&self.shared), caller.clone());
        // A task of its own: if the caller goes away between the store and the policy, both must still agree.
        let task = tokio::spawn(async move {
            let _writing = shared.writing.lock().await;
            let (changes, subject) = {
                let directory = shared.directory.read();
                let mut planned = shared.planned(&caller, &directory, plan)?;
                let now_ms = (shared.clock)();
                planned.0.extend(audit::records(&directory, &planned.0, &caller, now_ms));
                planned
            };
            if !changes.is_empty() {
                shared.store.commit(&changes).await?;
                shared.publish(&changes);
            }
            Ok(view(&shared.directory.read(), subject))
        });
        task.await.map_err(|error| AdminError::Internal(error.to_string()))?
    }

    /// What a change would be, without making it.
    pub(crate) fn try_change<S, T>(
        &self,
        caller: &Caller,
        plan: impl FnOnce(&Directory) -> Result<(Vec<Change>, S), AdminError>,
        view: impl FnOnce(&Directory, &[Change], S) -> T,
    ) -> Result<T, AdminError> {
        let directory = self.shared.directory.read();
        let (changes, subject) = self.shared.planned(caller, &directory, plan)?;
        Ok(view(&directory, &changes, subject))
    }

    /// Hashes a new password on the pool.
    pub(crate) async fn hash_password(&self, password: Secret) -> Result<PasswordHash, AdminError> {
        hash_on(&self.shared.pool, move |hasher| hasher.make(password.expose())).await
    }
}

impl Shared {
    /// Decides on a change, and whether the caller may make it.
    fn planned<S>(
        &self,
        caller: &Caller,
        directory: &Directory,
        plan: impl FnOnce(&Directory) -> Result<(Vec<Change>, S), AdminError>,
    ) -> Result<(Vec<Change>, S), AdminError> {
        let mut planned = plan(directory)?;
        escalation::judge(caller, &self.policy.load(), directory, &planned.0)?;
        if !directory.keeps_an_administrator(&planned.0) {
            return Err(AdminError::LastAdministrator);
        }
        planned.0.extend(tokens::ended_by(directory, &planned.0));
        planned.0.extend(registry::ended_by(directory, &planned.0));
        Ok(planned)
    }

    /// Shows changes that are on disk.
    fn publish(&self, changes: &[Change]) {
        let mut for_policy = Vec::new();
        let mut directory = self.directory.write();
        for change in changes {
            directory.apply(change);
            for_policy.extend(directory.policy_change(change));
        }
        revoked::tell(&self.identities, changes);
        if for_policy.is_empty() {
            return;
        }
        // Under the directory's lock, so that whoever reads both sees both before or both after the change.
        let policy = self.policy.load().apply(for_policy);
        let generation = policy.generation();
        self.policy.store(Arc::new(policy));
        drop(directory);
        self.changed.send_replace(generation);
    }
}

/// All that is in store; not complete yet.
async fn directory_of(
    store: &Store,
    contents: Contents,
    mut reading: Reading,
) -> Result<Directory, AdminError> {
    let directory = Directory::new(contents, reading.user_count());
    let mut directory = directory.map_err(|(name, error)| {
        store.corrupt(format!("the password of the request for `{name}`: {error}"))
    })?;
    while let Some(users) = reading.users().await? {
        for (record, passwords) in &users {
            for password in passwords {
                ParsedHash::parse(&password.hash).map_err(|error| {
                    let name = &record.user.name;
                    store.corrupt(format!("the password of user `{name}`: {error}"))
                })?;
            }
        }
        directory.add_users(users);
    }
    Ok(directory)
}

/// What a change of the store is to the policy, if it is anything.
pub(crate) fn policy_change(change: &Change) -> Option<PolicyChange> {
    match change {
        Change::PutUser(record) => Some(PolicyChange::PutUser(record.user.clone())),
        Change::RemoveUser(id) => Some(PolicyChange::RemoveUser(*id)),
        Change::PutRole(record) => Some(PolicyChange::PutRole(record.role.clone())),
        Change::RemoveRole(id) => Some(PolicyChange::RemoveRole(*id)),
        Change::PutPasswords(..)
        | Change::RenewPassword(..)
        | Change::PasswordsUsed(_)
        | Change::PutCertificate(_)
        | Change::RevokeCertificate(..)
        | Change::Token(_)
        | Change::Registry(_)
        | Change::Record(_)
        | Change::Initialized => None,
    }
}

/// Runs something of an administrator's on a hashing thread and waits for it.
pub(crate) async fn hash_on<T: Send + 'static>(
    pool: &HashPool,
    work: impl FnOnce(&mut Hasher) -> Result<T, HashError> + Send + 'static,
) -> Result<T, AdminError> {
    hash_from(pool, Source::Local, work).await
}

/// Runs something on a hashing thread, in the turn of its source, and waits for it.
pub(crate) async fn hash_from<T: Send + 'static>(
    pool: &HashPool,
    source: Source,
    work: impl FnOnce(&mut Hasher) -> Result<T, HashError> + Send + 'static,
) -> Result<T, AdminError> {
    let (reply, answer) = oneshot::channel();
    let job = Box::new(move |hasher: &mut Hasher| {
        if !reply.is_closed() {
            // Whoever stopped waiting needs no answer.
            drop(reply.send(work(hasher)));
        }
    });
    pool.submit(source, job).map_err(|_full| AdminError::Busy)?;
    match answer.await {
        Ok(done) => Ok(done?),
        Err(_displaced) => Err(AdminError::Busy),
    }
}

/// Refusals whose answer is held back at the same time; beyond, they are answered at once.
const HELD_BACK_MAX: usize = 1024;
