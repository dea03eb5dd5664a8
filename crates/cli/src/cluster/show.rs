//! `status` and `why`: what the operator says of objects, in the words that it wrote.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sreg_api::SecureRegistryStatus;
use sreg_api::conditions::ConditionType;
use sreg_api::status::Access;
use sreg_domain::reasons::WaitReason;

use super::{Cluster, Object};
use crate::arguments::{StatusFlags, WhyFlags};
use crate::progress::while_waiting;
use crate::{Ended, print};

const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// One object as a tree, or all of a namespace as a table.
///
/// # Errors
/// The cluster cannot be asked, or there is no such object.
pub(crate) async fn status(typed: &StatusFlags) -> Result<Ended> {
    let cluster = Cluster::connect(&typed.cluster).await?;
    let mut text = String::new();
    match &typed.object {
        Some(asked) => {
            let object = while_waiting("asking the cluster", cluster.object(asked)).await?;
            tree(&object, object.known()?, &mut text)?;
        }
        None => {
            let namespace = (!typed.all_namespaces).then_some(cluster.namespace.as_str());
            let objects = while_waiting("asking the cluster", cluster.objects(namespace)).await?;
            table(&objects, &mut text)?;
        }
    }
    print(&text)?;
    Ok(Ended::Nothing)
}

/// The one thing that an object waits for, and what to do.
///
/// # Errors
/// As for [`status`].
pub(crate) async fn why(typed: &WhyFlags) -> Result<Ended> {
    let cluster = Cluster::connect(&typed.cluster).await?;
    let object = while_waiting("asking the cluster", cluster.object(&typed.object)).await?;
    let mut text = String::new();
    explain(&object, object.known()?, &mut text)?;
    print(&text)?;
    Ok(Ended::Nothing)
}

fn ready(status: &SecureRegistryStatus) -> Option<&Condition> {
    let ready = ConditionType::Ready.to_string();
    status.conditions.iter().find(|condition| condition.type_ == ready)
}

fn explain(object: &Object, status: &SecureRegistryStatus, out: &mut String) -> fmt::Result {
    let name = format!("{}/{}", object.namespace, object.name);
    let Some(ready) = ready(status) else {
        return writeln!(
            out,
            "{name}: the operator has not looked at it yet (kubectl get lease -n secure-registry-system says whether one runs)"
        );
    };
    // The condition keeps its time while only its reason changes; the history says when the state began.
    let latest = status.history.last().filter(|line| line.state == ready.reason);
    let began = latest.and_then(|line| line.time.as_ref());
    let since = &began.unwrap_or(&ready.last_transition_time).0;
    writeln!(out, "{HEADING}{name}{HEADING:#} is {} since {since}", ready.reason)?;
    let Some(first) = status.waiting_for.first() else {
        return writeln!(out, "  it waits for nothing: {}", ready.message);
    };
    writeln!(out, "  it waits for {} ({}):", first.actor, first.reason)?;
    writeln!(out, "  {}", first.message)?;
    if let Ok(reason) = first.reason.parse::<WaitReason>() {
        let action = reason.explained().action;
        // The table speaks of any object.
        let action = action
            .replace("-n NAMESPACE", &format!("-n {}", object.namespace))
            .replace("sreg NAME", &format!("sreg {}", object.name));
        writeln!(out, "  what to do: {action}")?;
    }
    if !status.approvals_wanted.is_empty() && first.actor == "Approver" {
        writeln!(out, "  to approve: sreg approve {name}")?;
    }
    let others = status.waiting_for.iter().skip(1);
    for (at, other) in others.enumerate() {
        if at == 0 {
            writeln!(out, "  it also waits:")?;
        }
        writeln!(out, "    for {} ({}): {}", other.actor, other.reason, other.message)?;
    }
    Ok(())
}

fn tree(object: &Object, status: &SecureRegistryStatus, out: &mut String) -> fmt::Result {
    let (state, message) = ready(status).map_or(("Unknown", "the operator has not looked at it yet"), |ready| {
        (ready.reason.as_str(), ready.message.as_str())
    });
    writeln!(
        out,
        "{HEADING}{}/{}{HEADING:#} {state}: {message}",
        object.namespace, object.name
    )?;
    if let Some(since) = &status.stale_since {
        writeln!(
            out,
            "  {BAD}not all could be read since {}{BAD:#}: what follows is as it was known then",
            since.0
        )?;
    }
    for target in status.public_access.iter().flat_map(|access| &access.targets) {
        let (style, access) = match target.access {
            Access::Closed => (GOOD, "disabled"),
            Access::Open => (BAD, "enabled"),
            Access::Unknown => (BAD, "not known"),
        };
        let name = target.resource_id.rsplit('/').next().unwrap_or_default();
        writeln!(
            out,
            "  {} {name}: public access {style}{access}{style:#} ({})",
            target.target, target.detail
        )?;
        let endpoints = status
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.target == target.target);
        for endpoint in endpoints {
            let connection = endpoint.connection_state.as_deref().unwrap_or("no connection");
            let addresses = endpoint.addresses.join(", ");
            writeln!(
                out,
                "    endpoint at {} ({}): {}, {connection} {addresses}",
                endpoint.name, endpoint.group_id, endpoint.provisioning_state
            )?;
            for fqdn in &endpoint.fqdns {
                writeln!(out, "      {fqdn}")?;
            }
            if let Some(failing) = &endpoint.failing_path {
                writeln!(out, "      {BAD}fails{BAD:#} {failing}")?;
            }
        }
    }
    if let Some(paths) = &status.paths_verified {
        let proof = status.last_proof.as_ref().and_then(|proof| proof.time.as_ref());
        let proof = proof.map_or("never all proven in one round".to_owned(), |time| {
            format!("all proven last at {}", time.0)
        });
        writeln!(out, "  paths: {paths} pass, {proof}")?;
    }
    for operation in &status.operations {
        writeln!(
            out,
            "  under way in Azure: {} ({})",
            operation.step, operation.resource_id
        )?;
    }
    for wait in &status.waiting_for {
        writeln!(out, "  waits for {} ({}): {}", wait.actor, wait.reason, wait.message)?;
    }
    for finding in &status.findings {
        writeln!(out, "  {}: {}", finding.reason, finding.message)?;
    }
    Ok(())
}

fn table(objects: &[Object], out: &mut String) -> fmt::Result {
    let mut rows = vec![
        [
            "NAMESPACE",
            "NAME",
            "STATE",
            "PUBLIC",
            "ENDPOINTS",
            "VERIFIED",
            "WAITS FOR",
        ]
        .map(str::to_owned),
    ];
    for object in objects {
        let row = match &object.status {
            Ok(status) => {
                let or = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".to_owned());
                let waits = status
                    .waiting_for
                    .first()
                    .map(|wait| format!("{} ({})", wait.actor, wait.reason));
                [
                    object.namespace.clone(),
                    object.name.clone(),
                    or(ready(status).map(|ready| &ready.reason)),
                    or(status.public_access.as_ref().map(|access| &access.summary)),
                    or(status.endpoints_ready.as_ref()),
                    or(status.paths_verified.as_ref()),
                    or(waits.as_ref()),
                ]
            }
            Err(why) => [&object.namespace, &object.name, "?", "?", "?", "?", why].map(|text: &str| text.to_owned()),
        };
        rows.push(row);
    }
    let widths: Vec<usize> = (0..7)
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default())
        .collect();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}
