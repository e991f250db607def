//! Users, roles and permissions: a request goes in, a permit or a reason comes out.
//!
//! A [`Policy`] is an immutable compiled snapshot of who there is and what they may do.
//! [`Policy::rights`] gives the [`Rights`] of one user and client id, and these give permits:
//! values that cannot be made in any other way, so that a forgotten check does not compile.
//! [`Rights::explain`] answers the same questions with the rules that decided, by the same code.
//!
//! Invariants: the default is no; a deny beats any allow; order never matters; an error denies. A
//! check costs what the levels of the topic and the number of the user's roles make it, never what
//! is in store.

mod authenticated;
mod budget;
mod coverage;
mod decide;
mod defaults;
mod explanation;
mod grants;
mod ids;
mod index;
mod names;
mod permission;
mod permit;
mod policy;
mod resource;
mod rights;
mod rules;

pub use authenticated::{Authenticated, Lapse, Proof, SecondPassword};
pub use budget::{BudgetError, PublishBudget, Rate};
pub use coverage::{Grantor, Recipient};
pub use defaults::{
    CONNECTWARE_ADMIN, DEFAULT_ROLES, DefaultPermission, DefaultRole, MINIMUM_ACCESS,
};
pub use explanation::{Because, Decision, Explanation, Owner, Request};
pub use grants::{AuthMethod, Grant, GrantTypes, ProvenMethods};
pub use ids::{PermissionId, RoleId, UserId};
pub use names::{NameError, PrefixError, PublishPrefix, RoleName, UserName};
pub use permission::{Context, Effect, Operation, Permission, Role, RoleIds, UnknownWord, User};
pub use permit::{Denial, HttpPermit, PublishPermit, SubscribePermit};
pub use policy::{CompiledRole, CompiledUser, Policy, PolicyChange};
pub use resource::Resource;
pub use rights::Rights;
