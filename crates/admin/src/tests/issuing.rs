//! Certificates: who gets one, what is on record, and what takes it away.

use std::path::PathBuf;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::{House, cheap};
use crate::model::{
    CertificateFilter, CertificateStatus, CertificateView, NewCertificate, PageRequest,
    RevocationReasonModel,
};
use crate::{
    AdminError, AuthenticationMode, Caller, CertificateLapse, CertificateSettings,
    IssuedCertificate, LoginAttempt, PeerAddress, ProvenCertificate, RefusalKind, Secret, Settings,
};

const OWNER: Caller = Caller::LocalOwner;
const DAY_MS: u64 = 86_400_000;

/// With `machine`, who logs in by certificate, and `alice`, who does not.
async fn house() -> House {
    let authentication = AuthenticationMode::Either;
    let house = House::new(Settings { authentication, ..cheap() }).await;
    house.add("alice", "alice-password").await;
    add_machine(&house).await;
    house
}

async fn add_machine(house: &House) {
    let new = serde_json::from_str(r#"{"username":"machine"}"#).unwrap();
    house.admin.create_user(&OWNER, new).await.unwrap();
}

async fn issue(house: &House, days: u32) -> IssuedCertificate {
    let new = NewCertificate { days: Some(days), ..NewCertificate::default() };
    house.admin.issue_certificate(&OWNER, "machine", new).await.unwrap()
}

async fn revoke(house: &House, key: &str) -> Result<CertificateView, AdminError> {
    house.admin.revoke_certificate(&OWNER, None, key).await
}

fn crl_file(house: &House) -> PathBuf {
    house.dir.path().join("certs/crl.pem")
}

/// What a login by this certificate comes to.
async fn login(house: &House, view: &CertificateView) -> Result<String, RefusalKind> {
    let fingerprint = *pki::Fingerprint::parse(&view.fingerprint).unwrap().as_bytes();
    let common_names = vec![view.username.clone().into_bytes()];
    let certificate = Some(ProvenCertificate { common_names, fingerprint });
    let peer = PeerAddress::Local;
    let attempt = LoginAttempt { username: None, password: None, certificate, peer };
    let proven = house.admin.login(attempt).await;
    proven.map(|proven| proven.name().to_string()).map_err(|refused| refused.reason().kind)
}

fn refused(lapse: CertificateLapse) -> Result<String, RefusalKind> {
    Err(RefusalKind::CertificateLapsed(lapse))
}

fn csr(common_name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = rcgen::IsCa::NoCa;
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

/// A request must be refused for this field, and leave nothing on record.
async fn check_refused(house: &House, user: &str, new: NewCertificate, says: &str) {
    let error = house.admin.issue_certificate(&OWNER, user, new).await.unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
    let all = house.admin.list_certificates(&OWNER, &CertificateFilter::default(), page());
    assert_eq!(all.unwrap().total, 0, "nothing is on record");
}

fn page() -> PageRequest {
    PageRequest::default()
}

#[tokio::test]
async fn an_issued_certificate_is_on_record_with_its_user_and_logs_in() {
    let house = house().await;
    let issued = issue(&house, 90).await;
    assert!(issued.certificate_pem.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(issued.key.is_some() && issued.pkcs12.is_none());
    assert_eq!(issued.authority_pem, house.admin.authority_pem());
    let view = &issued.view;
    assert_eq!((view.username.as_str(), view.status), ("machine", CertificateStatus::Valid));
    assert_eq!(view.expires_at.0, (view.created_at.0 / 1000 * 1000) + 90 * DAY_MS);
    let user = house.admin.show_user(&OWNER, "machine").unwrap();
    let [shown] = &user.certificates[..] else { panic!("{user:?}") };
    assert_eq!((&shown.fingerprint, &shown.serial), (&view.fingerprint, &view.serial));
    assert_eq!(
        (shown.created_at, shown.expires_at, shown.revoked_at),
        (view.created_at, view.expires_at, None)
    );
    assert_eq!(login(&house, view).await, Ok("machine".to_owned()));
}

#[tokio::test]
async fn a_year_is_the_default_and_the_bounds_are_named() {
    let house = house().await;
    let days = |days| NewCertificate { days: Some(days), ..NewCertificate::default() };
    check_refused(&house, "machine", days(0), "days: must be 1 to 3650").await;
    check_refused(&house, "machine", days(3651), "days: must be 1 to 3650").await;
    let new = NewCertificate::default();
    let view = house.admin.issue_certificate(&OWNER, "machine", new).await.unwrap().view;
    assert_eq!(view.expires_at.0, (view.created_at.0 / 1000 * 1000) + 365 * DAY_MS);
}

#[tokio::test]
async fn who_could_not_use_it_gets_none_and_is_told_the_remedy() {
    let house = house().await;
    let none = NewCertificate::default;
    // To set grant types is to set all: one that the user has must not get lost by following the advice.
    let remedy = "user set alice --grant-type password --grant-type certificate";
    check_refused(&house, "alice", none(), remedy).await;
    check_refused(&house, "nobody", none(), "no user `nobody`").await;
}

#[tokio::test]
async fn a_signing_request_gives_its_key_and_nothing_else() {
    let house = house().await;
    let new = |text: String| NewCertificate { csr: Some(text), ..NewCertificate::default() };
    check_refused(&house, "machine", new(csr("alice")), "common name is `alice`").await;
    check_refused(&house, "machine", new(csr("Machine")), "common name is `Machine`").await;
    check_refused(&house, "machine", new("no request".to_owned()), "csr: it is not a PEM").await;
    let both =
        NewCertificate { p12_password: Some(Secret::from("long-enough")), ..new(csr("machine")) };
    check_refused(&house, "machine", both, "p12Password").await;
    let issued =
        house.admin.issue_certificate(&OWNER, "machine", new(csr("machine"))).await.unwrap();
    assert!(issued.key.is_none());
    assert_eq!(login(&house, &issued.view).await, Ok("machine".to_owned()));
}

#[tokio::test]
async fn a_pkcs12_file_needs_a_password_of_some_length() {
    let house = house().await;
    let new = |password: &str| NewCertificate {
        p12_password: Some(Secret::from(password)),
        ..NewCertificate::default()
    };
    check_refused(&house, "machine", new("short"), "p12Password").await;
    let issued =
        house.admin.issue_certificate(&OWNER, "machine", new("long-enough")).await.unwrap();
    assert!(issued.pkcs12.as_ref().is_some_and(|file| file.expose().len() > 500));
    assert!(!format!("{issued:?}").contains("PRIVATE"), "flaw 31: no key is printed");
}

#[tokio::test]
async fn two_at_the_same_time_are_two_certificates() {
    let house = house().await;
    let (one, other) = tokio::join!(issue(&house, 1), issue(&house, 1));
    assert_ne!(one.view.serial, other.view.serial);
    assert_ne!(one.view.fingerprint, other.view.fingerprint);
    let listed = house.admin.list_user_certificates(&OWNER, "machine", page()).unwrap();
    assert_eq!(listed.total, 2);
}

#[tokio::test]
async fn the_good_certificates_of_a_user_are_limited() {
    let certificates = CertificateSettings { per_user_max: 1, ..CertificateSettings::default() };
    let house = House::new(Settings { certificates, ..cheap() }).await;
    add_machine(&house).await;
    let first = issue(&house, 1).await;
    let second = house.admin.issue_certificate(&OWNER, "machine", NewCertificate::default()).await;
    assert!(matches!(second, Err(AdminError::CannotIssue(_))), "{second:?}");
    revoke(&house, &first.view.serial).await.unwrap();
    issue(&house, 1).await;
}

#[tokio::test]
async fn a_certificate_is_revoked_by_every_spelling_of_its_numbers() {
    let house = house().await;
    let colons = |text: &str| {
        let pairs: Vec<_> =
            text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap()).collect();
        pairs.join(":")
    };
    let spellings: [&dyn Fn(&CertificateView) -> String; 6] = [
        &|view| view.fingerprint.clone(),
        &|view| view.fingerprint.to_uppercase(),
        &|view| colons(&view.fingerprint.to_uppercase()),
        &|view| view.serial.clone(),
        &|view| colons(&view.serial),
        &|view| format!("00{}", view.serial.to_uppercase()),
    ];
    let mut changes = house.admin.identity_changes();
    for spelling in spellings {
        let view = issue(&house, 1).await.view;
        let revoked = revoke(&house, &spelling(&view)).await.unwrap();
        assert_eq!(
            (revoked.status, &revoked.fingerprint),
            (CertificateStatus::Revoked, &view.fingerprint)
        );
        assert!(changes.has_changed().unwrap(), "live connections are judged again");
        changes.mark_unchanged();
        assert_eq!(login(&house, &view).await, refused(CertificateLapse::Revoked));
    }
    for nothing in ["", "zz", "ab", &"0".repeat(64), "machine", "#"] {
        let error = revoke(&house, nothing).await.unwrap_err();
        assert!(matches!(error, AdminError::NotFound { .. }), "{nothing}: {error}");
    }
}

#[tokio::test]
async fn revoking_twice_keeps_the_first_time_and_needs_the_right_owner() {
    let house = house().await;
    let view = issue(&house, 1).await.view;
    let as_alices = house.admin.revoke_certificate(&OWNER, Some("alice"), &view.fingerprint).await;
    assert!(matches!(as_alices, Err(AdminError::NotFound { .. })), "{as_alices:?}");
    assert_eq!(login(&house, &view).await, Ok("machine".to_owned()));
    let first = revoke(&house, &view.fingerprint).await.unwrap();
    let again = revoke(&house, &view.serial).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first.revocation_reason, Some(RevocationReasonModel::Unspecified));
}

#[tokio::test]
async fn flaw_34_a_user_of_a_used_name_is_not_reached_by_the_certificates_before() {
    let house = house().await;
    let old = issue(&house, 300).await.view;
    let crl_before = house.admin.crl_pem();
    house.admin.remove_user(&OWNER, "machine", None).await.unwrap();
    assert_ne!(house.admin.crl_pem(), crl_before, "the list names it at once");
    assert_eq!(login(&house, &old).await, Err(RefusalKind::CertificateUserUnknown));
    add_machine(&house).await;
    assert_eq!(login(&house, &old).await, refused(CertificateLapse::Revoked));
    assert!(house.admin.show_user(&OWNER, "machine").unwrap().certificates.is_empty());
    let new = issue(&house, 1).await.view;
    assert_eq!(login(&house, &new).await, Ok("machine".to_owned()));
    let kept = house.admin.show_certificate(&OWNER, &old.serial).unwrap();
    assert_eq!(kept.revocation_reason, Some(RevocationReasonModel::UserRemoved));
    let house =
        house.restart(Settings { authentication: AuthenticationMode::Either, ..cheap() }).await;
    assert_eq!(login(&house, &old).await, refused(CertificateLapse::Revoked));
    assert_eq!(login(&house, &new).await, Ok("machine".to_owned()));
}

#[tokio::test]
async fn a_record_of_another_user_of_the_name_lets_nobody_in() {
    let house = house().await;
    let view = issue(&house, 1).await.view;
    let fingerprint = *pki::Fingerprint::parse(&view.fingerprint).unwrap().as_bytes();
    let alice = access::UserId(house.admin.show_user(&OWNER, "alice").unwrap().id);
    let standing = house.admin.certificate_standing(&fingerprint, alice);
    assert_eq!(standing, Err(CertificateLapse::OfAnotherUser));
    assert_eq!(house.admin.certificate_standing(&[0; 32], alice), Ok(()), "of another authority");
}

#[tokio::test]
async fn what_a_crash_kept_from_the_revocation_list_is_put_there_at_the_next_start() {
    let house = house().await;
    let view = issue(&house, 300).await.view;
    let before = std::fs::read(crl_file(&house)).unwrap();
    revoke(&house, &view.serial).await.unwrap();
    let after = std::fs::read_to_string(crl_file(&house)).unwrap();
    assert_ne!(before, after.as_bytes());
    // As if the process had died after the database and before the file.
    std::fs::write(crl_file(&house), &before).unwrap();
    let house = house.restart(cheap()).await;
    let serial = pki::Serial::parse(&view.serial).unwrap();
    let listed = x509_revoked(&house);
    assert!(listed.contains(&serial), "{listed:?}");
    // And as if somebody had deleted the file.
    std::fs::remove_file(crl_file(&house)).unwrap();
    let house = house.restart(cheap()).await;
    assert!(x509_revoked(&house).contains(&serial));
}

/// The serial numbers on the list that is served.
fn x509_revoked(house: &House) -> Vec<pki::Serial> {
    use x509_parser::prelude::FromDer as _;
    let text = house.admin.crl_pem();
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap();
    let (_, crl) =
        x509_parser::revocation_list::CertificateRevocationList::from_der(&pem.contents).unwrap();
    let serials =
        crl.iter_revoked_certificates().map(|it| pki::Serial::from_bytes(it.raw_serial()));
    serials.collect()
}

#[tokio::test]
async fn lists_are_by_user_and_by_what_ends_soon() {
    let house = house().await;
    house.patch("alice", r#"{"grantTypes":[{"method":"certificate"}]}"#).await;
    let long = issue(&house, 31).await.view;
    let short = issue(&house, 29).await.view;
    let revoked = issue(&house, 2).await.view;
    revoke(&house, &revoked.serial).await.unwrap();
    let new = NewCertificate { days: Some(5), ..NewCertificate::default() };
    let alices = house.admin.issue_certificate(&OWNER, "alice", new).await.unwrap().view;
    let check = |username: Option<&str>, days, expected: &[&CertificateView]| {
        let username = username.map(str::to_owned);
        let filter = CertificateFilter { username, expiring_within_days: days };
        let listed = house.admin.list_certificates(&OWNER, &filter, page()).unwrap();
        let mut found: Vec<_> = listed.items.iter().map(|it| it.serial.clone()).collect();
        let mut expected: Vec<_> = expected.iter().map(|it| it.serial.clone()).collect();
        found.sort();
        expected.sort();
        assert_eq!((found, listed.total), (expected.clone(), expected.len() as u64));
    };
    check(None, None, &[&alices, &long, &short, &revoked]);
    check(Some("machine"), None, &[&long, &short, &revoked]);
    check(Some("machin"), None, &[]);
    check(None, Some(30), &[&alices, &short]);
    check(Some("machine"), Some(40), &[&long, &short]);
    check(None, Some(0), &[]);
    assert!(short.expires_soon && alices.expires_soon && !long.expires_soon);
}
