//! Changed files: good ones are taken into use, bad ones are named and change nothing.

use pki::{
    Changed, ClientCertificate, PkiError, RefusalKind, Revocation, RevocationReason, Serial,
};

use crate::support::{Ca, DAY_S, Leaf, NOW_S, Scene, VERSIONS};

/// Spoils a file; the reload must fail with this text, and a client of before must still get in.
#[track_caller]
fn check(spoil: impl FnOnce(&Scene), parts: &[&str]) {
    let scene = Scene::new();
    let client = scene.issue("press-7");
    let generation = scene.pki.generation();
    spoil(&scene);
    let text = scene.pki.reload(scene.now()).unwrap_err().to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` in `{text}`");
    }
    assert_eq!(scene.pki.generation(), generation);
    scene.connect(ClientCertificate::Mandatory, Some(&client), VERSIONS[1]).unwrap();
}

fn revocation(serial: &str) -> Revocation {
    Revocation {
        serial: Serial::parse(serial).unwrap(),
        revoked_at_s: NOW_S,
        reason: RevocationReason::Superseded,
    }
}

#[test]
fn an_emptied_bundle_keeps_the_old() {
    check(|scene| std::fs::write(scene.path("ca.crt"), "").unwrap(), &["ca.crt", "no certificate"]);
}

#[test]
fn a_missing_bundle_keeps_the_old() {
    check(|scene| std::fs::remove_file(scene.path("ca.crt")).unwrap(), &["ca.crt", "no such file"]);
}

#[test]
fn a_damaged_block_is_named_with_its_line() {
    let damage = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let scene = Scene::new();
    let line = scene.read("ca.crt").lines().count() + 1;
    scene.append("ca.crt", damage);
    let text = scene.pki.reload(scene.now()).unwrap_err().to_string();
    assert!(text.contains(&format!("ca.crt` line {line}: not valid PEM")), "{text}");
}

#[test]
fn a_block_of_an_unknown_kind_is_not_passed_over() {
    let odd = "-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n";
    check(|scene| scene.append("ca.crt", odd), &["ca.crt` line", "unknown kind"]);
}

#[test]
fn a_private_key_in_the_bundle_is_refused() {
    check(
        |scene| {
            let key = scene.read("server.key");
            scene.append("ca.crt", &key);
        },
        &["ca.crt` line", "a private key where only certificate may be"],
    );
}

#[test]
fn a_devices_certificate_in_the_bundle_is_refused() {
    check(
        |scene| {
            let device = Ca::root("plant CA").client(&Leaf::named("press-7")).chain.remove(0);
            scene.append("ca.crt", &crate::support::pem_of("CERTIFICATE", &device));
        },
        &["`CN=press-7` is not an authority's certificate", "remove that block"],
    );
}

#[test]
fn a_list_that_its_authority_did_not_sign_is_refused() {
    check(
        |scene| {
            scene.append("ca.crt", &Ca::root("plant CA").pem());
            scene.append("crl.pem", &Ca::root("plant CA").crl(1, &[1]));
        },
        &["crl.pem` line", "`CN=plant CA` is not signed by that authority"],
    );
}

#[test]
fn a_certificate_in_the_list_file_is_refused() {
    check(
        |scene| scene.append("crl.pem", &Ca::root("plant CA").pem()),
        &["crl.pem` line", "a certificate where only revocation list may be"],
    );
}

#[test]
fn the_own_list_may_not_vanish() {
    check(|scene| std::fs::write(scene.path("crl.pem"), "").unwrap(), &["own list is gone"]);
}

#[test]
fn the_own_list_may_not_go_back() {
    let scene = Scene::new();
    let peer = scene.pki.identify(&scene.issue("press-7").chain, scene.now()).unwrap();
    let old = scene.read("crl.pem");
    scene.pki.revoke(&[revocation(&peer.serial().to_string())], scene.now()).unwrap();
    std::fs::write(scene.path("crl.pem"), old).unwrap();
    let text = scene.pki.reload(scene.now()).unwrap_err().to_string();
    assert!(text.contains("is older than"), "{text}");
    assert!(scene.pki.still_good(&peer, scene.now()).is_err());
    // The next revocation heals the file.
    scene.pki.revoke(&[revocation("0102")], scene.now()).unwrap();
    assert!(scene.reopened().pki.still_good(&peer, crate::support::at(NOW_S)).is_err());
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    check(
        |scene| {
            std::fs::copy(scene.path("ca.key"), scene.path("server.key")).unwrap();
        },
        &["server.key", "does not go with"],
    );
}

#[test]
fn a_missing_authority_key_is_refused() {
    check(|scene| std::fs::remove_file(scene.path("ca.key")).unwrap(), &["ca.key", "no such file"]);
}

#[test]
fn a_good_bundle_is_taken_into_use() {
    let (scene, ca) = (Scene::new(), Ca::root("plant CA"));
    let client = ca.client(&Leaf::named("press-7"));
    let connect = || scene.connect(ClientCertificate::Mandatory, Some(&client), VERSIONS[1]);
    assert_eq!(connect().unwrap_err().kind(), RefusalKind::UnknownIssuer);
    scene.append("ca.crt", &ca.pem());
    let changed = scene.pki.reload(scene.now()).unwrap();
    assert_eq!(changed, Changed { bundle: true, ..Changed::default() });
    connect().unwrap();
}

#[test]
fn a_new_server_certificate_is_taken_into_use() {
    let scene = Scene::new();
    let other = Scene::new();
    for name in ["server.crt", "server.key"] {
        std::fs::copy(other.path(name), scene.path(name)).unwrap();
    }
    let changed = scene.pki.reload(scene.now()).unwrap();
    assert_eq!(changed, Changed { server_certificate: true, ..Changed::default() });
}

#[test]
fn a_poll_without_a_change_does_nothing() {
    let scene = Scene::new();
    for _ in 0..3 {
        assert_eq!(scene.pki.poll(scene.now()).unwrap(), None);
    }
    assert_eq!(scene.pki.generation(), 1);
}

#[test]
fn a_change_is_polled_once_it_holds_still() {
    let scene = Scene::new();
    scene.append("ca.crt", &Ca::root("plant CA").pem());
    assert_eq!(scene.pki.poll(scene.now()).unwrap(), None, "it may still be written");
    assert!(scene.pki.poll(scene.now()).unwrap().is_some_and(|changed| changed.bundle));
    assert_eq!(scene.pki.poll(scene.now()).unwrap(), None);
}

#[test]
fn a_bad_change_is_reported_once_and_its_repair_is_seen() {
    let scene = Scene::new();
    let good = scene.read("ca.crt");
    scene.append("ca.crt", "-----BEGIN CERTIFICATE-----\n");
    assert!(scene.pki.poll(scene.now()).is_ok());
    assert!(matches!(scene.pki.poll(scene.now()), Err(PkiError::Unusable { .. })));
    assert_eq!(scene.pki.poll(scene.now()).unwrap(), None);
    std::fs::write(scene.path("ca.crt"), good + &Ca::root("plant CA").pem()).unwrap();
    assert!(scene.pki.poll(scene.now()).is_ok());
    assert!(scene.pki.poll(scene.now()).unwrap().is_some_and(|changed| changed.bundle));
}

#[test]
fn a_touched_file_is_no_change() {
    let scene = Scene::new();
    let text = scene.read("ca.crt");
    std::fs::remove_file(scene.path("ca.crt")).unwrap();
    std::fs::write(scene.path("ca.crt"), text).unwrap();
    for _ in 0..3 {
        assert_eq!(scene.pki.poll(scene.now()).unwrap(), None);
    }
}

#[test]
fn own_writes_are_not_polled_again() {
    let scene = Scene::new();
    scene.pki.revoke(&[revocation("0102")], scene.now()).unwrap();
    let generation = scene.pki.generation();
    for _ in 0..3 {
        assert_eq!(scene.pki.poll(scene.now()).unwrap(), None);
    }
    assert_eq!(scene.pki.generation(), generation);
}

#[test]
fn revoking_keeps_the_lists_of_others() {
    let (scene, ca) = (Scene::new(), Ca::root("plant CA"));
    scene.trust(&ca);
    scene.append("crl.pem", &ca.crl(1, &[4711]));
    scene.pki.revoke(&[revocation("0102")], scene.now()).unwrap();
    let client = ca.client(&Leaf::named("press-7"));
    let refused = scene.connect(ClientCertificate::Mandatory, Some(&client), VERSIONS[1]);
    assert_eq!(refused.unwrap_err().kind(), RefusalKind::Revoked);
    assert_eq!(scene.read("crl.pem").matches("BEGIN X509 CRL").count(), 2);
}

#[test]
fn revoking_does_not_wait_for_the_repair_of_a_damaged_list() {
    let scene = Scene::new();
    let peer = scene.pki.identify(&scene.issue("press-7").chain, scene.now()).unwrap();
    scene.pki.revoke(&[revocation("0102")], scene.now()).unwrap();
    scene.append("crl.pem", "-----BEGIN X509 CRL-----\nhalf");
    scene.pki.revoke(&[revocation(&peer.serial().to_string())], scene.now()).unwrap();
    assert!(scene.pki.still_good(&peer, scene.now()).is_err());
    assert!(scene.path("crl.pem.unusable").exists());
    let scene = scene.reopened();
    assert!(scene.pki.still_good(&peer, scene.now()).is_err());
}

#[test]
fn what_is_revoked_stays_revoked_without_the_callers_list() {
    let scene = Scene::new();
    let peer = scene.pki.identify(&scene.issue("press-7").chain, scene.now()).unwrap();
    scene.pki.revoke(&[revocation(&peer.serial().to_string())], scene.now()).unwrap();
    scene.pass(3 * DAY_S);
    scene.pki.maintain(scene.now()).unwrap();
    scene.pki.revoke(&[revocation("0102")], scene.now()).unwrap();
    let scene = scene.reopened();
    assert!(scene.pki.still_good(&peer, scene.now()).is_err());
}

#[test]
fn revoking_what_is_revoked_signs_nothing() {
    let scene = Scene::new();
    scene.pki.revoke(&[revocation("0102")], scene.now()).unwrap();
    let before = scene.read("crl.pem");
    let changed = scene.pki.revoke(&[revocation("0102")], scene.now()).unwrap();
    assert_eq!((scene.read("crl.pem"), changed), (before, Changed::default()));
}
