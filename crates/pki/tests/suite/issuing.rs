//! What the built-in authority signs, and what it does not.

use std::sync::LazyLock;

use pki::{IssueError, Issued, RequestFault};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequest, DistinguishedName, DnType,
    DnValue, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, SanType, SignatureAlgorithm,
};
use x509_parser::prelude::{
    FromDer as _, ParsedExtension, X509Certificate, X509CertificationRequest,
};

use crate::support::{DAY_S, NOW_S, Scene, pem_of};

/// A good request of `press-7`.
pub(crate) static REQUEST: LazyLock<CertificateSigningRequest> =
    LazyLock::new(|| request(&["press-7"], &PKCS_ECDSA_P256_SHA256));

/// The public key of [`REQUEST`].
pub(crate) static REQUESTED_KEY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (_, request) = X509CertificationRequest::from_der(REQUEST.der()).unwrap();
    request.certification_request_info.subject_pki.raw.to_vec()
});

/// The public key of what was issued.
pub(crate) fn public_key(issued: &Issued) -> Vec<u8> {
    let der = der_of(&issued.certificate_pem);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    certificate.public_key().raw.to_vec()
}

/// A request that also asks for everything that must not be granted.
fn request(names: &[&str], algorithm: &'static SignatureAlgorithm) -> CertificateSigningRequest {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "Somebody");
    if let [name] = names {
        parameters
            .distinguished_name
            .push(DnType::CommonName, DnValue::Utf8String((*name).to_owned()));
    }
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.subject_alt_names = vec![SanType::DnsName("broker.example".try_into().unwrap())];
    let key = KeyPair::generate_for(algorithm).unwrap();
    parameters.serialize_request(&key).unwrap()
}

#[track_caller]
fn check(request_pem: &str, user: &str, expected: Result<(), &str>) {
    let scene = Scene::new();
    let outcome = scene.pki.sign_csr(request_pem, user, 30, scene.now());
    match (outcome, expected) {
        (Ok(issued), Ok(())) => assert!(issued.key_pem.is_none()),
        (Err(error), Err(part)) => {
            let text = error.to_string();
            assert!(text.contains(part), "`{part}` in `{text}`");
        }
        (outcome, expected) => panic!("{outcome:?} instead of {expected:?}"),
    }
}

fn der_of(pem_text: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    pki::CertificateDer::from_pem_slice(pem_text.as_bytes()).unwrap().to_vec()
}

#[test]
fn a_request_of_the_user_is_signed_for_every_accepted_kind_of_key() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        check(&request(&["press-7"], algorithm).pem().unwrap(), "press-7", Ok(()));
    }
}

#[test]
fn a_request_under_the_old_label_is_signed() {
    check(&pem_of("NEW CERTIFICATE REQUEST", REQUEST.der()), "press-7", Ok(()));
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let text = request(&["press-7"], &PKCS_ECDSA_P521_SHA512).pem().unwrap();
    check(&text, "press-7", Err("accepted are RSA of 2048 to 8192 bits"));
}

#[test]
fn a_request_of_another_name_is_refused() {
    let text = REQUEST.pem().unwrap();
    check(&text, "press-8", Err("its common name is `press-7`, but the user is `press-8`"));
    check(&text, "Press-7", Err("but the user is `Press-7`"));
}

#[test]
fn a_request_without_a_name_is_refused() {
    let text = request(&[], &PKCS_ECDSA_P256_SHA256).pem().unwrap();
    check(&text, "press-7", Err("no common name"));
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let mut der = REQUEST.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    check(&pem_of("CERTIFICATE REQUEST", &der), "press-7", Err("signature"));
}

#[test]
fn what_is_no_request_is_refused() {
    check("", "press-7", Err("not a PEM"));
    check(&pem_of("CERTIFICATE REQUEST", b"nonsense"), "press-7", Err("malformed"));
    check(&Scene::new().pki.authority_pem(), "press-7", Err("not a PEM"));
    check(&"A".repeat(40_000), "press-7", Err("larger"));
}

#[test]
fn nothing_but_the_key_is_taken_from_a_request() {
    let scene = Scene::new();
    let issued = scene.pki.sign_csr(&REQUEST.pem().unwrap(), "press-7", 30, scene.now()).unwrap();
    let der = der_of(&issued.certificate_pem);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=press-7");
    assert!(!certificate.is_ca());
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert_eq!(certificate.key_usage().unwrap().unwrap().value.flags, 1, "digitalSignature only");
}

#[test]
fn an_issued_certificate_has_all_that_version_three_asks_for() {
    let scene = Scene::new();
    let issued = scene.pki.issue("press-7", 30, scene.now()).unwrap();
    let der = der_of(&issued.certificate_pem);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.version.0, 2);
    assert_eq!(certificate.raw_serial().len(), 16);
    assert!(certificate.raw_serial()[0] < 0x80, "positive");
    let has = |wanted: fn(&ParsedExtension<'_>) -> bool| {
        certificate.iter_extensions().any(|extension| wanted(extension.parsed_extension()))
    };
    assert!(has(|found| matches!(found, ParsedExtension::SubjectKeyIdentifier(_))));
    assert!(has(|found| matches!(found, ParsedExtension::AuthorityKeyIdentifier(_))));
    assert!(has(|found| matches!(found, ParsedExtension::BasicConstraints(found) if !found.ca)));
    assert_eq!(issued.not_after_s, NOW_S + 30 * DAY_S);
}

#[test]
fn serial_numbers_do_not_repeat() {
    let scene = Scene::new();
    let issue = || scene.pki.issue("press-7", 30, scene.now()).unwrap().serial;
    assert_ne!(issue(), issue());
}

#[test]
fn a_validity_ends_with_the_authoritys_own() {
    let scene = Scene::new();
    let issued = scene.pki.issue("press-7", 36_500, scene.now()).unwrap();
    assert_eq!(issued.not_after_s, NOW_S + 7_300 * DAY_S);
}

#[test]
fn no_days_and_too_many_are_refused() {
    let scene = Scene::new();
    for days in [0, 36_501] {
        let refused = scene.pki.issue("press-7", days, scene.now());
        assert!(matches!(refused, Err(IssueError::Validity { .. })), "{refused:?}");
    }
}

#[test]
fn a_name_that_could_not_come_back_is_refused() {
    let scene = Scene::new();
    let long = "a".repeat(256);
    for name in ["", "a\0b", "a\nb", long.as_str()] {
        let refused = scene.pki.issue(name, 30, scene.now());
        assert!(matches!(refused, Err(IssueError::Name { .. })), "{refused:?}");
    }
}

#[test]
fn the_longest_user_name_fits() {
    let scene = Scene::new();
    let name = "a".repeat(255);
    let client = scene.issue(&name);
    assert_eq!(scene.pki.identify(&client.chain, scene.now()).unwrap().common_name(), name);
}

#[test]
fn an_authority_that_is_not_trusted_issues_nothing() {
    let scene = Scene::new();
    std::fs::write(scene.path("ca.crt"), crate::support::Ca::root("plant CA").pem()).unwrap();
    let changed = scene.pki.reload(scene.now()).unwrap();
    assert!(changed.authority && changed.bundle);
    let refused = scene.pki.issue("press-7", 30, scene.now());
    assert!(matches!(refused, Err(IssueError::Authority { .. })), "{refused:?}");
}

#[test]
fn an_issued_key_is_not_printed() {
    let scene = Scene::new();
    let issued = scene.pki.issue("press-7", 30, scene.now()).unwrap();
    assert!(issued.key_pem.as_ref().unwrap().expose().contains("PRIVATE KEY"));
    assert!(!format!("{issued:?} {:?}", issued.key_pem).contains("PRIVATE KEY"));
}

#[test]
fn a_request_fault_is_told_apart() {
    let scene = Scene::new();
    let refused = scene.pki.sign_csr("", "press-7", 30, scene.now());
    assert!(matches!(refused, Err(IssueError::Request(RequestFault::NotPem))), "{refused:?}");
}
