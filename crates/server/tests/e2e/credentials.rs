//! Who gets in: every combination of user name and password, and what a refusal gives away.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{BrokerProcess, Outcome, Version, login};

use crate::support::{OTHER_PASSWORD, PASSWORD, setup, setup_with_real_hashes, without_locks};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Accepted,
    /// 4 in 3.1.1, 0x86 in 5.0.
    BadCredentials,
    Closed,
}

/// Logs in once with each version and compares.
fn check(
    broker: &BrokerProcess,
    name: Option<&str>,
    password: Option<&str>,
    expected: [Expected; 2],
) {
    for (version, expected) in Version::BOTH.into_iter().zip(expected) {
        let outcome = login(version, "c").credentials(name, password).outcome(broker.mqtt());
        let got = match (&outcome, version) {
            (Outcome::Accepted(_), _) => Expected::Accepted,
            (Outcome::Refused(4, _), Version::V311) => Expected::BadCredentials,
            (Outcome::Refused(0x86, _), Version::V5) => Expected::BadCredentials,
            (Outcome::Closed, _) => Expected::Closed,
            _ => panic!("{version:?} {name:?} {password:?}: {outcome:?}"),
        };
        assert_eq!(got, expected, "{version:?} with user name {name:?}, password {password:?}");
    }
}

const NAMES: [Option<&str>; 4] = [None, Some(""), Some("stranger"), Some("machine")];
const PASSWORDS: [Option<&str>; 4] = [None, Some(""), Some(OTHER_PASSWORD), Some(PASSWORD)];

// Shows 5.0: [MQTT-3.1.4-2].
#[test]
fn absent_empty_wrong_and_right_differ_in_all_sixteen_combinations() {
    let broker = without_locks(setup()).start();
    broker.add_user("machine", PASSWORD, &[]);
    let mut accepted = 0;
    for name in NAMES {
        for password in PASSWORDS {
            let v5 = if name == Some("machine") && password == Some(PASSWORD) {
                accepted += 1;
                Expected::Accepted
            } else {
                Expected::BadCredentials
            };
            // [MQTT-3.1.2-22] In 3.1.1 a password without a user name is a protocol error.
            let v311 = if name.is_none() && password.is_some() { Expected::Closed } else { v5 };
            check(&broker, name, password, [v311, v5]);
        }
    }
    assert_eq!(accepted, 1, "one combination is right");
}

#[test]
fn the_same_combinations_hold_when_the_password_has_been_proven_before() {
    let broker = without_locks(setup()).start();
    broker.add_user("machine", PASSWORD, &[]);
    check(&broker, Some("machine"), Some(PASSWORD), [Expected::Accepted; 2]);
    for (name, password) in [("machine", ""), ("machine", OTHER_PASSWORD), ("stranger", PASSWORD)] {
        check(&broker, Some(name), Some(password), [Expected::BadCredentials; 2]);
    }
    check(&broker, Some("machine"), None, [Expected::BadCredentials; 2]);
}

#[test]
fn names_and_passwords_are_compared_byte_by_byte() {
    let broker = without_locks(setup()).start();
    broker.add_user("machine", PASSWORD, &[]);
    check(&broker, Some("machine"), Some(PASSWORD), [Expected::Accepted; 2]);
    let upper = PASSWORD.to_uppercase();
    let longer = format!("{PASSWORD} ");
    let near_misses = [
        ("Machine", PASSWORD),
        ("machine ", PASSWORD),
        ("machin", PASSWORD),
        ("machine", upper.as_str()),
        ("machine", longer.as_str()),
        ("machine", PASSWORD.strip_prefix('v').unwrap()),
    ];
    for (name, password) in near_misses {
        check(&broker, Some(name), Some(password), [Expected::BadCredentials; 2]);
    }
}

#[test]
fn too_many_failures_shut_the_door_but_not_for_a_client_that_was_in() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    let code = |version, password: &str| {
        let outcome = login(version, "c").user("machine", password).outcome(broker.mqtt());
        match outcome {
            Outcome::Accepted(_) => 0,
            Outcome::Refused(code, _) => code,
            other => panic!("{other:?}"),
        }
    };
    for number in 0..10 {
        assert_eq!(code(Version::V5, &format!("guess-{number}")), 0x86);
    }
    assert_eq!(code(Version::V5, PASSWORD), 0x8a);
    assert_eq!(code(Version::V311, PASSWORD), 3);
    drop(broker.cli(&["user", "unlock", "machine"]).ok());
    assert_eq!(code(Version::V5, PASSWORD), 0);
    for number in 0..10 {
        assert_eq!(code(Version::V5, &format!("guess-{number}")), 0x86);
    }
    assert_eq!(code(Version::V5, "guess-again"), 0x8a);
    assert_eq!(code(Version::V5, PASSWORD), 0, "proven before, at its usual address");
    assert_eq!(code(Version::V311, PASSWORD), 0);
}

#[test]
fn a_wildcard_as_user_name_or_client_id_opens_nothing() {
    let broker = setup().start();
    let own = ["--allow", "readWrite:u/${username}/#", "--allow", "readWrite:c/${clientId}/#"];
    broker.add_user("machine", PASSWORD, &own);
    for name in ["#", "+", "machine/#", "+/+", "machine\u{1}"] {
        check(&broker, Some(name), Some(PASSWORD), [Expected::BadCredentials; 2]);
    }
    for client_id in ["#", "+", "a/b", "+/#"] {
        let mut client =
            login(Version::V5, client_id).user("machine", PASSWORD).connect(broker.mqtt());
        for filter in ["c/#", "c/+/x", "c/other/x", "c/a/b", "u/#", "u/+/x"] {
            assert_eq!(client.subscribe(filter, 0), 0x87, "client id {client_id}, filter {filter}");
        }
        assert!(client.subscribe("u/machine/x", 0) < 0x80, "the user's own topics stay open");
    }
}

#[test]
fn unknown_user_wrong_password_and_disabled_user_get_the_same_bytes() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    broker.add_user("retired", PASSWORD, &[]);
    let _done = broker.cli(&["user", "disable", "retired"]).ok();
    for version in Version::BOTH {
        let answer = |name, password| match login(version, "c")
            .user(name, password)
            .outcome(broker.mqtt())
        {
            Outcome::Refused(_, mut bytes) => {
                // The name of the decision is another one each time, for everybody: a number that counts refusals.
                let name = b"login-".as_slice();
                if let Some(at) = bytes.windows(name.len()).position(|it| it == name) {
                    let number = &mut bytes[at + name.len()..];
                    assert!(number.len() == 1 && number[0].is_ascii_digit(), "{number:?}");
                    number.fill(b'N');
                }
                bytes
            }
            other => panic!("{name} got {other:?}"),
        };
        let unknown = answer("stranger", PASSWORD);
        assert_eq!(unknown, answer("machine", OTHER_PASSWORD), "wrong password");
        assert_eq!(unknown, answer("retired", PASSWORD), "disabled user");
    }
}

#[test]
fn unknown_user_and_wrong_password_cost_the_same_time() {
    const TRIES: usize = 40;
    let broker = without_locks(setup_with_real_hashes()).start();
    broker.add_user("machine", PASSWORD, &[]);
    for n in 0..TRIES {
        broker.post_user(&format!("retired-{n}"), PASSWORD, &json!({"enabled": false}));
        broker.post_user(&format!("cert-{n}"), PASSWORD, &json!({}));
        let other = ["user", "set", &format!("cert-{n}"), "--grant-type", "certificate"];
        let _done = broker.cli(&other).ok();
    }
    // Each attempt is made once only: one that was refused before is refused from memory.
    let first = medians(TRIES, |n| {
        let wrong = format!("{OTHER_PASSWORD}-{n}");
        let (retired, certificate) = (format!("retired-{n}"), format!("cert-{n}"));
        [
            refusal_time(&broker, "stranger", &wrong),
            refusal_time(&broker, "machine", &wrong),
            refusal_time(&broker, &retired, PASSWORD),
            refusal_time(&broker, &certificate, PASSWORD),
        ]
    });
    assert!(first[0] > Duration::from_millis(3), "no password was hashed: {first:?}");
    check_alike(&first);
    let again = medians(5 * TRIES, |_| {
        [
            refusal_time(&broker, "stranger", OTHER_PASSWORD),
            refusal_time(&broker, "machine", OTHER_PASSWORD),
            refusal_time(&broker, "retired-1", PASSWORD),
            refusal_time(&broker, "cert-1", PASSWORD),
        ]
    });
    println!("first tries: {first:?}; tries again: {again:?}");
    check_alike(&again);
}

fn refusal_time(broker: &BrokerProcess, name: &str, password: &str) -> Duration {
    let begun = Instant::now();
    let code = login(Version::V5, "c").user(name, password).code(broker.mqtt());
    assert_eq!(code, 0x86, "{name}");
    begun.elapsed()
}

/// The median of each case. They are tried in turn, so that whatever else the machine does meets all alike.
fn medians(tries: usize, round: impl Fn(usize) -> [Duration; 4]) -> [Duration; 4] {
    let mut times = [const { Vec::new() }; 4];
    for n in 0..tries {
        for (times, time) in times.iter_mut().zip(round(n)) {
            times.push(time);
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[tries / 2]
    })
}

fn check_alike(medians: &[Duration]) {
    let (low, high) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(high.as_secs_f64() / low.as_secs_f64() < 1.25, "told apart by time: {medians:?}");
}

#[test]
fn a_changed_password_ends_the_old_one_at_once() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    check(&broker, Some("machine"), Some(PASSWORD), [Expected::Accepted; 2]);
    let mut live = login(Version::V5, "live").user("machine", PASSWORD).connect(broker.mqtt());
    let change = ["user", "passwd", "machine", "--password-stdin"];
    let _done = broker.cli_with_input(&change, Some(&format!("{OTHER_PASSWORD}\n"))).ok();
    assert!(matches!(live.expect_disconnect(), 0x87 | 0x98), "the live connection ends");
    check(&broker, Some("machine"), Some(PASSWORD), [Expected::BadCredentials; 2]);
    check(&broker, Some("machine"), Some(OTHER_PASSWORD), [Expected::Accepted; 2]);
}

#[test]
fn a_disabled_or_removed_user_is_out_within_a_second_and_stays_out() {
    let broker = setup().start();
    for (name, end) in [("one", "disable"), ("two", "remove")] {
        let name = format!("machine-{name}");
        broker.add_user(&name, PASSWORD, &[]);
        let mut live = login(Version::V5, "live").user(&name, PASSWORD).connect(broker.mqtt());
        let mut old = login(Version::V311, "old").user(&name, PASSWORD).connect(broker.mqtt());
        let _done = broker.cli(&["user", end, &name]).ok();
        let begun = Instant::now();
        assert!(matches!(live.expect_disconnect(), 0x87 | 0x98), "{end}");
        assert!(old.is_closed_within(Duration::from_secs(5)), "{end}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{end} took {:?}", begun.elapsed());
        check(&broker, Some(&name), Some(PASSWORD), [Expected::BadCredentials; 2]);
    }
}

#[test]
fn nobody_is_anonymous_unless_a_user_stands_for_it() {
    let broker = setup().start();
    check(&broker, None, None, [Expected::BadCredentials; 2]);
    drop(broker);
    let broker = setup().env("COUNTERSIGN_ANONYMOUS_USER", "guest").start();
    check(&broker, None, None, [Expected::BadCredentials; 2]);
    broker.add_user("guest", PASSWORD, &["--allow", "read:public/#"]);
    check(&broker, None, None, [Expected::Accepted; 2]);
    let mut guest = login(Version::V5, "c").connect(broker.mqtt());
    assert_eq!(guest.subscribe_all(&[("public/#", 0), ("private", 0)]), [0, 0x87]);
    // Credentials that are there are never ignored.
    check(&broker, Some("guest"), Some(OTHER_PASSWORD), [Expected::BadCredentials; 2]);
    check(&broker, Some(""), Some(""), [Expected::BadCredentials; 2]);
}

#[test]
fn a_password_that_was_just_set_logs_in_and_nothing_else_does() {
    let broker = without_locks(setup()).start();
    broker.add_user("machine", PASSWORD, &[]);
    let change = ["user", "passwd", "machine", "--password-stdin"];
    // Blanks at the ends belong to a password; the line break does not.
    for password in ["  spaced out lantern 17  ", "pässwörd-mit-ümlaut-9", OTHER_PASSWORD] {
        let _done = broker.cli_with_input(&change, Some(&format!("{password}\n"))).ok();
        check(&broker, Some("machine"), Some(password), [Expected::Accepted; 2]);
        for wrong in ["machine", PASSWORD, password.trim_end_matches(['9', '7', ' ', 's']), ""] {
            check(&broker, Some("machine"), Some(wrong), [Expected::BadCredentials; 2]);
        }
    }
}

#[test]
fn no_secret_is_in_any_reply_log_line_or_error() {
    let broker = setup().env("COUNTERSIGN_LOG_LEVEL", "trace").start();
    broker.add_user("machine", PASSWORD, &["--role", "connectware-admin"]);
    check(&broker, Some("machine"), Some(PASSWORD), [Expected::Accepted; 2]);
    check(&broker, Some("machine"), Some(OTHER_PASSWORD), [Expected::BadCredentials; 2]);
    let mut said = String::new();
    let commands: [&[&str]; 5] = [
        &["user", "list"],
        &["user", "show", "machine"],
        &["role", "list"],
        &["client", "list"],
        &["explain", "machine", "read", "#"],
    ];
    for command in commands {
        for json in [&[][..], &["--json"]] {
            let run = broker.cli(&[command, json].concat());
            said.push_str(&run.stdout);
            said.push_str(&run.stderr);
        }
    }
    let again = ["user", "add", "machine", "--password-stdin"];
    let refused = broker.cli_with_input(&again, Some(&format!("{PASSWORD}\n")));
    assert_eq!(refused.code, Some(1), "the name is taken");
    said.push_str(&refused.stderr);
    said.push_str(&broker.stderr());
    assert!(said.contains("machine"), "nothing was looked at");
    for secret in [PASSWORD, OTHER_PASSWORD, "$argon2", "passwordHash"] {
        assert!(!said.contains(secret), "`{secret}` is shown");
    }
}

#[test]
fn the_last_use_of_a_password_is_shown_and_kept_over_a_restart() {
    let mut broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    let second = ["user", "passwd", "machine", "--password-stdin", "--second"];
    drop(broker.cli_with_input(&second, Some(&format!("{OTHER_PASSWORD}\n"))).ok());
    let uses = |broker: &testkit::BrokerProcess| {
        let passwords = broker.cli_json(&["user", "show", "machine"])["passwords"].clone();
        [0, 1].map(|slot| passwords[slot]["lastUsedAt"].as_str().map(str::to_owned))
    };
    assert_eq!(uses(&broker), [None, None]);
    assert_eq!(login(Version::V5, "c").user("machine", OTHER_PASSWORD).code(broker.mqtt()), 0);
    let [first, second] = uses(&broker);
    assert!(first.is_none() && second.is_some(), "{second:?}");
    let shown = broker.cli(&["user", "show", "machine"]).ok().stdout;
    assert!(shown.contains(&format!("last used {}", second.as_deref().unwrap())), "{shown}");
    broker.restart();
    assert_eq!(uses(&broker), [first, second]);
}
