//! The compiled snapshot of all users, roles and permissions.

use crate::index::Index;
use crate::rules::{LazyRules, Rules};
use crate::{
    Authenticated, GrantTypes, Lapse, Permission, PublishBudget, PublishPrefix, Rights, Role,
    RoleId, RoleName, SecondPassword, User, UserId, UserName,
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
    /// As [`PolicyChange::PutUser`], with a user that is shared with whoever made it.
    PutCompiled(Arc<CompiledUser>),
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
            users: Index::new(|user| &user.user.id),
            user_names: Index::new(|user| user.user.name.as_str()),
            roles: Index::new(|role| &role.role.id),
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
                PolicyChange::PutUser(user) => next.put_user(Arc::new(CompiledUser::new(user))),
                PolicyChange::PutCompiled(user) => next.put_user(user),
                PolicyChange::RemoveUser(id) => next.remove_user(id),
                PolicyChange::PutRole(role) => {
                    next.roles.put(Arc::new(CompiledRole::new(role)));
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
    pub fn rights(&self, user: UserId, client_id: impl Into<Arc<str>>) -> Option<Rights> {
        let user = self.users.get(&user).filter(|user| user.is_enabled())?;
        let roles =
            user.roles().iter().filter_map(|id| self.roles.get(id)).map(Arc::clone).collect();
        Some(Rights::new(Arc::clone(user), roles, client_id.into()))
    }

    /// Whether a proof given earlier is still good.
    pub fn standing(&self, proof: &Authenticated) -> Result<(), Lapse> {
        let user = self.users.get(&proof.user_id()).ok_or(Lapse::UserRemoved)?;
        proof.holds_for(user)
    }

    /// When a proof by a second password ends with that, in milliseconds since the Unix epoch; `u64::MAX` if that does not
    /// end by itself. `None`: no time ends this proof, or it is not good any more.
    #[must_use]
    pub fn proof_ends_at_ms(&self, proof: &Authenticated) -> Option<u64> {
        let user = self.users.get(&proof.user_id())?;
        proof.of_second(user).map(|second| second.ends_at_ms)
    }

    fn put_user(&mut self, user: Arc<CompiledUser>) {
        if let Some(former) = self.users.put(Arc::clone(&user))
            && former.name() != user.name()
        {
            self.user_names.remove(former.name().as_str());
        }
        let id = user.id();
        if let Some(namesake) = self.user_names.put(user)
            && namesake.id() != id
        {
            self.users.remove(&namesake.id());
        }
    }

    fn remove_user(&mut self, id: UserId) {
        if let Some(user) = self.users.remove(&id) {
            self.user_names.remove(user.name().as_str());
        }
    }
}

/// A user, compiled.
#[derive(Debug)]
pub struct CompiledUser {
    user: User,
    rules: LazyRules,
    /// In a box, as few users have one, and for a while.
    second_password: Option<Box<SecondPassword>>,
}

impl CompiledUser {
    /// Compiles.
    #[must_use]
    pub fn new(user: User) -> Self {
        CompiledUser::with_second_password(user, None)
    }

    /// Compiles a user that may have a second password.
    #[must_use]
    pub fn with_second_password(user: User, second_password: Option<SecondPassword>) -> Self {
        let rules = LazyRules::new(&user.permissions);
        CompiledUser { user, rules, second_password: second_password.map(Box::new) }
    }

    /// What it was made of.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> UserId {
        self.user.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &UserName {
        &self.user.name
    }

    /// What is put before every topic it publishes to.
    #[must_use]
    pub fn publish_prefix(&self) -> Option<&PublishPrefix> {
        self.user.publish_prefix.as_ref()
    }

    /// The ids of its roles.
    #[must_use]
    pub fn roles(&self) -> &[RoleId] {
        &self.user.roles
    }

    /// Its own permissions.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        &self.user.permissions
    }

    /// How it may prove itself.
    #[must_use]
    pub fn grants(&self) -> GrantTypes {
        self.user.grants
    }

    /// False if it has no rights and no way in.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.user.enabled
    }

    /// Which of its successive secrets are the valid ones.
    #[must_use]
    pub fn credential_epoch(&self) -> u64 {
        self.user.credential_epoch
    }

    /// Its second password, if it has one.
    #[must_use]
    pub fn second_password(&self) -> Option<SecondPassword> {
        self.second_password.as_deref().copied()
    }

    /// How much it may publish, before its roles narrow that.
    #[must_use]
    pub fn publish_budget(&self) -> PublishBudget {
        self.user.publish_budget
    }

    pub(crate) fn rules(&self) -> Option<Rules<'_>> {
        self.rules.of(&self.user.permissions)
    }
}

/// A role, compiled once for all who have it.
#[derive(Debug)]
pub struct CompiledRole {
    role: Role,
    rules: LazyRules,
}

impl CompiledRole {
    fn new(role: Role) -> Self {
        let rules = LazyRules::new(&role.permissions);
        CompiledRole { role, rules }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> RoleId {
        self.role.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &RoleName {
        &self.role.name
    }

    /// Its permissions.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        &self.role.permissions
    }

    /// How much each who has it may publish.
    #[must_use]
    pub fn publish_budget(&self) -> PublishBudget {
        self.role.publish_budget
    }

    pub(crate) fn rules(&self) -> Option<Rules<'_>> {
        self.rules.of(&self.role.permissions)
    }
}
