//! A law of every test: whatever is told to people names no step, shows no Rust, can be pasted, and does nothing to whoever reads
//! it, whoever's words it repeats. Step ids are keys of ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;
use sreg_api::conditions::{ConditionType, State};
use sreg_api::status::{SecureRegistryStatus, WaitStatus};
use sreg_domain::reasons::WaitReason;
use sreg_domain::{StepKind, outside};
use sreg_planner::{Plan, Report};
use strum::IntoEnumIterator;

/// What Rust's `Debug` writes and no sentence does.
const RUST: [&str; 5] = ["(\"", "Some(", "Ok(", "Err(", " { "];

/// Everything that a plan tells.
pub fn of_plan(plan: &Plan) {
    let waits = plan.waits.iter().map(|w| w.message.as_str());
    let findings = plan.findings.iter().map(|f| f.message.as_str());
    let access = plan.assessment.access.iter().map(|a| a.detail.as_str());
    let drift = plan.assessment.drift.iter().map(String::as_str);
    let changes = plan.assessment.name_changes.iter().map(|c| c.summary.as_str());
    let touched = plan.steps().flat_map(|s| s.touches.iter().map(String::as_str));
    for text in waits
        .chain(findings)
        .chain(access)
        .chain(drift)
        .chain(changes)
        .chain(touched)
    {
        // Of these people read what a report makes of them.
        is_plain(&outside::harmless(text));
    }
}

/// Everything that a report tells: status but for its keys, events, and how those stand that name the object.
pub fn of_report(report: &Report) {
    for event in &report.events {
        is_plain(&event.note);
        is_harmless(&event.note);
        assert!(event.note.len() <= 1024, "{}", event.note);
    }
    let glasses = report.decided.break_glasses.values().map(|status| &status.message);
    let approvals = report.decided.approvals.values().map(|status| &status.message);
    glasses.chain(approvals).for_each(|message| is_harmless(message));
    walk(&serde_json::to_value(&report.status).unwrap());
    says_what_it_is_stalled_by(&report.status);
}

/// Whoever is called to a stalled object reads in `waitingFor` what it is stalled by, from the first status on that says so.
fn says_what_it_is_stalled_by(status: &SecureRegistryStatus) {
    let is_stalled =
        |c: &Condition| c.type_ == ConditionType::Ready.to_string() && c.reason == State::Stalled.to_string();
    let stalled_by = |w: &WaitStatus| w.reason.parse().is_ok_and(WaitReason::is_stalled);
    assert!(
        !status.conditions.iter().any(is_stalled) || status.waiting_for.iter().any(stalled_by),
        "stalled by nothing: {:#?} {:#?}",
        status.conditions,
        status.waiting_for
    );
}

fn walk(value: &Value) {
    match value {
        Value::String(text) => {
            is_plain(text);
            is_harmless(text);
        }
        Value::Array(items) => items.iter().for_each(walk),
        // `step` is what a later visit knows the step by.
        Value::Object(fields) => {
            let keys = |name: &str| ["step", "pollUrl"].contains(&name);
            let (read_back, told): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| keys(name));
            told.into_iter().for_each(|(_, v)| walk(v));
            let read_back = read_back.into_iter().filter_map(|(_, v)| v.as_str());
            read_back.for_each(|key| assert!(outside::is_safe(key), "{key:?}"));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_harmless(text: &str) {
    assert!(
        outside::is_harmless(text),
        "does something to whoever reads it: {text:?}"
    );
}

fn is_plain(text: &str) {
    let names = StepKind::iter().map(|kind| kind.to_string());
    for word in names.filter(|name| name.contains('-')) {
        let named = text
            .split(|c: char| c.is_whitespace() || ",;:()\"'".contains(c))
            .any(|w| w == word);
        assert!(!named, "a message names the step {word}: {text}");
    }
    for rust in RUST {
        assert!(!text.contains(rust), "a message shows Rust ({rust}): {text}");
    }
    assert!(
        !redirects(text),
        "a shell takes the placeholder for a redirection: {text}"
    );
}

/// Holds `<word>`, which whoever pastes it asks the shell to read from a file.
fn redirects(text: &str) -> bool {
    let inner = text.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    inner.into_iter().any(|(word, _)| {
        let fits = |c: char| c.is_ascii_lowercase() || c == ' ' || c == '-';
        let letters = |c: char| c.is_ascii_lowercase();
        word.starts_with(letters) && word.ends_with(letters) && word.chars().all(fits)
    })
}
