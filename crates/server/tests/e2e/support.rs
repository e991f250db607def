//! What most tests begin with.

use testkit::{BrokerProcess, BrokerSetup, MqttClient, Version, login};

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_countersign");

/// A password that any sensible rule takes.
pub(crate) const PASSWORD: &str = "violet-tractor-94-hums";

/// Another one.
pub(crate) const OTHER_PASSWORD: &str = "quiet-lantern-17-sails";

/// How the broker is started where a test says nothing else. Hashes are cheap: what a test is about is
/// seldom the price of a password.
pub(crate) fn setup() -> BrokerSetup {
    setup_with_real_hashes()
        .env("COUNTERSIGN_HASHING_MEMORY_KIB", "8")
        .env("COUNTERSIGN_HASHING_PASSES", "1")
}

/// The same with hashes at their real price.
pub(crate) fn setup_with_real_hashes() -> BrokerSetup {
    BrokerSetup::new(BINARY)
}

/// For tests that fail to log in more often than the broker would bear.
pub(crate) fn without_locks(setup: BrokerSetup) -> BrokerSetup {
    setup
        .env("COUNTERSIGN_PROTECTION_FAILURES_PER_USER", "0")
        .env("COUNTERSIGN_PROTECTION_FAILURES_PER_SOURCE", "0")
}

/// A broker with two users: `admin-of-test` may do everything, `machine` what `more` says.
pub(crate) fn broker_with_machine(more: &[&str]) -> BrokerProcess {
    let broker = setup().start();
    broker.add_user("admin-of-test", PASSWORD, &["--role", "connectware-admin"]);
    broker.add_user("machine", PASSWORD, more);
    broker
}

/// A connection of the user with every right.
pub(crate) fn admin(broker: &BrokerProcess) -> MqttClient {
    login(Version::V5, "the-admin").user("admin-of-test", PASSWORD).connect(broker.mqtt())
}

/// A connection of `machine`.
pub(crate) fn machine(broker: &BrokerProcess, version: Version) -> MqttClient {
    login(version, "the-machine").user("machine", PASSWORD).connect(broker.mqtt())
}

/// The code of a refusal: the 5.0 one, or what 3.1.1 says instead.
pub(crate) fn refusal(version: Version, v311: u8, v5: u8) -> u8 {
    match version {
        Version::V311 => v311,
        Version::V5 => v5,
    }
}
