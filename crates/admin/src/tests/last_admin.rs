//! There is always an enabled administrator who can log in, once there is one.

use super::{House, cheap};
use crate::{AdminError, Caller, RoleRemoval, Settings};

async fn refused(house: &House, name: &str, json: &str) {
    let patch = serde_json::from_str(json).unwrap();
    let refused = house.admin.update_user(&Caller::LocalOwner, name, patch, None).await;
    assert!(matches!(refused, Err(AdminError::LastAdministrator)), "{json}: {refused:?}");
}

async fn add(house: &House, json: &str) {
    let new = serde_json::from_str(json).unwrap();
    house.admin.create_user(&Caller::LocalOwner, new).await.unwrap();
}

#[tokio::test]
async fn the_last_administrator_cannot_be_removed_disabled_or_stripped() {
    let house = House::with_alice().await;
    let removed = house.admin.remove_user(&Caller::LocalOwner, "admin", None).await;
    assert!(matches!(removed, Err(AdminError::LastAdministrator)));
    refused(&house, "admin", r#"{"enabled":false}"#).await;
    refused(&house, "admin", r#"{"roles":[]}"#).await;
    refused(&house, "admin", r#"{"roles":["minimum-access"]}"#).await;
    let deny = r#"{"permissions":[{"resource":"/api/x","operation":"read","context":"http",
        "effect":"deny"}]}"#;
    refused(&house, "admin", deny).await;
    assert!(house.login("admin", "admin-password").await.is_ok());
    house.patch("admin", r#"{"mqttPublishPrefix":"a/"}"#).await;
}

#[tokio::test]
async fn one_who_cannot_log_in_or_lacks_a_right_is_no_other_administrator() {
    let house = House::with_alice().await;
    add(
        &house,
        r#"{"username":"off","password":"some-password","roles":["connectware-admin"],
        "enabled":false}"#,
    )
    .await;
    add(
        &house,
        r##"{"username":"reader","password":"some-password",
        "permissions":[{"resource":"#","operation":"read","context":"http"}]}"##,
    )
    .await;
    add(
        &house,
        r#"{"username":"part","password":"some-password",
        "permissions":[{"resource":"/api/#","operation":"readWrite","context":"http"}]}"#,
    )
    .await;
    add(
        &house,
        r##"{"username":"mqtt","password":"some-password",
        "permissions":[{"resource":"#","operation":"readWrite"}]}"##,
    )
    .await;
    refused(&house, "admin", r#"{"enabled":false}"#).await;
    add(
        &house,
        r#"{"username":"equal","password":"some-password",
        "permissions":[{"resource":"/#","operation":"readWrite","context":"http"}]}"#,
    )
    .await;
    house.patch("admin", r#"{"enabled":false}"#).await;
    refused(&house, "equal", r#"{"permissions":[]}"#).await;
    house.patch("off", r#"{"enabled":true}"#).await;
    house.patch("equal", r#"{"permissions":[]}"#).await;
    house.admin.remove_user(&Caller::LocalOwner, "equal", None).await.unwrap();
    refused(&house, "off", r#"{"roles":[]}"#).await;
}

#[tokio::test]
async fn a_role_that_makes_the_last_administrator_cannot_be_taken_away() {
    let house = House::new(Settings { first_admin: crate::FirstAdmin::None, ..cheap() }).await;
    let role = r##"{"name":"root","permissions":
        [{"resource":"#","operation":"readWrite","context":"http"}]}"##;
    let owner = Caller::LocalOwner;
    house.admin.create_role(&owner, serde_json::from_str(role).unwrap()).await.unwrap();
    add(&house, r#"{"username":"anna","password":"some-password","roles":["root"]}"#).await;
    let none = serde_json::from_str(r#"{"permissions":[]}"#).unwrap();
    let emptied = house.admin.update_role(&owner, "root", none, None).await;
    assert!(matches!(emptied, Err(AdminError::LastAdministrator)), "{emptied:?}");
    let removed = house.admin.remove_role(&owner, "root", None, RoleRemoval::Force).await;
    assert!(matches!(removed, Err(AdminError::LastAdministrator)), "{removed:?}");
    let house = house.restart(cheap()).await;
    refused(&house, "anna", r#"{"enabled":false}"#).await;
    add(&house, r#"{"username":"bert","password":"some-password","roles":["connectware-admin"]}"#)
        .await;
    house.admin.remove_role(&owner, "root", None, RoleRemoval::Force).await.unwrap();
    assert!(house.admin.show_user(&owner, "anna").unwrap().roles.is_empty());
    refused(&house, "bert", r#"{"enabled":false}"#).await;
}

#[tokio::test]
async fn one_who_cannot_log_in_over_http_is_not_the_administrator_that_is_left() {
    let house = House::with_alice().await;
    for (name, password, grants) in [
        ("by-certificate", "", r#"[{"method":"certificate"}]"#),
        ("no-password-yet", "", r#"[{"method":"password"}]"#),
        (
            "needs-both",
            r#""password":"some-password","#,
            r#"[{"method":"password"},{"method":"certificate","isRequired":true}]"#,
        ),
    ] {
        let new = format!(
            r#"{{"username":"{name}",{password}"grantTypes":{grants},
            "roles":["connectware-admin"]}}"#
        );
        add(&house, &new).await;
        refused(&house, "admin", r#"{"enabled":false}"#).await;
    }
    let removed = house.admin.remove_user(&Caller::LocalOwner, "admin", None).await;
    assert!(matches!(removed, Err(AdminError::LastAdministrator)));
    refused(&house, "admin", r#"{"roles":[]}"#).await;
    // The last one cannot give up its way in either.
    refused(&house, "admin", r#"{"grantTypes":[{"method":"certificate"}]}"#).await;
    let with_certificate = r#"{"grantTypes":[{"method":"password"},
        {"method":"certificate","isRequired":true}]}"#;
    refused(&house, "admin", with_certificate).await;
    house
        .patch("admin", r#"{"grantTypes":[{"method":"password"},{"method":"certificate"}]}"#)
        .await;
    // As soon as another one can log in, all of it may be.
    house.set_password("no-password-yet", "some-password").await;
    house.patch("admin", r#"{"grantTypes":[{"method":"certificate"}]}"#).await;
    refused(&house, "no-password-yet", r#"{"enabled":false}"#).await;
    let house = house.restart(cheap()).await;
    refused(&house, "no-password-yet", r#"{"enabled":false}"#).await;
}

#[tokio::test]
async fn where_nobody_can_log_in_over_http_the_last_enabled_administrator_is_still_kept() {
    let house = House::new(Settings { first_admin: crate::FirstAdmin::None, ..cheap() }).await;
    let by_certificate = |name: &str| {
        format!(
            r#"{{"username":"{name}","grantTypes":[{{"method":"certificate"}}],
            "roles":["connectware-admin"]}}"#
        )
    };
    add(&house, &by_certificate("anna")).await;
    refused(&house, "anna", r#"{"enabled":false}"#).await;
    add(&house, &by_certificate("bert")).await;
    house.patch("anna", r#"{"enabled":false}"#).await;
    refused(&house, "bert", r#"{"roles":[]}"#).await;
}
