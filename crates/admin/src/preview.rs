//! What a change would be, without making it: planned, judged and refused by the same code as the change itself, and
//! recorded nowhere.

use std::sync::Arc;

use access::Policy;
use store::Change;

use crate::admin::Admin;
use crate::caller::Caller;
use crate::directory::Directory;
use crate::error::AdminError;
use crate::model::{RolePatch, UserPatch};
use crate::policy_file::{PolicyDraft, steps};
use crate::policy_model::PolicyStep;
use crate::roles::{self, RoleRemoval};
use crate::users;

/// A change that was only thought of.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What it would change, in the words of the audit log.
    pub changes: Vec<PolicyStep>,
    /// The policy that it would make; `None` if it would be the same.
    pub next: Option<Arc<Policy>>,
    /// The generation of the policy that `next` was made from.
    pub base: u64,
}

impl Admin {
    /// What [`Admin::update_user`] would change.
    ///
    /// # Errors
    /// As that.
    pub fn preview_user_update(
        &self,
        caller: &Caller,
        key: &str,
        patch: UserPatch,
        if_match: Option<u64>,
    ) -> Result<Preview, AdminError> {
        let plan = users::update(&self.shared.settings, key, patch, if_match, self.now_ms());
        self.preview(caller, plan)
    }

    /// What [`Admin::remove_user`] would change.
    ///
    /// # Errors
    /// As that, but for the revocation list.
    pub fn preview_user_removal(
        &self,
        caller: &Caller,
        key: &str,
        if_match: Option<u64>,
    ) -> Result<Preview, AdminError> {
        self.preview(caller, users::removal(key, if_match, self.now_ms()))
    }

    /// What [`Admin::update_role`] would change.
    ///
    /// # Errors
    /// As that.
    pub fn preview_role_update(
        &self,
        caller: &Caller,
        key: &str,
        patch: RolePatch,
        if_match: Option<u64>,
    ) -> Result<Preview, AdminError> {
        let plan = roles::update(&self.shared.settings, key, patch, if_match, self.now_ms());
        self.preview(caller, plan)
    }

    /// What [`Admin::remove_role`] would change.
    ///
    /// # Errors
    /// As that.
    pub fn preview_role_removal(
        &self,
        caller: &Caller,
        key: &str,
        if_match: Option<u64>,
        removal: RoleRemoval,
    ) -> Result<Preview, AdminError> {
        self.preview(caller, roles::removal(key, if_match, removal, self.now_ms()))
    }

    /// What [`Admin::apply_policy`] would change.
    ///
    /// # Errors
    /// As that.
    pub fn preview_policy(
        &self,
        caller: &Caller,
        draft: &PolicyDraft,
    ) -> Result<Preview, AdminError> {
        self.preview(caller, |directory: &Directory| Ok((draft.changes(directory)?, ())))
    }

    fn preview<S>(
        &self,
        caller: &Caller,
        plan: impl FnOnce(&Directory) -> Result<(Vec<Change>, S), AdminError>,
    ) -> Result<Preview, AdminError> {
        self.try_change(caller, plan, |directory, changes, _| {
            // The directory is locked: the policy cannot change now.
            let policy = self.shared.policy.load();
            let for_policy = directory.foreseen(changes);
            let next = (!for_policy.is_empty()).then(|| Arc::new(policy.apply(for_policy)));
            Preview { changes: steps(directory, changes), next, base: policy.generation() }
        })
    }
}
