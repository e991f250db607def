//! The first session of the README, and that of the page on migration, typed as they stand there: each command, and what it
//! prints.

use std::{env, fs, process::Command, time::Duration};

use testkit::{require_program, run_real};

use crate::support::{BINARY, setup};

/// A command of a page and the lines that it shows below it.
#[derive(Debug)]
struct Step {
    command: String,
    shown: String,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if let (true, Some(command)) = (is_inside, line.strip_prefix("$ ")) {
            steps.push(Step { command: command.to_owned(), shown: String::new() });
        } else if let (true, Some(step)) = (is_inside, steps.last_mut()) {
            step.shown.push_str(line);
            step.shown.push('\n');
        }
    }
    steps
}

/// The steps as one script. What is started in the background has subscribed before the next command, and has ended
/// after that: a person does not type faster.
fn script(steps: &[Step]) -> String {
    let mut script = "set -u\n".to_owned();
    let mut has_background = false;
    for Step { command, .. } in steps {
        script.push_str(command);
        script.push('\n');
        if command.ends_with('&') {
            let wait = "for i in $(seq 100); do countersign client list --json | grep -q 'plant/#' && break; sleep 0.05; done\n";
            script.push_str(wait);
        } else if has_background {
            script.push_str("wait\n");
        }
        has_background = command.ends_with('&');
        // One mark a step, so that what each printed can be told apart.
        script.push_str(if has_background { "" } else { "echo '-- next'\n" });
    }
    script
}

/// Types what stands in a page, and compares what is printed.
fn check(page: &str, steps_min: usize) {
    let text = fs::read_to_string(format!("{}/../../{page}", env!("CARGO_MANIFEST_DIR")));
    let steps = steps(&text.expect("the page is there"));
    assert!(steps.len() > steps_min, "{steps:?}");
    let broker = setup().start();

    // Mosquitto's clients read options from here: the port is the only thing that differs from the page.
    let home = tempfile::tempdir().expect("a directory");
    for client in ["mosquitto_pub", "mosquitto_sub"] {
        fs::write(home.path().join(client), format!("-p {}\n", broker.mqtt().port()))
            .expect("written");
    }
    let programs = std::path::Path::new(BINARY).parent().expect("a folder").to_owned();
    let path = env::split_paths(&env::var_os("PATH").expect("PATH")).collect::<Vec<_>>();
    let path = env::join_paths([vec![programs], path].concat()).expect("a path");
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &format!("exec 2>&1\n{}", script(&steps))])
        .current_dir(home.path())
        .env("PATH", path)
        .env("XDG_CONFIG_HOME", home.path())
        .env("COUNTERSIGN_DATA_DIR", broker.data_dir());
    let ran = run_real(&mut shell, Duration::from_secs(30));

    let printed: Vec<&str> = ran.stdout.split("-- next\n").collect();
    let typed = steps.iter().filter(|step| !step.command.ends_with('&'));
    assert_eq!(typed.clone().count() + 1, printed.len(), "{}", ran.stdout);
    for (step, printed) in typed.zip(printed) {
        assert_eq!(printed, step.shown, "{}", step.command);
    }
}

#[test]
fn the_first_session_of_the_readme_happens_as_it_is_written_there() {
    if require_program("mosquitto_pub") && require_program("mosquitto_sub") {
        check("README.md", 8);
    }
}

#[test]
fn the_session_of_the_page_on_migration_happens_as_it_is_written_there() {
    if require_program("mosquitto_pub") && require_program("mosquitto_passwd") {
        check("docs/migration.md", 5);
    }
}
