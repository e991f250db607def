//! The answer with its reasons.

use crate::decide::{Holder, Witness};
use crate::{Context, Denial, Effect, Operation, PermissionId, Resource, RoleName, UserName};
use std::fmt;
use topic::{SubscriptionFilter, TopicName};

/// What [`crate::Rights::explain`] is asked.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Publish to this topic, as the client would send it.
    Publish(&'a str),
    /// Publish to this topic, prefix included.
    PublishResolved(&'a TopicName),
    /// Subscribe.
    Subscribe(&'a SubscriptionFilter),
    /// Receive a message on this topic.
    Deliver(&'a TopicName),
    /// An HTTP request.
    Http {
        /// What it does; `ReadWrite` asks for both.
        operation: Operation,
        /// The path without its query.
        path: &'a str,
    },
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// A decision with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// What it was decided about: the topic with the prefix, the filter without its share, the
    /// path.
    pub resource: String,
    /// Why not, if not.
    pub denial: Option<Denial>,
    /// The rules that decided: those that deny, or those that allow and (for a filter) those that
    /// deny a part of it.
    pub because: Vec<Because>,
    /// True if a part of the filter is denied, and deliveries are judged one by one.
    pub is_filtered: bool,
}

/// One rule that had a part in a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// Whose rule it is.
    pub owner: Owner,
    /// The rule's id.
    pub permission: PermissionId,
    /// What the rule is about.
    pub resource: Resource,
    /// What the rule is for.
    pub operation: Operation,
    /// Where the rule holds.
    pub context: Context,
    /// What the rule does.
    pub effect: Effect,
}

/// Who has a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The user itself.
    User(UserName),
    /// One of its roles.
    Role(RoleName),
}

impl From<Witness<'_>> for Because {
    fn from(witness: Witness<'_>) -> Self {
        let permission = witness.permission;
        Because {
            owner: match witness.holder {
                Holder::User(user) => Owner::User(user.name().clone()),
                Holder::Role(role) => Owner::Role(role.name().clone()),
            },
            permission: permission.id,
            resource: permission.resource.clone(),
            operation: permission.operation,
            context: permission.context,
            effect: permission.effect,
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Because { owner, resource, operation, effect, .. } = self;
        write!(f, "{owner}: {effect} {operation} `{resource}`")
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::User(name) => write!(f, "user `{name}`"),
            Owner::Role(name) => write!(f, "role `{name}`"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        })
    }
}
