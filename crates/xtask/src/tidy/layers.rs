//! Who may depend on whom: never up, never sideways; the crates below the line on very little.

use std::collections::BTreeSet;

use anyhow::Context;
use serde_json::Value;

/// The layers from below; a crate may use crates of lower layers only.
const LAYERS: &[(&str, u8)] = &[
    ("topic", 0),
    ("mqtt", 1),
    ("access", 1),
    ("broker", 2),
    ("ledger", 3),
    ("store", 4),
    ("pki", 4),
    ("admin", 5),
    ("api", 6),
    ("server", 7),
];

/// The crates that do no I/O, read no clock, draw no randomness and spawn nothing.
pub(crate) const PURE: &[&str] = &["topic", "mqtt", "access", "broker", "ledger"];

/// What a pure crate may take from outside: data structures, locks and errors.
const PURE_MAY_USE: &[&str] = &[
    "arc-swap",
    "bytes",
    "foldhash",
    "hashbrown",
    "im",
    "imbl",
    "memchr",
    "parking_lot",
    "rpds",
    "slab",
    "smallvec",
    "smol_str",
    "thiserror",
    "uuid",
    "zeroize",
];

/// The adapters know the words of access control, not the engine.
const ADAPTERS: &[&str] = &["store", "pki"];
const ADAPTERS_MAY_USE: &[&str] = &["topic", "access"];

/// The crates that only tests and developers use.
const FOR_DEVELOPMENT: &[&str] = &["testkit", "xtask"];

/// It drives the pure crates, and nothing is built on it.
const SIMULATION: &str = "sim";

/// One crate of the workspace and what it depends on directly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    /// The crate's name.
    pub(crate) name: String,
    /// Crates of the workspace in `[dependencies]` and `[build-dependencies]`.
    pub(crate) own: BTreeSet<String>,
    /// Crates of the workspace in `[dev-dependencies]`.
    pub(crate) own_for_tests: BTreeSet<String>,
    /// Crates from a registry in `[dependencies]` and `[build-dependencies]`.
    pub(crate) foreign: BTreeSet<String>,
    /// Crates from a registry in `[dev-dependencies]`.
    pub(crate) foreign_for_tests: BTreeSet<String>,
}

/// The packages that `cargo metadata --no-deps` lists.
pub(crate) fn packages(metadata: &Value) -> anyhow::Result<Vec<Package>> {
    let listed = metadata.get("packages").and_then(Value::as_array).context("no `packages`")?;
    listed.iter().map(|package| read_package(package).context("an odd package")).collect()
}

fn read_package(package: &Value) -> Option<Package> {
    let mut read =
        Package { name: package.get("name")?.as_str()?.to_owned(), ..Package::default() };
    for dependency in package.get("dependencies")?.as_array()? {
        let name = dependency.get("name")?.as_str()?.to_owned();
        let is_own = dependency.get("path").is_some_and(Value::is_string);
        let is_for_tests = dependency.get("kind")?.as_str() == Some("dev");
        let list = match (is_own, is_for_tests) {
            (true, false) => &mut read.own,
            (true, true) => &mut read.own_for_tests,
            (false, false) => &mut read.foreign,
            (false, true) => &mut read.foreign_for_tests,
        };
        list.insert(name);
    }
    Some(read)
}

/// Every dependency that the layers do not allow.
pub(crate) fn check(packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let mut findings = Vec::new();
    if FOR_DEVELOPMENT.contains(&name) {
        // They stand beside the product: what tests it must not be built from it.
        findings.extend(package.own.iter().map(|on| format!("`{name}` must not depend on `{on}`")));
        return findings;
    }
    if name == SIMULATION {
        let strange = |on: &&String| *on != "testkit" && !PURE.contains(&on.as_str());
        let strange = package.own.iter().filter(strange);
        findings.extend(strange.map(|on| format!("`{name}` must not depend on `{on}`")));
        return findings;
    }
    let Some(layer) = layer(name) else {
        return vec![format!("crate `{name}` is in no layer")];
    };
    for on in &package.own {
        let is_below = self::layer(on).is_some_and(|other| other < layer);
        let is_known_to_adapter =
            !ADAPTERS.contains(&name) || ADAPTERS_MAY_USE.contains(&on.as_str());
        if !is_below || !is_known_to_adapter {
            findings.push(format!("`{name}` must not depend on `{on}`: up or sideways"));
        }
    }
    for on in &package.own_for_tests {
        let is_below = self::layer(on).is_some_and(|other| other < layer);
        if !is_below && on != "testkit" {
            findings.push(format!("the tests of `{name}` must not depend on `{on}`"));
        }
    }
    if PURE.contains(&name) {
        let strange = package.foreign.iter().filter(|on| !PURE_MAY_USE.contains(&on.as_str()));
        findings.extend(strange.map(|on| format!("pure crate `{name}` must not depend on `{on}`")));
    }
    findings
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

#[cfg(test)]
mod tests {
    use super::{Package, check, packages};

    fn package(name: &str, own: &[&str], foreign: &[&str]) -> Package {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Package {
            name: name.to_owned(),
            own: set(own),
            foreign: set(foreign),
            ..Package::default()
        }
    }

    fn check_one(package: Package, expected: usize) {
        let findings = check(std::slice::from_ref(&package));
        assert_eq!(findings.len(), expected, "{package:?} gave {findings:?}");
    }

    #[test]
    fn down_is_allowed_and_layers_may_be_skipped() {
        check_one(package("server", &["topic", "api", "broker"], &["tokio"]), 0);
        check_one(package("broker", &["topic", "mqtt", "access"], &["slab"]), 0);
    }

    #[test]
    fn up_sideways_and_into_the_engine_are_found() {
        check_one(package("topic", &["access"], &[]), 1);
        check_one(package("mqtt", &["access"], &[]), 1);
        check_one(package("store", &["broker"], &[]), 1);
        check_one(package("admin", &["api", "server"], &[]), 2);
        check_one(package("server", &["testkit"], &[]), 1);
        check_one(package("testkit", &["mqtt"], &[]), 1);
    }

    #[test]
    fn the_simulation_drives_the_pure_crates_and_nothing_is_built_on_it() {
        check_one(package("sim", &["broker", "mqtt", "access", "topic", "testkit"], &[]), 0);
        check_one(package("sim", &["store", "server"], &[]), 2);
        check_one(package("server", &["sim"], &[]), 1);
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        check_one(package("helpers", &[], &[]), 1);
    }

    #[test]
    fn a_pure_crate_with_a_runtime_or_randomness_is_found() {
        check_one(package("mqtt", &[], &["tokio", "rand", "thiserror"]), 2);
        check_one(package("admin", &[], &["tokio"]), 0);
    }

    #[test]
    fn tests_may_use_the_testkit_and_nothing_from_above() {
        let mut tested = package("broker", &[], &[]);
        tested.own_for_tests.extend(["testkit".to_owned(), "admin".to_owned()]);
        check_one(tested, 1);
    }

    #[test]
    fn metadata_is_sorted_into_own_and_foreign() {
        let metadata = serde_json::json!({"packages": [{"name": "access", "dependencies": [
            {"name": "topic", "path": "/x/topic", "kind": null},
            {"name": "uuid", "kind": null},
            {"name": "proptest", "kind": "dev"},
        ]}]});
        let read = packages(&metadata).expect("well-formed");
        assert!(read[0].own.contains("topic") && read[0].foreign.contains("uuid"));
        assert!(read[0].foreign_for_tests.contains("proptest"));
    }
}
