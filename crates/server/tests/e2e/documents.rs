//! The pages for operators say what the program says.

use std::{fs, process::Command};

use testkit::run_real;

use crate::support::{BINARY, setup};

/// What stands above the help texts in `docs/cli.md`.
const CLI_PREFACE: &str = "\
# Command line

What `--help` says, command by command. All commands but `serve` and `bench` talk to a running server: through `admin.sock` in its data
directory, which only the user that runs the server can open, or with `--url https://HOST:PORT` and a bearer token, by whose user's
permissions they are judged. The server is verified against `--ca-file` alone, or else the data directory's `certs/ca.crt` and the
authorities of the system.

- A permission is written `OP:RESOURCE` with `OP` one of `read`, `write`, `readWrite`, and a topic filter: `read:plant/#`. A whole
  level may be `${username}` or `${clientId}`. A permission for the REST API is written `http:OP:PATH`.
- `--json` prints the REST object, or an array of them.
- Exit codes: 0 done (`explain`: allowed), 1 refused or failed, with the reason on standard error (`explain`: denied), 2 wrong
  usage.
";

/// Every command that is documented, by its words.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["serve"],
    &["user"],
    &["user", "add"],
    &["user", "list"],
    &["user", "show"],
    &["user", "set"],
    &["user", "passwd"],
    &["user", "enable"],
    &["user", "disable"],
    &["user", "unlock"],
    &["user", "refusals"],
    &["user", "remove"],
    &["role"],
    &["role", "add"],
    &["role", "list"],
    &["role", "show"],
    &["role", "set"],
    &["role", "remove"],
    &["cert"],
    &["cert", "issue"],
    &["cert", "sign"],
    &["cert", "list"],
    &["cert", "revoke"],
    &["cert", "ca"],
    &["login"],
    &["token"],
    &["token", "list"],
    &["token", "revoke"],
    &["import"],
    &["import", "mosquitto"],
    &["lock"],
    &["lock", "list"],
    &["lock", "remove"],
    &["registry"],
    &["registry", "unlock"],
    &["registry", "lock"],
    &["registry", "list"],
    &["registry", "show"],
    &["registry", "grant"],
    &["registry", "deny"],
    &["client"],
    &["client", "list"],
    &["client", "refusals"],
    &["client", "kick"],
    &["explain"],
    &["refusals"],
    &["bench"],
    &["bench", "connect"],
    &["bench", "pubsub"],
    &["bench", "fanout"],
    &["bench", "storm"],
    &["apply"],
    &["export"],
    &["audit"],
];

fn help(words: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    command.args(words).arg("--help").env_clear();
    let ran = run_real(&mut command, std::time::Duration::from_secs(10));
    assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

#[test]
fn the_page_of_the_command_line_is_what_help_says() {
    let mut page = CLI_PREFACE.to_owned();
    for words in COMMANDS {
        let title = [&["countersign"], *words].concat().join(" ");
        page.push_str(&format!("\n## `{title}`\n```\n{}\n```\n", help(words)));
    }
    let path = format!("{}/../../docs/cli.md", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).expect("docs/cli.md is written");
    }
    let written = fs::read_to_string(&path).expect("docs/cli.md is there");
    assert!(written == page, "docs/cli.md is out of date: run with UPDATE_DOCS=1");
}

#[test]
fn every_command_that_help_lists_is_documented() {
    for words in COMMANDS {
        let text = help(words);
        let Some((_, listed)) = text.split_once("\nCommands:\n") else { continue };
        for line in listed.lines().take_while(|line| !line.is_empty()) {
            let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) else {
                continue;
            };
            let name = name.split(' ').next().expect("a name");
            let full = [*words, &[name]].concat();
            assert!(COMMANDS.contains(&full.as_slice()), "{full:?} has no section in docs/cli.md");
        }
    }
}

#[test]
fn check_prints_every_key_with_its_source_and_starts_nothing() {
    let parent = tempfile::tempdir().expect("a directory");
    let data_dir = parent.path().join("data");
    let setup = setup().argument("--check").env("COUNTERSIGN_LIMITS_TOPIC_ALIAS_MAX", "7");
    let run = setup.serve_to_the_end(&data_dir);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("\ntopic_alias_max = 7\n"), "{}", run.stdout);
    let source = "environment variable `COUNTERSIGN_LIMITS_TOPIC_ALIAS_MAX`";
    assert!(run.stdout.contains(source), "{}", run.stdout);
    for key in ["authentication", "packet_size_max", "connect_timeout", "mqtts"] {
        assert!(run.stdout.contains(key), "{key} is missing");
    }
    assert!(!data_dir.exists(), "nothing was started");
}
