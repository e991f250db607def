//! The proof of who is speaking, and when it stops being one.

use std::num::NonZeroU32;

use crate::{CompiledUser, ProvenMethods, UserId, UserName};

/// Proof that somebody is a user. Whoever holds one may be believed until
/// [`crate::Policy::standing`] says otherwise.
#[derive(Clone, Debug)]
pub struct Authenticated {
    user: UserId,
    name: UserName,
    methods: ProvenMethods,
    /// Of the second password, if it was proven by that.
    second_password: Option<NonZeroU32>,
    credential_epoch: u64,
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

/// A second password that a user has beside its first, for a while. It ends without the credential epoch being changed,
/// and what it has proven ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondPassword {
    /// Tells it from every other one that the user has had since the start.
    pub serial: NonZeroU32,
    /// When it ends, in milliseconds since the Unix epoch; `u64::MAX` if it does not end by itself.
    pub ends_at_ms: u64,
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
        Self::prove_by(user, proof, None)
    }

    /// The same where the password that was proven is the user's second one, with this serial: it is good as long as that is.
    pub fn prove_by_second(
        user: &CompiledUser,
        proof: Proof,
        serial: NonZeroU32,
    ) -> Result<Self, Lapse> {
        Self::prove_by(user, proof, Some(serial))
    }

    fn prove_by(
        user: &CompiledUser,
        proof: Proof,
        second_password: Option<NonZeroU32>,
    ) -> Result<Self, Lapse> {
        let Proof { methods, credential_epoch } = proof;
        let (id, name) = (user.id(), user.name().clone());
        let proven = Authenticated { user: id, name, methods, second_password, credential_epoch };
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
        self.methods
    }

    /// The credential epoch it was proven in.
    #[must_use]
    pub fn credential_epoch(&self) -> u64 {
        self.credential_epoch
    }

    /// Whether the proof is good for this user as it is now, but for the time at which a second password ends.
    pub fn holds_for(&self, user: &CompiledUser) -> Result<(), Lapse> {
        if user.id() != self.user || user.name() != &self.name {
            return Err(Lapse::UserRemoved);
        }
        if !user.is_enabled() {
            return Err(Lapse::UserDisabled);
        }
        if user.credential_epoch() != self.credential_epoch {
            return Err(Lapse::CredentialsChanged);
        }
        if self.second_password.is_some() && self.of_second(user).is_none() {
            return Err(Lapse::CredentialsChanged);
        }
        if !user.grants().are_satisfied_by(self.methods) {
            return Err(Lapse::GrantsUnsatisfied);
        }
        Ok(())
    }

    /// The second password that has proven this, if one has and the user still has it.
    pub(crate) fn of_second(&self, user: &CompiledUser) -> Option<SecondPassword> {
        let serial = self.second_password?;
        user.second_password().filter(|second| second.serial == serial)
    }
}
