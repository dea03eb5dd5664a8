//! A plan for a pull request.

use std::fmt::{self, Write};

use serde_json::Value;

use super::document::{Comes, ObjectPlan, PlannedStep, Plans};
use super::text::shown;

/// Renders all plans.
pub(super) fn render(plans: &Plans) -> String {
    let mut text = String::new();
    for object in &plans.objects {
        write_object(object, &mut text).ok();
    }
    text
}

fn write_object(object: &ObjectPlan, out: &mut String) -> fmt::Result {
    let comes = match object.comes {
        Comes::Nothing => "nothing to do",
        Comes::Changes => "changes",
        Comes::Incomplete => "not whole",
        Comes::Invalid => "invalid",
    };
    writeln!(out, "### {}/{}: {comes}\n", object.namespace, object.name)?;
    writeln!(out, "`{}` in `{}`\n", object.registry, object.file)?;
    for wrong in &object.violations {
        writeln!(out, "- **{}**: {}", wrong.path, plain(&wrong.message))?;
    }
    if !object.access.is_empty() {
        writeln!(out, "| target | public access | why |\n| --- | --- | --- |")?;
        for access in &object.access {
            let closed = match access.closed {
                Some(true) => "disabled",
                Some(false) => "**enabled**",
                None => "not known",
            };
            writeln!(
                out,
                "| {} {} | {closed} | {} |",
                access.target,
                access.name,
                plain(&access.detail)
            )?;
        }
        writeln!(out)?;
    }
    for (at, wave) in object.waves.iter().enumerate() {
        writeln!(out, "**Wave {}**\n", at + 1)?;
        wave.iter().try_for_each(|step| write_step(step, out))?;
        writeln!(out)?;
    }
    if !object.once_proven.is_empty() {
        let networks: Vec<&str> = object.proven_from.iter().map(|from| from.network.as_str()).collect();
        writeln!(out, "**Once every path is proven from {}**\n", networks.join(", "))?;
        object.once_proven.iter().try_for_each(|step| write_step(step, out))?;
        writeln!(out)?;
    }
    list(
        "Waits",
        object
            .waits
            .iter()
            .map(|wait| (&wait.reason, format!("for {}: {}", wait.actor, wait.message))),
        out,
    )?;
    list(
        "Worth knowing",
        object
            .findings
            .iter()
            .map(|found| (&found.reason, found.message.clone())),
        out,
    )?;
    if !object.not_asked.is_empty() {
        writeln!(out, "<details><summary>Planned without a cluster</summary>\n")?;
        for sentence in &object.not_asked {
            writeln!(out, "- {}", plain(sentence))?;
        }
        writeln!(out, "\n</details>\n")?;
    }
    Ok(())
}

fn write_step(step: &PlannedStep, out: &mut String) -> fmt::Result {
    writeln!(out, "- {}", plain(&step.does))?;
    for change in &step.changes {
        let value = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), |value| code(&shown(value)))
        };
        writeln!(
            out,
            "  - `{}`: {} → {}",
            change.field,
            value(&change.old),
            value(&change.new)
        )?;
    }
    for touched in &step.cuts_off {
        writeln!(out, "  - ⚠ {}", plain(touched))?;
    }
    for rule in &step.rules_taken {
        writeln!(out, "  - ⚠ whoever comes in by {} loses access", plain(rule))?;
    }
    Ok(())
}

fn list<'a>(heading: &str, items: impl Iterator<Item = (&'a String, String)>, out: &mut String) -> fmt::Result {
    let mut any = false;
    for (reason, message) in items {
        if !any {
            writeln!(out, "**{heading}**\n")?;
        }
        any = true;
        writeln!(out, "- *{reason}* {}", plain(&message))?;
    }
    if any { writeln!(out) } else { Ok(()) }
}

/// What markdown would take for a sign of its own, and whatever looks like a tag, stays text.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '@') {
            plain.push('\\');
        }
        match c {
            '<' => plain.push_str("&lt;"),
            '\r' | '\n' => plain.push(' '),
            other => plain.push(other),
        }
    }
    plain
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace(['\r', '\n'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_text() {
        assert_eq!(plain("a|b\n<script>@all`x`"), "a\\|b &lt;script>\\@all\\`x\\`");
        assert_eq!(code("`x`\ny"), "`'x' y`");
    }
}
