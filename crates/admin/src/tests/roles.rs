//! Roles under administration.

use super::House;
use crate::model::{NewRole, Page, PageRequest, RoleFilter, RolePatch, RoleView};
use crate::{AdminError, Caller, RoleRemoval};

const OWNER: Caller = Caller::LocalOwner;

async fn add(house: &House, json: &str) -> Result<RoleView, AdminError> {
    let new: NewRole = serde_json::from_str(json).unwrap();
    house.admin.create_role(&OWNER, new).await
}

fn patch(json: &str) -> RolePatch {
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn a_role_is_made_shown_changed_and_removed() {
    let house = House::with_alice().await;
    let made =
        add(&house, r#"{"name":"readers","permissions":[{"resource":"a/#","operation":"read"}]}"#);
    let made = made.await.unwrap();
    assert_eq!((made.version, made.built_in, made.permissions.len()), (1, false, 1));
    assert_eq!(house.admin.show_role(&OWNER, "readers").unwrap(), made);
    assert_eq!(house.admin.show_role(&OWNER, &made.id.to_string()).unwrap(), made);
    let renamed = patch(r#"{"name":"viewers"}"#);
    let changed = house.admin.update_role(&OWNER, "readers", renamed, Some(1)).await.unwrap();
    assert_eq!((changed.version, &*changed.name, changed.id), (2, "viewers", made.id));
    assert_eq!(changed.permissions, made.permissions);
    let gone = house.admin.show_role(&OWNER, "readers");
    assert!(matches!(gone, Err(AdminError::NotFound { .. })));
    let stale = house.admin.update_role(&OWNER, "viewers", patch("{}"), Some(1)).await;
    assert!(matches!(stale, Err(AdminError::Stale { version: 2, .. })), "{stale:?}");
    house.admin.remove_role(&OWNER, "viewers", Some(2), RoleRemoval::IfUnused).await.unwrap();
    assert!(house.admin.show_role(&OWNER, "viewers").is_err());
}

#[tokio::test]
async fn a_role_in_use_is_removed_by_force_only_and_then_from_everybody() {
    let house = House::with_alice().await;
    add(&house, r#"{"name":"readers","permissions":[{"resource":"a/#","operation":"read"}]}"#)
        .await
        .unwrap();
    house.patch("alice", r#"{"roles":["readers","minimum-access"]}"#).await;
    let refused = house.admin.remove_role(&OWNER, "readers", None, RoleRemoval::IfUnused).await;
    assert!(matches!(refused, Err(AdminError::InUse { users: 1, .. })), "{refused:?}");
    let id = house.admin.policy().load().user_by_name("alice").unwrap().id();
    let filter = topic::SubscriptionFilter::parse("a/b").unwrap();
    let may_read = || {
        let policy = house.admin.policy().load();
        policy.rights(id, "").unwrap().permit_subscribe(&filter).is_ok()
    };
    assert!(may_read());
    house.admin.remove_role(&OWNER, "readers", None, RoleRemoval::Force).await.unwrap();
    assert!(!may_read());
    assert_eq!(house.admin.show_user(&OWNER, "alice").unwrap().roles.len(), 1);
}

#[tokio::test]
async fn the_built_in_roles_are_there_and_stay_as_they_are() {
    let house = House::with_alice().await;
    for name in ["connectware-admin", "minimum-access"] {
        assert!(house.admin.show_role(&OWNER, name).unwrap().built_in);
        let changed = house.admin.update_role(&OWNER, name, patch("{}"), None).await;
        assert!(matches!(changed, Err(AdminError::BuiltIn { .. })), "{changed:?}");
        let removed = house.admin.remove_role(&OWNER, name, None, RoleRemoval::Force).await;
        assert!(matches!(removed, Err(AdminError::BuiltIn { .. })), "{removed:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_role_is_named() {
    let house = House::with_alice().await;
    let check = async |json: &str, field: &str| {
        let refused = add(&house, json).await.unwrap_err();
        let named = match &refused {
            AdminError::Invalid { field, .. } => field.as_str(),
            AdminError::Duplicate { field, .. } => field,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(named, field, "{json}");
    };
    check(r#"{"name":""}"#, "name").await;
    check(r#"{"name":"a/b"}"#, "name").await;
    check(r#"{"name":"minimum-access"}"#, "name").await;
    let bad = r#"{"name":"abc","permissions":[{"resource":"a/#/b","operation":"read"}]}"#;
    check(bad, "permissions[0].resource").await;
    assert!(house.admin.show_role(&OWNER, "abc").is_err());
}

#[tokio::test]
async fn roles_are_listed_by_name_in_pages() {
    let house = House::with_alice().await;
    for number in 0..5 {
        add(&house, &format!(r#"{{"name":"role-{number}"}}"#)).await.unwrap();
    }
    let list = |page_number, rows_per_page| -> Page<RoleView> {
        let page = PageRequest { page_number, rows_per_page };
        house.admin.list_roles(&OWNER, &RoleFilter::default(), page).unwrap()
    };
    let names = |page: Page<RoleView>| -> Vec<String> {
        page.items.into_iter().map(|role| role.name).collect()
    };
    assert_eq!(list(1, 3).total, 7);
    assert_eq!(names(list(1, 3)), ["connectware-admin", "minimum-access", "role-0"]);
    assert_eq!(names(list(3, 3)), ["role-4"]);
    assert!(names(list(4, 3)).is_empty());
    let filter = RoleFilter { name: Some("role-3".to_owned()) };
    let found = house.admin.list_roles(&OWNER, &filter, PageRequest::default()).unwrap();
    assert_eq!((found.total, names(found)), (1, vec!["role-3".to_owned()]));
}
