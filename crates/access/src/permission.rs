//! What is in store: permissions, roles and users as they are written.

use crate::{
    GrantTypes, PermissionId, PublishBudget, PublishPrefix, Resource, RoleId, RoleName, UserId,
    UserName,
};
use smallvec::SmallVec;
use std::fmt;
use std::str::FromStr;

/// What a permission is for. MQTT: read is subscribe and receive, write is publish. HTTP: read is
/// GET and HEAD, write the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Subscribe, or GET and HEAD.
    Read,
    /// Publish, or every other method.
    Write,
    /// Both.
    ReadWrite,
}

impl Operation {
    /// The single actions this is made of.
    pub(crate) fn actions(self) -> &'static [Action] {
        match self {
            Operation::Read => &[Action::Read],
            Operation::Write => &[Action::Write],
            Operation::ReadWrite => &[Action::Read, Action::Write],
        }
    }
}

/// What is done at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Read,
    Write,
}

/// Where a permission holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// Topics.
    Mqtt,
    /// Paths of the REST interface.
    Http,
}

/// What a permission does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Grants.
    #[default]
    Allow,
    /// Refuses, whatever else grants.
    Deny,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Its id.
    pub id: PermissionId,
    /// The topics or paths it is about.
    pub resource: Resource,
    /// What may be done with them.
    pub operation: Operation,
    /// Whether they are topics or paths.
    pub context: Context,
    /// Whether it grants or refuses.
    pub effect: Effect,
}

/// A named set of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// Its name, which no other role has.
    pub name: RoleName,
    /// What it brings to whoever has it.
    pub permissions: Vec<Permission>,
    /// How much each who has it may publish.
    pub publish_budget: PublishBudget,
}

/// The roles of a user. Most have one, which then takes no allocation.
pub type RoleIds = SmallVec<[RoleId; 1]>;

/// A known identity, person or machine; all but its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name, which no other user has.
    pub name: UserName,
    /// How it may prove itself.
    pub grants: GrantTypes,
    /// What is put before every topic it publishes to.
    pub publish_prefix: Option<PublishPrefix>,
    /// The roles it has. An id without a role brings nothing.
    pub roles: RoleIds,
    /// Its own permissions.
    pub permissions: Vec<Permission>,
    /// How much it may publish, before its roles narrow that.
    pub publish_budget: PublishBudget,
    /// False takes every right and every way in.
    pub enabled: bool,
    /// Changes when existing logins must end, as with a new password.
    pub credential_epoch: u64,
}

/// A word that is none of those expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not {expected}")]
pub struct UnknownWord {
    /// The words that would do.
    pub expected: &'static str,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::ReadWrite => "readWrite",
        })
    }
}

impl FromStr for Operation {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "read" => Ok(Operation::Read),
            "write" => Ok(Operation::Write),
            "readWrite" => Ok(Operation::ReadWrite),
            _ => Err(UnknownWord { expected: "`read`, `write` or `readWrite`" }),
        }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Context::Mqtt => "mqtt",
            Context::Http => "http",
        })
    }
}

impl FromStr for Context {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "mqtt" => Ok(Context::Mqtt),
            "http" => Ok(Context::Http),
            _ => Err(UnknownWord { expected: "`mqtt` or `http`" }),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
        })
    }
}

impl FromStr for Effect {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "allow" => Ok(Effect::Allow),
            "deny" => Ok(Effect::Deny),
            _ => Err(UnknownWord { expected: "`allow` or `deny`" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = UnknownWord> + fmt::Display>(word: &str, is_known: bool) {
        assert_eq!(
            word.parse::<T>().map(|it| it.to_string()).ok(),
            is_known.then(|| word.to_owned())
        );
    }

    #[test]
    fn the_words_are_byte_exact_and_display_as_they_parse() {
        for word in ["read", "write", "readWrite"] {
            check::<Operation>(word, true);
        }
        for word in ["", "Read", "readwrite", "READWRITE", "read ", "publish"] {
            check::<Operation>(word, false);
        }
        for (word, is_known) in [("mqtt", true), ("http", true), ("MQTT", false), ("", false)] {
            check::<Context>(word, is_known);
        }
        for (word, is_known) in [("allow", true), ("deny", true), ("Deny", false), ("", false)] {
            check::<Effect>(word, is_known);
        }
    }
}
