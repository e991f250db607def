//! The commands under `cert`, and what they write, seen by `openssl` where it is installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{BrokerProcess, Ran, require_program, run_real};

use crate::support::{PASSWORD, setup};

/// A broker with `machine`, who logs in by certificate, and a directory for files.
fn broker() -> (BrokerProcess, TempDir) {
    let broker = setup().start();
    drop(broker.cli(&["user", "add", "machine", "--certificate"]).ok());
    (broker, TempDir::new().expect("a directory"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

fn openssl(arguments: &[&str]) -> Ran {
    run_real(Command::new("openssl").args(arguments), Duration::from_secs(30))
}

/// Runs `openssl`, which must succeed.
fn openssl_ok(arguments: &[&str]) -> String {
    let ran = openssl(arguments);
    assert_eq!(ran.code, Some(0), "openssl {arguments:?}: {}{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// Makes a key and a request by plain `openssl`, and gives the request's path.
fn request(directory: &Path, name: &str, more: &[&str]) -> PathBuf {
    let path = directory.join(name);
    let key = directory.join(format!("{name}.key"));
    let out = ["-nodes", "-keyout", text(&key), "-out", text(&path)];
    drop(openssl_ok(&[&["req", "-new"], more, &out].concat()));
    path
}

/// A command must fail with exit code 1 and say this.
fn check_refused(broker: &BrokerProcess, arguments: &[&str], says: &str) {
    let run = broker.cli(arguments);
    assert_eq!(run.code, Some(1), "{arguments:?}: {}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains(says), "{arguments:?}: {}", run.stderr);
}

fn issue(broker: &BrokerProcess, out: &Path, more: &[&str]) -> Value {
    broker.cli_json(&[&["cert", "issue", "machine", "--out", text(out)], more].concat())
}

#[test]
fn an_issued_certificate_comes_as_three_files_of_which_the_key_is_its_owners() {
    let (broker, directory) = broker();
    let out = directory.path().join("new/below");
    let run = broker.cli(&["cert", "issue", "machine", "--out", text(&out), "--days", "30"]).ok();
    for name in ["machine.crt", "machine.key", "ca.crt"] {
        assert!(run.stdout.contains(name), "{}", run.stdout);
    }
    assert_eq!(mode(&out.join("machine.key")), 0o600);
    assert_eq!(fs::read_dir(&out).expect("a directory").count(), 3, "nothing else is left there");
    let authority = broker.cli(&["cert", "ca"]).ok().stdout;
    assert_eq!(fs::read_to_string(out.join("ca.crt")).expect("a file"), authority);
    let key = fs::read_to_string(out.join("machine.key")).expect("a file");
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    let secret = key.lines().nth(1).expect("a line of the key");
    assert!(!broker.stderr().contains(secret), "no key is in the log");
    if require_program("openssl") {
        let path = |name: &str| out.join(name).display().to_string();
        let verified = openssl_ok(&[
            "verify",
            "-purpose",
            "sslclient",
            "-CAfile",
            &path("ca.crt"),
            &path("machine.crt"),
        ]);
        assert!(verified.ends_with("OK\n"), "{verified}");
        let subject = openssl_ok(&["x509", "-in", &path("machine.crt"), "-noout", "-subject"]);
        assert!(subject.contains("CN = machine") || subject.contains("CN=machine"), "{subject}");
        let of_certificate =
            openssl_ok(&["x509", "-in", &path("machine.crt"), "-noout", "-pubkey"]);
        let of_key = openssl_ok(&["pkey", "-in", &path("machine.key"), "-pubout"]);
        assert_eq!(of_certificate, of_key);
    }
}

#[test]
fn files_that_are_there_stay_unless_told_otherwise() {
    let (broker, directory) = broker();
    let out = directory.path();
    let first = issue(&broker, out, &[]);
    let key = fs::read(out.join("machine.key")).expect("a file");
    let again = ["cert", "issue", "machine", "--out", text(out)];
    check_refused(&broker, &again, "--force");
    assert_eq!(fs::read(out.join("machine.key")).expect("a file"), key);
    let listed = broker.cli_json(&["cert", "list"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "nothing was issued in vain");
    drop(broker.cli(&["user", "add", "other", "--certificate"]).ok());
    let others = ["cert", "issue", "other", "--out", text(out)];
    drop(broker.cli(&others).ok());
    assert!(out.join("other.key").is_file(), "the same `ca.crt` is in nobody's way");
    let second = issue(&broker, out, &["--force"]);
    assert_ne!(first["serial"], second["serial"]);
    assert_ne!(fs::read(out.join("machine.key")).expect("a file"), key);
    assert_eq!(mode(&out.join("machine.key")), 0o600);
    assert!(second.get("key").is_none(), "the key is in its file only");
}

#[test]
fn who_gets_none_is_told_why_and_leaves_no_file() {
    let (broker, directory) = broker();
    broker.add_user("by-password", PASSWORD, &[]);
    let out = text(directory.path());
    // To set grant types is to set all of them.
    let remedy = "user set by-password --grant-type password --grant-type certificate";
    check_refused(&broker, &["cert", "issue", "by-password", "--out", out], remedy);
    check_refused(&broker, &["cert", "issue", "nobody", "--out", out], "no user `nobody`");
    let long = ["cert", "issue", "machine", "--out", out, "--days", "36500"];
    check_refused(&broker, &long, "days");
    assert_eq!(
        fs::read_dir(out)
            .expect("a directory")
            .filter(|it| { it.as_ref().is_ok_and(|it| it.file_name() != "ca.crt") })
            .count(),
        0
    );
    check_refused(
        &broker,
        &["cert", "sign", "/nowhere", "--user", "machine"],
        "cannot read `/nowhere`",
    );
    check_refused(&broker, &["cert", "list", "--user", "nobody"], "no user `nobody`");
    check_refused(&broker, &["cert", "revoke", "abcd"], "no certificate `abcd`");
}

#[test]
fn a_pkcs12_file_opens_by_the_password_that_was_told_or_given() {
    let (broker, directory) = broker();
    let out = directory.path();
    let arguments = ["cert", "issue", "machine", "--out", text(out), "--p12"];
    let run = broker.cli(&arguments).ok();
    let told = run.stderr.split(" is ").nth(1).and_then(|rest| rest.split(' ').next());
    let told = told.unwrap_or_else(|| panic!("no password: {}", run.stderr)).to_owned();
    assert!(told.len() >= 20 && !run.stdout.contains(&told));
    let file = out.join("machine.p12");
    assert_eq!(mode(&file), 0o600);
    let check = |password: &str| {
        if require_program("openssl") {
            let pass = format!("pass:{password}");
            let opened = openssl_ok(&["pkcs12", "-in", text(&file), "-passin", &pass, "-nodes"]);
            for part in ["BEGIN PRIVATE KEY", "CN = machine"] {
                assert!(opened.replace("CN=", "CN = ").contains(part), "{opened}");
            }
            let wrong = ["pkcs12", "-in", text(&file), "-passin", "pass:wrong", "-nodes"];
            assert_ne!(openssl(&wrong).code, Some(0));
        }
    };
    check(&told);
    let given = [&arguments[..], &["--p12-password-stdin", "--force"]].concat();
    let run = broker.cli_with_input(&given, Some("given-password\n")).ok();
    assert!(!run.stderr.contains("given-password"));
    check("given-password");
    let run = broker.cli_with_input(&given, Some("short\n"));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    check("given-password");
}

#[test]
fn a_request_made_by_openssl_is_signed_and_only_its_key_is_taken() {
    if !require_program("openssl") {
        return;
    }
    let (broker, directory) = broker();
    let dir = directory.path();
    let wishes = [
        "-newkey",
        "rsa:2048",
        "-subj",
        "/O=Mischief/CN=machine",
        "-addext",
        "basicConstraints=critical,CA:true",
        "-addext",
        "keyUsage=keyCertSign,cRLSign",
        "-addext",
        "subjectAltName=DNS:elsewhere.example",
    ];
    let csr = request(dir, "machine.csr", &wishes);
    let printed = broker.cli(&["cert", "sign", text(&csr), "--user", "machine"]).ok().stdout;
    let certificate = dir.join("machine.crt");
    fs::write(&certificate, &printed).expect("written");
    let shown = openssl_ok(&["x509", "-in", text(&certificate), "-noout", "-text"]);
    assert!(shown.contains("CA:FALSE") && shown.contains("TLS Web Client Authentication"));
    for wish in ["CA:TRUE", "Certificate Sign", "elsewhere", "Mischief"] {
        assert!(!shown.contains(wish), "{wish}: {shown}");
    }
    let authority = dir.join("ca.crt");
    fs::write(&authority, broker.cli(&["cert", "ca"]).ok().stdout).expect("written");
    drop(openssl_ok(&[
        "verify",
        "-purpose",
        "sslclient",
        "-CAfile",
        text(&authority),
        text(&certificate),
    ]));
    let out = dir.join("second.crt");
    let sign =
        ["cert", "sign", text(&csr), "--user", "machine", "--out", text(&out), "--days", "2"];
    let said = broker.cli(&sign).ok().stdout;
    assert!(said.contains("fingerprint") && !said.contains("BEGIN"), "{said}");
    assert!(fs::read_to_string(&out).expect("a file").starts_with("-----BEGIN CERTIFICATE-----"));
    check_refused(&broker, &sign, "--force");
    let text_of_request = fs::read_to_string(&csr).expect("a file");
    let piped =
        broker.cli_with_input(&["cert", "sign", "-", "--user", "machine"], Some(&text_of_request));
    assert!(piped.ok().stdout.starts_with("-----BEGIN CERTIFICATE-----"));
}

#[test]
fn a_bad_request_is_refused_with_its_reason() {
    if !require_program("openssl") {
        return;
    }
    let (broker, directory) = broker();
    let dir = directory.path();
    let check = |path: &Path, says: &str| {
        check_refused(&broker, &["cert", "sign", text(path), "--user", "machine"], says);
    };
    let rsa = ["-newkey", "rsa:2048"];
    let named =
        |name: &str, subject: &str| request(dir, name, &[&rsa[..], &["-subj", subject]].concat());
    check(&named("wrong", "/CN=other"), "common name is `other`");
    check(&named("case", "/CN=Machine"), "common name is `Machine`");
    check(&named("two", "/CN=machine/CN=machine"), "common name");
    check(&named("none", "/O=machine"), "common name");
    let weak = ["-newkey", "rsa:1024", "-subj", "/CN=machine"];
    check(&request(dir, "weak", &weak), "RSA of 1024 bits");
    let good = named("good", "/CN=machine");
    let der = dir.join("der");
    drop(openssl_ok(&["req", "-in", text(&good), "-outform", "DER", "-out", text(&der)]));
    let mut bytes = fs::read(&der).expect("a file");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&der, bytes).expect("written");
    let forged = dir.join("forged");
    let convert = ["req", "-in", text(&der), "-inform", "DER", "-out", text(&forged)];
    drop(openssl_ok(&convert));
    check(&forged, "signature");
    check(&der, "cannot read");
    let certificates = broker.cli_json(&["cert", "list"]);
    assert_eq!(certificates, json!([]), "nothing was issued");
}

#[test]
fn what_was_revoked_stays_revoked_through_a_crash_and_a_lost_list() {
    let (mut broker, directory) = broker();
    let issued = issue(&broker, directory.path(), &[]);
    let field = |name: &str| issued[name].as_str().expect("a text").to_owned();
    let list_file = broker.data_dir().join("certs/crl.pem");
    let before = fs::read(&list_file).expect("a list");
    let said = broker.cli(&["cert", "revoke", &field("serial").to_uppercase()]).ok().stdout;
    assert!(said.contains("revoked"), "{said}");
    let again = broker.cli_json(&["cert", "revoke", &field("fingerprint")]);
    assert_eq!(again["status"], "revoked");
    let after = fs::read(&list_file).expect("a list");
    assert_ne!(before, after);
    fs::write(&list_file, before).expect("as if the process had died before the list was written");
    broker.kill_and_restart();
    let shown = broker.cli_json(&["user", "show", "machine"]);
    assert!(shown["certificates"][0]["revokedAt"].is_string(), "{shown}");
    if require_program("openssl") {
        let path = |name: &str| directory.path().join(name).display().to_string();
        let verify = [
            "verify",
            "-crl_check",
            "-CAfile",
            &path("ca.crt"),
            "-CRLfile",
            text(&list_file),
            &path("machine.crt"),
        ];
        let ran = openssl(&verify);
        assert_ne!(ran.code, Some(0));
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains("revoked"), "{ran:?}");
    }
}

#[test]
fn a_removed_users_certificates_are_revoked_and_still_listed() {
    let (broker, directory) = broker();
    let issued = issue(&broker, directory.path(), &["--days", "10"]);
    let listed = broker.cli(&["cert", "list", "--expiring-within-days", "30"]).ok().stdout;
    assert!(listed.contains("expires-soon"), "{listed}");
    drop(broker.cli(&["user", "remove", "machine"]).ok());
    drop(broker.cli(&["user", "add", "machine", "--certificate"]).ok());
    let listed = broker.cli_json(&["cert", "list", "--user", "machine"]);
    assert_eq!(listed[0]["serial"], issued["serial"]);
    assert_eq!(listed[0]["status"], "revoked");
    assert_eq!(listed[0]["revocationReason"], "userRemoved");
    let new = broker.cli_json(&["user", "show", "machine"]);
    assert_eq!(new["certificates"], json!([]), "the new user has none of them");
}
