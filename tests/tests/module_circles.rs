//! The files of a crate refer to each other one way, as its folders do: what knows another is not known by it. Read from the
//! source, as written: no build, no network.
//!
//! Two modules side by side form a circle if something in the first, or below it, refers to something in the second, or below
//! it, and the other way round, at once or by way of others beside them. A module and what is below it are one thing seen from
//! outside, so a child may use what its parent defines.
//!
//! ```text
//! plan/order.rs ──► dns.rs
//! plan.rs ◄──────── dns/records.rs      a circle of `plan` and `dns`, though of no two files
//! plan.rs ◄──► plan/order.rs            none
//! ```
//!
//! Followed are paths (`crate::…`, `super::…`, imported names, also through re-exports, and inside of macros), but not the
//! methods that are called on a value. What is compiled for tests only does not count, nor do links in comments. Circles that
//! were there before this test are listed, by the reference that closes each; the list may only become shorter.

// Clippy knows test functions, but not the functions they share.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "module_circles/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs;
use std::path::Path;

use source::{Names, Tree};

/// References that close a circle and are there all the same: from, to, and why, or how it can go.
const ALLOWED: &str = "
azure-sim::control → azure-sim::tokens: to be removed: the table of tokens apart from the endpoint that gives them out
azure-sim::control → azure-sim::log_analytics: to be removed: `Logged` belongs beside `Control`
azure-sim::tokens → azure-sim::arm: to be removed: `arm/answer.rs` is no part of ARM; everybody answers with it
azure-sim::permissions → azure-sim::arm: to be removed: `arm/answer.rs`, `arm/path.rs` and `versions::spelled` stand above `arm`
azure-sim::permissions → azure-sim::seed: to be removed: `FederatedCredential` belongs beside `Principal`
azure-sim::world → azure-sim::arm: to be removed: `kind_of` is arithmetic on ids, `arm/path.rs` stands above `arm`
azure-sim::world → azure-sim::targets: to be removed: who publishes names asks `targets` for them first; `TargetKind` belongs to the world
azure-sim::arm::connections → azure-sim::arm::zone_groups: to be removed: who refreshes names writes the records too, one level up
azure-sim::arm::connections → azure-sim::arm::registry_accounts: to be removed: `refresh_data_endpoints` needs nothing of the accounts
azure-sim::arm::endpoint_addresses → azure-sim::arm::connections: to be removed: `extend` and `shrink` are about connections
azure-sim::simulator → azure-sim::control_api: to be removed: `serve.rs` can ask for `/_sim` before it asks the simulator
azure-sim::simulator → azure-sim::data_plane: to be removed: `data_plane/faults.rs` is state of the simulator
azure::arm::envelope → azure::arm::error: to be removed: the table of codes apart from the errors made from it
azure::reader → azure::client: to be removed: `Inner`, with what it keeps for a while, apart from the client that implements both traits
azure::writer → azure::client: to be removed: as for the reader
azure::writer::narrowing → azure::writer::settings: to be removed: `verb` and `also_changed` belong into `writer/mod.rs`
model::lockdown::coverage → model::lockdown::disturbance: to be removed: the tally apart from what it counts
model::lockdown::state → model::lockdown::invariants: to be removed: `Ghost` is a part of the state
planner::attempts → planner::break_glass: to be removed: the terms of a glass, given as an argument
planner::break_glass → planner::opening: to be removed: `is_restored` is a question to the view
planner::differs → planner::endpoints: to be removed: `endpoints/differs.rs`, as nobody else asks it
planner::endpoints → planner::dns: to be removed: `WantedEndpoint` apart from the plan for it, in a module that all five know
planner::endpoints → planner::names: to be removed: as for `dns`
planner::endpoints → planner::release: to be removed: as for `dns`
planner::endpoints → planner::tags: to be removed: as for `dns`
planner::preflight → planner::endpoints: to be removed: as for `dns`
planner::view → planner::attempts: to be removed: what is known of attempts, as data, apart from the judging of them
planner::gates → planner::approvals: to be removed: which approvals count apart from what is shown for approval
planner::never_locked → planner::approvals: to be removed: as for `gates`
planner::never_locked → planner::gates: to be removed: `approved` belongs beside which approvals count
planner::opening → planner::locked: to be removed: `finishes_rollback` is a question to the view
planner::release → planner::teardown: to be removed: `lasts` and `PATIENCE` apart from the teardown
planner::lint::proof → planner::lint::ownership: to be removed: `endpoint_of` belongs into `lint.rs`
planner::lint::proof → planner::lint::people: to be removed: `lint.rs` can ask both, or keep `closedness` and `shared`
planner::lint::proof → planner::lint::way_back: to be removed: as for `people`
";

/// Which modules side by side refer to each other, and where.
type Graph = BTreeMap<Edge, BTreeSet<Place>>;

type Edge = (String, String);

/// A file, a line in it, and the file that is mentioned there.
type Place = (String, usize, String);

/// Adds who refers to whom in one library or program.
fn add(graph: &mut Graph, tree: &Tree) {
    for (at, module) in &tree.modules {
        let from = tree.file_of(at);
        let mut homes: HashMap<&Names, Option<Names>> = HashMap::new();
        for (path, line) in &module.mentions {
            // Where it was imported it is mentioned already; here it may as well be a variable.
            if path.len() == 1 && module.imported.contains_key(&path[0]) {
                continue;
            }
            let home = homes.entry(path).or_insert_with(|| tree.home(at, path));
            let Some(home) = home else { continue };
            let to = tree.file_of(home);
            // Above both they are the same; there they part.
            let common = from.iter().zip(to).take_while(|(one, other)| one == other).count();
            if common < from.len() && common < to.len() {
                let edge = (from[..=common].join("::"), to[..=common].join("::"));
                let place = (module.file.clone(), *line, tree.modules[to].file.clone());
                graph.entry(edge).or_default().insert(place);
            }
        }
    }
}

fn allowed(list: &str) -> BTreeSet<Edge> {
    let entries = list.lines().filter(|line| !line.is_empty());
    let edge = |line: &str| {
        let (from, rest) = line.split_once(" → ")?;
        let (to, why) = rest.split_once(": ")?;
        (!why.trim().is_empty()).then(|| (from.to_owned(), to.to_owned()))
    };
    entries
        .map(|line| edge(line).unwrap_or_else(|| panic!("not `from → to: why`: {line}")))
        .collect()
}

/// The shortest way along the graph, both ends included.
fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![from.to_owned()]]);
    let mut been = BTreeSet::from([from.to_owned()]);
    while let Some(way) = ways.pop_front() {
        let end = way.last()?;
        if end == to {
            return Some(way);
        }
        let onward = graph.range((end.clone(), String::new())..).map(|(edge, _)| edge);
        for (_, next) in onward.take_while(|(start, _)| start == end) {
            if been.insert(next.clone()) {
                ways.push_back([way.as_slice(), std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}

/// The references that a circle is made of.
fn edges(circle: &[String]) -> impl Iterator<Item = Edge> {
    let next = circle.iter().cycle().skip(1);
    circle.iter().cloned().zip(next.cloned())
}

/// Circles, the shortest first, none with a reference of another: all of them would be too many to read.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = graph.keys().filter_map(|(from, to)| way(graph, to, from)).collect();
    all.sort_by_key(Vec::len);
    let mut told = BTreeSet::new();
    all.retain(|circle| {
        let is_new = edges(circle).all(|edge| !told.contains(&edge));
        if is_new {
            told.extend(edges(circle));
        }
        is_new
    });
    all
}

/// Places shown of one module's references to another.
const SHOWN: usize = 4;

fn told(circle: &[String], graph: &Graph) -> String {
    let mut told = format!("a circle: {} → {}", circle.join(" → "), circle[0]);
    for (from, to) in edges(circle) {
        let places = &graph[&(from.clone(), to.clone())];
        for (file, line, other) in places.iter().take(SHOWN) {
            told.push_str(&format!("\n  {file}:{line} → {other}"));
        }
        if places.len() > SHOWN {
            told.push_str(&format!("\n  … and {} more from {from} to {to}", places.len() - SHOWN));
        }
    }
    told
}

/// What is wrong: circles that are not allowed, and what is allowed although there is none.
fn complaints(graph: &Graph, allowed: &BTreeSet<Edge>) -> Vec<String> {
    let mut rest = graph.clone();
    rest.retain(|edge, _| !allowed.contains(edge));
    let mut complaints: Vec<String> = circles(&rest).iter().map(|circle| told(circle, graph)).collect();
    for (from, to) in allowed {
        if !graph.contains_key(&(from.clone(), to.clone())) {
            complaints.push(format!("{from} → {to} is allowed, but not there any more: take it out"));
        } else if way(&rest, to, from).is_none() {
            complaints.push(format!(
                "{from} → {to} is allowed, but closes no circle any more: take it out"
            ));
        }
    }
    complaints
}

/// Roots of the libraries and programs of all crates, relative to the workspace, and what to call each.
fn roots(workspace: &Path) -> Vec<(String, String)> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(workspace.join(folder)).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let mut roots = Vec::new();
    for name in names(Path::new("crates")) {
        let source = format!("crates/{name}/src");
        let bin = format!("{source}/bin");
        let programs = names(Path::new(&bin)).into_iter().map(|file| format!("{bin}/{file}"));
        let all = [format!("{source}/lib.rs"), format!("{source}/main.rs")]
            .into_iter()
            .chain(programs);
        let there: Vec<String> = all.filter(|root| workspace.join(root).is_file()).collect();
        assert!(!there.is_empty(), "crates/{name} has neither library nor program");
        for root in there {
            let own = root
                .trim_start_matches(&source)
                .trim_start_matches('/')
                .trim_end_matches(".rs");
            let called = if own == "lib" {
                name.clone()
            } else {
                format!("{name}/{own}")
            };
            roots.push((called, root));
        }
    }
    roots
}

#[test]
fn files_refer_to_each_other_one_way() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let source = |file: &Path| fs::read_to_string(workspace.join(file)).ok();
    let mut graph = Graph::new();
    for (name, root) in roots(&workspace) {
        add(&mut graph, &Tree::read(&source, &name, &root));
    }
    let complaints = complaints(&graph, &allowed(ALLOWED));
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn graph_of(sources: &[(&str, &str)]) -> Graph {
    let source = |file: &Path| {
        let mut all = sources.iter();
        all.find_map(|(name, text)| (Path::new(name) == file).then(|| (*text).to_owned()))
    };
    let mut graph = Graph::new();
    add(&mut graph, &Tree::read(&source, "crate", "lib.rs"));
    graph
}

#[test]
fn a_circle_is_noticed() {
    let cases: &[&[(&str, &str)]] = &[
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::Thing;"),
            ("b.rs", "pub struct Thing; fn f() { super::a::g() }"),
        ],
        // As the root says it, and in a macro.
        &[
            ("lib.rs", "mod a; mod b; pub use b::Thing; use a as first;"),
            ("a.rs", "fn f(thing: crate::Thing) {}"),
            (
                "b.rs",
                "pub struct Thing; fn f() { println!(\"{}\", vec![crate::first::g()].len()) }",
            ),
        ],
        // Below them; modules are found where `mod.rs` and `path` say.
        &[
            ("lib.rs", "mod a; #[path = \"other/place.rs\"] mod b;"),
            ("a/mod.rs", "mod low;"),
            ("a/low.rs", "use crate::b; fn f() { b::low::g() }"),
            ("other/place.rs", "pub mod low;"),
            (
                "other/low.rs",
                "pub fn g() {} mod inside { use super::super::super::a; }",
            ),
        ],
        // Beside each other in a folder, and by way of a third.
        &[
            ("lib.rs", "mod top;"),
            ("top.rs", "mod a; mod b; mod c; pub use c::*;"),
            ("top/a.rs", "use super::b::{self, Thing as Other};"),
            ("top/b.rs", "pub struct Thing(super::Third);"),
            (
                "top/c.rs",
                "pub struct Third; #[derive(Debug)] #[given(with = super::a::f)] struct Fourth;",
            ),
        ],
    ];
    for sources in cases {
        let complaints = complaints(&graph_of(sources), &BTreeSet::new());
        assert_eq!(complaints.len(), 1, "{sources:?}: {complaints:?}");
    }
    assert_eq!(
        complaints(&graph_of(cases[0]), &BTreeSet::new()),
        ["a circle: crate::b → crate::a → crate::b\n  b.rs:1 → a.rs\n  a.rs:1 → b.rs"]
    );
}

#[test]
fn what_is_no_circle_is_allowed() {
    let cases: &[&[(&str, &str)]] = &[
        // What a parent defines is its children's too.
        &[
            ("lib.rs", "mod a; pub struct Thing; fn f() { a::low::g() }"),
            ("a.rs", "pub mod low; use crate::Thing; use low::g;"),
            ("a/low.rs", "pub fn g() { super::super::f() } use super::Thing;"),
        ],
        // For tests only, for who may see it, in words, and another crate of the same name.
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::g;"),
            (
                "b.rs",
                "//! Beside [`crate::a`].
                pub(in crate::a) fn g() {}
                use ::a::other;
                #[cfg(test)] mod tests { use crate::a; }
                #[cfg(test)] mod far;
                #[test] fn f() { crate::a::g() }",
            ),
        ],
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use super::b;"),
            ("b.rs", "fn f(a: u8) { a.b() }"),
        ],
    ];
    for sources in cases {
        let graph = graph_of(sources);
        assert_eq!(
            complaints(&graph, &BTreeSet::new()),
            <[String; 0]>::default(),
            "{sources:?}"
        );
    }
}

#[test]
fn what_is_allowed_in_vain_is_noticed() {
    let graph = graph_of(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::{a, c};"),
        ("c.rs", ""),
    ]);
    let closing = "crate::b → crate::a: so it is";
    assert_eq!(complaints(&graph, &allowed(closing)), <[String; 0]>::default());
    for vain in ["crate::b → crate::c: no circle", "crate::c → crate::a: not there"] {
        let complaints = complaints(&graph, &allowed(&format!("{closing}\n{vain}\n")));
        assert!(
            complaints.len() == 1 && complaints[0].ends_with("take it out"),
            "{complaints:?}"
        );
    }
}
