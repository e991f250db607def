//! Performs permission checks against a store of a given size, to be counted under callgrind:
//!
//! ```text
//! permit_check PERMISSIONS CHECKS
//! ```
//!
//! Each check takes the user's rights from the policy, as after a change, and asks for a permit to
//! publish and one to subscribe. The user that asks has ten permissions in one role, however many
//! are in store. The instructions of one check are the difference between two runs with different
//! numbers of checks, divided by the difference of these numbers.

use access::{
    Context, Effect, GrantTypes, Operation, Permission, PermissionId, Policy, Resource, Role,
    RoleId, RoleName, User, UserId, UserName,
};
use std::error::Error;
use std::hint::black_box;
use topic::SubscriptionFilter;
use uuid::Uuid;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let permissions: u128 =
        arguments.next().ok_or("usage: permit_check PERMISSIONS CHECKS")?.parse()?;
    let checks: u64 = arguments.next().ok_or("usage: permit_check PERMISSIONS CHECKS")?.parse()?;
    let role_count = permissions.div_ceil(PERMISSIONS_PER_ROLE);
    let roles = (0..role_count).map(role).collect::<Result<Vec<_>, _>>()?;
    let users = (0..role_count).map(user).collect::<Result<Vec<_>, _>>()?;
    let policy = Policy::compile(users, roles);

    let filter = SubscriptionFilter::parse("plant/0/line-7/+/temperature")?;
    let mut granted = 0_u64;
    for _ in 0..checks {
        let rights = policy.rights(UserId(Uuid::from_u128(0)), "client-0").ok_or("no rights")?;
        let published = rights.permit_publish(black_box("plant/0/line-7/press-3/temperature"));
        let subscribed = rights.permit_subscribe(black_box(&filter));
        granted += u64::from(published.is_ok()) + u64::from(subscribed.is_ok());
    }
    println!(
        "{} permissions, {checks} checks, {granted} permits",
        role_count * PERMISSIONS_PER_ROLE
    );
    if granted == 2 * checks { Ok(()) } else { Err("a check was refused".into()) }
}

/// Nine rules that do not decide and one that does.
fn role(number: u128) -> Result<Role, Box<dyn Error>> {
    let permission = |line: u128| {
        Ok(Permission {
            id: PermissionId(Uuid::from_u128(number * PERMISSIONS_PER_ROLE + line)),
            resource: Resource::parse(&format!("plant/{number}/line-{line}/#"), Context::Mqtt)?,
            operation: Operation::ReadWrite,
            context: Context::Mqtt,
            effect: if line == 9 { Effect::Deny } else { Effect::Allow },
        })
    };
    Ok(Role {
        id: RoleId(Uuid::from_u128(number)),
        name: RoleName::parse(&format!("role-{number}"))?,
        permissions: (0..PERMISSIONS_PER_ROLE)
            .map(permission)
            .collect::<Result<_, Box<dyn Error>>>()?,
        publish_budget: access::PublishBudget::default(),
    })
}

fn user(number: u128) -> Result<User, Box<dyn Error>> {
    Ok(User {
        id: UserId(Uuid::from_u128(number)),
        name: UserName::parse(&format!("user-{number}"))?,
        grants: GrantTypes::PASSWORD,
        publish_prefix: None,
        roles: [RoleId(Uuid::from_u128(number))].into_iter().collect(),
        permissions: Vec::new(),
        enabled: true,
        publish_budget: access::PublishBudget::default(),
        credential_epoch: 0,
    })
}

const PERMISSIONS_PER_ROLE: u128 = 10;
