//! Programs and tests are built from the same parts: `make demo` builds three programs, and `make test` after it compiles no
//! crate of others a second time. Cargo compiles a crate once for each set of features that is asked of it. What our own crates
//! ask of a crate is unified over the workspace, but what only tests ask for (`[dev-dependencies]`) is added only when tests are
//! built. So nothing may be added there: here the two sets of features are compared, as `cargo tree` tells them.

use std::collections::{BTreeMap, BTreeSet};

use sreg_tests::cargo;

/// Sets of features that crates are built with, by name and version. A crate may have two: one for programs, one for what runs
/// while others are compiled.
type FeatureSets = BTreeMap<String, BTreeSet<String>>;

fn feature_sets(edges: &str) -> FeatureSets {
    parse(&cargo(&[
        "tree",
        "--workspace",
        "--edges",
        edges,
        "--prefix",
        "none",
        "--format",
        "{p}: {f}",
    ]))
}

/// Reads lines such as `serde v1.0.0: default,std`; a repeated one ends with ` (*)`.
fn parse(tree: &str) -> FeatureSets {
    let mut sets = FeatureSets::new();
    for (package, features) in tree.lines().filter_map(|line| line.split_once(": ")) {
        let features = features.trim_end_matches(" (*)").to_owned();
        sets.entry(package.to_owned()).or_default().insert(features);
    }
    sets
}

/// What programs are built from and tests are not.
fn differences(programs: &FeatureSets, tests: &FeatureSets) -> Vec<String> {
    let none = BTreeSet::new();
    let packages = programs.iter().flat_map(|(package, sets)| {
        let in_tests = tests.get(package).unwrap_or(&none);
        sets.difference(in_tests).map(move |set| (package, set, in_tests))
    });
    packages
        .map(|(package, set, in_tests)| {
            let in_tests: Vec<&str> = in_tests.iter().map(String::as_str).collect();
            format!(
                "{package} is built twice: with [{set}] for programs, with [{}] for tests; ask for what is missing in the root \
                 manifest's [workspace.dependencies]",
                in_tests.join("] and [")
            )
        })
        .collect()
}

#[test]
fn what_programs_are_built_from_tests_are_built_from_too() {
    let programs = feature_sets("normal,build");
    assert!(
        programs.keys().any(|package| package.starts_with("tokio v")),
        "{programs:?}"
    );
    let differences = differences(&programs, &feature_sets("normal,build,dev"));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_feature_that_only_tests_ask_for_is_noticed() {
    let programs = parse("serde_json v1.0.0: default,std\nserde v1.0.0: default,std\nserde v1.0.0: default,std (*)\n");
    let tests =
        parse("serde_json v1.0.0: default,std,unbounded_depth\nserde v1.0.0: default,std\ninsta v1.0.0: json\n");
    let found = differences(&programs, &tests);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("serde_json v1.0.0 is built twice: with [default,std] for programs"));
    assert!(
        found[0].contains("with [default,std,unbounded_depth] for tests"),
        "{found:?}"
    );
    assert_eq!(differences(&programs, &programs), [""; 0]);
}
