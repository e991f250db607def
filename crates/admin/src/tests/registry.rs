//! The client registry over REST: who may ask, what is answered, and what a decision gives.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use super::{House, cheap, let_pass_s};
use crate::model::{
    CertificateFilter, PageRequest, Registration, RegistryFilter, RegistryGrant,
    RegistryPasswordModel, RegistryRequestView, RegistryStatus, RegistryUnlock, UserView,
};
use crate::{
    AdminError, AuthenticationMode, Caller, LoginAttempt, PeerAddress, ProtectionSettings,
    ProvenCertificate, RegistrationRefused, RegistrySettings, Settings,
};

const OWNER: Caller = Caller::LocalOwner;
const SECRET: &str = "violet-tractor-94";

pub(super) async fn unlocked(settings: Settings) -> House {
    let house = House::new(settings).await;
    unlock(&house).await;
    house
}

pub(super) async fn unlock(house: &House) {
    let state = house.admin.unlock_registry(&OWNER, RegistryUnlock::default()).await.unwrap();
    assert!(state.unlocked);
}

pub(super) fn peer(address: &str) -> PeerAddress {
    PeerAddress::Network(address.parse().unwrap())
}

/// What a call comes to: 202, 201 or the code of the refusal, and the certificate.
async fn call(house: &House, from: &str, body: Value) -> (u16, Option<String>) {
    let asked: Registration = serde_json::from_value(body).unwrap();
    match house.admin.register(asked, peer(from)).await {
        Ok(view) => match view.status {
            RegistryStatus::Pending => (202, view.certificate),
            RegistryStatus::Granted => (201, view.certificate),
            RegistryStatus::Denied => panic!("a denied request is an error"),
        },
        Err(RegistrationRefused::Locked) => (423, None),
        Err(RegistrationRefused::Denied) => (403, None),
        Err(RegistrationRefused::Taken { .. }) => (409, None),
        Err(RegistrationRefused::TooMany { .. }) => (429, None),
        Err(RegistrationRefused::Full) => (503, None),
        Err(RegistrationRefused::Admin(AdminError::Locked { .. })) => (429, None),
        Err(RegistrationRefused::Admin(AdminError::Invalid { .. })) => (400, None),
        Err(other) => panic!("{other}"),
    }
}

async fn register(house: &House, body: Value) -> u16 {
    call(house, HERE, body).await.0
}

async fn refused_field(house: &House, body: Value) -> String {
    let asked: Registration = serde_json::from_value(body).unwrap();
    match house.admin.register(asked, peer(HERE)).await {
        Err(RegistrationRefused::Admin(AdminError::Invalid { field, .. })) => field,
        other => panic!("{other:?}"),
    }
}

pub(super) fn requests(house: &House) -> Vec<RegistryRequestView> {
    let all = RegistryFilter::default();
    let page = PageRequest { page_number: 1, rows_per_page: 100 };
    house.admin.list_registry_requests(&OWNER, all, page).unwrap().items
}

fn request(house: &House, name: &str) -> RegistryRequestView {
    requests(house).into_iter().find(|request| request.username == name).unwrap()
}

pub(super) async fn grant(house: &House, name: &str, grant: Value) -> Result<UserView, AdminError> {
    grant_as(house, &OWNER, name, grant).await
}

async fn grant_as(
    house: &House,
    caller: &Caller,
    name: &str,
    grant: Value,
) -> Result<UserView, AdminError> {
    let grant: RegistryGrant = serde_json::from_value(grant).unwrap();
    let id = request(house, name).id;
    house.admin.grant_registry_request(caller, id, grant).await?;
    house.admin.show_user(&OWNER, name)
}

fn machine() -> Value {
    json!({"username": "machine", "password": SECRET})
}

fn csr(common_name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = rcgen::IsCa::NoCa;
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

const HERE: &str = "192.0.2.1:4711";

#[tokio::test]
async fn it_is_locked_until_it_is_unlocked_and_locks_itself_again() {
    let house = House::new(cheap()).await;
    assert_eq!(register(&house, machine()).await, 423);
    unlock(&house).await;
    assert_eq!(register(&house, machine()).await, 202);
    let_pass_s(299);
    assert_eq!(register(&house, json!({"username": "in-time", "password": SECRET})).await, 202);
    let_pass_s(1);
    let late = json!({"username": "too-late", "password": SECRET});
    assert_eq!(register(&house, late.clone()).await, 423);
    assert!(!house.admin.registry(&OWNER).unlocked);
    unlock(&house).await;
    house.admin.lock_registry(&OWNER).await.unwrap();
    assert_eq!(register(&house, late.clone()).await, 423);
    unlock(&house).await;
    let house = house.restart(cheap()).await;
    assert_eq!(register(&house, late).await, 423, "the lock does not survive as open");
    assert_eq!(requests(&house).len(), 2);
    for duration_ms in [0, 86_400_001, u64::MAX] {
        let asked = RegistryUnlock { duration_ms: Some(duration_ms) };
        let refused = house.admin.unlock_registry(&OWNER, asked).await.unwrap_err();
        assert!(matches!(refused, AdminError::Invalid { .. }), "{duration_ms}");
    }
    assert!(!house.admin.registry(&OWNER).unlocked);
}

#[tokio::test]
async fn the_same_call_asks_again_and_another_password_is_another_client() {
    let house = unlocked(cheap()).await;
    assert_eq!(register(&house, machine()).await, 202);
    assert_eq!(register(&house, machine()).await, 202);
    let other = json!({"username": "machine", "password": "another-client-7"});
    assert_eq!(register(&house, other.clone()).await, 409);
    assert_eq!(register(&house, json!({"username": "machine"})).await, 409);
    assert_eq!(requests(&house).len(), 1);
    let seen = request(&house, "machine");
    assert_eq!((seen.attempts, seen.other_passwords), (1, 1));
    let_pass_s(300);
    assert_eq!(register(&house, machine()).await, 202, "a request outlives the unlocked time");
    assert_eq!(register(&house, other.clone()).await, 423, "others learn nothing then");
    grant(&house, "machine", json!({})).await.unwrap();
    assert_eq!(register(&house, machine()).await, 201);
    assert_eq!(register(&house, other).await, 423);
    assert_eq!(house.login("machine", SECRET).await, Ok("machine".to_owned()));
}

#[tokio::test]
async fn a_grant_gives_exactly_what_it_says_whatever_was_wished_for() {
    let house = unlocked(cheap()).await;
    let wish = json!({"username": "greedy", "password": SECRET, "roles": ["connectware-admin", "no-such-role"],
        "permissions": [{"operation": "readWrite", "resource": "#"}], "context": {"line": 7}});
    assert_eq!(register(&house, wish.clone()).await, 202);
    let shown = request(&house, "greedy");
    assert_eq!(shown.roles, ["connectware-admin", "no-such-role"]);
    assert_eq!(shown.permissions[0].resource, "#");
    assert_eq!(shown.context, Some(json!({"line": 7})));
    let user = grant(&house, "greedy", json!({})).await.unwrap();
    assert!(user.roles.is_empty() && user.permissions.is_empty() && user.certificates.is_empty());
    assert_eq!(register(&house, wish).await, 201);

    assert_eq!(register(&house, machine()).await, 202);
    let given = json!({"roles": ["minimum-access"],
        "permissions": [{"operation": "write", "resource": "plant/7/#"}]});
    let user = grant(&house, "machine", given).await.unwrap();
    assert_eq!((user.roles.len(), user.permissions.len()), (1, 1));
    assert_eq!(user.permissions[0].resource, "plant/7/#");
    let again = grant(&house, "machine", json!({})).await.unwrap_err();
    assert!(matches!(again, AdminError::AlreadyGranted { .. }), "{again}");
}

#[tokio::test]
async fn a_grant_that_cannot_be_made_leaves_the_request_as_it_was() {
    let house = unlocked(cheap()).await;
    register(&house, machine()).await;
    for bad in [
        json!({"roles": ["no-such-role"]}),
        json!({"permissions": [{"operation": "read", "resource": "a/#/b"}]}),
    ] {
        let refused = grant(&house, "machine", bad).await.unwrap_err();
        assert!(matches!(refused, AdminError::Invalid { .. }), "{refused}");
    }
    assert_eq!(request(&house, "machine").status, RegistryStatus::Pending);
    assert!(house.admin.show_user(&OWNER, "machine").is_err());
    assert_eq!(register(&house, machine()).await, 202);
}

#[tokio::test]
async fn what_is_denied_is_told_to_its_client_and_may_be_granted_after_all() {
    let house = unlocked(cheap()).await;
    register(&house, machine()).await;
    let id = request(&house, "machine").id;
    for _ in 0..2 {
        let denied = house.admin.deny_registry_request(&OWNER, id).await.unwrap();
        assert_eq!(denied.status, RegistryStatus::Denied);
        assert_eq!(register(&house, machine()).await, 403);
    }
    let other = json!({"username": "machine", "password": "another-client-7"});
    assert_eq!(register(&house, other).await, 409);
    grant(&house, "machine", json!({})).await.unwrap();
    assert_eq!(register(&house, machine()).await, 201);
    let refused = house.admin.deny_registry_request(&OWNER, id).await.unwrap_err();
    assert!(matches!(refused, AdminError::AlreadyGranted { .. }));
}

#[tokio::test]
async fn a_name_that_a_user_has_is_answered_like_any_other() {
    let house = unlocked(cheap()).await;
    house.add("alice", "alice-password").await;
    for password in ["alice-password", "not-alices-password"] {
        let first = json!({"username": "alice", "password": password});
        assert_eq!(
            register(&house, first).await,
            if password.starts_with('a') { 202 } else { 409 }
        );
    }
    let stranger = |password: &str| json!({"username": "nobody", "password": password});
    assert_eq!(register(&house, stranger("nobodys-password")).await, 202);
    assert_eq!(register(&house, stranger("not-nobodys-password")).await, 409);
    assert!(request(&house, "alice").user_exists && !request(&house, "nobody").user_exists);
    let refused = grant(&house, "alice", json!({"roles": ["connectware-admin"]})).await;
    assert!(matches!(refused, Err(AdminError::Duplicate { .. })), "{refused:?}");
    let alice = house.admin.show_user(&OWNER, "alice").unwrap();
    assert!(alice.roles.is_empty(), "the user that was there has got nothing by it");
    assert_eq!(request(&house, "alice").status, RegistryStatus::Pending);
}

#[tokio::test]
async fn a_request_with_a_csr_is_answered_with_a_certificate_that_logs_in() {
    let authentication = AuthenticationMode::MutualTls;
    let house = unlocked(Settings { authentication, ..cheap() }).await;
    let field = |body| refused_field(&house, body);
    assert_eq!(field(json!({"username": "machine", "csr": csr("other")})).await, "csr");
    assert_eq!(field(json!({"username": "machine", "csr": csr("Machine")})).await, "csr");
    assert_eq!(field(json!({"username": "machine", "csr": "no request"})).await, "csr");
    let with_csr = json!({"username": "machine", "csr": csr("machine")});
    assert_eq!(register(&house, with_csr.clone()).await, 202);
    assert_eq!(register(&house, json!({"username": "machine", "csr": csr("machine")})).await, 409);
    let user = grant(&house, "machine", json!({})).await.unwrap();
    let (status, certificate) = call(&house, HERE, with_csr.clone()).await;
    assert_eq!(status, 201);
    assert!(certificate.unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let issued = house
        .admin
        .list_certificates(&OWNER, &CertificateFilter::default(), PageRequest::default())
        .unwrap();
    assert_eq!((issued.total, issued.items[0].user_id), (1, user.id), "it is on record");
    let fingerprint = *pki::Fingerprint::parse(&issued.items[0].fingerprint).unwrap().as_bytes();
    let shown = ProvenCertificate { common_names: vec![b"machine".to_vec()], fingerprint };
    let attempt = || LoginAttempt {
        username: None,
        password: None,
        certificate: Some(shown.clone()),
        peer: peer(HERE),
    };
    assert!(house.admin.login(attempt()).await.is_ok());
    house.admin.remove_user(&OWNER, "machine", None).await.unwrap();
    assert!(house.admin.login(attempt()).await.is_err());
    assert!(requests(&house).is_empty(), "the next of this name is another");
    assert_eq!(register(&house, with_csr).await, 202);
}

#[tokio::test]
async fn what_is_not_right_is_named_by_its_field_and_leaves_nothing() {
    let house = unlocked(cheap()).await;
    let with = |more: Value| {
        let mut body = machine();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let long = "x".repeat(4097);
    for (body, field) in [
        (json!({"username": "a+b", "password": SECRET}), "username"),
        (json!({"username": "", "password": SECRET}), "username"),
        (json!({"username": "machine", "password": "short"}), "password"),
        (json!({"username": "machine", "password": "password1"}), "password"),
        (json!({"username": "machine", "password": ""}), "password"),
        (json!({"username": "machine", "password": "x".repeat(1025)}), "password"),
        (with(json!({"roles": ["#"]})), "roles[0]"),
        (with(json!({"roles": vec!["a-role"; 101]})), "roles"),
        (
            with(json!({"permissions": [{"operation": "read", "resource": "a/#/b"}]})),
            "permissions[0].resource",
        ),
        (with(json!({"context": long})), "context"),
    ] {
        assert_eq!(refused_field(&house, body).await, field);
    }
    assert!(requests(&house).is_empty());
}

fn limited(registry: RegistrySettings) -> Settings {
    Settings { registry, ..cheap() }
}

fn numbered(number: u32) -> Value {
    json!({"username": format!("machine-{number}"), "password": SECRET})
}

#[tokio::test]
async fn requests_are_bounded_in_all_and_for_each_source() {
    let bounds = RegistrySettings {
        pending_max: 3,
        pending_per_source_max: 2,
        ..RegistrySettings::default()
    };
    let house = unlocked(limited(bounds)).await;
    let from = async |address: &str, number| call(&house, address, numbered(number)).await.0;
    assert_eq!(from("[2001:db8::1]:1", 1).await, 202);
    assert_eq!(from("[2001:db8::2]:1", 2).await, 202);
    assert_eq!(from("[2001:db8::3]:1", 3).await, 429, "a /64 is one source");
    assert_eq!(from("[2001:db8:0:1::3]:1", 3).await, 202);
    assert_eq!(from("192.0.2.9:1", 4).await, 503);
    assert_eq!(from("[2001:db8::1]:1", 1).await, 202, "who is there already is heard");
    let first = request(&house, "machine-1").id;
    house.admin.deny_registry_request(&OWNER, first).await.unwrap();
    assert_eq!(from("192.0.2.9:1", 4).await, 202, "a decision makes room");
    assert_eq!(house.admin.registry(&OWNER).pending, 3);
    for name in ["machine-2", "machine-3", "machine-4"] {
        let_pass_s(1);
        let id = request(&house, name).id;
        house.admin.deny_registry_request(&OWNER, id).await.unwrap();
    }
    let mut kept: Vec<_> = requests(&house).into_iter().map(|request| request.username).collect();
    kept.sort();
    assert_eq!(kept, ["machine-2", "machine-3", "machine-4"], "of decided ones the oldest goes");
}

#[tokio::test]
async fn a_source_brings_so_many_new_requests_in_a_time_and_asks_after_them_freely() {
    let bounds = RegistrySettings { new_per_source_max: 2, ..RegistrySettings::default() };
    let house = unlocked(limited(bounds)).await;
    let from = async |address: &str, number| call(&house, address, numbered(number)).await.0;
    assert_eq!(from(HERE, 1).await, 202);
    assert_eq!(from(HERE, 2).await, 202);
    assert_eq!(from(HERE, 3).await, 429);
    assert_eq!(from("192.0.2.2:1", 3).await, 202);
    for _ in 0..20 {
        assert_eq!(from(HERE, 1).await, 202);
    }
    let_pass_s(60);
    assert_eq!(from(HERE, 4).await, 202);
}

#[tokio::test]
async fn asking_after_a_request_costs_a_hash_once() {
    let house = unlocked(cheap()).await;
    register(&house, machine()).await;
    let _blocked = house.block_pool();
    assert_eq!(register(&house, machine()).await, 202, "proven when it was made");
    assert_eq!(house.admin.hashes_waiting(), 0);
}

#[tokio::test]
async fn guessing_the_password_of_a_request_is_guessing_a_password() {
    let protection = ProtectionSettings { failures_per_user: 3, ..ProtectionSettings::default() };
    let house = unlocked(Settings { protection, ..cheap() }).await;
    register(&house, machine()).await;
    grant(&house, "machine", json!({})).await.unwrap();
    let elsewhere = "198.51.100.1:1";
    for number in 0..3 {
        let guess = json!({"username": "machine", "password": format!("guessed-it-{number}")});
        assert_eq!(call(&house, elsewhere, guess).await.0, 409);
    }
    assert_eq!(call(&house, elsewhere, machine()).await.0, 429, "the right one comes too late");
    assert_eq!(call(&house, HERE, machine()).await.0, 201, "not its client, at its address");
}

#[tokio::test]
async fn requests_survive_a_restart_and_end_at_their_time() {
    let house = unlocked(cheap()).await;
    register(&house, machine()).await;
    register(&house, json!({"username": "let-in", "password": SECRET})).await;
    grant(&house, "let-in", json!({})).await.unwrap();
    let house = house.restart(cheap()).await;
    let shown = request(&house, "machine");
    assert_eq!(
        (shown.status, shown.password),
        (RegistryStatus::Pending, RegistryPasswordModel::Kept)
    );
    assert_eq!(register(&house, machine()).await, 202, "it is known again by its password");
    let_pass_s(86_399);
    assert_eq!(requests(&house).len(), 2);
    let_pass_s(1);
    assert!(requests(&house).is_empty());
    let gone = house.admin.grant_registry_request(&OWNER, shown.id, RegistryGrant::default()).await;
    assert!(matches!(gone, Err(AdminError::NotFound { .. })), "{gone:?}");
    unlock(&house).await;
    let other = json!({"username": "machine", "password": "another-client-7"});
    assert_eq!(register(&house, other).await, 202, "its name is free");
    let house = house.restart(cheap()).await;
    assert_eq!(requests(&house).len(), 1);
}

#[tokio::test]
async fn flaw_31_no_password_of_a_request_is_kept_or_shown_or_recorded() {
    let house = unlocked(cheap()).await;
    register(&house, machine()).await;
    register(&house, json!({"username": "machine", "password": "another-client-7"})).await;
    let shown = serde_json::to_string(&requests(&house)).unwrap();
    assert!(shown.contains("machine") && !shown.contains("argon2") && !shown.contains(SECRET));
    house.admin.deny_registry_request(&OWNER, request(&house, "machine").id).await.unwrap();
    let page = PageRequest { page_number: 1, rows_per_page: 100 };
    let filter = crate::audit_model::AuditFilter::default();
    let audit = house.admin.list_audit(&OWNER, &filter, page).await.unwrap();
    let actions: Vec<_> = audit.items.iter().map(|record| record.action.as_str()).collect();
    for action in ["registry.unlock", "registry.request", "registry.deny"] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    let audit = serde_json::to_string(&audit).unwrap();
    assert!(!audit.contains(SECRET) && !audit.contains("argon2") && !audit.contains("client-7"));
    let files = ["countersign.db", "countersign.db-wal"];
    let stored: Vec<u8> =
        files.iter().flat_map(|file| std::fs::read(house.dir.path().join(file)).unwrap()).collect();
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("$argon2id$") && !holds(SECRET) && !holds("another-client-7"));
}

#[tokio::test]
async fn nobody_grants_what_it_does_not_have() {
    let house = unlocked(cheap()).await;
    let registrar = json!({"username": "registrar", "password": "registrar-password", "permissions": [
        {"context": "http", "operation": "readWrite", "resource": "/api/client-registry/#"},
        {"operation": "write", "resource": "plant/#"},
    ]});
    house.admin.create_user(&OWNER, serde_json::from_value(registrar).unwrap()).await.unwrap();
    let login = json!({"username": "registrar", "password": "registrar-password"});
    let login = serde_json::from_value(login).unwrap();
    let token = house.admin.make_token(login, peer(HERE)).await.unwrap().token;
    let registrar = house.admin.authenticate(&token, peer(HERE)).unwrap();
    let with_csr = json!({"username": "machine", "password": SECRET, "csr": csr("machine")});
    assert_eq!(register(&house, with_csr).await, 202);
    for more in [
        json!({"roles": ["connectware-admin"]}),
        json!({"roles": ["minimum-access"]}),
        json!({"permissions": [{"operation": "read", "resource": "plant/#"}]}),
        json!({"permissions": [{"operation": "write", "resource": "#"}]}),
        json!({"permissions": [{"context": "http", "operation": "read", "resource": "/api/users"}]}),
    ] {
        let refused = grant_as(&house, &registrar, "machine", more.clone()).await;
        assert!(matches!(refused, Err(AdminError::Forbidden(_))), "{more}: {refused:?}");
        assert!(house.admin.show_user(&OWNER, "machine").is_err());
    }
    let own = json!({"permissions": [{"operation": "write", "resource": "plant/7/#"}]});
    grant_as(&house, &registrar, "machine", own).await.unwrap();
}

#[tokio::test]
async fn while_it_is_locked_no_answer_tells_a_request_from_none() {
    let protection = ProtectionSettings {
        failures_per_user: 3,
        failures_per_source: 1000,
        ..ProtectionSettings::default()
    };
    let house = unlocked(Settings { protection, ..cheap() }).await;
    register(&house, machine()).await;
    house.admin.lock_registry(&OWNER).await.unwrap();
    for number in 0..8 {
        for name in ["machine", "nobody"] {
            let guess = json!({"username": name, "password": format!("guessed-it-{number}")});
            assert_eq!(call(&house, "198.51.100.1:1", guess).await.0, 423, "{name} {number}");
            let bare = json!({"username": name});
            assert_eq!(call(&house, "198.51.100.1:1", bare).await.0, 423, "{name} {number}");
        }
    }
    assert_eq!(call(&house, "198.51.100.1:1", machine()).await.0, 423, "the guesses were counted");
    assert_eq!(register(&house, machine()).await, 202, "its own client is heard");
    let _blocked = house.block_pool();
    for name in ["machine", "nobody"] {
        let guess = json!({"username": name, "password": "guessed-it-again"});
        let guess: Registration = serde_json::from_value(guess).unwrap();
        let waits = house.admin.register(guess, peer("198.51.100.2:1"));
        let waits = tokio::time::timeout(std::time::Duration::from_millis(50), waits).await;
        assert!(waits.is_err(), "{name} costs a hash");
    }
}
