//! Nobody gives away more than it has: the one guard that every change passes, whichever call plans it.
//!
//! Judged are the changes themselves and not the calls, so that a new way to make them needs no rule of its own. A user
//! that asks may add an allow, or take a deny away, only where its own rights take in what that brings; and whoever can
//! log in as somebody (by setting its password, issuing its certificate, adding a way to prove itself, enabling it) must
//! have all the rights of that one. Denies may be added and allows taken away by anybody whom the path is open to.

use std::collections::{HashMap, HashSet};

use access::{
    Context, Effect, Grantor, Operation, Permission, Policy, PublishBudget, PublishPrefix,
    Recipient, Resource, Role, RoleId, User, UserId,
};
use store::Change;

use crate::caller::Caller;
use crate::directory::Directory;
use crate::error::AdminError;

/// Judges the changes that a caller asks for.
///
/// # Errors
/// [`AdminError::Forbidden`], with the right that is missing.
pub(crate) fn judge(
    caller: &Caller,
    policy: &Policy,
    directory: &Directory,
    changes: &[Change],
) -> Result<(), AdminError> {
    let caller = match caller {
        Caller::LocalOwner | Caller::Broker => return Ok(()),
        Caller::User(caller) => caller,
    };
    let Some(rights) = policy.rights(caller.id, "") else {
        return Err(AdminError::Forbidden("your user is gone or disabled".to_owned()));
    };
    let after = After::new(directory, changes);
    let budget = rights.publish_budget();
    let guard = Guard { caller: caller.id, budget, grantor: rights.grantor(), directory, after };
    for change in changes {
        match change {
            Change::PutUser(record) => guard.judge_user(&record.user)?,
            Change::PutRole(record) => guard.judge_role(&record.role)?,
            Change::PutPasswords(user, _) => guard.judge_takeover(*user)?,
            Change::PutCertificate(record) => guard.judge_takeover(record.user)?,
            // Whoever has a role that goes is changed as well, and judged by that.
            Change::RemoveUser(_)
            | Change::RemoveRole(_)
            | Change::RenewPassword(..)
            | Change::PasswordsUsed(_)
            | Change::RevokeCertificate(..)
            | Change::Token(_)
            // What a grant gives away is in the changes that make its user.
            | Change::Registry(_)
            | Change::Record(_)
            | Change::Initialized => {}
        }
    }
    Ok(())
}

/// Users and roles as the changes leave them.
struct After<'c> {
    directory: &'c Directory,
    users: HashMap<UserId, Option<&'c User>>,
    roles: HashMap<RoleId, Option<&'c Role>>,
}

impl<'c> After<'c> {
    fn new(directory: &'c Directory, changes: &'c [Change]) -> Self {
        let (mut users, mut roles) = (HashMap::new(), HashMap::new());
        for change in changes {
            match change {
                Change::PutUser(record) => drop(users.insert(record.user.id, Some(&record.user))),
                Change::RemoveUser(id) => drop(users.insert(*id, None)),
                Change::PutRole(record) => drop(roles.insert(record.role.id, Some(&record.role))),
                Change::RemoveRole(id) => drop(roles.insert(*id, None)),
                _ => {}
            }
        }
        After { directory, users, roles }
    }

    fn user(&self, id: UserId) -> Option<&User> {
        match self.users.get(&id) {
            Some(changed) => *changed,
            None => self.directory.user(id).map(|account| account.user()),
        }
    }

    fn role(&self, id: RoleId) -> Option<&Role> {
        match self.roles.get(&id) {
            Some(changed) => *changed,
            None => self.directory.role(id).map(|record| &record.role),
        }
    }
}

struct Guard<'c> {
    caller: UserId,
    budget: PublishBudget,
    grantor: Grantor<'c>,
    directory: &'c Directory,
    after: After<'c>,
}

impl Guard<'_> {
    fn judge_role(&self, role: &Role) -> Result<(), AdminError> {
        let before = self.directory.role(role.id);
        let budget_before = before.map(|record| record.role.publish_budget);
        // Of a role that is new nobody can have more than before.
        self.judge_budget(budget_before.or(Some(role.publish_budget)), role.publish_budget)?;
        let before = before.map_or(&[][..], |record| &record.role.permissions);
        let denies = denies(&role.permissions);
        let recipient = Recipient { denies: &denies, publish_prefix: None };
        self.judge_added(&atoms(before), &role.permissions, &recipient)?;
        self.judge_freed(before, &role.permissions, &recipient).map_err(|(_, error)| error)
    }

    fn judge_user(&self, after: &User) -> Result<(), AdminError> {
        let before = self.directory.user(after.id).map(|account| account.user());
        let roles_before = before.map_or(&[][..], |user| &user.roles);
        let of_role = |id: &RoleId| self.directory.role(*id);
        let mut rules_before: Vec<&Permission> =
            roles_before.iter().filter_map(of_role).flat_map(|it| &it.role.permissions).collect();
        rules_before.extend(before.iter().flat_map(|user| &user.permissions));
        let rules = self.rules_after(after);
        let denies = denies(rules.iter().copied());
        let recipient =
            Recipient { denies: &denies, publish_prefix: after.publish_prefix.as_ref() };
        let way =
            before.is_some_and(|before| after.id != self.caller && opens_a_way(before, after));
        // Whoever can log in as the user publishes by its budget.
        let budget_before = before.filter(|_| !way).map(|before| {
            narrowest(before, |id| self.directory.role(id).map(|it| it.role.publish_budget))
        });
        let budget_after = self.budget_after(after);
        self.judge_budget(budget_before, budget_after)?;
        let Some(before) = before else {
            return self.judge_all(&rules, |_| true, &recipient);
        };
        if way {
            return self.judge_all(&rules, |_| true, &recipient);
        }
        if is_wider(before.publish_prefix.as_ref(), after.publish_prefix.as_ref()) {
            self.judge_all(&rules, is_publish, &recipient)?;
        }
        self.judge_added(&atoms(rules_before.iter().copied()), rules.iter().copied(), &recipient)?;
        match self.judge_freed(rules_before.iter().copied(), rules.iter().copied(), &recipient) {
            Ok(()) => Ok(()),
            // A deny is wider as a rule than what it keeps from the user.
            Err((context, error)) => self
                .judge_all(&rules, |rule| rule.context == context, &recipient)
                .map_err(|_| error),
        }
    }

    /// Who is bound by a publish budget loosens nobody's beyond it, its own included.
    fn judge_budget(
        &self,
        before: Option<PublishBudget>,
        after: PublishBudget,
    ) -> Result<(), AdminError> {
        if before.is_some_and(|before| after.is_within(before)) || after.is_within(self.budget) {
            return Ok(());
        }
        Err(AdminError::Forbidden(format!(
            "your own publish budget is `{}`, and this would give away more",
            self.budget
        )))
    }

    /// Whoever can log in as the user has its rights.
    fn judge_takeover(&self, user: UserId) -> Result<(), AdminError> {
        if user == self.caller {
            return Ok(());
        }
        let Some(user) = self.after.user(user) else { return Ok(()) };
        self.judge_budget(None, self.budget_after(user))?;
        let rules = self.rules_after(user);
        let denies = denies(rules.iter().copied());
        let recipient = Recipient { denies: &denies, publish_prefix: user.publish_prefix.as_ref() };
        self.judge_all(&rules, |_| true, &recipient)
    }

    fn budget_after(&self, user: &User) -> PublishBudget {
        narrowest(user, |id| self.after.role(id).map(|it| it.publish_budget))
    }

    fn rules_after<'a>(&'a self, user: &'a User) -> Vec<&'a Permission> {
        let roles = user.roles.iter().filter_map(|id| self.after.role(*id));
        roles.flat_map(|role| &role.permissions).chain(&user.permissions).collect()
    }

    fn judge_all(
        &self,
        rules: &[&Permission],
        counts: impl Fn(&Permission) -> bool,
        recipient: &Recipient<'_>,
    ) -> Result<(), AdminError> {
        let mut rules = rules.iter().filter(|rule| counts(rule));
        rules.try_for_each(|rule| self.judge_rule(rule, recipient))
    }

    /// Allows that were not there before.
    fn judge_added<'p>(
        &self,
        before: &HashSet<Atom<'_>>,
        after: impl IntoIterator<Item = &'p Permission>,
        recipient: &Recipient<'_>,
    ) -> Result<(), AdminError> {
        for rule in after {
            if rule.effect == Effect::Allow && !of(rule).all(|atom| before.contains(&atom)) {
                self.judge_rule(rule, recipient)?;
            }
        }
        Ok(())
    }

    /// Denies that are there no more: what they kept from somebody may be open now.
    fn judge_freed<'p>(
        &self,
        before: impl IntoIterator<Item = &'p Permission>,
        after: impl IntoIterator<Item = &'p Permission>,
        recipient: &Recipient<'_>,
    ) -> Result<(), (Context, AdminError)> {
        let after = atoms(after);
        for rule in before {
            if rule.effect == Effect::Deny && !of(rule).all(|atom| after.contains(&atom)) {
                let freed = Permission { effect: Effect::Allow, ..rule.clone() };
                self.judge_rule(&freed, recipient).map_err(|error| (rule.context, error))?;
            }
        }
        Ok(())
    }

    fn judge_rule(&self, rule: &Permission, recipient: &Recipient<'_>) -> Result<(), AdminError> {
        if self.grantor.covers(rule, recipient) {
            return Ok(());
        }
        let Permission { context, operation, resource, .. } = rule;
        Err(AdminError::Forbidden(format!(
            "your own rights do not cover `{context}:{operation}:{resource}`, which this would give away"
        )))
    }
}

/// The budget that holds for a user, with those of its roles.
fn narrowest(user: &User, of_role: impl Fn(RoleId) -> Option<PublishBudget>) -> PublishBudget {
    let of_roles = user.roles.iter().filter_map(|id| of_role(*id));
    of_roles.fold(user.publish_budget, PublishBudget::narrowest)
}

/// One thing that a rule says: a rule to read and write says two.
type Atom<'p> = (Context, Effect, Operation, &'p Resource);

fn of(rule: &Permission) -> impl Iterator<Item = Atom<'_>> {
    let operations: &[Operation] = match rule.operation {
        Operation::Read => &[Operation::Read],
        Operation::Write => &[Operation::Write],
        Operation::ReadWrite => &[Operation::Read, Operation::Write],
    };
    operations.iter().map(|operation| (rule.context, rule.effect, *operation, &rule.resource))
}

fn atoms<'p>(rules: impl IntoIterator<Item = &'p Permission>) -> HashSet<Atom<'p>> {
    rules.into_iter().flat_map(of).collect()
}

fn denies<'p>(rules: impl IntoIterator<Item = &'p Permission>) -> Vec<&'p Permission> {
    rules.into_iter().filter(|rule| rule.effect == Effect::Deny).collect()
}

fn is_publish(rule: &Permission) -> bool {
    rule.context == Context::Mqtt && rule.operation != Operation::Read
}

/// Whether somebody could log in who could not before. Any other change of the grant types counts: which of them are
/// required decides what is enough.
fn opens_a_way(before: &User, after: &User) -> bool {
    (after.enabled && !before.enabled) || after.grants != before.grants
}

/// Whether the prefix after lets topics through that the one before did not.
fn is_wider(before: Option<&PublishPrefix>, after: Option<&PublishPrefix>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => !after.as_str().starts_with(before.as_str()),
    }
}
