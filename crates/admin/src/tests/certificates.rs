//! Logging in by certificate, and by both.

use super::{House, cheap};
use crate::{
    AuthenticationMode, Caller, LoginAttempt, LoginRefused, PeerAddress, ProvenCertificate,
    Settings,
};
use AuthenticationMode::{Either, MutualTls};

/// What a login came to, as its code shows it.
#[derive(Debug, PartialEq)]
enum Outcome {
    In(&'static str),
    BadCredentials,
    NotAuthorized,
}
use Outcome::{BadCredentials, In, NotAuthorized};

async fn house(authentication: AuthenticationMode) -> House {
    let house = House::new(Settings { authentication, ..cheap() }).await;
    for json in [
        r#"{"username":"cert-only"}"#,
        r#"{"username":"password-only","password":"some-password"}"#,
        r#"{"username":"one-of-both","password":"some-password","grantTypes":
            [{"method":"password"},{"method":"certificate"}]}"#,
        r#"{"username":"needs-both","password":"some-password","grantTypes":
            [{"method":"password","isRequired":true},{"method":"certificate","isRequired":true}]}"#,
        r#"{"username":"needs-password","password":"some-password","grantTypes":
            [{"method":"password","isRequired":true},{"method":"certificate"}]}"#,
        r#"{"username":"needs-cert","password":"some-password","grantTypes":
            [{"method":"password"},{"method":"certificate","isRequired":true}]}"#,
        r#"{"username":"disabled","enabled":false}"#,
    ] {
        let new = serde_json::from_str(json).unwrap();
        house.admin.create_user(&Caller::LocalOwner, new).await.unwrap();
    }
    house
}

async fn check(
    house: &House,
    common_names: Option<&[&[u8]]>,
    username: Option<&str>,
    password: Option<&str>,
    expected: Outcome,
) {
    let certificate = common_names.map(|names| ProvenCertificate {
        common_names: names.iter().map(|name| name.to_vec()).collect(),
        fingerprint: [7; 32],
    });
    let attempt = LoginAttempt {
        username,
        password: password.map(str::as_bytes),
        certificate,
        peer: PeerAddress::Local,
    };
    let is_expected = match (house.admin.login(attempt).await, &expected) {
        (Ok(proven), In(name)) => proven.name().as_str() == *name,
        (Err(LoginRefused::BadCredentials(_)), BadCredentials)
        | (Err(LoginRefused::NotAuthorized(_)), NotAuthorized) => true,
        _ => false,
    };
    assert!(is_expected, "{common_names:?} {username:?} {password:?}: not {expected:?}");
}

#[tokio::test]
async fn the_common_name_must_be_one_and_equal_a_users_name_byte_for_byte() {
    for mode in [MutualTls, Either] {
        let house = house(mode).await;
        let check = |names: &'static [&'static [u8]], expected| {
            check(&house, Some(names), None, None, expected)
        };
        check(&[b"cert-only"], In("cert-only")).await;
        check(&[b"one-of-both"], In("one-of-both")).await;
        check(&[b"needs-cert"], In("needs-cert")).await;
        check(&[], NotAuthorized).await;
        check(&[b"cert-only", b"cert-only"], NotAuthorized).await;
        check(&[b"cert-only", b"admin"], NotAuthorized).await;
        check(&[b"Cert-only"], NotAuthorized).await;
        check(&[b"cert-only "], NotAuthorized).await;
        check(&[b"cert-only\0"], NotAuthorized).await;
        check(&[b""], NotAuthorized).await;
        check(&[b"\xff\xfe"], NotAuthorized).await;
        check(&[b"#"], NotAuthorized).await;
        check(&[b"nobody"], NotAuthorized).await;
        check(&[b"disabled"], NotAuthorized).await;
        check(&[b"password-only"], NotAuthorized).await;
    }
}

#[tokio::test]
async fn name_and_password_beside_a_certificate_count_only_where_they_are_required() {
    for mode in [MutualTls, Either] {
        let house = house(mode).await;
        let check = |name: &'static str, username, password, expected| {
            let house = &house;
            async move { check(house, Some(&[name.as_bytes()]), username, password, expected).await }
        };
        check("cert-only", Some("admin"), Some("admin-password"), In("cert-only")).await;
        check("cert-only", Some("admin"), Some("wrong"), In("cert-only")).await;
        check("one-of-both", Some("one-of-both"), Some("wrong"), In("one-of-both")).await;
        for name in ["needs-both", "needs-password"] {
            check(name, None, None, BadCredentials).await;
            check(name, Some(name), None, BadCredentials).await;
            check(name, Some(name), Some(""), BadCredentials).await;
            check(name, Some(name), Some("wrong-password"), BadCredentials).await;
            check(name, Some("admin"), Some("admin-password"), BadCredentials).await;
            check(name, None, Some("some-password"), BadCredentials).await;
            check(name, Some(name), Some("some-password"), In(name)).await;
        }
    }
}

#[tokio::test]
async fn a_password_refused_for_want_of_a_certificate_is_right_beside_one() {
    let house = house(Either).await;
    let (name, right) = ("needs-both", Some("some-password"));
    check(&house, None, Some(name), right, BadCredentials).await;
    check(&house, Some(&[name.as_bytes()]), Some(name), right, In(name)).await;
}

#[tokio::test]
async fn without_a_certificate_only_either_takes_a_password_alone() {
    let either = house(Either).await;
    let mutual = house(MutualTls).await;
    let right = Some("some-password");
    let cases = [
        ("password-only", In("password-only")),
        ("one-of-both", In("one-of-both")),
        ("needs-password", In("needs-password")),
        ("needs-both", BadCredentials),
        ("needs-cert", BadCredentials),
        ("cert-only", BadCredentials),
        ("nobody", BadCredentials),
    ];
    for (name, expected) in cases {
        check(&either, None, Some(name), right, expected).await;
        check(&mutual, None, Some(name), right, NotAuthorized).await;
    }
}

#[tokio::test]
async fn in_password_mode_a_certificate_proves_nothing() {
    let house = house(AuthenticationMode::Password).await;
    check(&house, Some(&[b"cert-only"]), None, None, BadCredentials).await;
    let (name, right) = ("needs-cert", Some("some-password"));
    check(&house, Some(&[b"needs-cert"]), Some(name), right, BadCredentials).await;
    let name = "password-only";
    check(&house, Some(&[b"cert-only"]), Some(name), right, In(name)).await;
}
