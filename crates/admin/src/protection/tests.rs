use super::*;

fn protection() -> Protection {
    Protection::new(ProtectionSettings::default()).unwrap()
}

fn source(number: u64) -> Source {
    Source::Network(number)
}

fn fail(protection: &Protection, user: &str, from: u64, times: u32, now_ms: u64) {
    for _ in 0..times {
        protection.failed(Some(user), source(from), now_ms);
    }
}

#[test]
fn the_tenth_failure_locks_the_user_and_no_other() {
    let protection = protection();
    fail(&protection, "bob", 1, 9, 1000);
    assert_eq!(protection.gate("bob", source(2), 1000), Gate::Open);
    fail(&protection, "bob", 1, 1, 1000);
    let locked = Gate::Locked { what: Locked::User, until_ms: 301_000 };
    assert_eq!(protection.gate("bob", source(2), 1000), locked);
    assert_eq!(protection.gate("bob", source(2), 300_999), locked);
    assert_eq!(protection.gate("bob", source(2), 301_000), Gate::Open);
    assert_eq!(protection.gate("Bob", source(2), 1000), Gate::Open);
}

#[test]
fn the_fiftieth_failure_locks_the_source_for_every_user() {
    let protection = protection();
    for number in 0..50 {
        assert_eq!(protection.gate("carol", source(7), 1000), Gate::Open, "{number}");
        protection.failed(Some(&format!("user{number}")), source(7), 1000);
    }
    let gate = protection.gate("carol", source(7), 1000);
    assert_eq!(gate, Gate::Locked { what: Locked::Source, until_ms: 301_000 });
    assert_eq!(protection.gate("carol", source(8), 1000), Gate::Open);
}

#[test]
fn failures_spread_over_more_than_the_window_do_not_add_up() {
    let protection = protection();
    for round in 0..100 {
        fail(&protection, "bob", round, 9, round * 60_000);
        assert_eq!(protection.gate("bob", source(1), round * 60_000), Gate::Open);
    }
}

#[test]
fn each_lock_in_a_row_is_twice_as_long_up_to_an_hour() {
    let protection = protection();
    let mut now_ms = 1_000;
    for minutes in [5, 10, 20, 40, 60, 60] {
        fail(&protection, "bob", 1000 + now_ms, 10, now_ms);
        let until_ms = now_ms + minutes * 60_000;
        let gate = protection.gate("bob", source(1), now_ms);
        assert_eq!(gate, Gate::Locked { what: Locked::User, until_ms });
        now_ms = until_ms;
    }
    now_ms += 3_600_000;
    fail(&protection, "bob", 1, 10, now_ms);
    let until_ms = now_ms + 300_000;
    assert_eq!(
        protection.gate("bob", source(1), now_ms),
        Gate::Locked { what: Locked::User, until_ms },
        "after an hour of peace it begins anew"
    );
}

#[test]
fn tries_at_a_locked_door_do_not_make_the_lock_longer() {
    let protection = protection();
    fail(&protection, "bob", 1, 10, 1000);
    fail(&protection, "bob", 1, 1000, 200_000);
    assert_eq!(protection.gate("bob", source(2), 301_000), Gate::Open);
}

#[test]
fn zero_turns_one_of_the_two_off() {
    let check = |per_user: u32, per_source: u32, expected: Gate| {
        let settings = ProtectionSettings {
            failures_per_user: per_user,
            failures_per_source: per_source,
            ..ProtectionSettings::default()
        };
        let protection = Protection::new(settings).unwrap();
        fail(&protection, "bob", 1, 100, 0);
        assert_eq!(protection.gate("bob", source(1), 0), expected);
    };
    check(0, 0, Gate::Open);
    check(10, 0, Gate::Locked { what: Locked::User, until_ms: 300_000 });
    check(0, 50, Gate::Locked { what: Locked::Source, until_ms: 300_000 });
}

#[test]
fn the_answer_to_each_failure_comes_later_than_the_last() {
    let protection = protection();
    let delays: Vec<_> =
        (0..10).map(|_| protection.failed(Some("bob"), source(1), 0).as_millis()).collect();
    assert_eq!(delays, [0, 0, 50, 100, 200, 400, 800, 1000, 1000, 1000]);
}

#[test]
fn all_addresses_of_an_ipv6_network_are_one_source() {
    let of = |text: &str| Source::of(text.parse().unwrap());
    let protection = protection();
    for host in 1..=50 {
        protection.failed(None, of(&format!("2001:db8:1:2::{host:x}")), 0);
    }
    let is_open = |text: &str| protection.gate("bob", of(text), 0) == Gate::Open;
    assert!(!is_open("2001:db8:1:2:ffff::1"));
    assert!(is_open("2001:db8:1:3::1"));
    let lock = protection.locked_sources(0).pop().unwrap();
    assert_eq!(lock.name, "2001:db8:1:2::/64");
    assert!(protection.unlock_source("2001:db8:1:2::9".parse().unwrap()));
    assert!(is_open("2001:db8:1:2:ffff::1"));
}

#[test]
fn an_administrator_can_end_a_lock() {
    let protection = protection();
    fail(&protection, "bob", 1, 10, 0);
    assert_eq!(protection.locked_users(0).len(), 1);
    assert!(protection.unlock_user("bob"));
    assert!(!protection.unlock_user("bob"));
    assert_eq!(protection.gate("bob", source(2), 0), Gate::Open);
    assert!(protection.locked_users(0).is_empty());
}

#[test]
fn flaw_36_a_flood_of_names_takes_bounded_memory_and_pushes_no_lock_out() {
    let protection = protection();
    let victims: Vec<_> = (0..20).map(|number| format!("victim{number}")).collect();
    for (number, victim) in (0..).zip(&victims) {
        fail(&protection, victim, 10_000 + number, 10, 0);
    }
    for number in 0..100_000 {
        protection.failed(Some(&format!("flood{number}")), source(100_000 + number), 1000);
    }
    for victim in &victims {
        assert!(protection.gate(victim, source(1), 2000) != Gate::Open, "{victim}");
    }
    assert_eq!(protection.users.lock().places.len(), BUCKETS * BUCKET_PLACES);
    assert_eq!(protection.sources.lock().places.len(), BUCKETS * BUCKET_PLACES);
}
