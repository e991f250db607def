//! Administration from elsewhere: the command line and plain HTTP over TLS, by bearer tokens, and what guessing leads to.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::{BrokerProcess, CliRun};

use crate::support::{OTHER_PASSWORD, PASSWORD, setup};

/// A broker with HTTPS, and `boss`, who may do everything.
fn broker() -> (BrokerProcess, String) {
    let broker = setup().env("COUNTERSIGN_LISTENERS_HTTPS", "127.0.0.1:0").start();
    broker.add_user("boss", PASSWORD, &["--role", "connectware-admin"]);
    let https = broker.listener("https").expect("an HTTPS listener");
    (broker, format!("https://{https}"))
}

/// Runs a command against the URL, from a directory without a server.
fn remote(broker: &BrokerProcess, url: &str, arguments: &[&str], input: Option<&str>) -> CliRun {
    let authority = broker.data_dir().join("certs/ca.crt");
    let global = ["--url", url, "--ca-file", authority.to_str().expect("UTF-8")];
    broker.cli_with_input(&[&global, arguments].concat(), input)
}

fn log_in(broker: &BrokerProcess, url: &str, name: &str) -> String {
    let login = ["login", name, "--password-stdin", "--label", "a test"];
    let run = remote(broker, url, &login, Some(PASSWORD)).ok();
    run.stdout.trim().to_owned()
}

#[test]
fn all_commands_work_over_https_with_a_token() {
    let (broker, url) = broker();
    let token = log_in(&broker, &url, "boss");
    let run = |arguments: &[&str]| {
        remote(&broker, &url, &[arguments, &["--token", &token]].concat(), None)
    };
    drop(run(&["user", "add", "machine", "--certificate", "--allow", "read:plant/#"]).ok());
    let explained = run(&["explain", "machine", "read", "plant/#", "--json"]).ok();
    assert_eq!(explained.json()["decision"], "allow");
    let tokens = run(&["token", "list", "boss", "--json"]).ok().json();
    assert_eq!(tokens[0]["label"], "a test");
    assert!(tokens[0]["lastUsedAt"].is_string());
    drop(run(&["token", "revoke", "boss", "--all"]).ok());
    let refused = run(&["user", "list"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("token"), "{}", refused.stderr);
}

#[test]
fn a_server_that_nobody_trusted_vouches_for_gets_no_token() {
    let (broker, url) = broker();
    let other = setup().start();
    let authority = other.data_dir().join("certs/ca.crt");
    let authority = authority.to_str().expect("UTF-8");
    let login = ["--url", &url, "--ca-file", authority, "login", "boss", "--password-stdin"];
    let run = broker.cli_with_input(&login, Some(PASSWORD));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("cannot trust"), "{}", run.stderr);
}

#[test]
fn one_with_part_of_the_rights_gives_no_more_by_the_command_line() {
    let (broker, url) = broker();
    let more = ["--allow", "http:readWrite:/api/users/#", "--allow", "http:read:/api/roles/#"];
    broker.add_user("part", PASSWORD, &more);
    let token = log_in(&broker, &url, "part");
    let run = |arguments: &[&str]| {
        remote(&broker, &url, &[arguments, &["--token", &token]].concat(), None)
    };
    drop(run(&["user", "add", "plain", "--certificate"]).ok());
    for refused in [
        &["user", "add", "evil", "--certificate", "--role", "connectware-admin"][..],
        &["user", "set", "part", "--role", "connectware-admin"],
        &["user", "set", "part", "--allow", "readWrite:#"],
        &["client", "list"],
        &["lock", "list"],
    ] {
        let run = run(refused);
        assert_eq!(run.code, Some(1), "{refused:?}: {}", run.stdout);
        assert!(run.stderr.contains("permi") || run.stderr.contains("rights"), "{}", run.stderr);
    }
}

#[test]
fn ones_own_password_is_changed_with_the_present_one_and_any_other_without() {
    let (broker, url) = broker();
    broker.add_user("plain", PASSWORD, &["--role", "minimum-access"]);
    let passwd = |token: &str, more: &[&str], input: &str| {
        let arguments = ["user", "passwd", "plain", "--password-stdin", "--token", token];
        remote(&broker, &url, &[&arguments[..], more].concat(), Some(input))
    };
    let both = |current: &str, new: &str| format!("{current}\n{new}\n");
    let token = log_in(&broker, &url, "plain");
    let check = |more: &[&str], input: &str, says: &str| {
        let run = passwd(&token, more, input);
        assert_eq!(run.code, Some(1), "{}", run.stdout);
        assert!(run.stderr.contains(says), "{}", run.stderr);
        assert!(!run.stderr.contains(PASSWORD) && !run.stderr.contains(OTHER_PASSWORD));
    };
    check(&[], &format!("{OTHER_PASSWORD}\n"), "--current-stdin");
    check(&["--current-stdin"], &format!("{PASSWORD}\n"), "no password on standard input");
    check(&["--current-stdin"], &both(OTHER_PASSWORD, OTHER_PASSWORD), "`current`");
    assert!(!log_in(&broker, &url, "plain").is_empty(), "the old one is still good");
    let more = ["--current-stdin", "--second", "--expires-in-hours", "1"];
    drop(passwd(&token, &more, &both(PASSWORD, "a-second-one-94-hums")).ok());
    drop(passwd(&token, &["--current-stdin"], &both(PASSWORD, OTHER_PASSWORD)).ok());
    let login = ["login", "plain", "--password-stdin"];
    assert_eq!(remote(&broker, &url, &login, Some(PASSWORD)).code, Some(1));
    drop(remote(&broker, &url, &login, Some(OTHER_PASSWORD)).ok());
    let boss = log_in(&broker, &url, "boss");
    drop(passwd(&boss, &[], &format!("{PASSWORD}\n")).ok());
    drop(remote(&broker, &url, &login, Some(PASSWORD)).ok());
}

#[test]
fn mosquittos_files_are_imported_from_elsewhere_within_the_callers_rights() {
    let (broker, url) = broker();
    let more = ["--allow", "http:readWrite:/api/policy", "--allow", "read:plant/#"];
    broker.add_user("part", PASSWORD, &more);
    let passwd = broker.data_dir().join("passwd");
    let acl = broker.data_dir().join("acl");
    let hash = "$7$101$qLCD1S+OYAjeDz48$5cwxGV0dqaZ+Ooddu5V1mhhSVPNfAItl5nBEBuGVOs6/FTbF0HGwAWjlS28XUxmbYaKFzI+vfkUs6mvjQkyNBg==";
    std::fs::write(&passwd, format!("gauge:{hash}\n")).expect("written");
    let run = |name: &str, rule: &str| {
        std::fs::write(&acl, format!("user gauge\ntopic {rule}\n")).expect("written");
        let token = log_in(&broker, &url, name);
        let files = ["--passwd", passwd.to_str().unwrap(), "--acl", acl.to_str().unwrap()];
        let arguments = [&["import", "mosquitto", "--token", &token], &files[..]].concat();
        remote(&broker, &url, &arguments, None)
    };
    let refused = run("part", "readwrite #");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("rights"), "{}", refused.stderr);
    drop(run("part", "read plant/a").ok());
    let records = broker.cli_json(&["audit", "--user", "part", "--action", "user.create"]);
    assert_eq!(records[0]["details"]["target"]["user"], "gauge");
    assert!(run("boss", "readwrite #").stderr.contains("there already: user `gauge`"));
}

#[test]
fn guessing_locks_the_user_until_somebody_unlocks_it() {
    let (broker, url) = broker();
    broker.add_user("victim", PASSWORD, &["--role", "minimum-access"]);
    for number in 0..10 {
        let login = ["login", "victim", "--password-stdin"];
        let run = remote(&broker, &url, &login, Some(&format!("guess-{number}")));
        assert!(run.stderr.contains("bad user name or password"), "{number}: {}", run.stderr);
    }
    let login = ["login", "victim", "--password-stdin"];
    let run = remote(&broker, &url, &login, Some(PASSWORD));
    assert!(run.stderr.contains("too many failed logins"), "{}", run.stderr);
    let locks: Value = broker.cli_json(&["lock", "list"]);
    assert_eq!(locks[0]["name"], "victim");
    drop(broker.cli(&["user", "unlock", "victim"]).ok());
    assert!(!log_in(&broker, &url, "victim").is_empty());
}

#[test]
fn plain_curl_can_log_in_and_ask() {
    if !testkit::require_program("curl") {
        return;
    }
    let (broker, url) = broker();
    let authority = broker.data_dir().join("certs/ca.crt");
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--cacert"]).arg(&authority).args(arguments);
        testkit::run_real(&mut command, Duration::from_secs(30)).stdout
    };
    let login = format!(r#"{{"username":"boss","password":"{PASSWORD}","expireTimeInHours":1}}"#);
    let answer = curl(&["--json", &login, &format!("{url}/api/login")]);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let bearer = format!("Authorization: Bearer {}", answer["token"].as_str().expect("a token"));
    let users = curl(&["-H", &bearer, &format!("{url}/api/users")]);
    assert!(users.contains("\"total\""), "{users}");
    let metrics = curl(&["-H", &bearer, &format!("{url}/metrics")]);
    assert!(metrics.contains("# TYPE"), "{metrics}");
    for (path, status) in [("/metrics", "401"), ("/api/users", "401"), ("/healthz", "200")] {
        let code = curl(&["-o", "/dev/null", "-w", "%{http_code}", &format!("{url}{path}")]);
        assert_eq!(code, status, "{path}");
    }
}

#[test]
fn metrics_are_for_anybody_only_where_the_configuration_says_so() {
    if !testkit::require_program("curl") {
        return;
    }
    let setup = setup().env("COUNTERSIGN_LISTENERS_HTTPS", "127.0.0.1:0");
    let broker = setup.env("COUNTERSIGN_METRICS_PUBLIC", "true").start();
    let https = broker.listener("https").expect("an HTTPS listener");
    let url = format!("https://{https}");
    let authority = broker.data_dir().join("certs/ca.crt");
    for (path, status) in [("/metrics", "200"), ("/api/users", "401")] {
        let mut command = Command::new("curl");
        command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]).arg(&authority);
        command.arg(format!("{url}{path}"));
        assert_eq!(
            testkit::run_real(&mut command, Duration::from_secs(30)).stdout,
            status,
            "{path}"
        );
    }
}
