//! What is measured: that refusals cannot be told apart by time, and what a storm of logins costs.

use store::PasswordHash;
use tokio::time::Instant;

use super::{House, cheap, login};
use crate::hash::{Hasher, ParsedHash};
use crate::{Caller, HashCost, RefusalKind, RegistrySettings, Settings};

#[tokio::test]
async fn refusals_cannot_be_told_apart_by_time() {
    let house = House::with_alice().await;
    house.add("disabled", "some-password").await;
    house.patch("disabled", r#"{"enabled":false}"#).await;
    for json in [
        r#"{"username":"no-grant"}"#,
        r#"{"username":"no-password","grantTypes":[{"method":"password"}]}"#,
    ] {
        let new = serde_json::from_str(json).unwrap();
        house.admin.create_user(&Caller::LocalOwner, new).await.unwrap();
    }
    // `weak` has a hash of half the cost.
    let half = HashCost { memory_kib: 1024, passes: 1, lanes: 1 };
    let house = house.restart(Settings { hash_cost: half, ..cheap() }).await;
    house.add("weak", "some-password").await;
    let full = HashCost { memory_kib: 2048, passes: 1, lanes: 1 };
    let house = house.restart(Settings { hash_cost: full, ..cheap() }).await;
    house.set_password("alice", "alice-password").await;
    // `imported` has a hash that takes no time, as Mosquitto makes them by default.
    let hash = "$7$101$qLCD1S+OYAjeDz48$5cwxGV0dqaZ+Ooddu5V1mhhSVPNfAItl5nBEBuGVOs6/FTbF0HGwAWjlS28XUxmbYaKFzI+vfkUs6mvjQkyNBg==";
    let imported = serde_json::json!({"users":[{"username":"imported","passwordHash":hash}]});
    super::policy_file::apply(&house, &imported, crate::policy_model::PolicyOptions::default())
        .await
        .unwrap();
    let names = ["nobody", "alice", "disabled", "no-grant", "no-password", "weak", "imported"];
    let mut times_us = vec![Vec::new(); names.len()];
    for round in 0..150 {
        for (name, times) in names.iter().zip(&mut times_us) {
            // Each a new wrong password: a repeated one is refused from memory, whoever the user is.
            let password = format!("wrong-password-{round}");
            let begun = Instant::now();
            assert!(login(&house.admin, Some(name), Some(password.as_bytes())).await.is_err());
            times.push(begun.elapsed().as_micros());
        }
    }
    let medians: Vec<u128> = times_us.iter_mut().map(|times| median(times)).collect();
    println!("median µs of a refusal: {:?}", names.iter().zip(&medians).collect::<Vec<_>>());
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(*least > 100, "a hash was made: {medians:?}");
    assert!(most * 100 <= least * 125, "within a quarter: {medians:?}");
}

#[tokio::test]
async fn while_clients_are_recorded_refusals_cannot_be_told_apart_by_time() {
    const ROUNDS: usize = 120;
    let registry = RegistrySettings {
        pending_per_source_max: 1000,
        new_per_source_max: 1000,
        ..RegistrySettings::default()
    };
    let hash_cost = HashCost { memory_kib: 2048, passes: 1, lanes: 1 };
    let house = super::registry::unlocked(Settings { hash_cost, registry, ..cheap() }).await;
    house.add("alice", "alice-password").await;
    let refuse = async |name: &str, password: &str| {
        let (username, password) = (Some(name), Some(password.as_bytes()));
        let peer = super::registry::peer("192.0.2.1:1883");
        let attempt = crate::LoginAttempt { username, password, certificate: None, peer };
        let client = crate::ClientLabel { client_id: "press-7", listener: "mqtt" };
        let begun = Instant::now();
        assert!(house.admin.login_client(attempt, client).await.is_err(), "{name}");
        begun.elapsed().as_micros()
    };
    refuse("recorded-before", "a-password-of-its-own").await;
    let mut times_us = vec![Vec::new(); 5];
    for round in 0..ROUNDS {
        let fresh = format!("stranger-{round}");
        let wrong = format!("wrong-password-{round}");
        let cases = [
            ("alice", wrong.as_str()),
            ("alice", "always-the-same-one"),
            (fresh.as_str(), "a-password-of-its-own"),
            ("recorded-before", wrong.as_str()),
            ("recorded-before", "a-password-of-its-own"),
        ];
        // Each in turn behind the one that is written to disk meanwhile.
        for place in 0..cases.len() {
            let index = (place * (1 + round % 4)) % cases.len();
            let (name, password) = cases[index];
            times_us[index].push(refuse(name, password).await);
        }
    }
    // Of what else the machine does, the fastest tenth has met least.
    let tenths: Vec<u128> = times_us.iter_mut().map(|times| fastest_tenth(times)).collect();
    println!("fastest tenth of refusals in µs, the third recorded: {tenths:?}");
    let all = u64::try_from(ROUNDS).unwrap() + 1;
    while house.admin.registry(&Caller::LocalOwner).pending < all {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (least, most) = (tenths.iter().min().unwrap(), tenths.iter().max().unwrap());
    assert!(*least > 100, "a hash was made: {tenths:?}");
    assert!(most * 100 <= least * 125, "within a quarter: {tenths:?}");
}

#[tokio::test]
async fn a_storm_of_proven_secrets_passes_in_no_time() {
    let house = House::new(cheap()).await;
    let names: Vec<String> = (0..200).map(|number| format!("machine-{number}")).collect();
    for name in &names {
        house.add(name, &format!("{name}-password")).await;
        assert!(house.login(name, &format!("{name}-password")).await.is_ok());
    }
    let _guard = house.block_pool();
    let begun = Instant::now();
    let rounds = 50;
    for _ in 0..rounds {
        for name in &names {
            assert!(house.login(name, &format!("{name}-password")).await.is_ok());
        }
    }
    let elapsed = begun.elapsed();
    let logins = names.len() * rounds;
    let per_login = elapsed / u32::try_from(logins).unwrap();
    println!("{logins} logins by fingerprint in {elapsed:?}, {per_login:?} each");
    assert!(per_login.as_micros() < 1000, "{per_login:?}");
}

#[tokio::test]
async fn wrong_passwords_of_one_source_do_not_hold_up_another() {
    let house = House::with_alice().await;
    let guard = house.block_pool();
    let attack: Vec<_> = (0..500)
        .map(|number| {
            let admin = house.admin.clone();
            tokio::spawn(async move {
                login(&admin, Some("alice"), Some(format!("guess-{number}").as_bytes())).await
            })
        })
        .collect();
    while house.admin.hashes_waiting() < 500 {
        tokio::task::yield_now().await;
    }
    let peer = crate::PeerAddress::Network("198.51.100.7:1883".parse().unwrap());
    let (username, password) = (Some("alice"), Some(b"alice-password".as_slice()));
    let attempt = crate::LoginAttempt { username, password, certificate: None, peer };
    let good = house.admin.login(attempt);
    tokio::pin!(good);
    // Polled once, it waits in its own queue.
    assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut good).await.is_err());
    assert_eq!(house.admin.hashes_waiting(), 501);
    drop(guard);
    assert!(good.await.is_ok());
    assert!(house.admin.hashes_waiting() > 250, "it was served before most of the others");
    for guess in attack {
        let refused = guess.await.unwrap().unwrap_err();
        assert_eq!(refused.reason().kind, RefusalKind::WrongPassword);
    }
}

fn fastest_tenth(times: &mut [u128]) -> u128 {
    times.sort_unstable();
    times[times.len() / 10]
}

fn median(times: &mut [u128]) -> u128 {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "measures the cost of a hash on this machine"]
fn a_hash_of_the_default_cost_and_the_same_work_of_pbkdf2_are_measured() {
    let mut hasher = Hasher::new(HashCost::default());
    let own = ParsedHash::parse(&hasher.make(b"some-password").unwrap()).unwrap();
    // As many iterations as are taken for the same work; not the hash of the password, which costs the same.
    let iterations = own.work() / 2;
    let output =
        "5cwxGV0dqaZ+Ooddu5V1mhhSVPNfAItl5nBEBuGVOs6/FTbF0HGwAWjlS28XUxmbYaKFzI+vfkUs6mvjQkyNBg==";
    let foreign = PasswordHash::new(format!("$7${iterations}$qLCD1S+OYAjeDz48${output}"));
    for (hash, proves) in [(own, Some(0)), (ParsedHash::parse(&foreign).unwrap(), None)] {
        let hash = [hash];
        let mut times_us: Vec<u128> = (0..40)
            .map(|_| {
                let begun = Instant::now();
                assert_eq!(hasher.verify(b"some-password", &hash), proves);
                begun.elapsed().as_micros()
            })
            .collect();
        println!("median of {} blocks' work: {} µs", hash[0].work(), median(&mut times_us));
    }
}
