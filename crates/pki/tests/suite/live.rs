//! What holds after the handshake: resumption, and judging again when something has changed.

use pki::{
    CertificateDer, ClientCertificate, IdentityError, Lapse, PeerIdentity, RefusalKind, Revocation,
    RevocationReason,
};
use rustls::HandshakeKind;

use crate::support::{Ca, Client, DAY_S, Leaf, NOW_S, Scene, VERSIONS, at, link};

fn identity(scene: &Scene, client: &Client) -> PeerIdentity {
    scene.pki.identify(&client.chain, scene.now()).unwrap()
}

fn revoke(scene: &Scene, peer: &PeerIdentity) -> pki::Changed {
    let revocation = Revocation {
        serial: peer.serial(),
        revoked_at_s: NOW_S,
        reason: RevocationReason::KeyCompromise,
    };
    scene.pki.revoke(&[revocation], scene.now()).unwrap()
}

/// Why it lapsed, as a kind.
#[track_caller]
fn check(scene: &Scene, peer: &PeerIdentity, expected: Result<(), &str>) {
    let outcome = scene.pki.still_good(peer, scene.now()).map_err(|lapse| match lapse {
        Lapse::Expired { .. } => "expired",
        Lapse::Revoked(_) => "revoked",
        Lapse::Untrusted(_) => "untrusted",
    });
    assert_eq!(outcome, expected);
}

#[test]
fn an_undisturbed_session_is_resumed_and_identified() {
    let scene = Scene::new();
    for version in VERSIONS {
        let config = scene.client_config(Some(&scene.issue("press-7")), version);
        link(&scene.handshake(ClientCertificate::Mandatory), &config).unwrap();
        let (server, _) = link(&scene.handshake(ClientCertificate::Mandatory), &config).unwrap();
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        let peer = scene.pki.identify(server.peer_certificates().unwrap(), scene.now()).unwrap();
        assert_eq!(peer.common_name(), "press-7");
    }
}

#[test]
fn a_revoked_client_cannot_come_back_with_its_ticket() {
    for version in VERSIONS {
        let scene = Scene::new();
        let client = scene.issue("press-7");
        let config = scene.client_config(Some(&client), version);
        link(&scene.handshake(ClientCertificate::Mandatory), &config).unwrap();
        revoke(&scene, &identity(&scene, &client));
        let refused = link(&scene.handshake(ClientCertificate::Mandatory), &config);
        let refused = refused.map(drop).unwrap_err();
        assert_eq!(refused.kind(), RefusalKind::Revoked, "{version:?}");
    }
}

#[test]
fn even_a_session_resumed_before_the_tickets_died_names_nobody() {
    for version in VERSIONS {
        let scene = Scene::new();
        let client = scene.issue("press-7");
        let config = scene.client_config(Some(&client), version);
        // Two handshakes that began before the revocation: the second resumes.
        let (first, second) = (
            scene.handshake(ClientCertificate::Mandatory),
            scene.handshake(ClientCertificate::Mandatory),
        );
        link(&first, &config).unwrap();
        revoke(&scene, &identity(&scene, &client));
        let (server, _) = link(&second, &config).unwrap();
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        let outcome = scene.pki.identify(server.peer_certificates().unwrap(), scene.now());
        assert!(matches!(outcome, Err(IdentityError::Lapsed(Lapse::Revoked(_)))), "{outcome:?}");
    }
}

#[test]
fn tickets_survive_a_list_that_was_only_signed_anew() {
    let (scene, ca) = (Scene::new(), Ca::root("plant CA"));
    scene.trust(&ca);
    let own = scene.read("crl.pem");
    std::fs::write(scene.path("crl.pem"), own.clone() + &ca.crl(1, &[9])).unwrap();
    scene.pki.reload(scene.now()).unwrap();
    let config = scene.client_config(Some(&scene.issue("press-7")), VERSIONS[1]);
    link(&scene.handshake(ClientCertificate::Mandatory), &config).unwrap();
    std::fs::write(scene.path("crl.pem"), own + &ca.crl(2, &[9])).unwrap();
    assert!(!scene.pki.reload(scene.now()).unwrap().revocations);
    let (server, _) = link(&scene.handshake(ClientCertificate::Mandatory), &config).unwrap();
    assert_eq!(server.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn tickets_die_with_a_change_of_the_bundle() {
    let scene = Scene::new();
    for version in VERSIONS {
        let config = scene.client_config(Some(&scene.issue("press-7")), version);
        link(&scene.handshake(ClientCertificate::Mandatory), &config).unwrap();
        scene.trust(&Ca::root("plant CA"));
        let (server, _) = link(&scene.handshake(ClientCertificate::Mandatory), &config).unwrap();
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
    }
}

#[test]
fn revoking_one_leaves_the_others() {
    let scene = Scene::new();
    let (one, other) = (scene.issue("press-7"), scene.issue("press-8"));
    let (one, other) = (identity(&scene, &one), identity(&scene, &other));
    let changed = revoke(&scene, &one);
    assert!(changed.revocations && !changed.bundle);
    check(&scene, &one, Err("revoked"));
    check(&scene, &other, Ok(()));
}

#[test]
fn the_end_of_the_validity_ends_the_identity() {
    let scene = Scene::new();
    let peer = identity(&scene, &scene.issue("press-7"));
    scene.pass(peer.not_after_s() - NOW_S);
    check(&scene, &peer, Ok(()));
    scene.pass(1);
    check(&scene, &peer, Err("expired"));
}

#[test]
fn an_authority_taken_out_of_the_bundle_ends_its_clients_only() {
    let (scene, ca) = (Scene::new(), Ca::root("plant CA"));
    let own_bundle = scene.read("ca.crt");
    scene.trust(&ca);
    let foreign = identity(&scene, &ca.client(&Leaf::named("press-7")));
    let own = identity(&scene, &scene.issue("press-8"));
    std::fs::write(scene.path("ca.crt"), own_bundle).unwrap();
    assert!(scene.pki.reload(scene.now()).unwrap().bundle);
    check(&scene, &foreign, Err("untrusted"));
    check(&scene, &own, Ok(()));
}

#[test]
fn a_revoked_intermediate_ends_the_clients_below_it() {
    let (scene, ca) = (Scene::new(), Ca::root("plant CA"));
    scene.trust(&ca);
    let peer = identity(&scene, &ca.intermediate("line CA", 2).client(&Leaf::named("press-7")));
    scene.append("crl.pem", &ca.crl(1, &[2]));
    scene.pki.reload(scene.now()).unwrap();
    check(&scene, &peer, Err("revoked"));
}

#[test]
fn an_authority_that_expires_while_running_ends_its_clients() {
    let scene = Scene::new();
    let ca = Ca::root_valid("short CA", NOW_S - DAY_S, NOW_S + 100);
    scene.trust(&ca);
    let peer = identity(&scene, &ca.client(&Leaf::named("press-7")));
    assert_eq!(scene.pki.poll(scene.now()).unwrap(), None);
    scene.pass(101);
    assert!(scene.pki.poll(scene.now()).unwrap().is_some_and(|changed| changed.bundle));
    check(&scene, &peer, Err("untrusted"));
}

#[test]
fn a_chain_is_asked_again_when_any_part_of_it_ends() {
    let (scene, ca) = (Scene::new(), Ca::root("plant CA"));
    scene.trust(&ca);
    let client = ca.intermediate("line CA", 2).client(&Leaf::named("press-7"));
    let peer = identity(&scene, &client);
    assert_eq!(peer.judge_again_after_s(), NOW_S + 30 * DAY_S);
    assert_eq!(peer.chain().count(), 2);
}

#[test]
fn no_certificate_names_nobody() {
    let outcome = Scene::new().pki.identify(&[] as &[CertificateDer<'_>], at(NOW_S));
    assert!(matches!(outcome, Err(IdentityError::NoCertificate)));
}

#[test]
fn a_certificate_that_no_handshake_has_verified_names_nobody() {
    let scene = Scene::new();
    let forged = Ca::root("stranger").client(&Leaf::named("admin"));
    let outcome = scene.pki.identify(&forged.chain, scene.now());
    assert!(matches!(outcome, Err(IdentityError::Lapsed(Lapse::Untrusted(_)))), "{outcome:?}");
}
