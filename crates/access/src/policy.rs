//! The compiled snapshot of all users, roles and permissions.

use crate::index::Index;
use crate::rules::RuleSet;
use crate::{
    Authenticated, GrantTypes, Lapse, Permission, PublishBudget, PublishPrefix, Rights, Role,
    RoleId, RoleName, User, UserId, UserName,
};
use std::sync::Arc;

/// An immutable snapshot. A clone shares everything, and [`Policy::apply`] shares all but what it
/// changes.
#[derive(Clone, Debug)]
pub struct Policy {
    generation: u64,
    users: Index<CompiledUser, UserId>,
    user_names: Index<CompiledUser, str>,
    roles: Index<CompiledRole, RoleId>,
}

/// One step from one policy to the next.
#[derive(Clone, Debug)]
pub enum PolicyChange {
    /// Adds a user, or replaces the one with the same id. A user of another id that has the name is
    /// removed: a name means one user.
    PutUser(User),
    /// Removes a user, if there is one.
    RemoveUser(UserId),
    /// Adds a role, or replaces the one with the same id.
    PutRole(Role),
    /// Removes a role, if there is one; users that still name it get nothing from it.
    RemoveRole(RoleId),
}

impl Policy {
    /// Nobody, and so no rights. Generation 0.
    #[must_use]
    pub fn empty() -> Self {
        Policy {
            generation: 0,
            users: Index::new(|user| &user.id),
            user_names: Index::new(|user| user.name.as_str()),
            roles: Index::new(|role| &role.id),
        }
    }

    /// All that is in store. Generation 1.
    pub fn compile(
        users: impl IntoIterator<Item = User>,
        roles: impl IntoIterator<Item = Role>,
    ) -> Self {
        let users = users.into_iter().map(PolicyChange::PutUser);
        let roles = roles.into_iter().map(PolicyChange::PutRole);
        Policy::empty().apply(roles.chain(users))
    }

    /// The policy after these changes, taken in order as one step. Costs what the changes cost, not
    /// what is in store.
    #[must_use]
    pub fn apply(&self, changes: impl IntoIterator<Item = PolicyChange>) -> Self {
        let mut next = self.clone();
        next.generation += 1;
        for change in changes {
            match change {
                PolicyChange::PutUser(user) => next.put_user(Arc::new(CompiledUser::compile(user))),
                PolicyChange::RemoveUser(id) => next.remove_user(id),
                PolicyChange::PutRole(role) => {
                    next.roles.put(Arc::new(CompiledRole::compile(role)));
                }
                PolicyChange::RemoveRole(id) => {
                    next.roles.remove(&id);
                }
            }
        }
        next
    }

    /// Counts the steps since the empty policy.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The user with this id.
    #[must_use]
    pub fn user(&self, id: UserId) -> Option<&Arc<CompiledUser>> {
        self.users.get(&id)
    }

    /// The user with exactly this name.
    #[must_use]
    pub fn user_by_name(&self, name: &str) -> Option<&Arc<CompiledUser>> {
        self.user_names.get(name)
    }

    /// The role with this id.
    #[must_use]
    pub fn role(&self, id: RoleId) -> Option<&Arc<CompiledRole>> {
        self.roles.get(&id)
    }

    /// All users, in no specified order.
    pub fn users(&self) -> impl Iterator<Item = &Arc<CompiledUser>> {
        self.users.iter()
    }

    /// All roles, in no specified order.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<CompiledRole>> {
        self.roles.iter()
    }

    /// The number of users.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// What the user may do by this policy when it uses this client id (an empty one where there is
    /// none, as in HTTP). `None` means the user is gone or disabled, and may do nothing.
    #[must_use]
    pub fn rights(&self, user: UserId, client_id: &str) -> Option<Rights> {
        let user = self.users.get(&user).filter(|user| user.enabled)?;
        let roles = user.roles.iter().filter_map(|id| self.roles.get(id)).map(Arc::clone).collect();
        Some(Rights::new(Arc::clone(user), roles, client_id))
    }

    /// Whether a proof given earlier is still good.
    pub fn standing(&self, proof: &Authenticated) -> Result<(), Lapse> {
        let user = self.users.get(&proof.user_id()).ok_or(Lapse::UserRemoved)?;
        proof.holds_for(user)
    }

    fn put_user(&mut self, user: Arc<CompiledUser>) {
        if let Some(former) = self.users.put(Arc::clone(&user))
            && former.name != user.name
        {
            self.user_names.remove(former.name.as_str());
        }
        let id = user.id;
        if let Some(namesake) = self.user_names.put(user)
            && namesake.id != id
        {
            self.users.remove(&namesake.id);
        }
    }

    fn remove_user(&mut self, id: UserId) {
        if let Some(user) = self.users.remove(&id) {
            self.user_names.remove(user.name.as_str());
        }
    }
}

/// A user, compiled.
#[derive(Debug)]
pub struct CompiledUser {
    id: UserId,
    name: UserName,
    publish_prefix: Option<PublishPrefix>,
    roles: Box<[RoleId]>,
    rules: Option<Box<RuleSet>>,
    /// `None`: no bound, as with most.
    publish_budget: Option<Box<PublishBudget>>,
    credential_epoch: u64,
    grants: GrantTypes,
    enabled: bool,
}

impl CompiledUser {
    fn compile(user: User) -> Self {
        CompiledUser {
            id: user.id,
            name: user.name,
            publish_prefix: user.publish_prefix,
            roles: user.roles.into(),
            rules: RuleSet::compile(user.permissions),
            publish_budget: boxed(user.publish_budget),
            credential_epoch: user.credential_epoch,
            grants: user.grants,
            enabled: user.enabled,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> UserId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &UserName {
        &self.name
    }

    /// What is put before every topic it publishes to.
    #[must_use]
    pub fn publish_prefix(&self) -> Option<&PublishPrefix> {
        self.publish_prefix.as_ref()
    }

    /// The ids of its roles.
    #[must_use]
    pub fn roles(&self) -> &[RoleId] {
        &self.roles
    }

    /// Its own permissions.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        self.rules().map_or(&[], RuleSet::permissions)
    }

    /// How it may prove itself.
    #[must_use]
    pub fn grants(&self) -> GrantTypes {
        self.grants
    }

    /// False if it has no rights and no way in.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Which of its successive secrets are the valid ones.
    #[must_use]
    pub fn credential_epoch(&self) -> u64 {
        self.credential_epoch
    }

    /// How much it may publish, before its roles narrow that.
    #[must_use]
    pub fn publish_budget(&self) -> PublishBudget {
        self.publish_budget.as_deref().copied().unwrap_or_default()
    }

    pub(crate) fn rules(&self) -> Option<&RuleSet> {
        self.rules.as_deref()
    }
}

/// A role, compiled once for all who have it.
#[derive(Debug)]
pub struct CompiledRole {
    id: RoleId,
    name: RoleName,
    rules: Option<Box<RuleSet>>,
    publish_budget: Option<Box<PublishBudget>>,
}

impl CompiledRole {
    fn compile(role: Role) -> Self {
        CompiledRole {
            id: role.id,
            name: role.name,
            rules: RuleSet::compile(role.permissions),
            publish_budget: boxed(role.publish_budget),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> RoleId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &RoleName {
        &self.name
    }

    /// Its permissions.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        self.rules().map_or(&[], RuleSet::permissions)
    }

    /// How much each who has it may publish.
    #[must_use]
    pub fn publish_budget(&self) -> PublishBudget {
        self.publish_budget.as_deref().copied().unwrap_or_default()
    }

    pub(crate) fn rules(&self) -> Option<&RuleSet> {
        self.rules.as_deref()
    }
}

fn boxed(budget: PublishBudget) -> Option<Box<PublishBudget>> {
    (!budget.is_unbounded()).then(|| Box::new(budget))
}
