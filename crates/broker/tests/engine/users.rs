//! Users as the tests write them down.

use access::{
    Context, GrantTypes, Permission, PermissionId, PublishPrefix, Resource, User, UserId, UserName,
};
use uuid::Uuid;

/// A user with rules like `allow read a/#`. The same name has the same id.
pub(crate) fn user(name: &str, rules: &[&str]) -> User {
    let id = name.bytes().fold(1u128, |id, byte| id * 257 + u128::from(byte));
    let permission = |(number, rule): (usize, &&str)| {
        let mut words = rule.splitn(3, ' ');
        let mut word = || words.next().unwrap();
        let (effect, operation, resource) = (word(), word(), word());
        Permission {
            id: PermissionId(Uuid::from_u128(id * 1000 + u128::try_from(number).unwrap())),
            resource: Resource::parse(resource, Context::Mqtt).unwrap(),
            operation: operation.parse().unwrap(),
            context: Context::Mqtt,
            effect: effect.parse().unwrap(),
        }
    };
    User {
        id: UserId(Uuid::from_u128(id)),
        name: UserName::parse(name).unwrap(),
        grants: GrantTypes::PASSWORD,
        publish_prefix: None,
        roles: access::RoleIds::new(),
        permissions: rules.iter().enumerate().map(permission).collect(),
        enabled: true,
        publish_budget: access::PublishBudget::default(),
        credential_epoch: 1,
    }
}

pub(crate) fn prefixed(name: &str, prefix: &str, rules: &[&str]) -> User {
    User { publish_prefix: Some(PublishPrefix::parse(prefix).unwrap()), ..user(name, rules) }
}
