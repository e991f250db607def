//! Compiles a policy and changes it, to be measured from outside:
//!
//! ```text
//! policy_size USERS ROLES CHANGES
//! ```
//!
//! Each user has two of the roles and no permissions of its own; each role has ten permissions.
//! Prints the resident memory after the policy is compiled and after the changes (each puts another
//! user, as a snapshot of its own). The time of one change is the difference between two runs.

use access::{
    Context, Effect, GrantTypes, Operation, Permission, PermissionId, Policy, PolicyChange,
    Resource, Role, RoleId, RoleName, User, UserId, UserName,
};
use std::error::Error;
use uuid::Uuid;

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u128>());
    let mut next = || numbers.next().ok_or("usage: policy_size USERS ROLES CHANGES");
    let (users, roles, changes) = (next()??, next()??, next()??);

    // One role and user at a time, so that what is measured is the policy and not its sources.
    let mut policy = Policy::compile(
        (0..users).map_while(|number| user(number, roles).ok()),
        (0..roles).map_while(|number| role(number).ok()),
    );
    println!("{} users, {} MiB resident", policy.user_count(), resident_mib()?);
    for number in 0..changes {
        policy = policy.apply([PolicyChange::PutUser(user(number * 7_919 % users, roles)?)]);
    }
    println!("generation {}, {} MiB resident", policy.generation(), resident_mib()?);
    Ok(())
}

fn role(number: u128) -> Result<Role, Box<dyn Error>> {
    let permission = |line: u128| {
        Ok(Permission {
            id: PermissionId(Uuid::from_u128(number * 10 + line)),
            resource: Resource::parse(&format!("plant/{number}/line-{line}/#"), Context::Mqtt)?,
            operation: Operation::ReadWrite,
            context: Context::Mqtt,
            effect: Effect::Allow,
        })
    };
    Ok(Role {
        id: RoleId(Uuid::from_u128(number)),
        name: RoleName::parse(&format!("role-{number}"))?,
        permissions: (0..10).map(permission).collect::<Result<_, Box<dyn Error>>>()?,
        publish_budget: access::PublishBudget::default(),
    })
}

fn user(number: u128, roles: u128) -> Result<User, Box<dyn Error>> {
    let role_of = |number: u128| RoleId(Uuid::from_u128(number % roles.max(1)));
    Ok(User {
        id: UserId(Uuid::from_u128(number)),
        name: UserName::parse(&format!("machine-{number:08}"))?,
        grants: GrantTypes::PASSWORD,
        publish_prefix: None,
        roles: [role_of(number), role_of(number / 3)].into_iter().collect(),
        permissions: Vec::new(),
        enabled: true,
        publish_budget: access::PublishBudget::default(),
        credential_epoch: 0,
    })
}

fn resident_mib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib / 1024)
}
