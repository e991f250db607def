//! The roles that every store begins with.

use crate::{Context, Effect, Operation, Permission, PermissionId, Resource};
use topic::TopicError;

/// The name of the role that may do everything: publish and subscribe anywhere, read `$SYS/#`, use
/// all of the REST interface.
pub const CONNECTWARE_ADMIN: &str = "connectware-admin";

/// The name of the role that lets its holder log in to the user interface and nothing more. Any
/// HTTP permission opens the log-in; the one on `/api/login` says so, and the one on the
/// interface's description lets the page find out what there is. Neither gives sight of users,
/// roles, clients or topics, and neither names a path that depends on who asks.
pub const MINIMUM_ACCESS: &str = "minimum-access";

/// A role that every store begins with.
#[derive(Clone, Copy, Debug)]
pub struct DefaultRole {
    /// Its name.
    pub name: &'static str,
    /// What it allows.
    pub permissions: &'static [DefaultPermission],
}

/// A permission of a default role; its effect is allow.
#[derive(Clone, Copy, Debug)]
pub struct DefaultPermission {
    /// What it is about.
    pub resource: &'static str,
    /// What may be done.
    pub operation: Operation,
    /// Where it holds.
    pub context: Context,
}

/// The roles that every store begins with.
pub const DEFAULT_ROLES: [DefaultRole; 2] = [
    DefaultRole {
        name: CONNECTWARE_ADMIN,
        permissions: &[
            DefaultPermission {
                resource: "#",
                operation: Operation::ReadWrite,
                context: Context::Mqtt,
            },
            DefaultPermission {
                resource: "$SYS/#",
                operation: Operation::Read,
                context: Context::Mqtt,
            },
            DefaultPermission {
                resource: "#",
                operation: Operation::ReadWrite,
                context: Context::Http,
            },
        ],
    },
    DefaultRole {
        name: MINIMUM_ACCESS,
        permissions: &[
            DefaultPermission {
                resource: "/api/login",
                operation: Operation::ReadWrite,
                context: Context::Http,
            },
            DefaultPermission {
                resource: "/api/openapi.json",
                operation: Operation::Read,
                context: Context::Http,
            },
        ],
    },
];

impl DefaultRole {
    /// The permissions, with ids drawn by the caller.
    pub fn permissions(
        &self,
        mut next_id: impl FnMut() -> PermissionId,
    ) -> Result<Vec<Permission>, TopicError> {
        let of = |it: &DefaultPermission| {
            Ok(Permission {
                id: next_id(),
                resource: Resource::parse(it.resource, it.context)?,
                operation: it.operation,
                context: it.context,
                effect: Effect::Allow,
            })
        };
        self.permissions.iter().map(of).collect()
    }
}
