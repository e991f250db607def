//! Users under administration, the index of permissions, and `explain`.

use super::{House, allow, cheap, new_user};
use crate::model::{
    EffectModel, ExplainQuery, NewUser, OperationModel, OwnerType, PageRequest, UserFilter,
    UserPatch, UserView,
};
use crate::{AdminError, Caller, HashPoolLimits, Kind, Settings};

const OWNER: Caller = Caller::LocalOwner;

fn patch(json: &str) -> UserPatch {
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn a_user_is_shown_as_it_was_made_and_without_its_secret() {
    let house = House::new(cheap()).await;
    let new: NewUser = serde_json::from_str(
        r#"{"username":"bob","password":"bobs-password","mqttPublishPrefix":"p/",
            "roles":["minimum-access"],"permissions":[{"resource":"a/+","operation":"readWrite"}]}"#,
    )
    .unwrap();
    let made = house.admin.create_user(&OWNER, new).await.unwrap();
    assert_eq!(house.admin.show_user(&OWNER, "bob").unwrap(), made);
    assert_eq!(house.admin.show_user(&OWNER, &made.id.to_string()).unwrap(), made);
    let json = serde_json::to_value(&made).unwrap();
    assert_eq!(json["username"], "bob");
    assert_eq!(json["identityProvider"], "local");
    assert_eq!(json["grantTypes"][0]["method"], "password");
    assert_eq!(json["grantTypes"][0]["isRequired"], false);
    assert_eq!(json["mqttPublishPrefix"], "p/");
    assert_eq!(json["permissions"][0]["operation"], "readWrite");
    assert_eq!(json["permissions"][0]["context"], "mqtt");
    assert_eq!(json["permissions"][0]["effect"], "allow");
    assert_eq!(json["enabled"], true);
    assert_eq!(json["createdAt"], "2026-11-23T02:03:02.123Z");
    let text = format!("{made:?} {json}");
    assert!(!text.contains("bobs-password") && !text.contains("argon2"), "flaw 31: {text}");
}

#[tokio::test]
async fn flaw_31_what_holds_a_secret_does_not_print_it() {
    let new = new_user("bob", "bobs-password");
    let change = super::first("bobs-password");
    let settings = cheap();
    let text = format!("{new:?} {change:?} {settings:?}");
    assert!(!text.contains("bobs-password") && !text.contains("admin-password"), "{text}");
}

#[tokio::test]
async fn what_is_wrong_with_a_new_user_is_named() {
    let house = House::with_alice().await;
    let check = async |json: &str, field: &str| {
        let new: NewUser = serde_json::from_str(json).unwrap();
        let refused = house.admin.create_user(&OWNER, new).await.unwrap_err();
        let named = match &refused {
            AdminError::Invalid { field, .. } => field.as_str(),
            AdminError::Duplicate { kind: Kind::User, field, .. } => field,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(named, field, "{json}");
    };
    check(r#"{"username":"al"}"#, "username").await;
    check(r#"{"username":"a+b"}"#, "username").await;
    check(r#"{"username":"alice"}"#, "username").await;
    check(r#"{"username":"bob","password":"short"}"#, "password").await;
    check(r#"{"username":"bob","mqttPublishPrefix":"a/#"}"#, "mqttPublishPrefix").await;
    check(r#"{"username":"bob","mqttPublishPrefix":"$SYS/"}"#, "mqttPublishPrefix").await;
    check(r#"{"username":"bob","roles":["minimum-access","nothing"]}"#, "roles[1]").await;
    check(r#"{"username":"bob","grantTypes":[]}"#, "grantTypes").await;
    let twice = r#"{"username":"bob","grantTypes":[{"method":"password"},
        {"method":"password","isRequired":true}]}"#;
    check(twice, "grantTypes[1].method").await;
    let useless = r#"{"username":"bob","password":"some-password",
        "grantTypes":[{"method":"certificate"}]}"#;
    check(useless, "password").await;
    let bad = r#"{"username":"bob","permissions":[{"resource":"a","operation":"read"},
        {"resource":"b","operation":"read"},{"resource":"c/#/d","operation":"read"}]}"#;
    check(bad, "permissions[2].resource").await;
    assert!(house.admin.show_user(&OWNER, "bob").is_err());
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let house = House::with_alice().await;
    let before = house.admin.show_user(&OWNER, "alice").unwrap();
    let check = async |json: &str, version: u64, expect: &dyn Fn(&mut UserView)| {
        let mut expected = house.admin.show_user(&OWNER, "alice").unwrap();
        expect(&mut expected);
        expected.version = version;
        let shown = house.admin.update_user(&OWNER, "alice", patch(json), None).await.unwrap();
        assert_eq!(shown, expected, "{json}");
        assert_eq!(house.admin.show_user(&OWNER, "alice").unwrap(), expected);
    };
    check("{}", 1, &|_| {}).await;
    check(r#"{"enabled":true}"#, 1, &|_| {}).await;
    let prefixed = |user: &mut UserView| user.mqtt_publish_prefix = Some("a/".to_owned());
    check(r#"{"mqttPublishPrefix":"a/"}"#, 2, &prefixed).await;
    check(r#"{"enabled":false}"#, 3, &|user| user.enabled = false).await;
    check(r#"{"mqttPublishPrefix":null,"enabled":true}"#, 4, &|user| {
        (user.mqtt_publish_prefix, user.enabled) = (None, true);
    })
    .await;
    assert_eq!(house.admin.show_user(&OWNER, "alice").unwrap().passwords, before.passwords);
}

#[tokio::test]
async fn a_list_of_permissions_given_back_with_one_more_keeps_the_ids() {
    let house = House::with_alice().await;
    let list = vec![allow("read", "a/#"), allow("write", "b")];
    let given = UserPatch { permissions: Some(list), ..UserPatch::default() };
    let first = house.admin.update_user(&OWNER, "alice", given, None).await.unwrap();
    let mut list: Vec<_> = first
        .permissions
        .iter()
        .map(|shown| serde_json::from_value(serde_json::to_value(shown).unwrap()).unwrap())
        .collect();
    list.push(allow("read", "c"));
    let given = UserPatch { permissions: Some(list), ..UserPatch::default() };
    let second = house.admin.update_user(&OWNER, "alice", given, Some(2)).await.unwrap();
    assert_eq!(second.permissions[..2], first.permissions[..]);
    assert_eq!(second.permissions.len(), 3);
}

#[tokio::test]
async fn of_two_who_saw_the_same_version_only_one_changes_it() {
    let house = House::with_alice().await;
    let change = |json| house.admin.update_user(&OWNER, "alice", patch(json), Some(1));
    let (a, b) = tokio::join!(
        change(r#"{"mqttPublishPrefix":"a/"}"#),
        change(r#"{"mqttPublishPrefix":"b/"}"#)
    );
    let stale = [a, b].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(stale[..], [AdminError::Stale { version: 2, .. }]), "{stale:?}");
    let removed = house.admin.remove_user(&OWNER, "alice", Some(1)).await;
    assert!(matches!(removed, Err(AdminError::Stale { .. })));
    house.admin.remove_user(&OWNER, "alice", Some(2)).await.unwrap();
    let gone = house.admin.remove_user(&OWNER, "alice", None).await;
    assert!(matches!(gone, Err(AdminError::NotFound { kind: Kind::User, .. })));
}

#[tokio::test]
async fn of_two_who_make_the_same_user_only_one_does() {
    let house = House::new(cheap()).await;
    let make = || house.admin.create_user(&OWNER, new_user("bob", "bobs-password"));
    let (a, b) = tokio::join!(make(), make());
    let refused = [a, b].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(refused[..], [AdminError::Duplicate { .. }]), "{refused:?}");
}

#[tokio::test]
async fn users_are_listed_by_name_in_pages() {
    let house = House::with_alice().await;
    for name in ["zoe", "Bert", "carl"] {
        let new = serde_json::from_value(serde_json::json!({ "username": name })).unwrap();
        house.admin.create_user(&OWNER, new).await.unwrap();
    }
    let list = |username: Option<&str>, page_number, rows_per_page| {
        let filter = UserFilter { username: username.map(str::to_owned) };
        let page = PageRequest { page_number, rows_per_page };
        let page = house.admin.list_users(&OWNER, &filter, page)?;
        let names: Vec<_> = page.items.into_iter().map(|user| user.username).collect();
        Ok::<_, AdminError>((page.total, names.join(" ")))
    };
    let check = |username, page, rows, total, names: &str| {
        assert_eq!(list(username, page, rows).unwrap(), (total, names.to_owned()));
    };
    check(None, 1, 100, 5, "Bert admin alice carl zoe");
    check(None, 2, 2, 5, "alice carl");
    check(None, 3, 2, 5, "zoe");
    check(None, 4, 2, 5, "");
    check(None, u32::MAX, 100, 5, "");
    check(Some("carl"), 1, 50, 1, "carl");
    check(Some("Carl"), 1, 50, 0, "");
    for (page, rows, field) in
        [(0, 50, "pageNumber"), (1, 0, "rowsPerPage"), (1, 101, "rowsPerPage")]
    {
        let refused = list(None, page, rows).unwrap_err();
        assert!(matches!(refused, AdminError::Invalid { field: named, .. } if named == field));
    }
}

#[tokio::test]
async fn the_index_tells_who_has_which_permission() {
    let house = House::with_alice().await;
    let own = r##"{"permissions":[{"resource":"a/#","operation":"read"},
        {"resource":"#","operation":"readWrite"}]}"##;
    house.patch("alice", own).await;
    house.add("bob", "bobs-password").await;
    house.patch("bob", r#"{"permissions":[{"resource":"a/#","operation":"read"}]}"#).await;
    let page = PageRequest { page_number: 1, rows_per_page: 100 };
    let index = house.admin.permissions(&OWNER, page).unwrap();
    let shown: Vec<String> = index
        .items
        .iter()
        .map(|entry| {
            let names = |owners: &[crate::model::OwnerRef]| {
                owners.iter().map(|owner| owner.name.clone()).collect::<Vec<_>>().join("+")
            };
            format!(
                "{:?} {} {:?}: {} / {}",
                entry.context,
                entry.resource,
                entry.operation,
                names(&entry.users),
                names(&entry.roles)
            )
        })
        .collect();
    let expected = [
        "Mqtt # ReadWrite: alice / connectware-admin",
        "Mqtt $SYS/# Read:  / connectware-admin",
        "Mqtt a/# Read: alice+bob / ",
        "Http # ReadWrite:  / connectware-admin",
        "Http /api/login ReadWrite:  / minimum-access",
        "Http /api/openapi.json Read:  / minimum-access",
    ];
    assert_eq!(shown, expected);
    assert_eq!(index.total, 6);
}

#[tokio::test]
async fn explain_tells_the_decision_and_its_rules() {
    let house = House::with_alice().await;
    house
        .patch(
            "alice",
            r#"{"mqttPublishPrefix":"p/","roles":["minimum-access"],"permissions":[
                {"resource":"p/${clientId}/#","operation":"write"},
                {"resource":"a/#","operation":"read"},
                {"resource":"a/secret","operation":"read","effect":"deny"}]}"#,
        )
        .await;
    let check = |operation, resource: &str, decision, effective: &str, because: &[&str]| {
        let query = ExplainQuery {
            user: "alice".to_owned(),
            operation,
            resource: resource.to_owned(),
            client_id: Some("c1".to_owned()),
        };
        let answer = house.admin.explain(&OWNER, &query).unwrap();
        assert_eq!(answer.decision, decision, "{resource}: {answer:?}");
        assert_eq!(answer.effective_resource, effective);
        let rules: Vec<_> = answer.because.iter().map(|rule| rule.resource.as_str()).collect();
        assert_eq!(rules, because, "{resource}");
        for rule in &answer.because {
            assert_eq!((rule.owner_type, rule.owner.as_str()), (OwnerType::User, "alice"));
        }
    };
    use EffectModel::{Allow, Deny};
    use OperationModel::{Read, ReadWrite, Write};
    check(Write, "c1/x", Allow, "p/c1/x", &["p/${clientId}/#"]);
    check(Write, "c2/x", Deny, "p/c2/x", &[]);
    check(Write, "a/+", Deny, "a/+", &[]);
    check(Read, "a/b", Allow, "a/b", &["a/#"]);
    check(Read, "$share/g/a/b", Allow, "a/b", &["a/#"]);
    check(Read, "a/secret", Deny, "a/secret", &["a/secret"]);
    check(Read, "a/#", Allow, "a/#", &["a/#", "a/secret"]);
    check(Read, "#", Deny, "#", &[]);
    check(Read, "a/#/b", Deny, "a/#/b", &[]);
    check(ReadWrite, "a/b", Deny, "p/a/b", &[]);
    house.patch("alice", r#"{"enabled":false}"#).await;
    check(Read, "a/b", Deny, "a/b", &[]);
    let query = ExplainQuery {
        user: "nobody".to_owned(),
        operation: Read,
        resource: "a".to_owned(),
        client_id: None,
    };
    assert!(matches!(house.admin.explain(&OWNER, &query), Err(AdminError::NotFound { .. })));
}

#[tokio::test]
async fn a_new_password_is_busy_when_the_pool_is_full_and_nothing_is_made() {
    let hash_pool = HashPoolLimits { queue_max: 1, ..cheap().hash_pool };
    let house = House::new(Settings { hash_pool, ..cheap() }).await;
    let guard = house.block_pool();
    let admin = house.admin.clone();
    let waits =
        tokio::spawn(async move { super::login(&admin, Some("admin"), Some(b"guess")).await });
    while house.admin.hashes_waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let made = house.admin.create_user(&OWNER, new_user("bob", "bobs-password")).await;
    drop(guard);
    assert!(waits.await.unwrap().is_err());
    assert!(matches!(made, Err(AdminError::Busy)), "{made:?}");
    assert!(house.admin.show_user(&OWNER, "bob").is_err());
}
