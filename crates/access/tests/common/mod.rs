//! What the tests of this crate share: rules, roles and users from short texts.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use access::{
    Context, GrantTypes, Permission, PermissionId, Policy, Resource, Rights, Role, RoleId,
    RoleName, User, UserId, UserName,
};
use uuid::Uuid;

/// The user of the tests.
pub const ANNA: UserId = UserId(Uuid::from_u128(1));

/// `allow read a/#` or `deny http:write /api/x`.
pub fn permission(number: usize, rule: &str) -> Permission {
    let mut words = rule.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("incomplete rule {rule:?}"));
    let (effect, operation, resource) = (word(), word(), word());
    let (context, operation) = match operation.strip_prefix("http:") {
        Some(operation) => (Context::Http, operation),
        None => (Context::Mqtt, operation),
    };
    Permission {
        id: PermissionId(Uuid::from_u128(u128::try_from(number).unwrap())),
        resource: Resource::parse(resource, context).unwrap(),
        operation: operation.parse().unwrap(),
        context,
        effect: effect.parse().unwrap(),
    }
}

pub fn permissions(rules: &[&str]) -> Vec<Permission> {
    rules.iter().enumerate().map(|(number, rule)| permission(number, rule)).collect()
}

pub fn role(number: u128, permissions: Vec<Permission>) -> Role {
    let name = RoleName::parse(&format!("role-{number}")).unwrap();
    Role {
        id: RoleId(Uuid::from_u128(number)),
        name,
        permissions,
        publish_budget: access::PublishBudget::default(),
    }
}

/// Anna, with her own permissions and these roles.
pub fn anna(roles: &[u128], permissions: Vec<Permission>) -> User {
    User {
        id: ANNA,
        name: UserName::parse("anna").unwrap(),
        grants: GrantTypes::PASSWORD,
        publish_prefix: None,
        roles: roles.iter().map(|number| RoleId(Uuid::from_u128(*number))).collect(),
        permissions,
        enabled: true,
        publish_budget: access::PublishBudget::default(),
        credential_epoch: 7,
    }
}

/// Anna's rights with the client id `c1`, by her own rules alone.
pub fn rights(rules: &[&str]) -> Rights {
    rights_as(rules, "c1")
}

/// Anna's rights with a client id, by her own rules alone.
pub fn rights_as(rules: &[&str], client_id: &str) -> Rights {
    Policy::compile([anna(&[], permissions(rules))], []).rights(ANNA, client_id).unwrap()
}
