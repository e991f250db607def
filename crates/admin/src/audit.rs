//! The audit log: what is recorded of a change, and reading the log.
//!
//! Records of changes are made here from the changes themselves, in the one place that all of them pass
//! ([`Admin::change`]), and are written in the same transaction: none can be forgotten, missing or ahead of its change.

use std::fmt;

use access::{Permission, PublishBudget, RoleId, User};
use serde_json::{Map, Value, json};
use store::{
    AuditAnchor, AuditChain, AuditEntry, AuditOrder, AuditQuery, Change, RegistryChange,
    RegistryState, TokenChange,
};

use crate::admin::Admin;
use crate::audit_model::{
    AuditChainModel, AuditChainVerdict, AuditFilter, AuditHeadModel, AuditOrderModel, AuditRecord,
    AuditVerdict,
};
use crate::caller::Caller;
use crate::directory::Directory;
use crate::error::AdminError;
use crate::model::{GrantTypeModel, Page, PageRequest, Time};
use crate::view;

impl Admin {
    /// Shows records of the audit log.
    ///
    /// # Errors
    /// If the page is none, or the log cannot be read.
    pub async fn list_audit(
        &self,
        _: &Caller,
        filter: &AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditRecord>, AdminError> {
        let skip = view::skipped(page)?;
        let query = AuditQuery {
            chain: filter.chain.map(AuditChain::from),
            actor: filter.user.clone(),
            action: filter.action.clone(),
            from_ms: filter.from_ms,
            to_ms: filter.to_ms,
            after_seq: filter.after_seq,
            order: match filter.order {
                AuditOrderModel::Newest => AuditOrder::Newest,
                AuditOrderModel::Oldest => AuditOrder::Oldest,
            },
            skip,
            limit: page.rows_per_page,
        };
        let found = self.shared.store.audit_page(&query).await?;
        let items = found.rows.into_iter().map(|row| AuditRecord::read(&row.record, row.hash));
        let items = items.collect::<Result<_, _>>();
        let items = items.map_err(|reason| self.shared.store.corrupt(reason))?;
        let PageRequest { page_number, rows_per_page } = page;
        Ok(Page { items, total: found.total, page_number, rows_per_page })
    }

    /// The moment that a text names: a date, a time with it, or a span before now.
    ///
    /// # Errors
    /// Why it names none.
    pub fn moment(&self, text: &str) -> Result<Time, String> {
        Time::parse(text, self.now_ms())
    }

    /// Goes through the whole audit log: whether a record was changed, removed, added or moved. `expected` are records that
    /// are known to have been there.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn verify_audit(
        &self,
        _: &Caller,
        expected: &[AuditHeadModel],
    ) -> Result<AuditVerdict, AdminError> {
        let anchors: Vec<_> = expected.iter().map(anchor).collect();
        let chains = self.shared.store.verify_audit(&anchors).await?;
        let chains: Vec<_> = chains
            .into_iter()
            .map(|verdict| AuditChainVerdict {
                chain: verdict.head.chain.into(),
                good: verdict.fault.is_none(),
                records: verdict.records,
                seq: verdict.head.seq,
                hash: verdict.head.hash,
                given_up: verdict.head.given_up,
                fault: verdict.fault.map(|fault| fault.to_string()),
            })
            .collect();
        Ok(AuditVerdict { good: chains.iter().all(|chain| chain.good), chains })
    }

    /// Records something that an administrator does and that changes nothing in store, before it is done.
    ///
    /// # Errors
    /// If it cannot be written: then it must not be done.
    pub async fn record_action(
        &self,
        caller: &Caller,
        action: &str,
        target: Value,
    ) -> Result<(), AdminError> {
        let mut details = Map::new();
        details.insert("target".to_owned(), target);
        let entry = entry(caller, self.now_ms(), action, details);
        self.change(caller, move |_| Ok((vec![Change::Record(entry)], ())), |_, ()| ()).await
    }
}

/// A record of the chain of changes.
pub(crate) fn entry(
    caller: &Caller,
    at_ms: u64,
    action: &str,
    mut details: Map<String, Value>,
) -> AuditEntry {
    if let Some(address) = caller.audit_address() {
        details.insert("address".to_owned(), Value::from(address));
    }
    let (actor, action) = (caller.audit_name(), action.to_owned());
    AuditEntry { chain: AuditChain::Changes, at_ms, actor, action, details }
}

/// The records of changes that are about to be made. `directory` shows what was before.
pub(crate) fn records(
    directory: &Directory,
    changes: &[Change],
    caller: &Caller,
    now_ms: u64,
) -> Vec<Change> {
    let scene = Scene { directory, changes };
    let facts = changes.iter().filter_map(|change| scene.fact(change));
    facts.map(|fact| Change::Record(entry(caller, now_ms, fact.action, fact.details))).collect()
}

/// The same facts, to be shown before they are made.
pub(crate) fn facts(
    directory: &Directory,
    changes: &[Change],
) -> Vec<(&'static str, Map<String, Value>)> {
    let scene = Scene { directory, changes };
    let facts = changes.iter().filter_map(|change| scene.fact(change));
    facts.map(|fact| (fact.action, fact.details)).collect()
}

/// What a change does, in words.
struct Fact {
    action: &'static str,
    details: Map<String, Value>,
}

impl Fact {
    fn new(action: &'static str, target: Value) -> Fact {
        let mut details = Map::new();
        details.insert("target".to_owned(), target);
        Fact { action, details }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Fact {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

/// What there was, and all that is changed at once: a name may belong to a role that is made only now.
struct Scene<'a> {
    directory: &'a Directory,
    changes: &'a [Change],
}

impl Scene<'_> {
    /// `None` for what nobody asked for, or what changes nothing that anybody sees.
    fn fact(&self, change: &Change) -> Option<Fact> {
        match change {
            Change::PutUser(record) => self.user_put(&record.user),
            Change::RemoveUser(id) => {
                let account = self.directory.user(*id)?;
                let before = Value::Object(self.user(account.user()));
                Some(Fact::new("user.remove", self.user_ref(*id)).with("before", before))
            }
            Change::PutRole(record) => self.role_put(&record.role),
            Change::RemoveRole(id) => {
                let role = &self.directory.role(*id)?.role;
                let before = Value::Object(self.role(role));
                Some(Fact::new("role.remove", self.role_ref(*id)).with("before", before))
            }
            Change::PutPasswords(user, passwords) => {
                let had = self.directory.user(*user);
                let had = had.is_some_and(|account| !account.credentials.is_empty());
                if !had && passwords.is_empty() {
                    return None;
                }
                let count = passwords.len();
                Some(Fact::new("user.password", self.user_ref(*user)).with("passwords", count))
            }
            Change::PutCertificate(record) => {
                let fact = Fact::new("certificate.issue", self.user_ref(record.user));
                Some(
                    fact.with("fingerprint", hex(&record.fingerprint))
                        .with("serial", &*record.serial)
                        .with("notAfterMs", record.not_after_ms),
                )
            }
            Change::RevokeCertificate(fingerprint, _) => {
                let record = self.directory.certificates.get(fingerprint);
                let user = record.map_or(Value::Null, |record| self.user_ref(record.user));
                let fact = Fact::new("certificate.revoke", user);
                Some(fact.with("fingerprint", hex(fingerprint)))
            }
            Change::Token(change) => self.token(change),
            Change::Registry(change) => Self::request(change),
            Change::RenewPassword(..)
            | Change::PasswordsUsed(_)
            | Change::Record(_)
            | Change::Initialized => None,
        }
    }

    /// Those who make requests, and time, record themselves: among what was refused.
    fn request(change: &RegistryChange) -> Option<Fact> {
        let RegistryChange::Decide(record) = change else { return None };
        let action = match record.state {
            RegistryState::Pending => return None,
            RegistryState::Granted { .. } => "registry.grant",
            RegistryState::Denied { .. } => "registry.deny",
        };
        let (user, id) = (record.username.as_str(), record.id.to_string());
        Some(Fact::new(action, json!({ "user": user, "request": id })))
    }

    fn token(&self, change: &TokenChange) -> Option<Fact> {
        match change {
            TokenChange::Put(record) => {
                let fact = Fact::new("token.create", self.user_ref(record.user));
                Some(fact.with("token", record.id.to_string()).with("label", record.label.as_ref()))
            }
            TokenChange::Remove(id) => {
                Some(Fact::new("token.remove", json!({ "token": id.to_string() })))
            }
            // Follows from a new password, or from the end of the user, which are recorded.
            TokenChange::RemoveOf(_) | TokenChange::RemoveOfSecond(_) => None,
            // Nobody's deed.
            TokenChange::Touch(..) => None,
        }
    }

    fn user_put(&self, user: &User) -> Option<Fact> {
        let after = self.user(user);
        let target = self.user_ref(user.id);
        let Some(present) = self.directory.user(user.id) else {
            return Some(Fact::new("user.create", target).with("after", Value::Object(after)));
        };
        let before = self.user(present.user());
        let (before, after) = differing(before, after)?;
        Some(Fact::new("user.update", target).with("before", before).with("after", after))
    }

    fn role_put(&self, role: &access::Role) -> Option<Fact> {
        let target = self.role_ref(role.id);
        let after = self.role(role);
        let Some(present) = self.directory.role(role.id) else {
            return Some(Fact::new("role.create", target).with("after", Value::Object(after)));
        };
        let (before, after) = differing(self.role(&present.role), after)?;
        Some(Fact::new("role.update", target).with("before", before).with("after", after))
    }

    fn role(&self, role: &access::Role) -> Map<String, Value> {
        let mut shown = Map::new();
        shown.insert("name".to_owned(), Value::from(role.name.as_str()));
        shown.insert("permissions".to_owned(), permissions(&role.permissions));
        shown.insert("publishBudget".to_owned(), budget(role.publish_budget));
        shown
    }

    fn user(&self, user: &User) -> Map<String, Value> {
        let mut shown = Map::new();
        let mut field = |name: &str, value| {
            shown.insert(name.to_owned(), value);
        };
        field("username", Value::from(user.name.as_str()));
        let grants = user.grants.iter().map(GrantTypeModel::from).map(|grant| json!(grant));
        field("grantTypes", grants.collect());
        let prefix = user.publish_prefix.as_ref().map(|prefix| prefix.as_str());
        field("mqttPublishPrefix", Value::from(prefix));
        field("roles", user.roles.iter().map(|id| self.role_name(*id)).collect());
        field("permissions", permissions(&user.permissions));
        field("publishBudget", budget(user.publish_budget));
        field("enabled", Value::from(user.enabled));
        shown
    }

    fn user_ref(&self, id: access::UserId) -> Value {
        let made = self.changes.iter().find_map(|change| match change {
            Change::PutUser(record) if record.user.id == id => Some(record.user.name.as_str()),
            _ => None,
        });
        let present = self.directory.user(id).map(|account| account.user().name.as_str());
        json!({ "user": present.or(made), "id": id.to_string() })
    }

    fn role_ref(&self, id: RoleId) -> Value {
        json!({ "role": self.role_name(id), "id": id.to_string() })
    }

    fn role_name(&self, id: RoleId) -> Value {
        let present = self.directory.role(id).map(|role| role.role.name.as_str());
        let made = || {
            self.changes.iter().find_map(|change| match change {
                Change::PutRole(record) if record.role.id == id => Some(record.role.name.as_str()),
                _ => None,
            })
        };
        Value::from(present.or_else(made))
    }
}

/// Without ids, which say nothing, each in the words of the command line's long form and its effect.
fn permissions(permissions: &[Permission]) -> Value {
    let shown = |permission: &Permission| {
        let Permission { resource, operation, context, effect, .. } = permission;
        Value::from(format!("{effect} {context}:{operation}:{}", resource.as_str()))
    };
    permissions.iter().map(shown).collect()
}

fn budget(budget: PublishBudget) -> Value {
    if budget.is_unbounded() { Value::Null } else { Value::from(budget.to_string()) }
}

/// The fields that are not the same; of permissions only those that go and those that come.
fn differing(
    before: Map<String, Value>,
    after: Map<String, Value>,
) -> Option<(Map<String, Value>, Map<String, Value>)> {
    let (mut gone, mut come) = (Map::new(), Map::new());
    for (name, old) in before {
        let new = after.get(&name).cloned().unwrap_or_default();
        if old == new {
            continue;
        }
        let (old, new) = match (old, new) {
            (Value::Array(old), Value::Array(new)) if name == "permissions" => {
                let old_set: std::collections::HashSet<_> = old.iter().cloned().collect();
                let new_set: std::collections::HashSet<_> = new.iter().cloned().collect();
                let gone = old.into_iter().filter(|rule| !new_set.contains(rule)).collect();
                (gone, new.into_iter().filter(|rule| !old_set.contains(rule)).collect())
            }
            other => other,
        };
        gone.insert(name.clone(), old);
        come.insert(name, new);
    }
    (!gone.is_empty()).then_some((gone, come))
}

fn anchor(model: &AuditHeadModel) -> AuditAnchor {
    AuditAnchor { chain: model.chain.into(), seq: model.seq, hash: model.hash.clone() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<AuditChainModel> for AuditChain {
    fn from(model: AuditChainModel) -> AuditChain {
        match model {
            AuditChainModel::Changes => AuditChain::Changes,
            AuditChainModel::Refusals => AuditChain::Refusals,
        }
    }
}

impl From<AuditChain> for AuditChainModel {
    fn from(chain: AuditChain) -> AuditChainModel {
        match chain {
            AuditChain::Changes => AuditChainModel::Changes,
            AuditChain::Refusals => AuditChainModel::Refusals,
        }
    }
}

impl fmt::Display for AuditChainModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(AuditChain::from(*self).word())
    }
}
