//! Which client certificates pass a handshake, for both TLS versions, and what is negotiated.

use pki::{ClientCertificate, IdentityError, Listener, RefusalKind};
use rcgen::{DnValue, ExtendedKeyUsagePurpose};
use rustls::{NamedGroup, ServerConnection};

use crate::support::{Ca, Client, DAY_S, Leaf, NOW_S, Scene, VERSIONS, link};

/// The outcome in both TLS versions: the identity's name, or how it was refused.
#[track_caller]
fn check(scene: &Scene, client: Option<&Client>, expected: Result<&str, RefusalKind>) {
    for version in VERSIONS {
        let outcome = scene.connect(ClientCertificate::Mandatory, client, version);
        let outcome = outcome.map_err(|refusal| refusal.kind()).map(|server| name(scene, &server));
        let expected = expected.map(|name| Ok(name.to_owned()));
        assert_eq!(outcome, expected, "{version:?}");
    }
}

fn name(scene: &Scene, server: &ServerConnection) -> Result<String, IdentityError> {
    let chain = server.peer_certificates().unwrap_or_default();
    scene.pki.identify(chain, scene.now()).map(|peer| peer.common_name().to_owned())
}

/// A scene that trusts one more authority.
fn trusting() -> (Scene, Ca) {
    let (scene, ca) = (Scene::new(), Ca::root("plant CA"));
    scene.trust(&ca);
    (scene, ca)
}

#[test]
fn an_issued_certificate_logs_in_as_its_common_name() {
    let scene = Scene::new();
    check(&scene, Some(&scene.issue("press-7")), Ok("press-7"));
}

#[test]
fn a_certificate_of_an_appended_authority_logs_in() {
    let (scene, ca) = trusting();
    check(&scene, Some(&ca.client(&Leaf::named("press-7"))), Ok("press-7"));
}

#[test]
fn no_certificate_fails_where_one_is_demanded() {
    check(&Scene::new(), None, Err(RefusalKind::NoCertificate));
}

#[test]
fn another_authority_is_refused() {
    let client = Ca::root("stranger").client(&Leaf::named("press-7"));
    check(&Scene::new(), Some(&client), Err(RefusalKind::UnknownIssuer));
}

#[test]
fn another_authority_of_the_same_name_is_refused() {
    let (scene, _) = trusting();
    let client = Ca::root("plant CA").client(&Leaf::named("press-7"));
    check(&scene, Some(&client), Err(RefusalKind::BadSignature));
}

#[test]
fn an_expired_certificate_is_refused() {
    let (scene, ca) = trusting();
    let client = ca.client(&Leaf { not_after_s: NOW_S - 1, ..Leaf::named("press-7") });
    check(&scene, Some(&client), Err(RefusalKind::Expired));
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_refused() {
    let (scene, ca) = trusting();
    let client = ca.client(&Leaf { not_before_s: NOW_S + 60, ..Leaf::named("press-7") });
    check(&scene, Some(&client), Err(RefusalKind::NotYetValid));
}

#[test]
fn a_certificate_on_an_appended_list_is_refused() {
    let (scene, ca) = trusting();
    scene.append("crl.pem", &ca.crl(1, &[4711]));
    scene.pki.reload(scene.now()).unwrap();
    check(&scene, Some(&ca.client(&Leaf::named("press-7"))), Err(RefusalKind::Revoked));
    let other = ca.client(&Leaf { serial: 4712, ..Leaf::named("press-8") });
    check(&scene, Some(&other), Ok("press-8"));
}

#[test]
fn an_outdated_list_still_revokes_and_still_admits() {
    let (scene, ca) = trusting();
    scene.append("crl.pem", &ca.crl_until(1, &[4711], NOW_S - 60));
    let changed = scene.pki.reload(scene.now()).unwrap();
    assert!(
        changed.notes.iter().any(|note| matches!(note, pki::Note::RevocationListOutdated { .. }))
    );
    check(&scene, Some(&ca.client(&Leaf::named("press-7"))), Err(RefusalKind::Revoked));
    let other = ca.client(&Leaf { serial: 4712, ..Leaf::named("press-8") });
    check(&scene, Some(&other), Ok("press-8"));
}

#[test]
fn a_server_certificate_is_refused_as_a_clients() {
    let (scene, ca) = trusting();
    let usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let client = ca.client(&Leaf { usages, ..Leaf::named("press-7") });
    check(&scene, Some(&client), Err(RefusalKind::WrongUsage));
}

#[test]
fn a_certificate_without_extended_key_usage_passes() {
    let (scene, ca) = trusting();
    let client = ca.client(&Leaf { usages: Vec::new(), ..Leaf::named("press-7") });
    check(&scene, Some(&client), Ok("press-7"));
}

#[test]
fn a_hash_sign_is_a_name_like_any_other_here() {
    let (scene, ca) = trusting();
    check(&scene, Some(&ca.client(&Leaf::named("#"))), Ok("#"));
}

#[test]
fn without_a_common_name_there_is_no_identity() {
    let (scene, ca) = trusting();
    let client = ca.client(&Leaf { names: Vec::new(), ..Leaf::named("") });
    for version in VERSIONS {
        let server = scene.connect(ClientCertificate::Mandatory, Some(&client), version).unwrap();
        assert_eq!(name(&scene, &server), Err(IdentityError::NoCommonName));
    }
}

#[test]
fn a_common_name_in_an_odd_encoding_is_no_identity() {
    let (scene, ca) = trusting();
    let odd = DnValue::BmpString("press".try_into().unwrap());
    let client = ca.client(&Leaf { names: vec![odd], ..Leaf::named("") });
    for version in VERSIONS {
        let server = scene.connect(ClientCertificate::Mandatory, Some(&client), version).unwrap();
        assert_eq!(name(&scene, &server), Err(IdentityError::CommonNameEncoding));
    }
}

#[test]
fn a_printable_string_is_a_name() {
    let (scene, ca) = trusting();
    let name = DnValue::PrintableString("press-7".try_into().unwrap());
    let client = ca.client(&Leaf { names: vec![name], ..Leaf::named("") });
    check(&scene, Some(&client), Ok("press-7"));
}

#[test]
fn a_common_name_with_a_nul_is_no_identity() {
    let (scene, ca) = trusting();
    let client = ca.client(&Leaf::named("admin\0.example"));
    for version in VERSIONS {
        let server = scene.connect(ClientCertificate::Mandatory, Some(&client), version).unwrap();
        assert_eq!(name(&scene, &server), Err(IdentityError::CommonNameCharacters));
    }
}

#[test]
fn an_intermediate_sent_by_the_client_leads_to_the_root() {
    let (scene, ca) = trusting();
    let client = ca.intermediate("line CA", 2).client(&Leaf::named("press-7"));
    check(&scene, Some(&client), Ok("press-7"));
}

#[test]
fn an_intermediate_in_the_bundle_need_not_be_sent() {
    let (scene, root) = (Scene::new(), Ca::root("plant CA"));
    let intermediate = root.intermediate("line CA", 2);
    scene.trust(&intermediate);
    let mut client = intermediate.client(&Leaf::named("press-7"));
    client.chain.truncate(1);
    check(&scene, Some(&client), Ok("press-7"));
}

#[test]
fn an_intermediate_that_nobody_trusts_is_refused() {
    let client = Ca::root("stranger").intermediate("line CA", 2).client(&Leaf::named("press-7"));
    check(&Scene::new(), Some(&client), Err(RefusalKind::UnknownIssuer));
}

#[test]
fn a_missing_intermediate_is_refused() {
    let (scene, ca) = trusting();
    let mut client = ca.intermediate("line CA", 2).client(&Leaf::named("press-7"));
    client.chain.truncate(1);
    check(&scene, Some(&client), Err(RefusalKind::UnknownIssuer));
}

#[test]
fn a_revoked_intermediate_sent_by_the_client_is_refused() {
    let (scene, ca) = trusting();
    let client = ca.intermediate("line CA", 2).client(&Leaf::named("press-7"));
    scene.append("crl.pem", &ca.crl(1, &[2]));
    scene.pki.reload(scene.now()).unwrap();
    check(&scene, Some(&client), Err(RefusalKind::Revoked));
}

#[test]
fn a_list_of_an_intermediate_outside_the_bundle_is_enforced() {
    let (scene, ca) = trusting();
    let intermediate = ca.intermediate("line CA", 2);
    scene.append("crl.pem", &intermediate.crl(1, &[4711]));
    scene.pki.reload(scene.now()).unwrap();
    let revoked = intermediate.client(&Leaf::named("press-7"));
    check(&scene, Some(&revoked), Err(RefusalKind::Revoked));
    let other = intermediate.client(&Leaf { serial: 4712, ..Leaf::named("press-8") });
    check(&scene, Some(&other), Ok("press-8"));
}

#[test]
fn a_list_that_an_intermediate_did_not_sign_admits_nobody_of_it() {
    let (scene, ca) = trusting();
    scene.append("crl.pem", &Ca::root("line CA").crl(1, &[1]));
    scene.pki.reload(scene.now()).unwrap();
    let client = ca.intermediate("line CA", 2).client(&Leaf::named("press-7"));
    check(&scene, Some(&client), Err(RefusalKind::RevocationList));
    check(&scene, Some(&ca.client(&Leaf::named("press-8"))), Ok("press-8"));
}

#[test]
fn a_revoked_intermediate_in_the_bundle_is_no_anchor() {
    let (scene, root) = (Scene::new(), Ca::root("plant CA"));
    let intermediate = root.intermediate("line CA", 2);
    scene.trust(&intermediate);
    scene.append("crl.pem", &root.crl(1, &[2]));
    scene.pki.reload(scene.now()).unwrap();
    let mut client = intermediate.client(&Leaf::named("press-7"));
    client.chain.truncate(1);
    check(&scene, Some(&client), Err(RefusalKind::UnknownIssuer));
}

#[test]
fn a_leaf_cannot_issue_another_leaf() {
    let (scene, ca) = trusting();
    let device = ca.client(&Leaf::named("press-7"));
    let mut forged = Ca::root("press-7").client(&Leaf::named("admin"));
    forged.chain.push(device.chain[0].clone());
    for version in VERSIONS {
        assert!(scene.connect(ClientCertificate::Mandatory, Some(&forged), version).is_err());
    }
}

#[test]
fn an_authority_renewed_under_its_name_keeps_old_and_new_clients_apart() {
    let scene = Scene::new();
    let (old, new) = (Ca::root("plant CA"), Ca::root("plant CA"));
    scene.trust(&old);
    scene.trust(&new);
    scene.append("crl.pem", &old.crl(5, &[11]));
    scene.append("crl.pem", &new.crl(1, &[12]));
    scene.pki.reload(scene.now()).unwrap();
    let leaf = |serial| Leaf { serial, ..Leaf::named("press-7") };
    check(&scene, Some(&old.client(&leaf(11))), Err(RefusalKind::Revoked));
    check(&scene, Some(&old.client(&leaf(12))), Ok("press-7"));
    check(&scene, Some(&new.client(&leaf(11))), Ok("press-7"));
    check(&scene, Some(&new.client(&leaf(12))), Err(RefusalKind::Revoked));
}

#[test]
fn an_expired_authority_is_no_anchor() {
    let (scene, ca) = (Scene::new(), Ca::root_valid("old CA", NOW_S - 9 * DAY_S, NOW_S - 1));
    scene.trust(&ca);
    check(&scene, Some(&ca.client(&Leaf::named("press-7"))), Err(RefusalKind::UnknownIssuer));
}

#[test]
fn where_it_is_optional_none_is_fine_and_an_invalid_one_fails() {
    let scene = Scene::new();
    let stranger = Ca::root("stranger").client(&Leaf::named("press-7"));
    for version in VERSIONS {
        let connect = |client| scene.connect(ClientCertificate::Optional, client, version);
        assert!(connect(None).unwrap().peer_certificates().is_none());
        assert_eq!(connect(Some(&stranger)).unwrap_err().kind(), RefusalKind::UnknownIssuer);
        let server = connect(Some(&scene.issue("press-7"))).unwrap();
        assert_eq!(name(&scene, &server), Ok("press-7".to_owned()));
    }
}

#[test]
fn where_it_is_not_asked_for_it_changes_nothing() {
    let scene = Scene::new();
    for client in [scene.issue("press-7"), Ca::root("stranger").client(&Leaf::named("press-7"))] {
        for version in VERSIONS {
            let server =
                scene.connect(ClientCertificate::NotAsked, Some(&client), version).unwrap();
            assert!(server.peer_certificates().is_none());
        }
    }
}

#[test]
fn a_refusal_names_certificate_issuer_and_remedy() {
    let client = Ca::root("stranger").client(&Leaf::named("press-7"));
    let refused = Scene::new().connect(ClientCertificate::Mandatory, Some(&client), VERSIONS[1]);
    let text = refused.unwrap_err().to_string();
    for part in ["CN=press-7", "serial 1267", "CN=stranger", "remedy: append"] {
        assert!(text.contains(part), "`{part}` in `{text}`");
    }
}

#[test]
fn the_hybrid_group_and_an_authenticated_suite_are_negotiated() {
    let scene = Scene::new();
    for version in VERSIONS {
        let server = scene.connect(ClientCertificate::NotAsked, None, version).unwrap();
        let suite = format!("{:?}", server.negotiated_cipher_suite().unwrap().suite());
        assert!(suite.contains("GCM") || suite.contains("POLY1305"), "{suite}");
        let group = server.negotiated_key_exchange_group().unwrap().name();
        match version {
            crate::support::Version::Tls13 => assert_eq!(group, NamedGroup::X25519MLKEM768),
            crate::support::Version::Tls12 => assert_eq!(group, NamedGroup::X25519),
        }
    }
}

#[test]
fn only_authenticated_suites_with_forward_secrecy_are_offered() {
    let config = Scene::new().handshake(ClientCertificate::NotAsked).config;
    let suites: Vec<String> = config
        .crypto_provider()
        .cipher_suites
        .iter()
        .map(|suite| format!("{:?}", suite.suite()))
        .collect();
    assert_eq!(suites.len(), 9);
    for suite in suites {
        let is_authenticated = suite.contains("GCM") || suite.contains("POLY1305");
        let is_forward_secret = suite.starts_with("TLS13_") || suite.contains("ECDHE");
        assert!(is_authenticated && is_forward_secret, "{suite}");
    }
}

#[test]
fn a_ticket_of_the_open_listener_opens_no_other() {
    let scene = Scene::new();
    for version in VERSIONS {
        let config = scene.client_config(None, version);
        let https = scene.pki.handshake(Listener::Https, ClientCertificate::Optional).unwrap();
        link(&https, &config).unwrap();
        let mqtts = scene.handshake(ClientCertificate::Mandatory);
        let refused = link(&mqtts, &config).map(drop).unwrap_err();
        assert_eq!(refused.kind(), RefusalKind::NoCertificate);
    }
}
