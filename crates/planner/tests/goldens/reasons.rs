//! Every reason, for people: who can act and how. `docs/troubleshooting.md` is made of the same tables; `SREG_UPDATE=1` writes it.

use std::path::Path;
use std::{env, fs};

use sreg_domain::reasons::Explained;
use sreg_planner::advice::ROWS;
use sreg_planner::plan::{Actor, FindingReason, WaitReason};
use strum::IntoEnumIterator;

use crate::world::advice::{ACTIONS, commands_exist};

const BEGINS: &str = "<!-- from the tables of reasons: `make generate` -->\n";
const ENDS: &str = "<!-- end -->\n";

/// What advice leaves to fill in.
const FILLED_IN: [&str; 19] = [
    "principal",
    "role",
    "scope",
    "assignment",
    "governed",
    "resource",
    "resource group",
    "subscription",
    "provider",
    "subnet",
    "lock",
    "location",
    "object id",
    "stack",
    "denial",
    "tenant",
    "linked",
    "blocked",
    "locked",
];

/// As people are called in `status.waitingFor`.
fn who(actor: Actor) -> &'static str {
    match actor {
        Actor::Time => "nobody: time passes, or the operator goes on by itself",
        Actor::Azure => "Azure",
        Actor::Agent => "a vantage point's agent, or who runs it",
        Actor::User => "whoever owns the object, or what it names in Azure",
        Actor::Administrator => "whoever runs the operator",
        Actor::Approver => "whoever approves connections or changes",
        Actor::DnsOwner => "whoever runs DNS, or the Azure Policy that does",
    }
}

fn row(name: &str, explained: Explained) -> String {
    let Explained { actor, meaning, action } = explained;
    format!("| `{name}` | `{actor}` | {meaning} | {action} |\n")
}

fn waits() -> String {
    let actors = Actor::iter().map(|actor| format!("| `{actor}` | {} |\n", who(actor)));
    let actors: String = actors.collect();
    let head = "\n| reason | who can end it | what it says | what to do |\n| --- | --- | --- | --- |\n";
    let rows = WaitReason::iter().map(|reason| row(reason.into(), reason.explained()));
    let head = format!("| `actor` | is |\n| --- | --- |\n{actors}{head}");
    rows.fold(head, |table, row| table + &row)
}

fn findings() -> String {
    let head = "| finding | who can act | what it says | what to do |\n| --- | --- | --- | --- |\n";
    let rows = FindingReason::iter().map(|reason| row(reason.into(), reason.explained()));
    rows.fold(head.to_owned(), |table, row| table + &row)
}

/// Commands in code, what is filled in in capitals: Markdown would take angle brackets for tags.
fn codes() -> String {
    let mut table = "| code of Azure's | waited for as | what to do |\n| --- | --- | --- |\n".to_owned();
    for known in ROWS {
        let codes: Vec<String> = known.codes.iter().map(|code| format!("`{code}`")).collect();
        let capitals = |text: String, name: &&str| {
            let upper = name.to_uppercase().replace(' ', "_");
            text.replace(&format!("{{{name}}}"), &upper)
                .replace(&format!("<{name}>"), &upper)
        };
        let advice = FILLED_IN.iter().fold(known.advice.to_owned(), capitals);
        assert!(!advice.contains('<'), "{advice}");
        table += &format!("| {} | `{}` | {advice} |\n", codes.join(", "), known.reason);
    }
    table
}

#[test]
fn every_reason_says_who_can_act_and_how() {
    for reason in WaitReason::iter() {
        let Explained { actor, meaning, action } = reason.explained();
        commands_exist(action);
        assert!(!meaning.is_empty() && !action.is_empty(), "{reason}");
        let nobody = matches!(actor, Actor::Time | Actor::Azure | Actor::Agent);
        let says_how = ACTIONS
            .iter()
            .chain(&["`az ", "table of codes"])
            .any(|how| action.contains(how));
        let approves = action.contains("Create a ChangeApproval");
        assert!(nobody || says_how || approves, "{reason}: {action}");
    }
    for reason in FindingReason::iter() {
        let Explained {
            actor: _,
            meaning,
            action,
        } = reason.explained();
        commands_exist(action);
        assert!(!meaning.is_empty() && !action.is_empty(), "{reason}");
    }
    for known in ROWS {
        commands_exist(known.advice);
    }
}

#[test]
fn the_reasons_are_listed_for_people() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/troubleshooting.md");
    let found = fs::read_to_string(&file).unwrap();
    let mut parts = found.split(BEGINS);
    let mut wanted = parts.next().unwrap().to_owned();
    for table in [waits(), findings(), codes()] {
        let (_, after) = parts.next().unwrap().split_once(ENDS).unwrap();
        wanted += &[BEGINS, &table, ENDS, after].concat();
    }
    assert_eq!(parts.next(), None);
    if env::var_os("SREG_UPDATE").is_some() {
        fs::write(&file, &wanted).unwrap();
        return;
    }
    assert!(
        found == wanted,
        "docs/troubleshooting.md differs from the tables of reasons: run `make generate`"
    );
}
