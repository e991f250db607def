//! All users, roles and certificates in memory, as they are in store: what logging in and administration read.
//!
//! Invariant: it is changed only by [`Directory::apply`], with changes that are already on disk.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::panic::resume_unwind;
use std::sync::Arc;

use access::{
    AuthMethod, CompiledUser, Context, Effect, Operation, Permission, Policy, PolicyChange, RoleId,
    SecondPassword, User, UserId,
};
use store::{
    Change, Contents, PasswordRecord, PasswordSlot, RenewedHash, RoleRecord, Stamp, TokenChange,
    UserRecord,
};
use uuid::Uuid;

use crate::admin::policy_change;
use crate::certificate_book::CertificateBook;
use crate::credentials::Credentials;
use crate::hash::HashError;
use crate::registry::book::RegistryBook;
use crate::token_book::TokenBook;

/// Users and roles.
#[derive(Default)]
pub(crate) struct Directory {
    users: HashSet<ById>,
    user_names: BTreeSet<ByName>,
    roles: HashMap<RoleId, Arc<RoleRecord>>,
    role_names: BTreeMap<Box<str>, RoleId>,
    /// Of each role, so that a user is judged without going through the permissions of its roles.
    role_powers: HashMap<RoleId, Power>,
    /// Enabled users that may do everything.
    administrators: HashSet<UserId>,
    /// The serial of the second password that was seen last.
    second_passwords: u32,
    pub(crate) certificates: CertificateBook,
    pub(crate) tokens: TokenBook,
    pub(crate) registry: RegistryBook,
}

/// A user with its passwords.
pub(crate) struct Account {
    /// Shared with the policy.
    pub(crate) compiled: Arc<CompiledUser>,
    pub(crate) stamp: Stamp,
    pub(crate) credentials: Arc<Credentials>,
}

/// An account, found by the id that it holds.
struct ById(Arc<Account>);

/// A user, found and ordered by the name that it holds.
struct ByName(Arc<CompiledUser>);

impl Account {
    pub(crate) fn user(&self) -> &User {
        self.compiled.user()
    }

    /// Tells its second password, if it has one, from every other that it has had.
    pub(crate) fn serial_of_second(&self) -> Option<NonZeroU32> {
        self.compiled.second_password().map(|second| second.serial)
    }

    /// As it is in store.
    pub(crate) fn record(&self) -> UserRecord {
        UserRecord { user: self.user().clone(), stamp: self.stamp }
    }
}

impl Borrow<UserId> for ById {
    fn borrow(&self) -> &UserId {
        &self.0.user().id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.user().id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.user().id == other.0.user().id
    }
}

impl Eq for ById {}

impl ByName {
    fn name(&self) -> &str {
        self.0.name().as_str()
    }
}

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.name()
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl Directory {
    /// All but the users, which come by [`Directory::add_users`].
    ///
    /// # Errors
    /// If the password of a client's request is no hash, with the request's name.
    pub(crate) fn new(
        contents: Contents,
        user_count: usize,
    ) -> Result<Directory, (String, HashError)> {
        let Contents { roles, certificates, tokens, registry, .. } = contents;
        let certificates = CertificateBook::new(certificates);
        let tokens = TokenBook::new(tokens);
        let registry = RegistryBook::new(registry)?;
        let mut directory = Directory { certificates, tokens, registry, ..Directory::default() };
        for role in roles {
            directory.put_role(role);
        }
        directory.users.reserve(user_count);
        Ok(directory)
    }

    /// Adds users that are in store, and not here yet. They have no names before [`Directory::complete`].
    pub(crate) fn add_users(
        &mut self,
        users: impl IntoIterator<Item = (UserRecord, Vec<PasswordRecord>)>,
    ) {
        for (record, passwords) in users {
            self.put_account(record, Credentials::new(passwords));
        }
    }

    /// All names at once: a tree that is made in its order is full, one that grows is not.
    #[expect(clippy::mutable_key_type, reason = "what is in order, the name, never changes")]
    fn names(&self) -> BTreeSet<ByName> {
        let users = self.users.iter().map(|ById(account)| ByName(Arc::clone(&account.compiled)));
        users.collect()
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
                self.put_credentials(*user, Credentials::new(passwords.clone()));
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

    /// What a change that was just applied is to the policy, if it is anything.
    pub(crate) fn policy_change(&self, change: &Change) -> Option<PolicyChange> {
        match change {
            // The policy shares what is here.
            Change::PutUser(record) => {
                let account = self.user(record.user.id)?;
                Some(PolicyChange::PutCompiled(Arc::clone(&account.compiled)))
            }
            // The second password is a matter of the policy, as connections that it has proven end with it.
            Change::PutPasswords(user, _) => {
                let account = self.user(*user)?;
                Some(PolicyChange::PutCompiled(Arc::clone(&account.compiled)))
            }
            other => policy_change(other),
        }
    }

    /// What changes that are not made yet would be to the policy.
    pub(crate) fn foreseen(&self, changes: &[Change]) -> Vec<PolicyChange> {
        let foresee = |change: &Change| match change {
            Change::PutUser(record) => {
                let second = self.user(record.user.id).and_then(|it| it.compiled.second_password());
                let user = CompiledUser::with_second_password(record.user.clone(), second);
                Some(PolicyChange::PutCompiled(Arc::new(user)))
            }
            other => policy_change(other),
        };
        changes.iter().filter_map(foresee).collect()
    }

    /// Names all users, and gives the policy that all this makes, with which it shares the users.
    #[expect(clippy::mutable_key_type, reason = "what is in order, the name, never changes")]
    pub(crate) fn complete(&mut self) -> Policy {
        // Each takes a second or so where there are a million users.
        let (names, policy) = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("policy".to_owned());
            let beside = builder.spawn_scoped(scope, || self.policy());
            let names = self.names();
            let policy = match beside {
                Ok(beside) => beside.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_no_thread) => self.policy(),
            };
            (names, policy)
        });
        self.user_names = names;
        policy
    }

    fn policy(&self) -> Policy {
        let roles = self.roles.values().map(|record| PolicyChange::PutRole(record.role.clone()));
        let users = self.accounts().map(|account| Arc::clone(&account.compiled));
        Policy::empty().apply(roles.chain(users.map(PolicyChange::PutCompiled)))
    }

    fn put_user(&mut self, record: UserRecord) {
        let credentials = match self.user(record.user.id) {
            Some(account) if may_use_password(&record.user) => Arc::clone(&account.credentials),
            // What was proven before must be proven again, should the user be enabled once more.
            Some(account) => Credentials::new(account.credentials.records()),
            None => Credentials::new(Vec::new()),
        };
        let compiled = self.put_account(record, credentials);
        self.user_names.replace(ByName(compiled));
    }

    /// Puts an account in the place of the one with its id; its name is not made known.
    fn put_account(
        &mut self,
        record: UserRecord,
        credentials: Arc<Credentials>,
    ) -> Arc<CompiledUser> {
        let id = record.user.id;
        if self.is_administrator(&record.user) {
            self.administrators.insert(id);
        } else {
            self.administrators.remove(&id);
        }
        let UserRecord { user, stamp } = record;
        let second = self.second_password(id, &credentials);
        let compiled = Arc::new(CompiledUser::with_second_password(user, second));
        let account = Account { compiled: Arc::clone(&compiled), stamp, credentials };
        self.users.replace(ById(Arc::new(account)));
        compiled
    }

    fn remove_user(&mut self, id: UserId) {
        self.administrators.remove(&id);
        if let Some(ById(account)) = self.users.take(&id) {
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
        let Some(account) = self.user(user) else { return };
        let (mut compiled, stamp) = (Arc::clone(&account.compiled), account.stamp);
        let second = self.second_password(user, &credentials);
        if second != compiled.second_password() {
            let user = compiled.user().clone();
            compiled = Arc::new(CompiledUser::with_second_password(user, second));
            self.user_names.replace(ByName(Arc::clone(&compiled)));
        }
        self.users.replace(ById(Arc::new(Account { compiled, stamp, credentials })));
    }

    /// What the policy is to know of the second password among these, which are to be the user's. One that stays keeps its
    /// serial, and with it what it has proven.
    fn second_password(
        &mut self,
        user: UserId,
        credentials: &Credentials,
    ) -> Option<SecondPassword> {
        let second = credentials.password(PasswordSlot::Second)?;
        let kept = self.user(user).and_then(|account| {
            let before = account.credentials.password(PasswordSlot::Second)?;
            before.is_same_as(second).then(|| account.compiled.second_password())?
        });
        let serial = kept.map_or_else(|| self.next_serial(), |kept| kept.serial);
        Some(SecondPassword { serial, ends_at_ms: second.ends_at_ms() })
    }

    fn next_serial(&mut self) -> NonZeroU32 {
        self.second_passwords = self.second_passwords.wrapping_add(1);
        NonZeroU32::new(self.second_passwords).unwrap_or(NonZeroU32::MIN)
    }

    fn renew_password(&mut self, user: UserId, slot: PasswordSlot, renewed: &RenewedHash) {
        let Some(account) = self.user(user) else { return };
        let credentials = account.credentials.renewed(slot, renewed);
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
        self.users.get(&id).map(|ById(account)| account)
    }

    /// All users, in no order.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.users.iter().map(|ById(account)| account)
    }

    pub(crate) fn user_named(&self, name: &str) -> Option<&Arc<Account>> {
        self.user(self.user_names.get(name)?.0.id())
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
    pub(crate) fn users(&self) -> impl ExactSizeIterator<Item = UserId> {
        self.user_names.iter().map(|ByName(user)| user.id())
    }

    /// All roles by name.
    pub(crate) fn roles(&self) -> impl ExactSizeIterator<Item = &RoleId> {
        self.role_names.values()
    }

    /// The users with a role, in no order.
    pub(crate) fn holders(&self, role: RoleId) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts().filter(move |account| account.user().roles.contains(&role))
    }

    /// Whether the changes leave an enabled administrator, if there is one now, and one who can log in over HTTP, if there is
    /// such a one now: who cannot does not count for one who can. What locks a user for too many failures passes.
    pub(crate) fn keeps_an_administrator(&self, changes: &[Change]) -> bool {
        if self.administrators.is_empty() {
            return true;
        }
        let after = Changed::by(changes);
        let role =
            |id: RoleId| after.roles.get(&id).copied().unwrap_or_else(|| self.role_power(id));
        let user = |id: &UserId| match after.users.get(id) {
            Some(changed) => *changed,
            None => self.user(*id).map(|account| account.user()),
        };
        let promoted = after.users.keys().filter(|id| !self.administrators.contains(id));
        let possible = self.administrators.iter().chain(promoted);
        let left = possible.filter_map(user).filter(|user| is_administrator(user, role));
        let (mut is_one_left, mut can_one_log_in) = (false, false);
        for user in left {
            is_one_left = true;
            let has_password = after.passwords.get(&user.id).copied();
            let has_password = has_password.unwrap_or_else(|| self.has_password(user.id));
            can_one_log_in |= has_password && may_log_in(user);
        }
        is_one_left && (can_one_log_in || !self.can_an_administrator_log_in())
    }

    fn can_an_administrator_log_in(&self) -> bool {
        let mut administrators = self.administrators.iter().filter_map(|id| self.user(*id));
        administrators.any(|it| !it.credentials.is_empty() && may_log_in(it.user()))
    }

    fn has_password(&self, id: UserId) -> bool {
        self.user(id).is_some_and(|account| !account.credentials.is_empty())
    }

    fn is_administrator(&self, user: &User) -> bool {
        is_administrator(user, |id| self.role_power(id))
    }

    fn role_power(&self, id: RoleId) -> Power {
        self.role_powers.get(&id).copied().unwrap_or_default()
    }
}

/// Who is to be judged by what changes leave of it.
#[derive(Default)]
struct Changed<'c> {
    users: HashMap<UserId, Option<&'c User>>,
    roles: HashMap<RoleId, Power>,
    /// Whether any is left.
    passwords: HashMap<UserId, bool>,
}

impl<'c> Changed<'c> {
    fn by(changes: &'c [Change]) -> Changed<'c> {
        let mut changed = Changed::default();
        for change in changes {
            match change {
                Change::PutUser(record) => {
                    changed.users.insert(record.user.id, Some(&record.user));
                }
                Change::RemoveUser(id) => {
                    changed.users.insert(*id, None);
                }
                Change::PutRole(record) => {
                    changed.roles.insert(record.role.id, Power::of(&record.role.permissions));
                }
                Change::RemoveRole(id) => {
                    changed.roles.insert(*id, Power::default());
                }
                Change::PutPasswords(id, passwords) => {
                    changed.passwords.insert(*id, !passwords.is_empty());
                }
                Change::RenewPassword(..)
                | Change::PasswordsUsed(_)
                | Change::PutCertificate(_)
                | Change::RevokeCertificate(..)
                | Change::Token(_)
                | Change::Registry(_)
                | Change::Record(_)
                | Change::Initialized => {}
            }
        }
        changed
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

/// Whether an enabled user may do everything by HTTP, be it by `connectware-admin` or by equal rights.
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

/// Whether a password lets the user in over HTTP, where nothing else can be shown.
fn may_log_in(user: &User) -> bool {
    user.enabled && user.grants.are_satisfied_by(AuthMethod::Password.into())
}

/// Whether the password of a user counts at all.
fn may_use_password(user: &User) -> bool {
    user.enabled && user.grants.allows(AuthMethod::Password)
}

/// The filter that covers every REST path, in its canonical spelling.
const EVERY_PATH: &str = "/#";
