//! A broker with all its listeners, and what a test needs to reach them.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, SupportedProtocolVersion};
use serde_json::{Value, json};
use testkit::{BrokerProcess, BrokerSetup, Login, Version, login};

use crate::certificates::{Ca, Client};
use crate::link::{self, Outcome, Tls};

pub(crate) const PASSWORD: &str = "violet-tractor-94-hums";

/// A broker and an authority that it trusts besides its own.
pub(crate) struct Scene {
    pub(crate) broker: BrokerProcess,
    pub(crate) ca: Ca,
    own_pem: String,
}

/// A broker in this mode with all four listeners.
pub(crate) fn setup(mode: &str) -> BrokerSetup {
    setup_without_mode().env("COUNTERSIGN_AUTHENTICATION", mode)
}

/// The same with nothing said about the mode.
pub(crate) fn setup_without_mode() -> BrokerSetup {
    let mut setup = BrokerSetup::new(env!("CARGO_BIN_EXE_countersign"))
        .env("COUNTERSIGN_HASHING_MEMORY_KIB", "8")
        .env("COUNTERSIGN_HASHING_PASSES", "1");
    for listener in ["MQTT", "MQTTS", "HTTPS", "WS"] {
        setup = setup.env(&format!("COUNTERSIGN_LISTENERS_{listener}"), "127.0.0.1:0");
    }
    setup
}

impl Scene {
    /// Starts a broker in this mode.
    pub(crate) fn start(mode: &str) -> Self {
        Self::with(setup(mode))
    }

    /// Starts this broker and makes it trust an authority of the test.
    pub(crate) fn with(setup: BrokerSetup) -> Self {
        let broker = setup.start();
        let own_pem = read(&broker, "ca.crt");
        let scene = Self { broker, ca: Ca::root("Test Root"), own_pem };
        scene.write("ca.crt", &format!("{}{}", scene.own_pem, scene.ca.pem));
        scene.has_logged(&["changed files are in use", "bundle=true"]);
        scene
    }

    /// The built-in authority's certificate.
    pub(crate) fn own_pem(&self) -> &str {
        &self.own_pem
    }

    /// Writes a file of the `certs` directory in one step.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let directory = self.broker.data_dir().join("certs");
        let new = directory.join(format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, directory.join(name)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        read(&self.broker, name)
    }

    pub(crate) fn mqtts(&self) -> SocketAddr {
        self.broker.listener("mqtts").expect("open")
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.broker.listener("https").expect("open")
    }

    /// Adds a user that may do everything, with these grant types: `certificate`, `password:required`.
    pub(crate) fn add_user(&self, name: &str, grants: &[&str]) -> Value {
        let grants: Vec<Value> = grants.iter().map(|grant| spell(grant)).collect();
        let mut body = json!({
            "username": name,
            "grantTypes": grants,
            "permissions": [{"resource": "#", "operation": "readWrite", "context": "mqtt"}],
        });
        if grants.iter().any(|grant| grant["method"] == "password") {
            body["password"] = json!(PASSWORD);
        }
        let reply = self.broker.request("POST", "/api/users", Some(&body));
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.body
    }

    /// Changes a user.
    pub(crate) fn patch(&self, user: &Value, body: &Value) {
        let target = format!("/api/users/{}", user["id"].as_str().unwrap());
        let reply = self.broker.request("PATCH", &target, Some(body));
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    pub(crate) fn config(
        &self,
        client: Option<&Client>,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        link::config(&self.own_pem, client, version)
    }

    /// What comes of a login at the TLS listener.
    pub(crate) fn outcome(&self, client: Option<&Client>, login: &Login<'_>) -> Outcome {
        let config = self.config(client, &rustls::version::TLS13);
        link::outcome(&mut link::tls(self.mqtts(), &config), &login.bytes())
    }

    /// Logs in by certificate at the TLS listener.
    pub(crate) fn connect(&self, client: &Client, client_id: &str, version: Version) -> Tls {
        let config = self.config(Some(client), &rustls::version::TLS13);
        let mut stream = link::tls(self.mqtts(), &config);
        let outcome = link::outcome(&mut stream, &login(version, client_id).bytes());
        assert_eq!(outcome, Outcome::Connack(0), "{client_id}");
        stream
    }

    /// Waits until the log has a line with all these words.
    pub(crate) fn has_logged(&self, words: &[&str]) {
        assert!(!self.broker.log_lines(words).is_empty());
    }
}

pub(crate) fn spell(grant: &str) -> Value {
    let method = grant.strip_suffix(":required");
    json!({"method": method.unwrap_or(grant), "isRequired": method.is_some()})
}

fn read(broker: &BrokerProcess, name: &str) -> String {
    std::fs::read_to_string(broker.data_dir().join("certs").join(name)).unwrap()
}
