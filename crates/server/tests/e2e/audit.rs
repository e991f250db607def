//! The audit log from outside: it misses nothing that was confirmed, claims nothing that was not done, and shows it when
//! somebody has touched it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};
use testkit::{BrokerProcess, Outcome, Random, Version, eventually, login, run_real, try_request};

use crate::support::{PASSWORD, setup, without_locks};

fn records(broker: &BrokerProcess, arguments: &[&str]) -> Vec<Value> {
    let mut command = vec!["audit", "--last", "10000"];
    command.extend(arguments);
    broker.cli_json(&command).as_array().expect("a list").clone()
}

fn users(broker: &BrokerProcess) -> BTreeSet<String> {
    let users = broker.cli_json(&["user", "list"]);
    let users = users.as_array().unwrap().iter();
    users.map(|user| user["username"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn records_are_found_by_user_and_by_time() {
    let broker = setup().start();
    broker.add_user("alice", PASSWORD, &[]);
    let count =
        |more: &[&str]| records(&broker, &[&["--action", "user.create"], more].concat()).len();
    let all = count(&[]);
    assert!(all >= 2, "the first administrator and alice");
    let at = |record: &Value| record["at"].as_str().unwrap().to_owned();
    let last = at(records(&broker, &["--action", "user.create"]).last().unwrap());
    assert_eq!(count(&["--user", "local owner"]), 1);
    assert_eq!(count(&["--since", "1h"]), all);
    assert_eq!(count(&["--since", "1h", "--until", "1d"]), 0);
    assert_eq!(count(&["--since", &last]), 1, "the moment itself belongs to it");
    assert_eq!(count(&["--until", &last]), all - 1, "and not to what was before");
    assert_eq!(count(&["--since", "9999-01-01"]), 0);
    for bad in ["yesterday", "2026-02-30", "5 minutes", "-5m"] {
        let ran = broker.cli(&["audit", &format!("--since={bad}")]);
        assert_eq!(ran.code, Some(1), "{bad}");
        assert!(ran.stderr.contains("`since`") && ran.stderr.contains("15m"), "{}", ran.stderr);
    }
}

/// One who administrates until the broker is gone, and keeps in mind what was confirmed: action and a text of the record.
fn administrate(socket: &Path, worker: usize, round: usize) -> Vec<(&'static str, String)> {
    let mut confirmed = Vec::new();
    let ask = |method: &str, path: &str, body: Option<Value>| {
        try_request(socket, method, path, body.as_ref()).filter(|reply| reply.status < 300)
    };
    for number in 0.. {
        let name = format!("user-{round}-{worker}-{number}");
        let grants = json!([{"method": "certificate"}]);
        let new = json!({"username": name, "grantTypes": grants});
        let Some(made) = ask("POST", "/api/users", Some(new)) else { return confirmed };
        confirmed.push(("user.create", name.clone()));
        let path = format!("/api/users/{}", made.body["id"].as_str().unwrap());
        let resource = format!("topic/of/{name}");
        let rules = json!({"permissions": [{"operation": "read", "resource": resource}]});
        let Some(_) = ask("PATCH", &path, Some(rules)) else { return confirmed };
        confirmed.push(("user.update", resource));
        if number % 2 == 0 {
            let Some(_) = ask("DELETE", &path, None) else { return confirmed };
            confirmed.push(("user.remove", name));
        }
    }
    confirmed
}

/// One who is refused until the broker is gone.
fn knock(broker: SocketAddr, end: Instant) {
    for number in 0.. {
        let name = format!("nobody-{number}");
        let outcome = login(Version::V5, "knocks").user(&name, "guess").outcome(broker);
        if !matches!(outcome, Outcome::Refused(..)) || Instant::now() > end {
            return;
        }
    }
}

fn rounds() -> usize {
    std::env::var("CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

#[test]
fn however_often_the_broker_is_killed_the_log_says_exactly_what_was_done() {
    let seed = std::env::var("CRASH_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let mut random = Random::new(seed);
    let mut broker = without_locks(setup()).start();
    let mut confirmed = Vec::new();
    let mut heads = Vec::new();
    for round in 0..rounds() {
        let socket = broker.data_dir().join("admin.sock");
        let (socket, address) = (socket.as_path(), broker.mqtt());
        let end = Instant::now() + Duration::from_millis(20 + random.bits() % 200);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|worker| scope.spawn(move || administrate(socket, worker, round)))
                .collect();
            scope.spawn(move || knock(address, end + Duration::from_secs(2)));
            thread::sleep(end.saturating_duration_since(Instant::now()));
            broker.kill();
            confirmed.extend(workers.into_iter().flat_map(|worker| worker.join().unwrap()));
        });
        broker.begin();
        // What was at the end of a chain once is there for ever.
        let mut verify = vec!["audit", "--verify", "--json"];
        verify.extend(heads.iter().flat_map(|head: &String| ["--expect", head.as_str()]));
        let verdict = broker.cli(&verify).ok().json();
        assert_eq!(verdict["good"], true, "seed {seed}: {verdict}");
        heads = verdict["chains"].as_array().unwrap().iter().filter_map(head).collect();
    }
    let log = broker.cli(&["audit", "--export", "changes"]).ok().stdout;
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let says = |action: &str, text: &str| {
        log.iter().any(|it| it["action"] == action && it.to_string().contains(&format!("{text}\"")))
    };
    for (action, text) in &confirmed {
        assert!(says(action, text), "seed {seed}: {action} {text} was confirmed and is not there");
    }
    let named = |action: &str| -> BTreeSet<String> {
        let those = log.iter().filter(|it| it["action"] == action);
        those.map(|it| it["target"]["user"].as_str().unwrap().to_owned()).collect()
    };
    let left: BTreeSet<_> = &named("user.create") - &named("user.remove");
    assert_eq!(left, users(&broker), "seed {seed}: the log and the users are the same");
    assert!(confirmed.len() > rounds(), "only {}: that shows nothing", confirmed.len());
    println!("{} rounds, {} changes confirmed, seed {seed}", rounds(), confirmed.len());
}

/// The end of a chain, as `--expect` takes it.
fn head(chain: &Value) -> Option<String> {
    let (name, hash) = (chain["chain"].as_str()?, chain["hash"].as_str()?);
    let seq = chain["seq"].as_u64().filter(|seq| *seq > 0)?;
    Some(format!("{name}:{seq}:{hash}"))
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
