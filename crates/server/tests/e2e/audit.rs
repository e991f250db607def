//! The audit log from outside: it misses nothing that was confirmed, claims nothing that was not done, and shows it when
//! somebody has touched it.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{fs, thread};

use serde_json::Value;
use testkit::{BrokerProcess, Version, eventually, login, run_real};

use crate::support::{BINARY, PASSWORD, setup};

fn records(broker: &BrokerProcess, arguments: &[&str]) -> Vec<Value> {
    let mut command = vec!["audit", "--last", "10000"];
    command.extend(arguments);
    broker.cli_json(&command).as_array().expect("a list").clone()
}

fn created(broker: &BrokerProcess) -> BTreeSet<String> {
    let made = records(broker, &["--chain", "changes", "--action", "user.create"]);
    made.iter().map(|it| it["details"]["target"]["user"].as_str().unwrap().to_owned()).collect()
}

fn users(broker: &BrokerProcess) -> BTreeSet<String> {
    let users = broker.cli_json(&["user", "list"]);
    let users = users.as_array().unwrap().iter();
    users.map(|user| user["username"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn after_a_power_cut_in_the_middle_the_log_says_exactly_what_was_done() {
    let mut broker = setup().start();
    for round in 0..3 {
        let (confirmed, confirmations) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (data_dir, stopped) = (broker.data_dir().to_owned(), Arc::clone(&stop));
        let adding = thread::spawn(move || {
            for number in 0.. {
                let name = format!("user-{round}-{number}");
                let mut command = Command::new(BINARY);
                command.env_clear().arg("--data-dir").arg(&data_dir);
                command.args(["user", "add", &name, "--certificate"]);
                let ran = run_real(&mut command, Duration::from_secs(30));
                if ran.code == Some(0) && confirmed.send(name).is_err() {
                    return;
                }
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let mut known: Vec<String> = (0..4).map(|_| confirmations.recv().unwrap()).collect();
        broker.kill_and_restart();
        stop.store(true, Ordering::Relaxed);
        adding.join().unwrap();
        known.extend(confirmations.try_iter());
        assert!(known.len() >= 4);
        let (created, users) = (created(&broker), users(&broker));
        for name in &known {
            assert!(created.contains(name), "{name} was confirmed");
        }
        assert_eq!(created, users, "the log and the users are the same");
        let verdict = broker.cli_json(&["audit", "--verify"]);
        assert_eq!(verdict["good"], true, "{verdict}");
    }
}

#[test]
fn flaw_41_a_refused_login_is_in_the_log_with_all_that_is_known() {
    let broker = setup().start();
    let code = login(Version::V5, "press-7").user("nobody", "guess").code(broker.mqtt());
    assert_eq!(code, 0x86);
    eventually("the refusal is written", || !records(&broker, &["--chain", "refusals"]).is_empty());
    let refused = records(&broker, &["--user", "nobody"]).remove(0);
    assert_eq!(refused["action"], "login.refused");
    for (field, value) in [
        ("username", "nobody"),
        ("clientId", "press-7"),
        ("listener", "mqtt"),
        ("reason", "user `nobody`: unknown user"),
    ] {
        assert_eq!(refused["details"][field], value, "{field}");
    }
    let address = refused["details"]["address"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    assert!(!refused.to_string().contains("guess"));
}

#[test]
fn an_exported_chain_can_be_checked_with_other_tools() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    let lines = broker.cli(&["audit", "--export", "changes"]).ok().stdout;
    assert!(lines.lines().count() >= 6, "{lines}");
    let mut previous = "0".repeat(64);
    for line in lines.lines() {
        let (open, rest) = line.rsplit_once(",\"hash\":\"").unwrap();
        let hash = rest.strip_suffix("\"}").unwrap();
        assert!(open.contains(&format!("\"previous\":\"{previous}\"")), "{line}");
        let file = broker.data_dir().join("record");
        fs::write(&file, format!("{open}}}")).unwrap();
        let summed = run_real(Command::new("sha256sum").arg(&file), Duration::from_secs(10));
        assert_eq!(summed.stdout.split(' ').next(), Some(hash));
        previous = hash.to_owned();
    }
    let kept = format!("changes:{}:{previous}", lines.lines().count());
    let _good = broker.cli(&["audit", "--verify", "--expect", &kept]).ok();
    let forged = format!("changes:{}:{}", lines.lines().count(), "a".repeat(64));
    assert_eq!(broker.cli(&["audit", "--verify", "--expect", &forged]).code, Some(1));
}
