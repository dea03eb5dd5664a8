//! Every invariant of docs/safety.md, broken on purpose: `tests/breaks/*.yaml` says how, and which tests notice. Here is checked
//! that each break still fits the code and that the table in docs/safety.md is theirs. `make break` does it all again, in a copy:
//! it breaks one invariant after the other and demands that the tests named notice. `SREG_BREAK='a part of a name|of another'` chooses.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde::Deserialize;

/// One invariant, and what becomes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Break {
    invariant: String,
    /// In words.
    broken: String,
    #[serde(flatten)]
    edit: Edit,
    /// More places that have to change with it.
    #[serde(default)]
    also: Vec<Edit>,
    /// Test binaries that the tests named are in; `lib` stands for all unit tests.
    run: Vec<String>,
    /// Tests that notice: `module::name`, or its end.
    #[serde(default)]
    noticed: Vec<String>,
    /// What else there is to say.
    #[serde(default)]
    note: String,
}

#[derive(Debug, Deserialize)]
struct Edit {
    file: String,
    find: String,
    replace: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn breaks() -> Vec<Break> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("tests/breaks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |file: &PathBuf| -> Vec<Break> {
        serde_saphyr::from_str(&fs::read_to_string(file).unwrap())
            .unwrap_or_else(|why| panic!("{}: {why}", file.display()))
    };
    files.iter().flat_map(read).collect()
}

impl Break {
    fn edits(&self) -> impl Iterator<Item = &Edit> {
        std::iter::once(&self.edit).chain(&self.also)
    }
}

#[test]
fn every_break_fits_the_code_and_names_who_notices() {
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for each in breaks() {
        if !names.insert(each.invariant.clone()) {
            wrong.push(format!("{}: is there twice", each.invariant));
        }
        if each.noticed.is_empty() {
            wrong.push(format!("{}: nobody notices", each.invariant));
        }
        for edit in each.edits() {
            let code = fs::read_to_string(root().join(&edit.file)).unwrap();
            let times = code.matches(&edit.find).count();
            if times != 1 {
                wrong.push(format!(
                    "{}: {times} times in {}: {}",
                    each.invariant, edit.file, edit.find
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const BEGINS: &str = "<!-- from tests/breaks: `make generate` -->\n";
const ENDS: &str = "<!-- end -->\n";

fn table() -> String {
    let mut table = String::from("| invariant | broken how | noticed by |\n| --- | --- | --- |\n");
    for each in breaks() {
        let (shown, more) = each.noticed.split_at(each.noticed.len().min(3));
        let mut noticed: Vec<String> = shown.iter().map(|test| format!("`{test}`")).collect();
        if !more.is_empty() {
            noticed.push(format!("{} more", more.len()));
        }
        let note = if each.note.is_empty() {
            String::new()
        } else {
            format!(". {}", each.note)
        };
        writeln!(
            table,
            "| {} | {} | {}{note} |",
            each.invariant,
            each.broken,
            noticed.join(", ")
        )
        .unwrap();
    }
    table
}

#[test]
fn the_table_in_safety_md_is_that_of_the_breaks() {
    let file = root().join("docs/safety.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGINS).unwrap();
    let (found, after) = rest.split_once(ENDS).unwrap();
    if env::var_os("SREG_UPDATE").is_some() {
        fs::write(&file, [before, BEGINS, &table(), ENDS, after].concat()).unwrap();
    } else {
        assert!(
            found == table(),
            "docs/safety.md differs from tests/breaks: run `make generate`"
        );
    }
}

/// Rust files of the repository: what each path consists of, and the functions in it.
fn functions() -> Vec<(Vec<String>, BTreeSet<String>)> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "*.rs"])
        .current_dir(root())
        .output()
        .unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    let read = |name: &str| {
        // Unit tests of `module.rs` may stand in `module_tests.rs` beside it.
        let path = name.trim_end_matches(".rs").trim_end_matches("_tests");
        let parts = path.split('/').map(str::to_owned).collect();
        let code = fs::read_to_string(root().join(name)).unwrap_or_default();
        let named = code.split("fn ").skip(1);
        let named = named
            .filter_map(|rest| rest.split(['(', '<']).next())
            .map(str::to_owned);
        (parts, named.collect())
    };
    names.split_terminator('\0').map(read).collect()
}

/// `module::beginning_of_a_test…`, `module::*` and `module::module`, as pages name them.
fn is_there(cited: &str, files: &[(Vec<String>, BTreeSet<String>)]) -> bool {
    // Unit tests stand in a module of their file.
    let parts: Vec<&str> = cited.split("::").filter(|part| *part != "tests").collect();
    let (last, modules) = parts.split_last().unwrap();
    let stands_in = |path: &[String]| {
        modules
            .last()
            .is_none_or(|module| path.iter().any(|part| part == module))
    };
    let mut there = files.iter().filter(|(path, _)| stands_in(path));
    match last.strip_suffix(['…', '*']) {
        Some(begins) => there.any(|(_, named)| begins.is_empty() || named.iter().any(|name| name.starts_with(begins))),
        None => there.any(|(path, named)| named.contains(*last) || path.iter().any(|part| part == last)),
    }
}

#[test]
fn every_test_that_a_page_about_safety_names_is_there() {
    let files = functions();
    let mut missing = Vec::new();
    for page in ["docs/security.md", "docs/safety.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let cited = text.split('`').skip(1).step_by(2).filter(|code| code.contains("::"));
        let is_path = |code: &&str| {
            code.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:…*".contains(c))
        };
        missing.extend(
            cited
                .filter(is_path)
                .filter(|cited| !is_there(cited, &files))
                .map(|cited| format!("{page}: {cited}")),
        );
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(!is_there("fence::no_such_test…", &files) && !is_there("nowhere::*", &files));
}

/// Longest that one break may take to be built and noticed, in seconds.
const LONGEST: &str = "600";
/// How `timeout` ends then.
const TIMED_OUT: i32 = 124;

/// The copy in which things are broken, and where it is built.
struct Copy {
    tree: PathBuf,
    build: PathBuf,
}

impl Copy {
    fn of_this_checkout() -> Copy {
        let folder = root().join("target/breaks");
        let copy = Copy {
            tree: folder.join("tree"),
            build: folder.join("build"),
        };
        let listed = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(root())
            .output()
            .unwrap();
        for name in String::from_utf8(listed.stdout).unwrap().split_terminator('\0') {
            let (from, to) = (root().join(name), copy.tree.join(name));
            let Ok(now) = fs::read(from) else { continue };
            // What is the same keeps its time, so that nothing is built anew for it.
            if fs::read(&to).is_ok_and(|then| then == now) {
                continue;
            }
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, now).unwrap();
        }
        copy
    }

    /// Those of the tests named that fail, or that it does not compile.
    fn failing(&self, broken: &Break) -> Result<BTreeSet<String>, String> {
        // What is broken may go round in circles for ever: that is noticed too.
        let mut cargo = Command::new("timeout");
        cargo.args([
            LONGEST,
            env!("CARGO"),
            "test",
            "--workspace",
            "--no-fail-fast",
            "--quiet",
        ]);
        // Built once for each break, and run for a moment: compiling is what takes time.
        for package in [
            "sreg-planner",
            "sreg-planner-world",
            "sreg-domain",
            "sreg-azure",
            "sreg-runtime",
            "azure-sim",
        ] {
            cargo.args(["--config", &format!("profile.dev.package.{package}.opt-level=0")]);
        }
        for name in &broken.run {
            match name.as_str() {
                "lib" => cargo.arg("--lib"),
                name => cargo.args(["--test", name]),
            };
        }
        // `--quiet` names only tests that fail.
        cargo.arg("--").args(&broken.noticed);
        cargo
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("INSTA_UPDATE", "no");
        let output = cargo.output().unwrap();
        if output.status.code() == Some(TIMED_OUT) {
            println!("the tests do not end within {LONGEST} s");
            return Ok(broken.noticed.iter().cloned().collect());
        }
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        if complained.contains("could not compile") {
            let first = complained
                .lines()
                .find(|line| line.starts_with("error"))
                .unwrap_or("error");
            return Err(format!("does not compile: {first}"));
        }
        let failing = said
            .lines()
            .filter_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
        Ok(failing.map(str::to_owned).collect())
    }

    fn failing_when_broken(&self, broken: &Break) -> Result<BTreeSet<String>, String> {
        let files: BTreeSet<PathBuf> = broken.edits().map(|edit| self.tree.join(&edit.file)).collect();
        let whole: Vec<(PathBuf, String)> = files
            .into_iter()
            .map(|f| (f.clone(), fs::read_to_string(f).unwrap()))
            .collect();
        for edit in broken.edits() {
            let file = self.tree.join(&edit.file);
            let code = fs::read_to_string(&file).unwrap();
            fs::write(&file, code.replacen(&edit.find, &edit.replace, 1)).unwrap();
        }
        let failing = self.failing(broken);
        for (file, code) in whole {
            fs::write(file, code).unwrap();
        }
        failing
    }
}

#[test]
#[ignore = "builds the tests once for each break: `make break`"]
fn each_break_is_noticed_by_the_tests_that_it_names() {
    let copy = Copy::of_this_checkout();
    let only = env::var("SREG_BREAK").unwrap_or_default();
    let chosen: Vec<Break> = breaks()
        .into_iter()
        .filter(|each| only.split('|').any(|part| each.invariant.contains(part)))
        .collect();
    assert!(!chosen.is_empty(), "no invariant has {only:?} in its name");
    let mut unnoticed = Vec::new();
    for each in &chosen {
        let failing = copy.failing_when_broken(each);
        let missing: Vec<&String> = match &failing {
            Ok(failing) => each
                .noticed
                .iter()
                .filter(|test| !failing.iter().any(|f| f.ends_with(*test)))
                .collect(),
            Err(_) => each.noticed.iter().collect(),
        };
        println!("{}: {failing:?}", each.invariant);
        if !missing.is_empty() || failing.is_err() {
            unnoticed.push(format!("{}: {missing:?}", each.invariant));
        }
    }
    println!(
        "{} invariants broken, {} not noticed as said",
        chosen.len(),
        unnoticed.len()
    );
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}
