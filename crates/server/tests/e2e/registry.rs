//! The client registry from outside: MQTT clients that try, and an administrator at the command line.

use serde_json::{Value, json};
use testkit::wire::Publish;
use testkit::{BrokerProcess, Version, eventually, login};

use crate::support::{OTHER_PASSWORD, PASSWORD, refusal, setup};

fn requests(broker: &BrokerProcess, more: &[&str]) -> Vec<Value> {
    let list = broker.cli_json(&[&["registry", "list"], more].concat());
    list.as_array().expect("a list").clone()
}

fn code(broker: &BrokerProcess, version: Version, name: &str, password: &str) -> u8 {
    login(version, "press-7").user(name, password).code(broker.mqtt())
}

fn register(broker: &BrokerProcess, name: &str, password: &str) -> u16 {
    let body = json!({"username": name, "password": password});
    broker.request("POST", "/api/client-registry/register", Some(&body)).status
}

#[test]
fn an_mqtt_client_tries_is_listed_is_let_in_and_may_do_what_was_given() {
    let broker = setup().start();
    for version in Version::BOTH {
        let name = format!("press-{version:?}").to_lowercase();
        assert_eq!(code(&broker, version, &name, PASSWORD), refusal(version, 4, 0x86));
        assert!(requests(&broker, &[]).is_empty(), "it is locked");
        let state = broker.cli_json(&["registry", "unlock"]);
        assert_eq!(state["unlocked"], true, "{state}");
        assert_eq!(code(&broker, version, &name, PASSWORD), refusal(version, 4, 0x86));
        eventually("the client is listed", || !requests(&broker, &[]).is_empty());
        let request = requests(&broker, &[]).remove(0);
        for (field, value) in [
            ("username", name.as_str()),
            ("clientId", "press-7"),
            ("listener", "mqtt"),
            ("origin", "mqtt"),
            ("password", "kept"),
            ("status", "pending"),
        ] {
            assert_eq!(request[field], value, "{field}");
        }
        let address = request["address"].as_str().unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        assert_eq!(code(&broker, version, &name, PASSWORD), refusal(version, 4, 0x86));
        let id = request["id"].as_str().unwrap();
        let grant =
            ["registry", "grant", id, "--allow", "readWrite:plant/#", "--deny", "write:plant/stop"];
        let granted = broker.cli_json(&grant);
        assert_eq!(granted["status"], "granted", "{granted}");
        let wrong = code(&broker, version, &name, OTHER_PASSWORD);
        assert_eq!(wrong, refusal(version, 4, 0x86));
        let mut client = login(version, "press-7").user(&name, PASSWORD).connect(broker.mqtt());
        let granted = client.subscribe_all(&[("plant/#", 1), ("other/#", 1)]);
        assert_eq!(granted, [1, refusal(version, 0x80, 0x87)]);
        client.publish(Publish::new("plant/a", b"1").qos(1, 1));
        assert_eq!(client.message(), ("plant/a".to_owned(), b"1".to_vec()));
        assert!(requests(&broker, &[]).is_empty(), "it waits no longer");
        let _locked = broker.cli(&["registry", "lock"]).ok();
    }
    let of =
        |action: &str| broker.cli_json(&["audit", "--action", action]).as_array().unwrap().len();
    assert_eq!(
        (of("registry.unlock"), of("registry.request"), of("registry.grant"), of("registry.lock")),
        (2, 2, 2, 2)
    );
    assert!(!broker.stderr().contains(PASSWORD));
}

#[test]
fn a_grant_gives_nothing_by_default_and_a_denied_client_stays_out() {
    let broker = setup().start();
    let _unlocked = broker.cli(&["registry", "unlock", "--seconds", "60"]).ok();
    for name in ["machine", "stranger"] {
        assert_eq!(code(&broker, Version::V5, name, PASSWORD), 0x86);
        eventually("it is listed", || {
            requests(&broker, &[]).iter().any(|request| request["username"] == name)
        });
    }
    let _granted = broker.cli(&["registry", "grant", "machine"]).ok();
    let mut client = login(Version::V5, "m").user("machine", PASSWORD).connect(broker.mqtt());
    assert_eq!(client.subscribe_all(&[("#", 0), ("plant/a", 0)]), [0x87, 0x87]);
    let denied = broker.cli(&["registry", "deny", "stranger"]).ok();
    assert!(denied.stdout.contains("request of `stranger` denied"), "{}", denied.stdout);
    assert_eq!(code(&broker, Version::V5, "stranger", PASSWORD), 0x86);
    let all = requests(&broker, &["--all"]);
    let states: Vec<_> = all.iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["granted", "denied"]);
    assert_eq!(broker.cli(&["registry", "grant", "machine"]).code, Some(1));
    assert_eq!(broker.cli(&["registry", "grant", "nobody"]).code, Some(1));
    assert_eq!(broker.cli(&["registry", "unlock", "--seconds", "0"]).code, Some(2));
    assert_eq!(broker.cli(&["registry", "unlock", "--seconds", "90000"]).code, Some(1));
    let shown = broker.cli(&["registry", "show", "stranger"]).ok().stdout;
    assert!(shown.contains("denied") && !shown.contains("argon2"), "{shown}");
}

#[test]
fn requests_outlive_a_power_cut_and_the_unlocked_registry_does_not() {
    let mut broker = setup().start();
    let _unlocked = broker.cli(&["registry", "unlock", "--seconds", "3600"]).ok();
    assert_eq!(register(&broker, "by-rest", PASSWORD), 202);
    assert_eq!(code(&broker, Version::V5, "by-mqtt", PASSWORD), 0x86);
    eventually("both are listed", || requests(&broker, &[]).len() == 2);
    broker.kill_and_restart();
    assert_eq!(requests(&broker, &[]).len(), 2);
    assert_eq!(register(&broker, "by-rest", PASSWORD), 202, "it is known by its password");
    assert_eq!(register(&broker, "by-rest", OTHER_PASSWORD), 423);
    assert_eq!(register(&broker, "another", PASSWORD), 423);
    for name in ["by-rest", "by-mqtt"] {
        let _granted = broker.cli(&["registry", "grant", name]).ok();
    }
    broker.kill_and_restart();
    assert_eq!(register(&broker, "by-rest", PASSWORD), 201);
    for name in ["by-rest", "by-mqtt"] {
        assert_eq!(code(&broker, Version::V5, name, PASSWORD), 0, "{name}");
    }
    assert_eq!(broker.cli_json(&["audit", "--verify"])["good"], true);
}
