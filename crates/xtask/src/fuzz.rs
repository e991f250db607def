//! Runs every target of `fuzz/` for a time, with a nightly compiler.
//!
//! The targets are built with the flags that `cargo fuzz` would pass, so that nothing but the compiler
//! needs to be installed. New inputs are kept in `fuzz/corpus/TARGET`, crashes in `fuzz/artifacts/TARGET`.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::programs;

/// Seconds a target runs when nothing else is said.
pub(crate) const SECONDS_DEFAULT: u32 = 600;

const MANIFEST: &str = "fuzz/Cargo.toml";

/// Edge coverage with comparison tracing, and the fuzzer's own entry point.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

/// Whether there are targets and the compilers for them; libFuzzer is C++.
pub(crate) fn is_possible() -> bool {
    Path::new(MANIFEST).is_file()
        && programs::is_there("cargo", &["+nightly", "--version"])
        && programs::is_there("c++", &["--version"])
}

/// Builds all targets and runs each for `seconds`.
pub(crate) fn run(seconds: u32) -> anyhow::Result<()> {
    ensure!(is_possible(), "fuzzing needs `{MANIFEST}`, a nightly compiler and a C++ compiler");
    let metadata = metadata()?;
    let targets = target_names(&metadata);
    ensure!(!targets.is_empty(), "`{MANIFEST}` has no target");
    let host = host()?;
    let directory = metadata.get("target_directory").and_then(Value::as_str);
    let built = Path::new(directory.context("cargo metadata names the target directory")?);
    build(&host, built)?;
    for target in &targets {
        let binary = built.join("fuzz").join(&host).join("release").join(target);
        run_target(target, &binary, seconds)?;
    }
    Ok(())
}

fn build(host: &str, built: &Path) -> anyhow::Result<()> {
    // A `--target` keeps the flags away from build scripts and macros.
    let status = Command::new("cargo")
        .args(["+nightly", "build", "--quiet", "--release", "--bins", "--manifest-path", MANIFEST])
        .args(["--target", host, "--target-dir"])
        .arg(built.join("fuzz"))
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the fuzz targets do not build");
    Ok(())
}

fn run_target(target: &str, binary: &Path, seconds: u32) -> anyhow::Result<()> {
    println!("fuzzing `{target}` for {seconds} s");
    let corpus = format!("fuzz/corpus/{target}");
    let artifacts = format!("fuzz/artifacts/{target}/");
    let seeds = format!("fuzz/seeds/{target}");
    for directory in [&corpus, &artifacts] {
        fs::create_dir_all(directory)?;
    }
    let mut command = Command::new(binary);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={artifacts}"))
        .args([
            "-timeout=5",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=0",
            &corpus,
        ]);
    if Path::new(&seeds).is_dir() {
        command.arg(&seeds);
    }
    let status =
        command.status().with_context(|| format!("cannot start `{}`", binary.display()))?;
    if !status.success() {
        bail!("`{target}` failed; the input is in `{artifacts}`");
    }
    Ok(())
}

fn metadata() -> anyhow::Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path", MANIFEST])
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn target_names(metadata: &Value) -> Vec<String> {
    let packages = metadata.get("packages").and_then(Value::as_array).into_iter().flatten();
    let targets =
        packages.flat_map(|p| p.get("targets").and_then(Value::as_array).into_iter().flatten());
    let is_binary = |target: &&Value| {
        let kinds = target.get("kind").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
    };
    let names = targets.filter(is_binary).filter_map(|t| t.get("name").and_then(Value::as_str));
    names.map(str::to_owned).collect()
}

fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names its host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::target_names;

    #[test]
    fn only_binaries_are_targets() {
        let metadata = serde_json::json!({"packages": [{"targets": [
            {"name": "decode", "kind": ["bin"]},
            {"name": "helpers", "kind": ["lib"]},
        ]}]});
        assert_eq!(target_names(&metadata), ["decode"]);
    }
}
