//! A plan as text for people: what would be done in which order, whom it touches, what it waits for. The same text is the
//! golden of the tests and the output of an offline `plan`.

use std::fmt::Write;

use sreg_domain::duration;

use crate::plan::{PathStanding, Plan};

/// Renders a plan.
pub fn render(plan: &Plan) -> String {
    let mut text = String::new();
    let _ = write_plan(plan, &mut text);
    text
}

fn write_plan(plan: &Plan, out: &mut String) -> std::fmt::Result {
    let state = plan.assessment.state.map(|s| s.to_string()).unwrap_or_default();
    writeln!(out, "state: {state}")?;
    for (at, wave) in plan.waves.iter().enumerate() {
        writeln!(out, "wave {}:", at + 1)?;
        for step in wave {
            writeln!(out, "  {}", step.action)?;
            for touched in &step.touches {
                writeln!(out, "      touches: {touched}")?;
            }
        }
    }
    if plan.waves.is_empty() {
        writeln!(out, "nothing to do")?;
    }
    for wait in &plan.waits {
        writeln!(
            out,
            "waits for {} ({}): {}",
            wait.reason.actor(),
            wait.reason,
            wait.message
        )?;
    }
    for finding in &plan.findings {
        writeln!(out, "finding {}: {}", finding.reason, finding.message)?;
    }
    let assessment = &plan.assessment;
    for access in &assessment.access {
        let closed = match access.closed {
            Some(true) => "closed",
            Some(false) => "open",
            None => "not known",
        };
        writeln!(
            out,
            "access {} {}: {closed} ({})",
            access.target,
            access.id.name(),
            access.detail
        )?;
    }
    for path in &assessment.paths {
        let standing = match &path.standing {
            PathStanding::Passing => "passes".to_owned(),
            PathStanding::Reported => "passes, not proven in an open round".to_owned(),
            PathStanding::Failing(hop, message) => format!("fails at {hop}: {message}"),
            PathStanding::Unknown(why) => format!("not told: {why}"),
        };
        writeln!(out, "path {} → {}: {standing}", path.network, path.path.fqdn)?;
    }
    writeln!(out, "look again in {}", duration::show(plan.next_look))
}
