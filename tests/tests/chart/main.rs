//! The Helm chart: what it renders, what it refuses, that kustomize renders the same, and that it installs, upgrades and goes
//! on a real API server. Both Helms that people use are asked.

// Test code: a panic is a finding.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cluster;
mod helm;
mod kustomize;
mod monitoring;
mod render;
mod values;

use std::path::PathBuf;

use serde_json::Value;

/// The checkout.
fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The chart.
fn chart() -> PathBuf {
    repository().join("charts/secure-registry-operator")
}

/// The values files that come with the chart, by name.
fn examples() -> Vec<String> {
    let entries = std::fs::read_dir(chart().join("examples")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .map(|name| name.strip_suffix(".yaml").unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// The documents of a stream that are objects.
fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// Kind, namespace and name of an object.
fn key(object: &Value) -> String {
    let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    format!(
        "{} {}/{}",
        part(&object["kind"]),
        part(&metadata["namespace"]),
        part(&metadata["name"])
    )
}

/// Compares a file with what it should hold, or writes that (`SREG_UPDATE=1`).
fn is(file: &std::path::Path, wanted: &str) {
    if std::env::var_os("SREG_UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, wanted).unwrap();
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        found == wanted,
        "{} differs: run `make generate`, and look at what changed",
        file.display()
    );
}
