//! All users, roles and certificates in memory, as they are in store: what logging in and administration read.
//!
//! Invariant: it is changed only by [`Directory::apply`], with changes that are already on disk.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use access::{AuthMethod, Context, Effect, Operation, Permission, RoleId, User, UserId};
use parking_lot::Mutex;
use store::{
    Change, Contents, PasswordRecord, PasswordSlot, RenewedHash, RoleRecord, TokenChange,
    UserRecord,
};
use uuid::Uuid;

use crate::certificate_book::CertificateBook;
use crate::hash::HashError;
use crate::pool::Source;
use crate::proof::Tag;
use crate::registry::book::RegistryBook;
use crate::token_book::TokenBook;

/// Users and roles.
#[derive(Default)]
pub(crate) struct Directory {
    users: HashMap<UserId, Arc<Account>>,
    user_names: BTreeMap<Box<str>, UserId>,
    roles: HashMap<RoleId, Arc<RoleRecord>>,
    role_names: BTreeMap<Box<str>, RoleId>,
    /// Of each role, so that a user is judged without going through the permissions of its roles.
    role_powers: HashMap<RoleId, Power>,
    /// Users that can log in and may do everything.
    administrators: HashSet<UserId>,
    pub(crate) certificates: CertificateBook,
    pub(crate) tokens: TokenBook,
    pub(crate) registry: RegistryBook,
}

/// A user with its passwords.
pub(crate) struct Account {
    pub(crate) record: UserRecord,
    pub(crate) credentials: Arc<Credentials>,
}

/// The passwords of a user, and the fingerprints of those that were proven since the start.
#[derive(Default)]
pub(crate) struct Credentials {
    pub(crate) passwords: Vec<PasswordRecord>,
    proven: Mutex<Vec<Proof>>,
    /// Where the user has logged in from, the last ones: who holds a proven secret there is not locked out by others.
    usual: Mutex<VecDeque<Source>>,
    /// When the first and the second password were used last; 0 if never.
    used_at_ms: [AtomicU64; 2],
    /// Whether the store does not know it yet.
    is_use_new: AtomicBool,
}

/// A proven password. Its tag holds the credential epoch, so it ends with that.
#[derive(Clone)]
struct Proof {
    slot: PasswordSlot,
    tag: Tag,
    expires_at_ms: Option<u64>,
}

impl Account {
    pub(crate) fn user(&self) -> &User {
        &self.record.user
    }
}

impl Credentials {
    fn new(passwords: Vec<PasswordRecord>, proven: Vec<Proof>) -> Arc<Credentials> {
        let credentials =
            Credentials { passwords, proven: Mutex::new(proven), ..Credentials::default() };
        for password in &credentials.passwords {
            let used_at_ms = password.last_used_at_ms.unwrap_or_default();
            credentials.used(password.slot).store(used_at_ms, Ordering::Relaxed);
        }
        Arc::new(credentials)
    }

    fn used(&self, slot: PasswordSlot) -> &AtomicU64 {
        let [first, second] = &self.used_at_ms;
        match slot {
            PasswordSlot::First => first,
            PasswordSlot::Second => second,
        }
    }

    /// Notes that a login has used a password. True if it is the first since the store was told.
    pub(crate) fn touch(&self, slot: PasswordSlot, now_ms: u64) -> bool {
        self.used(slot).fetch_max(now_ms, Ordering::Relaxed);
        !self.is_use_new.swap(true, Ordering::Relaxed)
    }

    /// From now on a use is new again.
    pub(crate) fn settle(&self) {
        self.is_use_new.store(false, Ordering::Relaxed);
    }

    /// The passwords with the times of their last use as of now.
    pub(crate) fn records(&self) -> Vec<PasswordRecord> {
        let mut records = self.passwords.clone();
        for record in &mut records {
            let used_at_ms = self.used(record.slot).load(Ordering::Relaxed);
            record.last_used_at_ms = Some(used_at_ms).filter(|at_ms| *at_ms > 0);
        }
        records
    }

    pub(crate) fn password(&self, slot: PasswordSlot) -> Option<&PasswordRecord> {
        self.passwords.iter().find(|password| password.slot == slot)
    }

    /// The passwords that have not ended.
    pub(crate) fn valid(&self, now_ms: u64) -> impl Iterator<Item = &PasswordRecord> {
        self.passwords.iter().filter(move |password| is_valid(password.expires_at_ms, now_ms))
    }

    /// Which password the tag is of, if it was proven.
    pub(crate) fn proven(&self, tag: Tag, now_ms: u64) -> Option<PasswordSlot> {
        let proven = self.proven.lock();
        let mut good = proven.iter().filter(|proof| is_valid(proof.expires_at_ms, now_ms));
        good.find(|proof| proof.tag == tag).map(|proof| proof.slot)
    }

    pub(crate) fn is_usual(&self, source: Source) -> bool {
        self.usual.lock().contains(&source)
    }

    /// Remembers where a good login came from.
    pub(crate) fn remember_source(&self, source: Source) {
        let mut usual = self.usual.lock();
        if !usual.contains(&source) {
            if usual.len() >= USUAL_SOURCES_MAX {
                usual.pop_front();
            }
            usual.push_back(source);
        }
    }

    /// Remembers a proof, in the place of the slot's last one.
    pub(crate) fn remember(&self, slot: PasswordSlot, tag: Tag) {
        let Some(password) = self.password(slot) else { return };
        let mut proven = self.proven.lock();
        proven.retain(|proof| proof.slot != slot);
        proven.push(Proof { slot, tag, expires_at_ms: password.expires_at_ms });
    }
}

fn is_valid(expires_at_ms: Option<u64>, now_ms: u64) -> bool {
    expires_at_ms.is_none_or(|expires| now_ms < expires)
}

impl Directory {
    /// # Errors
    /// If the password of a client's request is no hash, with the request's name.
    pub(crate) fn new(contents: Contents) -> Result<Directory, (String, HashError)> {
        let Contents { users, roles, certificates, tokens, registry, .. } = contents;
        let certificates = CertificateBook::new(certificates);
        let tokens = TokenBook::new(tokens);
        let registry = RegistryBook::new(registry)?;
        let mut directory = Directory { certificates, tokens, registry, ..Directory::default() };
        for role in roles {
            directory.put_role(role);
        }
        directory.users.reserve(users.len());
        for (record, passwords) in users {
            directory.put_account(record, Credentials::new(passwords, Vec::new()));
        }
        Ok(directory)
    }

    /// Makes a change that is on disk.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::PutUser(record) => self.put_user(record.clone()),
            Change::RemoveUser(id) => self.remove_user(*id),
            Change::PutRole(record) => self.change_role(record),
            Change::RemoveRole(id) => self.remove_role(*id),
            // What was proven by the passwords before proves nothing now.
            Change::PutPasswords(user, passwords) => {
                self.put_credentials(*user, Credentials::new(passwords.clone(), Vec::new()));
            }
            Change::RenewPassword(user, slot, renewed) => {
                self.renew_password(*user, *slot, renewed);
            }
            Change::PutCertificate(record) => self.certificates.put(record.clone()),
            Change::RevokeCertificate(fingerprint, revoked) => {
                self.certificates.revoke(fingerprint, *revoked);
            }
            Change::Token(change) => self.tokens.apply(change),
            Change::Registry(change) => self.registry.apply(change),
            // The memory knows it already.
            Change::PasswordsUsed(_) | Change::Record(_) | Change::Initialized => {}
        }
    }

    fn put_user(&mut self, record: UserRecord) {
        let credentials = match self.users.get(&record.user.id) {
            Some(account) if may_use_password(&record.user) => Arc::clone(&account.credentials),
            // What was proven before must be proven again, should the user be enabled once more.
            Some(account) => Credentials::new(account.credentials.records(), Vec::new()),
            None => Credentials::new(Vec::new(), Vec::new()),
        };
        self.put_account(record, credentials);
    }

    fn put_account(&mut self, record: UserRecord, credentials: Arc<Credentials>) {
        let id = record.user.id;
        if self.is_administrator(&record.user) {
            self.administrators.insert(id);
        } else {
            self.administrators.remove(&id);
        }
        self.user_names.insert(record.user.name.as_str().into(), id);
        self.users.insert(id, Arc::new(Account { record, credentials }));
    }

    fn remove_user(&mut self, id: UserId) {
        self.administrators.remove(&id);
        if let Some(account) = self.users.remove(&id) {
            self.user_names.remove(account.user().name.as_str());
        }
        self.tokens.apply(&TokenChange::RemoveOf(id));
    }

    fn put_role(&mut self, record: RoleRecord) {
        let id = record.role.id;
        let name: Box<str> = record.role.name.as_str().into();
        self.role_powers.insert(id, Power::of(&record.role.permissions));
        if let Some(old) = self.roles.insert(id, Arc::new(record)) {
            self.role_names.remove(old.role.name.as_str());
        }
        self.role_names.insert(name, id);
    }

    fn change_role(&mut self, record: &RoleRecord) {
        let before = self.role_power(record.role.id);
        self.put_role(record.clone());
        self.refresh_administrators(record.role.id, before);
    }

    fn remove_role(&mut self, id: RoleId) {
        let before = self.role_powers.remove(&id).unwrap_or_default();
        if let Some(role) = self.roles.remove(&id) {
            self.role_names.remove(role.role.name.as_str());
        }
        self.refresh_administrators(id, before);
    }

    fn put_credentials(&mut self, user: UserId, credentials: Arc<Credentials>) {
        let Some(account) = self.users.get(&user) else { return };
        let account = Account { record: account.record.clone(), credentials };
        self.users.insert(user, Arc::new(account));
    }

    fn renew_password(&mut self, user: UserId, slot: PasswordSlot, renewed: &RenewedHash) {
        let Some(account) = self.users.get(&user) else { return };
        let mut passwords = account.credentials.records();
        for password in passwords.iter_mut().filter(|password| password.slot == slot) {
            password.hash = renewed.hash.clone();
            password.renewed_from = Some(renewed.renewed_from);
        }
        let proven = account.credentials.proven.lock().clone();
        let credentials = Credentials::new(passwords, proven);
        let usual = account.credentials.usual.lock().clone();
        *credentials.usual.lock() = usual;
        self.put_credentials(user, credentials);
    }

    /// Looks through all users, so only where the role's change can have made or unmade an administrator.
    fn refresh_administrators(&mut self, role: RoleId, before: Power) {
        if self.role_power(role) == before {
            return;
        }
        let holders: Vec<_> = self.holders(role).map(Arc::clone).collect();
        for account in holders {
            if self.is_administrator(account.user()) {
                self.administrators.insert(account.user().id);
            } else {
                self.administrators.remove(&account.user().id);
            }
        }
    }

    pub(crate) fn user(&self, id: UserId) -> Option<&Arc<Account>> {
        self.users.get(&id)
    }

    pub(crate) fn user_named(&self, name: &str) -> Option<&Arc<Account>> {
        self.users.get(self.user_names.get(name)?)
    }

    /// The user with this id or name. What looks like an id is one, and never a name.
    pub(crate) fn find_user(&self, key: &str) -> Option<&Arc<Account>> {
        match Uuid::try_parse(key) {
            Ok(id) => self.user(UserId(id)),
            Err(_) => self.user_named(key),
        }
    }

    pub(crate) fn role(&self, id: RoleId) -> Option<&Arc<RoleRecord>> {
        self.roles.get(&id)
    }

    pub(crate) fn role_named(&self, name: &str) -> Option<&Arc<RoleRecord>> {
        self.roles.get(self.role_names.get(name)?)
    }

    /// The role with this id or name. What looks like an id is one, and never a name.
    pub(crate) fn find_role(&self, key: &str) -> Option<&Arc<RoleRecord>> {
        match Uuid::try_parse(key) {
            Ok(id) => self.role(RoleId(id)),
            Err(_) => self.role_named(key),
        }
    }

    /// All users by name.
    pub(crate) fn users(&self) -> impl ExactSizeIterator<Item = &UserId> {
        self.user_names.values()
    }

    /// All roles by name.
    pub(crate) fn roles(&self) -> impl ExactSizeIterator<Item = &RoleId> {
        self.role_names.values()
    }

    /// The users with a role, in no order.
    pub(crate) fn holders(&self, role: RoleId) -> impl Iterator<Item = &Arc<Account>> {
        self.users.values().filter(move |account| account.user().roles.contains(&role))
    }

    /// Whether an administrator would be left after the changes, if there is one now.
    pub(crate) fn keeps_an_administrator(&self, changes: &[Change]) -> bool {
        if self.administrators.is_empty() {
            return true;
        }
        let mut changed_users: HashMap<UserId, Option<&User>> = HashMap::new();
        let mut changed_roles: HashMap<RoleId, Power> = HashMap::new();
        for change in changes {
            match change {
                Change::PutUser(record) => {
                    changed_users.insert(record.user.id, Some(&record.user));
                }
                Change::RemoveUser(id) => {
                    changed_users.insert(*id, None);
                }
                Change::PutRole(record) => {
                    changed_roles.insert(record.role.id, Power::of(&record.role.permissions));
                }
                Change::RemoveRole(id) => {
                    changed_roles.insert(*id, Power::default());
                }
                Change::PutPasswords(..)
                | Change::RenewPassword(..)
                | Change::PasswordsUsed(_)
                | Change::PutCertificate(_)
                | Change::RevokeCertificate(..)
                | Change::Token(_)
                | Change::Registry(_)
                | Change::Record(_)
                | Change::Initialized => {}
            }
        }
        let role =
            |id: RoleId| changed_roles.get(&id).copied().unwrap_or_else(|| self.role_power(id));
        let remains = |id: &UserId| match changed_users.get(id) {
            Some(Some(user)) => is_administrator(user, role),
            Some(None) => false,
            None => self.user(*id).is_some_and(|account| is_administrator(account.user(), role)),
        };
        let promoted = changed_users.keys().filter(|id| !self.administrators.contains(id));
        self.administrators.iter().any(remains) || promoted.into_iter().any(remains)
    }

    fn is_administrator(&self, user: &User) -> bool {
        is_administrator(user, |id| self.role_power(id))
    }

    fn role_power(&self, id: RoleId) -> Power {
        self.role_powers.get(&id).copied().unwrap_or_default()
    }
}

/// What permissions bring to the question whether somebody may do everything by HTTP.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Power {
    allows_everything: bool,
    denies_something: bool,
}

impl Power {
    fn of(permissions: &[Permission]) -> Power {
        let mut power = Power::default();
        for rule in permissions.iter().filter(|rule| rule.context == Context::Http) {
            match rule.effect {
                Effect::Deny => power.denies_something = true,
                Effect::Allow => {
                    power.allows_everything |= rule.operation == Operation::ReadWrite
                        && rule.resource.pattern().as_str() == EVERY_PATH;
                }
            }
        }
        power
    }
}

/// Whether a user can log in and may do everything by HTTP, be it by `connectware-admin` or by equal rights.
fn is_administrator(user: &User, role: impl Fn(RoleId) -> Power) -> bool {
    if !user.enabled || user.grants.iter().next().is_none() {
        return false;
    }
    let of_roles = user.roles.iter().map(|id| role(*id));
    let all = of_roles.fold(Power::of(&user.permissions), |all, one| Power {
        allows_everything: all.allows_everything || one.allows_everything,
        denies_something: all.denies_something || one.denies_something,
    });
    all.allows_everything && !all.denies_something
}

/// Whether the password of a user counts at all.
fn may_use_password(user: &User) -> bool {
    user.enabled && user.grants.allows(AuthMethod::Password)
}

/// Sources that are remembered for a user. Full: the one that was learnt first goes.
const USUAL_SOURCES_MAX: usize = 1024;

/// The filter that covers every REST path, in its canonical spelling.
const EVERY_PATH: &str = "/#";
