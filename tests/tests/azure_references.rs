//! Comments and documents cite docs/azure.md: its sections (`§` and a number), its unsettled questions (`U` and a number) and its traps.
//! Here is checked that every citation leads to an entry of that page. Judged from the text of the sources: no build, no network.
//!
//! | citation | entry |
//! | --- | --- |
//! | `§` and a number | a heading with the same |
//! | `U` and a number | a row of a table that begins with it |
//! | `trap` and a number | an item of the numbered list |
//!
//! A section belongs to docs/azure.md unless the line names another document just before it. Sections of an RFC are left alone; any other
//! document has no place in the repository that the test could check, so its sections lead nowhere.

// Clippy knows test functions, but not the functions they share.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/azure.md";
/// This file is not read: its examples lead nowhere on purpose.
const ITSELF: &str = "azure_references.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if !path.ends_with(ITSELF) {
            found.push(path);
        }
    }
}

/// Sources and documents that cite.
fn sources() -> Vec<PathBuf> {
    let mut folders = vec![root().join("tests"), root().join("docs")];
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let room = entry.unwrap().path();
        folders.extend([room.join("src"), room.join("tests")]);
    }
    let mut found = Vec::new();
    for folder in folders.iter().filter(|f| f.is_dir()) {
        files(folder, &mut found);
    }
    found.sort();
    found
}

/// The digits, and with `dots` also the dots among them, that a text begins with.
fn number(text: &str, dots: bool) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_digit() || (dots && c == '.')));
    text.get(..end.unwrap_or(text.len()))
        .unwrap_or_default()
        .trim_end_matches('.')
}

/// Every number that follows `mark`, where no letter or digit stands before the mark or after the number.
fn numbers<'a>(line: &'a str, mark: &'a str, dots: bool) -> impl Iterator<Item = (usize, &'a str)> {
    line.match_indices(mark).filter_map(move |(at, _)| {
        let (before, rest) = (line.get(..at)?, line.get(at + mark.len()..)?);
        let number = number(rest, dots);
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let inside = before.ends_with(word) || rest.get(number.len()..)?.starts_with(word);
        (!number.is_empty() && !inside).then_some((at, number))
    })
}

/// The document that a section belongs to, by the words before it on its line; `None`: docs/azure.md.
fn document(before: &str) -> Option<String> {
    let bare = |word: &str| {
        word.trim_matches(|c: char| !(c.is_alphanumeric() || c == '§'))
            .to_owned()
    };
    let words: Vec<String> = before.split_whitespace().map(bare).collect();
    let mut words = words.iter().rev();
    let named = words.find(|w| !(w.is_empty() || w.contains('§') || *w == "and" || *w == "or"))?;
    let rfc = words.next().is_some_and(|w| w == "RFC") && number(named, false) == named;
    if rfc {
        return Some(format!("RFC {named}"));
    }
    let other = named.ends_with(".md") && !named.ends_with("azure.md");
    other.then(|| named.clone())
}

/// What a line cites, as the entries of docs/azure.md are called.
fn citations(line: &str) -> Vec<String> {
    let mut cited = Vec::new();
    for (at, section) in numbers(line, "§", true) {
        match document(line.get(..at).unwrap_or_default()) {
            None => cited.push(format!("§{section}")),
            Some(other) if other.starts_with("RFC") => {}
            Some(other) => cited.push(format!("{other} §{section}")),
        }
    }
    cited.extend(numbers(line, "U", false).map(|(_, question)| format!("U{question}")));
    cited.extend(numbers(line, "trap ", false).map(|(_, trap)| format!("trap {trap}")));
    cited
}

/// The entries of a page: sections by their headings, questions by their rows, traps by their items; in order.
fn entries(page: &str) -> Vec<String> {
    let entry = |line: &str| {
        if line.starts_with('#') {
            let (_, section) = numbers(line, "§", true).next()?;
            Some(format!("§{section}"))
        } else if line.starts_with("| U") {
            let (_, question) = numbers(line, "U", false).next()?;
            Some(format!("U{question}"))
        } else {
            let trap = number(line, false);
            let is_item = !trap.is_empty() && line.get(trap.len()..)?.starts_with(". ");
            is_item.then(|| format!("trap {trap}"))
        }
    };
    page.lines().filter_map(entry).collect()
}

/// Each citation of a text that leads to no entry, with file and line.
fn leading_nowhere(name: &str, text: &str, entries: &BTreeSet<String>) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .flat_map(|(at, line)| citations(line).into_iter().map(move |cited| (at + 1, line, cited)))
        .filter(|(_, _, cited)| !entries.contains(cited))
        .map(|(at, line, cited)| format!("{name}:{at}: {cited} is no entry of {PAGE}: {}", line.trim()))
        .collect()
}

fn page() -> Vec<String> {
    entries(&fs::read_to_string(root().join(PAGE)).unwrap())
}

#[test]
fn every_citation_leads_to_an_entry_of_the_page_about_azure() {
    let entries: BTreeSet<String> = page().into_iter().collect();
    let mut wrong = Vec::new();
    let mut cited = 0;
    for file in sources() {
        // What is no text cites nothing.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        cited += text.lines().map(|line| citations(line).len()).sum::<usize>();
        wrong.extend(leading_nowhere(&name, &text, &entries));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        cited > 200,
        "only {cited} citations were found: the walk misses the sources"
    );
}

#[test]
fn no_number_of_the_page_is_given_twice() {
    let mut seen = BTreeSet::new();
    let twice: Vec<String> = page().into_iter().filter(|entry| !seen.insert(entry.clone())).collect();
    assert!(twice.is_empty(), "{PAGE} has more than one {}", twice.join(", "));
}

#[test]
fn a_citation_that_leads_nowhere_is_named_with_file_and_line() {
    let page = "## §1 Registry\n### §1.2 Shape\n\n1. A trap.\n\n| # | question |\n| U4 | Why? |\n";
    let entries: BTreeSet<String> = entries(page).into_iter().collect();
    let text = "//! Shapes (azure.md §1, §1.2; U4, trap 1).\n\n/// Zones (§1.3) are open (U5), as trap 2 says.\n// (testing.md §1)\n";
    assert_eq!(
        leading_nowhere("src/x.rs", text, &entries),
        [
            "src/x.rs:3: §1.3 is no entry of docs/azure.md: /// Zones (§1.3) are open (U5), as trap 2 says.",
            "src/x.rs:3: U5 is no entry of docs/azure.md: /// Zones (§1.3) are open (U5), as trap 2 says.",
            "src/x.rs:3: trap 2 is no entry of docs/azure.md: /// Zones (§1.3) are open (U5), as trap 2 says.",
            "src/x.rs:4: testing.md §1 is no entry of docs/azure.md: // (testing.md §1)",
        ]
    );
}

#[test]
fn only_numbers_that_stand_alone_are_citations() {
    for (line, cited) in [
        ("// RFC 1035 §4.1.1 and RFC 1928 §7", vec![]),
        ("// azure.md §4.2, §6.3 and §8.1.", vec!["§4.2", "§6.3", "§8.1"]),
        ("// a zone's links (`§4.1`); `U3`/U4: both", vec!["§4.1", "U3", "U4"]),
        ("// §4.1–§4.3", vec!["§4.1", "§4.3"]),
        ("let x: U8T = MENU4 + U4_x + U2F;", vec![]),
        ("// a trap is set: entrap 3, trap 15)", vec!["trap 15"]),
        ("// a § without a number", vec![]),
    ] {
        assert_eq!(citations(line), cited, "{line}");
    }
}

#[test]
fn what_is_cited_without_being_a_heading_a_row_or_an_item_is_no_entry() {
    let page = "See §9 and U9.\n* 3. nothing\n| about U7 |\n12 things\n";
    assert_eq!(entries(page), Vec::<String>::new());
}
