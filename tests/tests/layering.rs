//! Dependencies among the workspace's crates point one way (docs/architecture.md), and what is pure stays so all the way down.
//! Judged from what `cargo metadata` and `cargo tree` say: no build, no network.
//!
//! ```text
//! api ◄── domain ◄── planner ◄── runtime ◄── operator
//!            ▲── azure ◄────────────┤            │
//!            ▲── probe ◄────────────┘            │     azure-sim, testkit, testbed, model: only under tests
//!                  azure, planner ◄── settings ◄─┴─── cli
//!                  azure, planner ◄── offline ◄──────┘
//! ```

// Clippy knows test functions, but not the functions they share.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::Value;
use sreg_tests::cargo;

/// How a package depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Build,
    Development,
}

/// Each crate of ours, and which of ours it may build on.
const ROOMS: &[(&str, &[&str])] = &[
    ("sreg-api", &[]),
    ("sreg-domain", &["sreg-api"]),
    ("sreg-planner", &["sreg-api", "sreg-domain"]),
    ("sreg-azure", &["sreg-api", "sreg-domain"]),
    ("sreg-probe", &["sreg-api", "sreg-domain"]),
    (
        "sreg-settings",
        &["sreg-api", "sreg-domain", "sreg-planner", "sreg-azure"],
    ),
    (
        "sreg-offline",
        &["sreg-api", "sreg-domain", "sreg-planner", "sreg-azure"],
    ),
    (
        "sreg-cli",
        &[
            "sreg-api",
            "sreg-domain",
            "sreg-planner",
            "sreg-azure",
            "sreg-probe",
            "sreg-settings",
            "sreg-offline",
        ],
    ),
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
            "sreg-settings",
        ],
    ),
    // A witness must not share code with the accused.
    ("azure-sim", &[]),
    ("sreg-testkit", &["sreg-api", "sreg-domain", "azure-sim"]),
    (
        "sreg-testbed",
        &["sreg-api", "sreg-domain", "sreg-testkit", "azure-sim"],
    ),
    ("sreg-api-cases", &[]),
    ("sreg-planner-world", &["sreg-api", "sreg-domain", "sreg-planner"]),
    (
        "sreg-model",
        &[
            "sreg-api",
            "sreg-domain",
            "sreg-planner",
            "sreg-planner-world",
            "sreg-runtime",
        ],
    ),
    ("sreg-tests", &[]),
];

/// What only tests and the demo may build on; the witness not even in its tests.
const TEST_ONLY: &[&str] = &[
    "azure-sim",
    "sreg-api-cases",
    "sreg-model",
    "sreg-planner-world",
    "sreg-testbed",
    "sreg-testkit",
];

/// Crates without I/O, clock or chance: what varies is an argument.
const PURE: &[&str] = &["sreg-domain", "sreg-planner"];

/// Talks to an API server.
const API_CLIENT: &[&str] = &["kube-client"];

/// Watches an API server and acts on what it sees.
const CONTROLLERS: &[&str] = &["kube-runtime", "kube-lease-manager", "sreg-runtime"];

/// Talks to Azure, or to anybody by HTTP.
const CLIENTS: &[&str] = &["azure_core", "azure_identity", "azure_mgmt_network", "reqwest"];

/// Waits, listens, resolves names, encrypts, rolls dice.
const SIDE_EFFECTS: &[&str] = &[
    "async-trait",
    "axum",
    "futures",
    "hickory-proto",
    "hickory-resolver",
    "hyper",
    "hyper-util",
    "mio",
    "rand",
    "rustls",
    "tokio",
    "tokio-rustls",
    "tokio-util",
    "tower",
];

/// What must not be anywhere below a crate, however it gets there.
const NOT_BELOW: &[(&str, &[&[&str]])] = &[
    ("sreg-api", &[API_CLIENT, CONTROLLERS, CLIENTS, SIDE_EFFECTS]),
    ("sreg-domain", &[API_CLIENT, CONTROLLERS, CLIENTS, SIDE_EFFECTS]),
    ("sreg-planner", &[API_CLIENT, CONTROLLERS, CLIENTS, SIDE_EFFECTS]),
    // Its own HTTP is one exchange on a connection that it made itself.
    ("sreg-probe", &[API_CLIENT, CONTROLLERS, CLIENTS]),
    ("sreg-azure", &[API_CLIENT, CONTROLLERS]),
    // A command line takes these flags without compiling a controller.
    ("sreg-settings", &[API_CLIENT, CONTROLLERS]),
    // A plan without a cluster needs no client of one.
    ("sreg-offline", &[API_CLIENT, CONTROLLERS]),
    // It asks a cluster, and watches none.
    ("sreg-cli", &[CONTROLLERS]),
];

struct Edge {
    from: String,
    to: String,
    ours: bool,
    kind: Kind,
}

fn edge(from: &str, to: &str, kind: Kind) -> Edge {
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
    let in_tests = *kind == Kind::Development;
    // Types of kube reach the pure crates through the api crate: they have no use for more of it.
    let impure = [&["kube"], API_CLIENT, CONTROLLERS, CLIENTS, SIDE_EFFECTS].concat();
    if !in_tests && PURE.contains(&from.as_str()) && impure.contains(&to.as_str()) {
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

/// Everything below a crate if it is built alone. (Over the whole workspace `cargo metadata` would unify features, and show
/// each crate what only others ask for.)
fn tree(package: &str) -> String {
    cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "depth"])
}

/// The way to each forbidden crate of a tree, by its first occurrence. A line is its depth, then name and version.
fn forbidden_ways(tree: &str, forbidden: &[&str]) -> Vec<String> {
    let mut way: Vec<&str> = Vec::new();
    let mut met = Vec::new();
    let mut found = Vec::new();
    for line in tree.lines() {
        let package = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let depth: usize = line[..line.len() - package.len()].parse().unwrap();
        way.truncate(depth);
        way.push(package.split(' ').next().unwrap());
        let name = way[depth];
        if forbidden.contains(&name) && !met.contains(&name) {
            met.push(name);
            found.push(way.join(" → "));
        }
    }
    found
}

#[test]
fn nothing_below_a_crate_does_what_the_crate_must_not() {
    let mut ways = Vec::new();
    for (package, forbidden) in NOT_BELOW {
        let found = forbidden_ways(&tree(package), &forbidden.concat());
        ways.extend(found.iter().map(|way| format!("must not be below {package}: {way}")));
    }
    assert!(ways.is_empty(), "{}", ways.join("\n"));
}

#[test]
fn what_stands_deep_below_a_crate_is_noticed_with_the_way_to_it() {
    let tree_of_one = "0sreg-domain v0.1.0 (/src/domain)\n1sreg-api v0.1.0 (/src/api)\n2kube v5.0.0\n3kube-client v5.0.0\n\
                       4tokio v1.48.0\n2serde v1.0.0\n1tokio v1.48.0 (*)\n";
    assert_eq!(
        forbidden_ways(tree_of_one, &["tokio", "kube-client", "hyper"]),
        [
            "sreg-domain → sreg-api → kube → kube-client",
            "sreg-domain → sreg-api → kube → kube-client → tokio",
        ]
    );
    // A crate that talks to API servers, as cargo really tells of it.
    let ways = forbidden_ways(&tree("sreg-runtime"), &[API_CLIENT, CONTROLLERS].concat());
    assert!(ways.iter().any(|way| way == "sreg-runtime"), "{ways:#?}");
    for below in ["kube-client", "kube-runtime", "kube-lease-manager"] {
        let named = |way: &String| way.starts_with("sreg-runtime → ") && way.ends_with(&format!(" → {below}"));
        assert!(ways.iter().any(named), "{below} went unnoticed: {ways:#?}");
    }
}

/// Who depends on what, as the manifests say.
fn declared() -> (Vec<String>, Vec<Edge>) {
    let workspace: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = workspace["packages"].as_array().unwrap();
    let edges = packages.iter().flat_map(|package| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.map(move |dependency| Edge {
            from: text(&package["name"]),
            to: text(&dependency["name"]),
            ours: dependency.get("path").is_some(),
            kind: match dependency["kind"].as_str() {
                None => Kind::Normal,
                Some("build") => Kind::Build,
                Some(_) => Kind::Development,
            },
        })
    });
    (packages.iter().map(|it| text(&it["name"])).collect(), edges.collect())
}

#[test]
fn dependencies_point_one_way() {
    let (packages, edges) = declared();
    for (room, _) in ROOMS {
        assert!(
            packages.iter().any(|package| package == room),
            "{room} is in the table of rooms but not in the workspace"
        );
    }
    let roomless = packages
        .iter()
        .filter(|package| !ROOMS.iter().any(|(name, _)| name == package));
    let mut wrong: Vec<String> = roomless
        .map(|it| format!("{it} has no place in the table of rooms"))
        .collect();
    wrong.extend(edges.iter().filter_map(violation));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_dependency_against_the_direction_is_noticed() {
    use Kind::{Build, Development, Normal};
    for (from, to, kind) in [
        ("sreg-api", "sreg-domain", Normal),
        ("sreg-domain", "sreg-planner", Normal),
        ("sreg-planner", "sreg-azure", Normal),
        ("sreg-planner", "sreg-probe", Development),
        ("sreg-azure", "sreg-runtime", Normal),
        ("sreg-probe", "sreg-planner", Build),
        ("sreg-runtime", "secure-registry-operator", Normal),
        ("sreg-settings", "sreg-runtime", Normal),
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
    use Kind::{Development, Normal};
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
