//! The files of the authority: made once, kept, completed after a crash, never weakened.

use std::os::unix::fs::PermissionsExt as _;

use pki::{Files, HostNames, Note, Opened, Pki, PkiError, Settings};

use crate::support::{Ca, Client, DAY_S, Scene, pem_of};

fn mode(scene: &Scene, name: &str) -> u32 {
    std::fs::metadata(scene.path(name)).unwrap().permissions().mode() & 0o777
}

fn remove(scene: &Scene, name: &str) {
    std::fs::remove_file(scene.path(name)).unwrap();
}

/// Opens again after `damage`; clients issued before must still be known, or the error must contain the text.
#[track_caller]
fn check(damage: impl FnOnce(&Scene), expected: Result<(), &str>) {
    let scene = Scene::new();
    let client = scene.issue("press-7");
    damage(&scene);
    match (scene.open_again(), expected) {
        (Ok(opened), Ok(())) => assert_knows(&opened, &client, &scene),
        (Err(error), Err(part)) => {
            let text = error.to_string();
            assert!(text.contains(part), "`{part}` in `{text}`");
        }
        (Ok(opened), Err(_)) => panic!("opened with {:?}", opened.notes),
        (Err(error), Ok(())) => panic!("{error}"),
    }
}

#[track_caller]
fn assert_knows(opened: &Opened, client: &Client, scene: &Scene) {
    let peer = opened.pki.identify(&client.chain, scene.now());
    assert_eq!(peer.unwrap().common_name(), "press-7");
}

#[test]
fn keys_are_for_the_owner_only() {
    let scene = Scene::new();
    assert_eq!((mode(&scene, "ca.key"), mode(&scene, "server.key")), (0o600, 0o600));
}

#[test]
fn no_file_but_the_five_is_left_behind() {
    let scene = Scene::new();
    let entries = std::fs::read_dir(scene.directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ca.crt", "ca.key", "crl.pem", "server.crt", "server.key"]);
}

#[test]
fn opening_again_changes_nothing() {
    let scene = Scene::new();
    let all = ["ca.crt", "ca.key", "crl.pem", "server.crt", "server.key"];
    let before = all.map(|name| scene.read(name));
    let scene = scene.reopened();
    assert_eq!(all.map(|name| scene.read(name)), before);
}

#[test]
fn a_lost_bundle_is_made_again_from_the_key() {
    check(|scene| remove(scene, "ca.crt"), Ok(()));
}

#[test]
fn a_lost_authority_key_stops_the_start() {
    check(|scene| remove(scene, "ca.key"), Err("ca.key`: missing, although its certificate"));
}

#[test]
fn a_lost_server_certificate_is_made_again() {
    check(|scene| remove(scene, "server.crt"), Ok(()));
}

#[test]
fn a_lost_server_key_is_made_again_with_its_certificate() {
    check(|scene| remove(scene, "server.key"), Ok(()));
}

#[test]
fn a_lost_revocation_list_is_made_again() {
    check(|scene| remove(scene, "crl.pem"), Ok(()));
}

#[test]
fn a_crash_before_the_certificate_was_written_starts_over() {
    let scene = Scene::new();
    std::fs::rename(scene.path("ca.key"), scene.path("ca.key.new")).unwrap();
    remove(&scene, "ca.crt");
    let opened = scene.open_again().unwrap();
    assert!(matches!(opened.notes.first(), Some(Note::AuthorityMade { .. })), "{:?}", opened.notes);
    assert!(!scene.path("ca.key.new").exists());
}

#[test]
fn a_crash_before_the_key_got_its_name_is_completed() {
    check(|scene| std::fs::rename(scene.path("ca.key"), scene.path("ca.key.new")).unwrap(), Ok(()));
}

#[test]
fn a_half_written_temporary_file_is_swept() {
    let scene = Scene::new();
    let left = scene.path(".ca.key.0011223344556677.countersign-new");
    std::fs::write(&left, "-----BEGIN").unwrap();
    let scene = scene.reopened();
    assert!(!left.exists() && scene.path("ca.key").exists());
}

#[test]
fn an_empty_bundle_stops_the_start() {
    check(|scene| std::fs::write(scene.path("ca.crt"), "").unwrap(), Err("holds no certificate"));
}

#[test]
fn a_cut_bundle_stops_the_start_with_its_line() {
    check(
        |scene| {
            let text = scene.read("ca.crt");
            scene.append("ca.crt", text.get(..text.len() / 2).unwrap());
        },
        Err("a block without its END"),
    );
}

#[test]
fn a_bundle_with_own_authorities_gets_the_built_in_one_appended() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Ca::root("plant CA");
    std::fs::write(directory.path().join("ca.crt"), ca.pem().trim_end()).unwrap();
    let scene = Scene::new();
    let settings = crate::support::settings(directory.path(), &scene.clock);
    let opened = Pki::open(settings, scene.now()).unwrap();
    let bundle = opened.pki.bundle_pem();
    assert!(bundle.contains(&ca.pem()) && bundle.contains(&opened.pki.authority_pem()));
}

#[test]
fn an_authority_that_was_taken_out_of_the_bundle_stays_out() {
    let scene = Scene::new();
    let client = scene.issue("press-7");
    std::fs::write(scene.path("ca.crt"), Ca::root("plant CA").pem()).unwrap();
    let opened = scene.open_again().unwrap();
    assert!(opened.notes.iter().any(|note| matches!(note, Note::AuthorityNotTrusted { .. })));
    assert!(opened.pki.identify(&client.chain, scene.now()).is_err());
}

#[test]
fn a_server_certificate_of_the_operators_is_left_alone() {
    let scene = Scene::new();
    let own = Ca::root("plant CA").client(&crate::support::Leaf::named("broker.example"));
    std::fs::write(scene.path("server.crt"), pem_of("CERTIFICATE", &own.chain[0])).unwrap();
    std::fs::write(scene.path("server.key"), pem_of("PRIVATE KEY", own.key.secret_der())).unwrap();
    let before = scene.read("server.crt");
    scene.pass(25 * DAY_S);
    let scene = scene.reopened();
    assert_eq!(scene.read("server.crt"), before);
    let expiring = scene.pki.expiring(30 * DAY_S, scene.now());
    assert_eq!(expiring.len(), 1, "{expiring:?}");
}

#[test]
fn the_server_certificate_is_renewed_before_its_end_and_keeps_its_key() {
    let scene = Scene::new();
    let (certificate, key) = (scene.read("server.crt"), scene.read("server.key"));
    scene.pass(304 * DAY_S);
    assert!(!scene.pki.maintain(scene.now()).unwrap().server_certificate);
    assert_eq!(scene.read("server.crt"), certificate);
    scene.pass(2 * DAY_S);
    assert!(scene.pki.maintain(scene.now()).unwrap().server_certificate);
    assert_ne!(scene.read("server.crt"), certificate);
    assert_eq!(scene.read("server.key"), key);
}

#[test]
fn a_new_name_of_the_machine_renews_the_server_certificate() {
    let scene = Scene::new();
    let mut settings = crate::support::settings(scene.directory.path(), &scene.clock);
    settings.names.names.push("broker.example".to_owned());
    let opened = Pki::open(settings, scene.now()).unwrap();
    assert!(matches!(opened.notes.as_slice(), [Note::ServerCertificateMade { .. }]));
}

#[test]
fn a_key_that_others_can_read_is_noted() {
    let scene = Scene::new();
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(scene.path("ca.key"), open).unwrap();
    let opened = scene.open_again().unwrap();
    assert!(matches!(opened.notes.as_slice(), [Note::KeyOpenToOthers { .. }]));
}

#[test]
fn the_operators_own_authority_key_must_have_its_certificate_in_the_bundle() {
    let scene = Scene::new();
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(scene.path("ca.key"), other.path().join("company.key")).unwrap();
    let files = |bundle| Files {
        directory: other.path().join("certs"),
        bundle: Some(bundle),
        authority_key: Some(other.path().join("company.key")),
        ..Files::default()
    };
    let open = |bundle| {
        let clock = scene.clock.clone();
        let names = HostNames { names: vec!["localhost".to_owned()], addresses: Vec::new() };
        Pki::open(Settings { files: files(bundle), names, clock }, scene.now())
    };
    assert!(open(scene.path("ca.crt")).unwrap().pki.issue("press-7", 30, scene.now()).is_ok());
    std::fs::write(other.path().join("bundle.pem"), Ca::root("plant CA").pem()).unwrap();
    let refused = open(other.path().join("bundle.pem")).map(drop);
    assert!(matches!(refused, Err(PkiError::Unusable { .. })));
}

#[test]
fn this_machine_has_names_and_loopback_addresses() {
    let names = HostNames::of_this_machine(&["broker.example".to_owned(), "10.1.2.3".to_owned()]);
    assert_eq!(names.names.first().map(String::as_str), Some("broker.example"));
    assert!(names.names.iter().any(|name| name == "localhost"));
    for address in ["10.1.2.3", "127.0.0.1", "::1"] {
        assert!(names.addresses.contains(&address.parse().unwrap()), "{address}");
    }
}
