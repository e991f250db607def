//! A kept TLS session opens no door that its certificate does not open any more.

use rustls::HandshakeKind;
use testkit::{Version, login};

use crate::link::{self, Outcome, VERSIONS, assert_alive};
use crate::scene::Scene;

/// Connects once so that a ticket is kept, then has `change` happen, then comes back by the ticket.
#[track_caller]
fn check(change: impl Fn(&Scene), expected: impl Fn(&Outcome, Option<HandshakeKind>) -> bool) {
    for version in VERSIONS {
        let scene = Scene::start("mutual-tls");
        scene.add_user("press-7", &["certificate"]);
        let config = scene.config(Some(&scene.ca.client("press-7")), version);
        let bytes = login(Version::V5, "c").bytes();
        let connect = || {
            let mut stream = link::tls(scene.mqtts(), &config);
            let outcome = link::outcome(&mut stream, &bytes);
            if outcome == Outcome::Connack(0) {
                assert_alive(&mut stream);
            }
            (outcome, stream.conn.handshake_kind())
        };
        assert_eq!(connect().0, Outcome::Connack(0));
        assert_eq!(connect(), (Outcome::Connack(0), Some(HandshakeKind::Resumed)), "{version:?}");
        change(&scene);
        let (outcome, kind) = connect();
        assert!(expected(&outcome, kind), "{version:?}: {outcome:?} {kind:?}");
    }
}

#[test]
fn a_revoked_client_cannot_come_back_by_its_ticket() {
    let revoke = |scene: &Scene| {
        scene.write("crl.pem", &format!("{}{}", scene.read("crl.pem"), scene.ca.crl(1, &[4711])));
        scene.has_logged(&["changed files are in use", "revocations=true"]);
    };
    check(revoke, |outcome, _| matches!(outcome, Outcome::Alert(_) | Outcome::Closed));
}

#[test]
fn a_client_of_a_withdrawn_authority_cannot_come_back_by_its_ticket() {
    let withdraw = |scene: &Scene| {
        scene.write("ca.crt", scene.own_pem());
        testkit::eventually("the bundle is back", || {
            scene.broker.log_lines(&["changed files are in use", "bundle=true"]).len() >= 2
        });
    };
    check(withdraw, |outcome, _| matches!(outcome, Outcome::Alert(_) | Outcome::Closed));
}

#[test]
fn a_ticket_of_a_user_without_the_grant_is_worth_a_refusal() {
    let take_grant = |scene: &Scene| {
        let reply = scene.broker.request("GET", "/api/users?username%5Beq%5D=press-7", None);
        let user = &reply.body["items"][0];
        scene.patch(user, &serde_json::json!({"grantTypes": [crate::scene::spell("password")]}));
    };
    check(take_grant, |outcome, kind| {
        *outcome == Outcome::Connack(0x87) && kind == Some(HandshakeKind::Resumed)
    });
}
