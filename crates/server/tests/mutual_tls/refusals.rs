//! Who is refused, and in which words.

use rcgen::ExtendedKeyUsagePurpose;
use rustls::AlertDescription;
use testkit::{Version, login};

use crate::certificates::{Ca, Client, Leaf, now_s};
use crate::link::Outcome;
use crate::scene::Scene;

/// Both versions get the code that the table has for them; the log names the reason.
#[track_caller]
fn check(scene: &Scene, client: &Client, v311: u8, v5: u8, logged: &[&str]) {
    for (version, code) in [(Version::V311, v311), (Version::V5, v5)] {
        let outcome = scene.outcome(Some(client), &login(version, "c"));
        assert_eq!(outcome, Outcome::Connack(code), "{logged:?}");
    }
    scene.has_logged(logged);
}

#[test]
fn a_certificate_is_the_user_of_its_common_name() {
    let scene = Scene::start("mutual-tls");
    scene.add_user("press-7", &["certificate"]);
    check(&scene, &scene.ca.client("press-7"), 0, 0, &["client connected", "press-7"]);
    // User name and password of CONNECT are ignored.
    let named = login(Version::V5, "c").user("somebody", "else");
    let outcome = scene.outcome(Some(&scene.ca.client("press-7")), &named);
    assert_eq!(outcome, Outcome::Connack(0));
    let below = scene.ca.intermediate("Test Intermediate").client("press-7");
    check(&scene, &below, 0, 0, &["client connected", "press-7"]);
}

#[test]
fn flaws_5_and_6_a_certificate_that_names_no_user_with_the_grant_is_not_authorized() {
    let scene = Scene::start("mutual-tls");
    scene.add_user("press-7", &["certificate"]);
    scene.add_user("by-password", &["password"]);
    let disabled = scene.add_user("disabled", &["certificate"]);
    scene.patch(&disabled, &serde_json::json!({"enabled": false}));
    for name in [
        "nobody",
        "Press-7",
        "PRESS-7",
        "press-7 ",
        "#",
        "+",
        "press-7\u{301}",
        "by-password",
        "disabled",
    ] {
        check(&scene, &scene.ca.client(name), 5, 0x87, &["login refused", "0x87"]);
    }
    let two = scene.ca.sign(&Leaf::named(&["press-7", "press-7"]));
    check(&scene, &two, 5, 0x87, &["login refused", "2 common names"]);
    let none = scene.ca.sign(&Leaf::named(&[]));
    check(&scene, &none, 5, 0x87, &["login refused", "no common name"]);
}

#[test]
fn the_certificate_of_a_removed_user_shakes_hands_and_is_nobodys_be_the_name_used_again_or_not() {
    let mut scene = Scene::start("mutual-tls");
    let user = scene.add_user("press-7", &["certificate"]);
    let path = format!("/api/users/{}", user["id"].as_str().unwrap());
    let certificates = format!("{path}/certificates");
    let issue = || scene.broker.request("POST", &certificates, Some(&serde_json::json!({})));
    let client = |issued: &serde_json::Value| {
        let text = |name: &str| issued[name].as_str().unwrap();
        Client::from_pem(text("certificate"), text("key"))
    };
    let revoked = issue().body;
    let kept = issue().body;
    let target = format!("{certificates}/{}", revoked["fingerprint"].as_str().unwrap());
    assert_eq!(scene.broker.request("DELETE", &target, None).status, 204);
    let (revoked, kept) = (client(&revoked), client(&kept));
    let mut online = scene.connect(&kept, "online", Version::V5);
    assert_eq!(scene.broker.request("DELETE", &path, None).status, 204);
    assert_eq!(crate::link::wait_for_end(&mut online).1, Some(0x87));
    let logged = ["login refused", "user `press-7` who was removed"];
    check(&scene, &kept, 5, 0x87, &logged);
    drop(scene.add_user("press-7", &["certificate"]));
    check(&scene, &kept, 5, 0x87, &logged);
    scene.broker.kill_and_restart();
    check(&scene, &kept, 5, 0x87, &logged);
    // Revoked by its fingerprint, and not only because its user went.
    let outcome = scene.outcome(Some(&revoked), &login(Version::V5, "c"));
    assert!(matches!(outcome, Outcome::Alert(_)), "{outcome:?}");
}

#[test]
fn a_certificate_that_is_not_good_fails_the_handshake_with_its_reason_in_the_log() {
    let scene = Scene::start("mutual-tls");
    scene.add_user("press-7", &["certificate"]);
    let leaf = || Leaf::named(&["press-7"]);
    let now_s = now_s();
    let check = |client: Option<&Client>, alert, logged| {
        for version in [Version::V311, Version::V5] {
            let outcome = scene.outcome(client, &login(version, "c"));
            assert_eq!(outcome, Outcome::Alert(alert), "{logged}");
        }
        scene.has_logged(&["TLS handshake refused", "127.0.0.1:", logged]);
    };
    check(None, AlertDescription::CertificateRequired, "no_certificate");
    let foreign = Ca::root("Foreign");
    check(Some(&foreign.client("press-7")), AlertDescription::UnknownCA, "unknown_issuer");
    let below = foreign.intermediate("Below").client("press-7");
    check(Some(&below), AlertDescription::UnknownCA, "unknown_issuer");
    let expired = scene.ca.sign(&Leaf { valid_until_s: now_s - 60, ..leaf() });
    check(Some(&expired), AlertDescription::CertificateExpired, "expired");
    let early = scene.ca.sign(&Leaf { valid_from_s: now_s + 600, ..leaf() });
    check(Some(&early), AlertDescription::CertificateExpired, "not_yet_valid");
    let usage = ExtendedKeyUsagePurpose::ServerAuth;
    let server = scene.ca.sign(&Leaf { usage, ..leaf() });
    check(Some(&server), AlertDescription::UnsupportedCertificate, "wrong_usage");
    let mut bundled = scene.ca.client("press-7");
    bundled.chain = vec![scene.ca.as_client()];
    assert!(matches!(scene.outcome(Some(&bundled), &login(Version::V5, "c")), Outcome::Alert(_)));
    scene.write("crl.pem", &format!("{}{}", scene.read("crl.pem"), scene.ca.crl(1, &[4712])));
    scene.has_logged(&["changed files are in use", "revocations=true"]);
    let revoked = scene.ca.sign(&Leaf { serial: 4712, ..leaf() });
    check(Some(&revoked), AlertDescription::CertificateRevoked, "is revoked");
    assert_eq!(
        scene.outcome(Some(&scene.ca.client("press-7")), &login(Version::V5, "c")),
        Outcome::Connack(0),
        "the others are good"
    );
}

#[test]
fn a_bad_new_bundle_is_refused_and_the_old_one_stays() {
    let scene = Scene::start("mutual-tls");
    scene.add_user("press-7", &["certificate"]);
    scene.write("ca.crt", "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n");
    scene.has_logged(&["not taken into use", "ca.crt"]);
    let outcome = scene.outcome(Some(&scene.ca.client("press-7")), &login(Version::V5, "c"));
    assert_eq!(outcome, Outcome::Connack(0));
}
