//! Lists of permissions: from what is asked for to what is kept, and who has which.

use std::collections::{BTreeMap, HashSet};

use access::{Permission, PermissionId, Resource};
use uuid::Uuid;

use crate::admin::Admin;
use crate::caller::Caller;
use crate::error::AdminError;
use crate::filled::tell_near;
use crate::hash::random;
use crate::model::{
    ContextModel, EffectModel, NewPermission, OperationModel, OwnerRef, Page, PageRequest,
    PermissionIndexEntry,
};
use crate::view;

impl Admin {
    /// Which users and roles have which permission, ordered by context, resource, operation and effect.
    ///
    /// # Errors
    /// If the page is none.
    pub fn permissions(
        &self,
        _caller: &Caller,
        page: PageRequest,
    ) -> Result<Page<PermissionIndexEntry>, AdminError> {
        // From the policy's snapshot: going through everybody must hold up nobody.
        let policy = self.shared.policy.load_full();
        let mut index: BTreeMap<_, (Vec<OwnerRef>, Vec<OwnerRef>)> = BTreeMap::new();
        for user in policy.users() {
            for permission in user.permissions() {
                let (users, _) = index.entry(key(permission)).or_default();
                users.push(owner(user.id().0, user.name().as_str()));
            }
        }
        for role in policy.roles() {
            for permission in role.permissions() {
                let (_, roles) = index.entry(key(permission)).or_default();
                roles.push(owner(role.id().0, role.name().as_str()));
            }
        }
        view::page(index.into_iter(), page, |((context, resource, operation, effect), owners)| {
            let (mut users, mut roles) = owners;
            for list in [&mut users, &mut roles] {
                list.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            }
            let resource = resource.to_owned();
            Some(PermissionIndexEntry { resource, operation, context, effect, users, roles })
        })
    }
}

type Key<'d> = (ContextModel, &'d str, OperationModel, EffectModel);

fn key(permission: &Permission) -> Key<'_> {
    let Permission { resource, operation, context, effect, .. } = permission;
    ((*context).into(), resource.as_str(), (*operation).into(), (*effect).into())
}

fn owner(id: Uuid, name: &str) -> OwnerRef {
    OwnerRef { id, name: name.to_owned() }
}

/// Parses a list of permissions. Of several that are the same the first is kept; an id must be one the owner has.
pub(crate) fn parse(
    asked: &[NewPermission],
    present: &[Permission],
    count_max: usize,
) -> Result<Vec<Permission>, AdminError> {
    if asked.len() > count_max {
        return Err(AdminError::invalid("permissions", format!("more than {count_max}")));
    }
    tell_near("users.permissions_per_owner_max", present.len(), asked.len(), count_max);
    let present_ids: HashSet<Uuid> = present.iter().map(|permission| permission.id.0).collect();
    let (mut ids, mut rules) = (HashSet::new(), HashSet::new());
    let mut parsed = Vec::with_capacity(asked.len());
    for (index, new) in asked.iter().enumerate() {
        let context = new.context.into();
        let resource = Resource::parse(&new.resource, context).map_err(|error| {
            AdminError::invalid(format!("permissions[{index}].resource"), error)
        })?;
        if !rules.insert((resource.clone(), new.operation, new.context, new.effect)) {
            continue;
        }
        let id = match new.id {
            None => new_uuid()?,
            Some(id) if present_ids.contains(&id) && ids.insert(id) => id,
            Some(_) => {
                let field = format!("permissions[{index}].id");
                return Err(AdminError::invalid(field, "is not an id of the present list"));
            }
        };
        let (operation, effect) = (new.operation.into(), new.effect.into());
        let id = PermissionId(id);
        parsed.push(Permission { id, resource, operation, context, effect });
    }
    Ok(parsed)
}

/// A random id.
pub(crate) fn new_uuid() -> Result<Uuid, AdminError> {
    Ok(uuid::Builder::from_random_bytes(random()?).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(resource: &str, context: ContextModel) -> NewPermission {
        let (operation, effect) = (OperationModel::Read, EffectModel::Allow);
        NewPermission { id: None, resource: resource.to_owned(), operation, context, effect }
    }

    #[test]
    fn a_bad_resource_is_named_by_its_place() {
        let good = new("plant/#", ContextModel::Mqtt);
        let check = |bad: NewPermission, field: &str| {
            let asked = [good.clone(), good.clone(), bad];
            let refused = parse(&asked, &[], 10).unwrap_err();
            assert!(matches!(&refused, AdminError::Invalid { field: named, .. } if named == field));
        };
        check(new("a/#/b", ContextModel::Mqtt), "permissions[2].resource");
        check(new("", ContextModel::Mqtt), "permissions[2].resource");
        check(new("a\0", ContextModel::Mqtt), "permissions[2].resource");
        check(new("", ContextModel::Http), "permissions[2].resource");
        let foreign =
            NewPermission { id: Some(Uuid::from_u128(1)), ..new("b", ContextModel::Mqtt) };
        check(foreign, "permissions[2].id");
        assert!(matches!(parse(&[good.clone(), good], &[], 1), Err(AdminError::Invalid { .. })));
    }

    #[test]
    fn a_list_that_is_given_back_keeps_its_ids_and_loses_repetitions() {
        let asked = [new("a", ContextModel::Mqtt), new("b", ContextModel::Mqtt)];
        let first = parse(&asked, &[], 10).unwrap();
        let back: Vec<_> = first
            .iter()
            .map(|permission| NewPermission {
                id: Some(permission.id.0),
                ..new(permission.resource.as_str(), ContextModel::Mqtt)
            })
            .chain([new("c", ContextModel::Mqtt), new("a", ContextModel::Mqtt)])
            .collect();
        let second = parse(&back, &first, 10).unwrap();
        assert_eq!(second.len(), 3);
        assert_eq!(second[..2], first[..]);
        let twice =
            [back[0].clone(), NewPermission { resource: "d".to_owned(), ..back[0].clone() }];
        assert!(parse(&twice, &first, 10).is_err(), "one id for two");
    }
}
