//! The installed `openssl` as second opinion: it reads what is written here, and what it makes is read here.
//! Without it these tests say so and check nothing.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use pki::{ClientCertificate, RefusalKind, Revocation, RevocationReason};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{Client, Scene, VERSIONS};

/// A scene at the present time, as `openssl` knows no other; `None` where it is not installed.
fn scene() -> Option<Scene> {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: `openssl` is not installed, nothing was checked");
        return None;
    }
    #[expect(clippy::disallowed_methods, reason = "openssl makes certificates of the present")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // A little ahead, so that what openssl makes during the test is valid already.
    Some(Scene::at(now.as_secs() + 120))
}

/// Runs a command line in the scene's directory and gives what it printed.
#[track_caller]
fn openssl(directory: &Path, line: &str) -> String {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(directory)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {text}");
    text
}

/// Makes an authority `own.crt` by this line and a client certificate `client.crt`, appends the authority, and
/// connects in both TLS versions.
#[track_caller]
fn check(authority: &[&str], client: &[&str], expected: Result<&str, RefusalKind>) {
    let Some(scene) = scene() else { return };
    let directory = scene.directory.path();
    std::fs::write(directory.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for line in authority.iter().chain(client) {
        openssl(directory, line);
    }
    let own = scene.read("own.crt");
    scene.append("ca.crt", &own);
    scene.pki.reload(scene.now()).unwrap();
    let client = Client {
        chain: vec![CertificateDer::from_pem_file(scene.path("client.crt")).unwrap()],
        key: PrivateKeyDer::from_pem_file(scene.path("client.key")).unwrap(),
    };
    for version in VERSIONS {
        let outcome = scene.connect(ClientCertificate::Mandatory, Some(&client), version);
        let name = outcome.map_err(|refusal| refusal.kind()).map(|server| {
            let chain = server.peer_certificates().unwrap();
            scene.pki.identify(chain, scene.now()).unwrap().common_name().to_owned()
        });
        assert_eq!(name.as_deref().map_err(|kind| *kind), expected, "{version:?}");
    }
}

const AUTHORITY: &[&str] =
    &["req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.crt -subj /CN=own -days 30"];
const AUTHORITY_VERSION_ONE: &[&str] = &[
    "req -new -newkey rsa:2048 -nodes -keyout own.key -out own.csr -subj /CN=own",
    "x509 -req -in own.csr -signkey own.key -out own.crt -days 30",
];
const REQUEST: &str =
    "req -new -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /CN=press-7";
const SIGN_PLAIN: &str =
    "x509 -req -in client.csr -CA own.crt -CAkey own.key -CAcreateserial -days 3 -out client.crt";
const SIGN_EXTENDED: &str = "x509 -req -in client.csr -CA own.crt -CAkey own.key -CAcreateserial -days 3 -extfile client.ext -out client.crt";

#[test]
fn a_certificate_by_the_remedys_command_logs_in() {
    check(AUTHORITY, &[REQUEST, SIGN_EXTENDED], Ok("press-7"));
}

#[test]
fn an_authority_of_version_one_is_an_anchor() {
    check(AUTHORITY_VERSION_ONE, &[REQUEST, SIGN_EXTENDED], Ok("press-7"));
}

#[test]
fn a_plain_certificate_logs_in_or_is_told_to_be_version_one() {
    let Some(scene) = scene() else { return };
    let directory = scene.directory.path();
    for line in AUTHORITY.iter().chain(&[REQUEST, SIGN_PLAIN]) {
        openssl(directory, line);
    }
    let text = openssl(directory, "x509 -in client.crt -noout -text");
    // openssl up to 3.1 or so makes version 1 here, later ones make version 3.
    let is_version_one = text.contains("Version: 1");
    let expected = if is_version_one { Err(RefusalKind::VersionOne) } else { Ok("press-7") };
    check(AUTHORITY, &[REQUEST, SIGN_PLAIN], expected);
}

#[test]
fn a_version_one_certificate_is_refused_with_the_command_that_helps() {
    let Some(scene) = scene() else { return };
    for line in AUTHORITY.iter().chain(&[REQUEST, SIGN_PLAIN]) {
        openssl(scene.directory.path(), line);
    }
    let text = openssl(scene.directory.path(), "x509 -in client.crt -noout -text");
    if !text.contains("Version: 1") {
        eprintln!("SKIPPED: this `openssl` makes no version 1 certificate");
        return;
    }
    let client = Client {
        chain: vec![CertificateDer::from_pem_file(scene.path("client.crt")).unwrap()],
        key: PrivateKeyDer::from_pem_file(scene.path("client.key")).unwrap(),
    };
    for version in VERSIONS {
        let refused = scene.connect(ClientCertificate::Mandatory, Some(&client), version);
        let text = refused.unwrap_err().to_string();
        for part in ["CN=press-7", "x.509 version 1", "openssl x509 -req", "-extfile client.ext"] {
            assert!(text.contains(part), "`{part}` in `{text}`");
        }
    }
}

#[test]
fn two_common_names_are_refused_as_an_identity() {
    let Some(scene) = scene() else { return };
    let directory = scene.directory.path();
    std::fs::write(directory.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    let request = "req -new -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /CN=press-7/CN=admin";
    for line in AUTHORITY.iter().chain(&[request, SIGN_EXTENDED]) {
        openssl(directory, line);
    }
    let own = scene.read("own.crt");
    scene.append("ca.crt", &own);
    scene.pki.reload(scene.now()).unwrap();
    let chain = [CertificateDer::from_pem_file(scene.path("client.crt")).unwrap()];
    let outcome = scene.pki.identify(&chain, scene.now());
    assert_eq!(outcome.map(drop), Err(pki::IdentityError::SeveralCommonNames(2)));
    let request = std::fs::read_to_string(scene.path("client.csr")).unwrap();
    assert!(scene.pki.sign_csr(&request, "press-7", 3, scene.now()).is_err());
}

#[test]
fn a_self_signed_certificate_of_the_right_name_is_refused() {
    let own = "req -x509 -newkey rsa:2048 -nodes -keyout client.key -out client.crt -subj /CN=press-7 -days 3";
    check(AUTHORITY, &[own], Err(RefusalKind::AuthorityAsClient));
    let leaf = "req -x509 -newkey rsa:2048 -nodes -keyout client.key -out client.crt -subj /CN=press-7 -days 3 -addext basicConstraints=critical,CA:FALSE";
    check(AUTHORITY, &[leaf], Err(RefusalKind::UnknownIssuer));
}

#[test]
fn requests_made_by_openssl_are_signed() {
    let Some(scene) = scene() else { return };
    let kinds = [
        ("rsa:2048", true),
        ("rsa:1024", false),
        ("ec -pkeyopt ec_paramgen_curve:P-256", true),
        ("ec -pkeyopt ec_paramgen_curve:P-384", true),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", false),
        ("ed25519", true),
    ];
    for (kind, is_accepted) in kinds {
        let line =
            format!("req -new -newkey {kind} -nodes -keyout x.key -out x.csr -subj /CN=press-7");
        openssl(scene.directory.path(), &line);
        let outcome = scene.pki.sign_csr(&scene.read("x.csr"), "press-7", 3, scene.now());
        assert_eq!(outcome.is_ok(), is_accepted, "{kind}: {outcome:?}");
    }
}

#[test]
fn openssl_verifies_what_is_issued_and_what_is_revoked() {
    let Some(scene) = scene() else { return };
    let directory = scene.directory.path();
    let issued = scene.pki.issue("press-7", 30, scene.now()).unwrap();
    std::fs::write(directory.join("client.crt"), &issued.certificate_pem).unwrap();
    let verify = "verify -x509_strict -purpose sslclient -crl_check -CAfile ca.crt -CRLfile crl.pem client.crt";
    assert!(openssl(directory, verify).contains("client.crt: OK"));
    openssl(directory, "verify -x509_strict -purpose sslserver -CAfile ca.crt server.crt");
    assert!(openssl(directory, "x509 -in client.crt -noout -subject").contains("press-7"));
    let revocation = Revocation {
        serial: issued.serial.clone(),
        revoked_at_s: scene.now().as_secs(),
        reason: RevocationReason::KeyCompromise,
    };
    scene.pki.revoke(&[revocation], scene.now()).unwrap();
    let output =
        Command::new("openssl").args(verify.split(' ')).current_dir(directory).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("certificate revoked"), "{text}");
}

#[test]
fn openssl_reads_and_verifies_the_list() {
    let Some(scene) = scene() else { return };
    let verified = "crl -in crl.pem -noout -verify -CAfile ca.crt";
    assert!(openssl(scene.directory.path(), verified).contains("verify OK"));
    let number =
        |scene: &Scene| openssl(scene.directory.path(), "crl -in crl.pem -noout -crlnumber");
    let before = number(&scene);
    let revocation = Revocation {
        serial: pki::Serial::parse("0a:0b:0c").unwrap(),
        revoked_at_s: scene.now().as_secs(),
        reason: RevocationReason::Superseded,
    };
    scene.pki.revoke(&[revocation], scene.now()).unwrap();
    assert!(openssl(scene.directory.path(), verified).contains("verify OK"));
    assert!(number(&scene) > before);
    let text = openssl(scene.directory.path(), "crl -in crl.pem -noout -text");
    assert!(text.contains("0A0B0C") && text.contains("Superseded"), "{text}");
}

#[test]
fn openssl_reads_the_pkcs12_file() {
    let Some(scene) = scene() else { return };
    let issued = scene.pki.issue("press-7", 30, scene.now()).unwrap();
    let bytes = scene.pki.pkcs12(&issued, "press-7", "correct horse").unwrap();
    std::fs::write(scene.path("client.p12"), bytes.as_slice()).unwrap();
    std::fs::write(scene.path("password"), "correct horse").unwrap();
    let text =
        openssl(scene.directory.path(), "pkcs12 -in client.p12 -nodes -passin file:password -info");
    for part in ["BEGIN PRIVATE KEY", "press-7", "Countersign CA", "AES-256-CBC", "sha256"] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    assert!(text.contains(issued.certificate_pem.lines().nth(1).unwrap()));
    assert!(scene.pki.pkcs12(&issued, "press-7", "short").is_err());
}

#[test]
fn a_list_by_openssl_is_enforced() {
    let Some(scene) = scene() else { return };
    let directory = scene.directory.path();
    std::fs::write(directory.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    std::fs::write(directory.join("index.txt"), "").unwrap();
    std::fs::write(directory.join("number"), "01\n").unwrap();
    let configuration = "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ncrlnumber=number\n\
        default_md=sha256\ndefault_crl_days=7\ncertificate=own.crt\nprivate_key=own.key\n";
    std::fs::write(directory.join("ca.cnf"), configuration).unwrap();
    for line in AUTHORITY.iter().chain(&[REQUEST, SIGN_EXTENDED]) {
        openssl(directory, line);
    }
    openssl(directory, "ca -config ca.cnf -revoke client.crt");
    openssl(directory, "ca -config ca.cnf -gencrl -out own.crl");
    let (own, list) = (scene.read("own.crt"), scene.read("own.crl"));
    scene.append("ca.crt", &own);
    scene.append("crl.pem", &list);
    scene.pki.reload(scene.now()).unwrap();
    let client = Client {
        chain: vec![CertificateDer::from_pem_file(scene.path("client.crt")).unwrap()],
        key: PrivateKeyDer::from_pem_file(scene.path("client.key")).unwrap(),
    };
    let refused = scene.connect(ClientCertificate::Mandatory, Some(&client), VERSIONS[1]);
    assert_eq!(refused.unwrap_err().kind(), RefusalKind::Revoked);
}
