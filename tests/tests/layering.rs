//! Dependencies among the workspace's crates point one way (docs/architecture.md). Judged from the manifests, as
//! `cargo metadata` reads them: no build, no network.
//!
//! ```text
//! api ◄── domain ◄── planner ◄── runtime ◄── operator
//!            ▲── azure ◄────────────┤
//!            ▲── probe ◄────────────┘          azure-sim, testkit, stand, model: only under tests
//! ```

// Clippy knows test functions, but not the functions they share.
#![allow(clippy::unwrap_used, clippy::panic)]

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each crate of ours, and which of ours it may build on.
const ROOMS: &[(&str, &[&str])] = &[
    ("sreg-api", &[]),
    ("sreg-domain", &["sreg-api"]),
    ("sreg-planner", &["sreg-api", "sreg-domain"]),
    ("sreg-azure", &["sreg-api", "sreg-domain"]),
    ("sreg-probe", &["sreg-api", "sreg-domain"]),
    (
        "sreg-runtime",
        &["sreg-api", "sreg-domain", "sreg-planner", "sreg-azure", "sreg-probe"],
    ),
    (
        "secure-registry-operator",
        &[
            "sreg-api",
            "sreg-domain",
            "sreg-planner",
            "sreg-azure",
            "sreg-probe",
            "sreg-runtime",
        ],
    ),
    // A witness must not share code with the accused.
    ("azure-sim", &[]),
    ("sreg-testkit", &["sreg-api", "sreg-domain", "azure-sim"]),
    ("sreg-stand", &["sreg-api", "sreg-domain", "sreg-testkit", "azure-sim"]),
    (
        "sreg-model",
        &["sreg-api", "sreg-domain", "sreg-planner", "sreg-runtime"],
    ),
    ("sreg-tests", &[]),
];

/// What only tests and the demo may build on; the witness not even in its tests.
const TEST_ONLY: &[&str] = &["azure-sim", "sreg-testkit", "sreg-stand", "sreg-model"];

/// Crates without I/O, clock or chance: what varies is an argument.
const PURE: &[&str] = &["sreg-domain", "sreg-planner"];

/// What a pure crate has no use for. (Types of kube reach it through the api crate; a client does not.)
const IMPURE: &[&str] = &[
    "async-trait",
    "axum",
    "azure_core",
    "azure_identity",
    "azure_mgmt_network",
    "futures",
    "hickory-proto",
    "hickory-resolver",
    "hyper",
    "hyper-util",
    "kube",
    "kube-lease-manager",
    "rand",
    "reqwest",
    "rustls",
    "tokio",
    "tokio-rustls",
    "tokio-util",
    "tower",
];

struct Edge {
    from: String,
    to: String,
    ours: bool,
    kind: DependencyKind,
}

fn edge(from: &str, to: &str, kind: DependencyKind) -> Edge {
    Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        ours: ROOMS.iter().any(|(name, _)| *name == to),
        kind,
    }
}

/// What is wrong with a dependency, if anything.
fn violation(Edge { from, to, ours, kind }: &Edge) -> Option<String> {
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| name == from) else {
        return Some(format!(
            "{from} has no place in the table of rooms: add it, with what it may build on"
        ));
    };
    let in_tests = *kind == DependencyKind::Development;
    if !in_tests && PURE.contains(&from.as_str()) && IMPURE.contains(&to.as_str()) {
        return Some(format!("{from} is pure and must not depend on {to}"));
    }
    let tolerated = in_tests && (from == "sreg-tests" || (from != "azure-sim" && TEST_ONLY.contains(&to.as_str())));
    if !ours || allowed.contains(&to.as_str()) || tolerated {
        return None;
    }
    Some(format!(
        "{from} must not depend on {to}{}",
        if in_tests { ", not even in its tests" } else { "" }
    ))
}

#[test]
fn dependencies_point_one_way() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let workspace = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let packages: Vec<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    for (room, _) in ROOMS {
        assert!(
            packages.contains(room),
            "{room} is in the table of rooms but not in the workspace"
        );
    }
    let mut wrong = Vec::new();
    for package in &workspace.packages {
        if !ROOMS.iter().any(|(name, _)| *name == package.name.as_str()) {
            wrong.push(format!("{} has no place in the table of rooms", package.name));
        }
        for dependency in &package.dependencies {
            let ours = dependency.path.is_some();
            let (from, to) = (package.name.to_string(), dependency.name.clone());
            wrong.extend(violation(&Edge {
                from,
                to,
                ours,
                kind: dependency.kind,
            }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_dependency_against_the_direction_is_noticed() {
    use DependencyKind::{Build, Development, Normal};
    for (from, to, kind) in [
        ("sreg-api", "sreg-domain", Normal),
        ("sreg-domain", "sreg-planner", Normal),
        ("sreg-planner", "sreg-azure", Normal),
        ("sreg-planner", "sreg-probe", Development),
        ("sreg-azure", "sreg-runtime", Normal),
        ("sreg-probe", "sreg-planner", Build),
        ("sreg-runtime", "secure-registry-operator", Normal),
        ("azure-sim", "sreg-domain", Normal),
        ("azure-sim", "sreg-testkit", Development),
        ("secure-registry-operator", "azure-sim", Normal),
        ("sreg-runtime", "sreg-testkit", Normal),
        ("sreg-planner", "tokio", Normal),
        ("sreg-planner", "kube", Normal),
        ("sreg-domain", "rand", Normal),
        ("sreg-new", "serde", Normal),
    ] {
        assert!(
            violation(&edge(from, to, kind)).is_some(),
            "{from} → {to} ({kind:?}) went unnoticed"
        );
    }
}

#[test]
fn dependencies_along_the_direction_are_allowed() {
    use DependencyKind::{Development, Normal};
    for (from, to, kind) in [
        ("sreg-planner", "sreg-domain", Normal),
        ("sreg-planner", "croner", Normal),
        ("sreg-planner", "tokio", Development),
        ("sreg-runtime", "sreg-azure", Normal),
        ("sreg-runtime", "azure-sim", Development),
        ("secure-registry-operator", "sreg-testkit", Development),
        ("sreg-tests", "sreg-planner", Development),
    ] {
        assert_eq!(violation(&edge(from, to, kind)), None, "{from} → {to} ({kind:?})");
    }
}
