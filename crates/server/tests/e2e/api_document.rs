//! The REST API against its own document: schemathesis (a program of others) makes requests of what the document says,
//! good and bad ones, and compares the answers with it.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use testkit::run_real;

use crate::real_clients::has_library;
use crate::support::{PASSWORD, setup, without_locks};

#[test]
fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    if !has_library("python3", &["-c", "import schemathesis"]) {
        return;
    }
    let setup = without_locks(setup()).env("COUNTERSIGN_LISTENERS_HTTPS", "127.0.0.1:0");
    let broker = setup.start();
    broker.add_user("boss", PASSWORD, &["--role", "connectware-admin"]);
    let authority = broker.data_dir().join("certs/ca.crt");
    let url = format!("https://{}", broker.listener("https").expect("an HTTPS listener"));
    let global = ["--url", &url, "--ca-file", authority.to_str().expect("UTF-8")];
    let login = [&global[..], &["login", "boss", "--password-stdin"]].concat();
    let token = broker.cli_with_input(&login, Some(PASSWORD)).ok().stdout;
    let work = broker.data_dir().join("schemathesis");
    std::fs::create_dir(&work).expect("a directory");
    let expectations =
        format!("{}/tests/e2e/clients/schemathesis.toml", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.current_dir(&work).args(["-m", "schemathesis.cli", "--config-file", &expectations]);
    command.args(["run", &format!("{url}/api/openapi.json"), "--tls-verify"]).arg(&authority);
    command.args(["--header", &format!("Authorization: Bearer {}", token.trim())]);
    command.args(["--checks", "all", "--phases", "coverage,fuzzing", "--max-examples", "5"]);
    command.args(["--seed", "1", "--no-shrink", "--continue-on-failure"]);
    let ran = run_real(&mut command, Duration::from_secs(300));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let tested = ran.stdout.split("Tested: ").nth(1).and_then(|rest| rest.lines().next());
    let tested: usize = tested.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    assert!(tested >= 40, "{tested} operations: {}", ran.stdout);
    // It has been in the middle of all that, and nothing has come of it.
    let reply = broker.request("GET", "/api/users?username%5Beq%5D=boss", None).body;
    assert_eq!(reply["items"][0]["enabled"], json!(true), "{reply}");
}
