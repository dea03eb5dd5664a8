//! The roles in `deploy/azure` and the table of rights in the guide are made from the one table that the Azure client obeys
//! (`sreg_domain::rights`). `SREG_UPDATE=1` writes them.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::json;
use sreg_domain::rights::{self, Place};

const BEGINS: &str = "<!-- from the table of rights: `make generate` -->\n";
const ENDS: &str = "<!-- end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn places() -> [Place; 8] {
    [
        Place::Registry,
        Place::ManagedGroup,
        Place::Endpoints,
        Place::Networks,
        Place::Zones,
        Place::Subscription,
        Place::SharedStorage,
        Place::Workspace,
    ]
}

/// As `az role definition create --role-definition @FILE` reads it.
fn role(place: Place) -> String {
    let actions: Vec<&str> = rights::of(place).map(|right| right.action).collect();
    let role = json!({
        "Name": place.role(),
        "IsCustom": true,
        "Description": format!("What secure-registry-operator does with {}.", place.scope()),
        "Actions": actions,
        "NotActions": [],
        "DataActions": [],
        "NotDataActions": [],
        "AssignableScopes": ["/subscriptions/SUBSCRIPTION"],
    });
    format!("{}\n", serde_json::to_string_pretty(&role).unwrap())
}

fn table() -> String {
    let mut table =
        "| role (file in `deploy/azure`) | assign it on | actions | for |\n| --- | --- | --- | --- |\n".to_owned();
    for place in places() {
        let mut named = format!("{} (`{place}.json`) | {}", place.role(), place.scope());
        for right in rights::of(place) {
            table.push_str(&format!("| {named} | `{}` | {} |\n", right.action, right.story));
            named = " | ".to_owned();
        }
    }
    table
}

/// Compares a file with what it should hold, or writes that.
fn is(file: &Path, wanted: &str) {
    if env::var_os("SREG_UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, wanted).unwrap();
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    assert!(
        found == wanted,
        "{} differs from the table of rights: run `make generate`",
        file.display()
    );
}

#[test]
fn the_roles_are_those_of_the_table() {
    for place in places() {
        is(&root().join(format!("deploy/azure/{place}.json")), &role(place));
    }
}

#[test]
fn the_guide_lists_the_same_rights() {
    let file = root().join("docs/install.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGINS).unwrap();
    let (_, after) = rest.split_once(ENDS).unwrap();
    is(&file, &[before, BEGINS, &table(), ENDS, after].concat());
}
