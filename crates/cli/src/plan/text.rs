//! A plan for people at a terminal.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::document::{Comes, ObjectPlan, PlannedStep, PlannedWait, Plans};

const HEADING: Style = Style::new().bold();
const MADE: Style = AnsiColor::Green.on_default();
const CHANGED: Style = AnsiColor::Yellow.on_default();
const GONE: Style = AnsiColor::Red.on_default();

/// Renders all plans. Colours are taken out where they are not wanted, by whoever writes it.
pub(super) fn render(plans: &Plans) -> String {
    let mut text = String::new();
    for object in &plans.objects {
        write_object(object, &mut text).ok();
    }
    summary(plans, &mut text).ok();
    text
}

fn write_object(object: &ObjectPlan, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "{HEADING}{}/{}{HEADING:#} ({})",
        object.namespace, object.name, object.file
    )?;
    writeln!(out, "  {}", object.registry)?;
    for access in &object.access {
        let (style, closed) = match access.closed {
            Some(true) => (MADE, "public access disabled"),
            Some(false) => (GONE, "public access enabled"),
            None => (CHANGED, "public access not known"),
        };
        writeln!(
            out,
            "  {} {}: {style}{closed}{style:#} ({})",
            access.target, access.name, access.detail
        )?;
    }
    for wrong in &object.violations {
        writeln!(out, "  {GONE}invalid{GONE:#} {}: {}", wrong.path, wrong.message)?;
    }
    if object.comes == Comes::Nothing {
        writeln!(out, "  nothing to do")?;
    }
    if !object.waves.is_empty() {
        writeln!(out, "\n  {HEADING}In Azure, first{HEADING:#}")?;
        for (at, wave) in object.waves.iter().enumerate() {
            for step in wave {
                write_step(&format!("{}.", at + 1), step, out)?;
            }
        }
    }
    if !object.once_proven.is_empty() {
        let networks = object.proven_from.iter();
        let networks: Vec<String> = networks
            .map(|from| format!("{} ({})", from.network, from.vantage_point))
            .collect();
        writeln!(
            out,
            "\n  {HEADING}In Azure, once every path is proven from {}{HEADING:#}",
            networks.join(", ")
        )?;
        for step in &object.once_proven {
            write_step("-", step, out)?;
        }
    }
    write_waits(
        "Waits",
        object.waits.iter().filter(|wait| !wait.only_a_cluster_can_tell),
        out,
    )?;
    write_waits(
        "Only a cluster can tell",
        object.waits.iter().filter(|wait| wait.only_a_cluster_can_tell),
        out,
    )?;
    if !object.findings.is_empty() {
        writeln!(out, "\n  {HEADING}Worth knowing{HEADING:#}")?;
        for finding in &object.findings {
            writeln!(out, "    {}: {}", finding.reason, finding.message)?;
        }
    }
    if !object.not_asked.is_empty() {
        writeln!(out, "\n  {HEADING}Planned without a cluster{HEADING:#}")?;
        for sentence in &object.not_asked {
            writeln!(out, "    {sentence}")?;
        }
    }
    writeln!(out)
}

fn write_step(mark: &str, step: &PlannedStep, out: &mut String) -> fmt::Result {
    writeln!(out, "    {mark} {}", step.does)?;
    for change in &step.changes {
        let field = &change.field;
        match (&change.old, &change.new) {
            (None, Some(new)) => writeln!(out, "         {MADE}+{MADE:#} {field}: {}", shown(new))?,
            (Some(old), None) => writeln!(out, "         {GONE}-{GONE:#} {field}: {}", shown(old))?,
            (old, new) => {
                let value = |value: &Option<Value>| value.as_ref().map(shown).unwrap_or_default();
                writeln!(
                    out,
                    "         {CHANGED}~{CHANGED:#} {field}: {} -> {}",
                    value(old),
                    value(new)
                )?;
            }
        }
    }
    for touched in &step.cuts_off {
        writeln!(out, "         {CHANGED}!{CHANGED:#} {touched}")?;
    }
    for rule in &step.rules_taken {
        writeln!(out, "         {GONE}!{GONE:#} whoever comes in by {rule} loses access")?;
    }
    Ok(())
}

/// A text as it is, whatever else as JSON.
pub(super) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn write_waits<'a>(heading: &str, waits: impl Iterator<Item = &'a PlannedWait>, out: &mut String) -> fmt::Result {
    for (at, wait) in waits.enumerate() {
        if at == 0 {
            writeln!(out, "\n  {HEADING}{heading}{HEADING:#}")?;
        }
        writeln!(out, "    for {} ({}): {}", wait.actor, wait.reason, wait.message)?;
    }
    Ok(())
}

fn summary(plans: &Plans, out: &mut String) -> fmt::Result {
    let count = |comes: Comes| plans.objects.iter().filter(|object| object.comes == comes).count();
    let first: usize = plans
        .objects
        .iter()
        .flat_map(|object| &object.waves)
        .map(Vec::len)
        .sum();
    let later: usize = plans.objects.iter().map(|object| object.once_proven.len()).sum();
    writeln!(
        out,
        "{HEADING}{} objects{HEADING:#}: {} change, {} not whole, {} invalid; {first} writes first, {later} once proven",
        plans.objects.len(),
        count(Comes::Changes),
        count(Comes::Incomplete),
        count(Comes::Invalid)
    )
}
