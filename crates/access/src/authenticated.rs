//! The proof of who is speaking, and when it stops being one.

use crate::{CompiledUser, ProvenMethods, UserId, UserName};

/// Proof that somebody is a user. Whoever holds one may be believed until
/// [`crate::Policy::standing`] says otherwise.
#[derive(Clone, Debug)]
pub struct Authenticated {
    user: UserId,
    name: UserName,
    proof: Proof,
}

/// What was proven about a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The ways in which it was proven.
    pub methods: ProvenMethods,
    /// The credential epoch of the user when the secret was compared. If the secret was changed in
    /// between, the comparison was with the old one and proves nothing.
    pub credential_epoch: u64,
}

/// Why a proof is not, or no longer, good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lapse {
    /// There is no such user.
    #[error("user does not exist")]
    UserRemoved,
    /// The user is disabled.
    #[error("user is disabled")]
    UserDisabled,
    /// The secret was changed since.
    #[error("credentials were changed")]
    CredentialsChanged,
    /// What was proven is not what the user's grant types ask for.
    #[error("grant types are not satisfied by what was proven")]
    GrantsUnsatisfied,
}

impl Authenticated {
    /// Makes the proof. Called at log-in only, by `admin::login`, which has just compared secrets
    /// or been given a verified certificate: there is no other way to become somebody.
    pub fn prove(user: &CompiledUser, proof: Proof) -> Result<Self, Lapse> {
        let proven = Authenticated { user: user.id(), name: user.name().clone(), proof };
        proven.holds_for(user)?;
        Ok(proven)
    }

    /// The user's id.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user
    }

    /// The user's name at log-in.
    #[must_use]
    pub fn name(&self) -> &UserName {
        &self.name
    }

    /// The ways in which it was proven.
    #[must_use]
    pub fn methods(&self) -> ProvenMethods {
        self.proof.methods
    }

    /// The credential epoch it was proven in.
    #[must_use]
    pub fn credential_epoch(&self) -> u64 {
        self.proof.credential_epoch
    }

    /// Whether the proof is good for this user as it is now.
    pub(crate) fn holds_for(&self, user: &CompiledUser) -> Result<(), Lapse> {
        if user.id() != self.user || user.name() != &self.name {
            return Err(Lapse::UserRemoved);
        }
        if !user.is_enabled() {
            return Err(Lapse::UserDisabled);
        }
        if user.credential_epoch() != self.proof.credential_epoch {
            return Err(Lapse::CredentialsChanged);
        }
        if !user.grants().are_satisfied_by(self.proof.methods) {
            return Err(Lapse::GrantsUnsatisfied);
        }
        Ok(())
    }
}
