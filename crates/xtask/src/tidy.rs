//! The invariants of the tree that no compiler checks, each in a file of its own.
//!
//! Every check is a function from text to findings, so that its own tests can hand it bad input.

mod conformance;
mod documents;
mod layers;
mod licences;
mod limits;
mod sources;
mod threats;
mod tree;

use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use tree::Tree;

/// Runs every check over the tree and prints what is wrong.
pub(crate) fn run() -> anyhow::Result<()> {
    let metadata = metadata()?;
    let packages = layers::packages(&metadata)?;
    let tree = Tree::read()?;
    let mut findings = Vec::new();
    findings.extend(layers::check(&packages));
    findings.extend(sources::check(&tree));
    findings.extend(licences::check(&licences::compiled()?));
    findings.extend(documents::check_architecture(tree.text("ARCHITECTURE.md")?, &packages));
    findings.extend(documents::check_dependencies(tree.text("DEPENDENCIES.md")?, &packages));
    findings.extend(threats::check(tree.text("docs/security/threats.md")?, &tree));
    findings.extend(limits::check(tree.text("docs/limits.md")?, &tree));
    let page = tree.text("docs/conformance.md")?;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write("docs/conformance.md", conformance::updated(page, &tree))?;
    }
    findings.extend(conformance::check(page, &tree));
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} found", findings.len());
    }
    println!("tidy: {} files and {} crates are in order", tree.files.len(), packages.len());
    Ok(())
}

/// `cargo metadata` of the workspace, without its dependencies' own.
pub(crate) fn metadata() -> anyhow::Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
