//! Drift: Azure differs from what was settled for this very spec. Told from the last status, so it starts anew when status is
//! erased; a change of spec, a break-glass or a rollback are not drift.

use std::collections::{BTreeMap, BTreeSet};

use sreg_api::conditions::{ConditionType, State};
use sreg_api::registry::PublicAccess;
use sreg_domain::last_report::ReportedCondition;
use sreg_domain::{Action, ArmId, AzureAction, Edit};

use crate::break_glass::{self, BreakGlassState};
use crate::plan::{Assessment, Finding, FindingReason, Step};
use crate::view::{View, noun};
use crate::{locked, state};

/// What differs, one sentence each.
pub(crate) fn found(
    view: &View<'_>,
    steps: &[&Step],
    held: &[&Action],
    assessment: &Assessment,
    findings: &[Finding],
) -> Vec<String> {
    if !was_settled(view)
        || view.seen.object.deleting
        || matches!(break_glass::state(view), BreakGlassState::Active { .. })
        || locked::pausing(view).is_some()
    {
        return Vec::new();
    }
    let mut drift = Vec::new();
    if view.desired.public_access == PublicAccess::Disabled {
        let open = view.access.iter().filter(|a| a.closed == Some(false));
        drift.extend(open.map(|a| format!("{} {} is open to the public ({})", a.target, a.id.name(), a.detail)));
    }
    // What the last edit of the spec asks for is no drift: that begins once it was carried out.
    let asked_for = !was_carried_out(view);
    let writes = steps.iter().filter(|step| match &step.action {
        Action::Azure(azure) => !azure.is_closing(),
        Action::Cluster(_) => false,
    });
    if !asked_for {
        let actions: Vec<&Action> = writes.map(|step| &step.action).chain(held.iter().copied()).collect();
        drift.extend(actions.iter().map(|action| differs(view, action)));
        let repaired = |id: &ArmId| actions.iter().any(|action| writes_to(action, id));
        drift.extend(unrepaired(view, assessment, repaired));
        if drift.is_empty() && assessment.dns_ready == Some(false) && view.names_are_ours() {
            drift.push("zones, records or links of the private endpoints are missing or differ".to_owned());
        }
    }
    if view.desired.observe_only {
        drift.extend(
            findings
                .iter()
                .filter(|f| f.reason == FindingReason::WouldDo)
                .map(|f| f.message.clone()),
        );
    }
    let mut told = BTreeSet::new();
    drift.retain(|line| told.insert(line.clone()));
    drift
}

fn writes_to(action: &Action, id: &ArmId) -> bool {
    matches!(action, Action::Azure(azure) if azure.resource() == id || azure.resource().parent().as_ref() == Some(id))
}

/// What was lost and no write of this visit brings back: its repair is refused, under way, or up to somebody else.
fn unrepaired(view: &View<'_>, assessment: &Assessment, repaired: impl Fn(&ArmId) -> bool) -> Vec<String> {
    let gone = view
        .targets
        .accounts
        .iter()
        .filter(|(_, id)| view.target(id).is_absent());
    let gone = gone.map(|(kind, id)| format!("{} {} does not exist any more", noun(*kind), id.name()));
    let endpoints = state::lost_endpoints(view, assessment).filter(|lost| !repaired(lost.id()));
    gone.chain(endpoints.map(|lost| lost.show())).collect()
}

/// This generation was settled once, or has drifted since.
fn was_carried_out(view: &View<'_>) -> bool {
    let current = |c: &&ReportedCondition| c.generation == Some(view.desired.object.generation);
    let mut current = view.last().conditions.iter().filter(current);
    current.any(|c| {
        let settled = matches!(c.state, Some(State::Locked | State::Open | State::Observed));
        (c.kind == ConditionType::Ready && settled) || (c.kind == ConditionType::DriftDetected && c.is_true)
    })
}

/// What was found in place of what an action would bring about.
fn differs(view: &View<'_>, action: &Action) -> String {
    let found = match action {
        Action::Azure(AzureAction::SetTags { id, tags, .. }) => return tags_differ(view, id, tags),
        Action::Azure(AzureAction::CreateEndpoint { id, .. }) => format!("private endpoint {} is missing", id.name()),
        Action::Azure(AzureAction::CreateZone { id, .. }) => format!("private DNS zone {} is missing", id.name()),
        Action::Azure(AzureAction::PutZoneGroup { id, zones, .. }) => {
            let endpoint = id.parent().map_or(String::new(), |e| e.name().to_owned());
            let zones: Vec<&str> = zones.iter().map(ArmId::name).collect();
            format!(
                "records of private endpoint {endpoint} in {} are missing or differ",
                zones.join(", ")
            )
        }
        Action::Azure(AzureAction::LinkZone {
            id, virtual_network, ..
        }) => format!(
            "virtual network {} is not linked to {}",
            virtual_network.name(),
            id.parent().map_or(String::new(), |zone| zone.name().to_owned())
        ),
        Action::Azure(AzureAction::Edit {
            id,
            edit: Edit::AllowResource { resource, .. },
            ..
        }) => format!(
            "storage account {} has no resource rule for registry {}",
            id.name(),
            resource.name()
        ),
        Action::Azure(_) | Action::Cluster(_) => return format!("to repair: {action}"),
    };
    format!("{found}; to repair: {action}")
}

fn tags_differ(view: &View<'_>, id: &ArmId, wanted: &BTreeMap<String, String>) -> String {
    let there = view.registry().map(|r| &r.tags);
    let one = |(name, value): (&String, &String)| {
        let found = there.and_then(|tags| tags.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)));
        match found {
            Some((_, found)) => format!("tag {name} of registry {} is {found}, wanted {value}", id.name()),
            None => format!("tag {name} of registry {} is missing, wanted {value}", id.name()),
        }
    };
    wanted.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The last report called this generation settled, or remembers the lock, or had already drifted.
fn was_settled(view: &View<'_>) -> bool {
    let last = view.last();
    if last.generation != Some(view.desired.object.generation) {
        return false;
    }
    let settled = matches!(
        last.state(),
        Some(State::Locked | State::Open | State::Observed | State::PathLost)
    );
    settled || last.was_locked() || last.is_true(ConditionType::DriftDetected)
}
