//! What cannot be read now keeps the value that it had when it was last read, with the time since when nobody could tell: an outage
//! of Azure's does not wipe out what people know. Only for people: nothing is decided on it. What another object looks after, and what
//! nobody granted, is not shown at all.

use jiff::Timestamp;
use sreg_api::status::{Access, EndpointStatus, SecureRegistryStatus, TargetAccessStatus};
use sreg_domain::target::{has_optional_group, kind_of};
use sreg_domain::{ArmId, Fact};

use super::summary::Summary;
use crate::azure_claim;
use crate::conditions::whole_seconds;
use crate::plan::{AccessAssessment, Plan};
use crate::view::View;

const UNKNOWN: &str = "Unknown";

/// Puts back what was known of everything that this visit could not read.
pub(super) fn keep_last_known(view: &View<'_>, plan: &Plan, status: &mut SecureRegistryStatus, now: Timestamp) {
    let is_elsewhere = azure_claim::is_held_by_another(view) && !view.seen.object.deleting;
    if is_elsewhere || !is_shown(view) {
        return blank(status);
    }
    let former = &view.seen.object.status;
    let access = keep_access(view, former, status);
    let endpoints = keep_endpoints(view, former, status);
    let paths = keep_paths(view, plan, former, status);
    let since = || former.stale_since.clone().unwrap_or_else(|| whole_seconds(now));
    status.stale_since = (access || endpoints || paths).then(since);
}

/// Whoever may not look at a registry is shown nothing of it, also not what was known before.
pub(super) fn is_shown(view: &View<'_>) -> bool {
    view.desired.may_be_looked_at() || view.seen.object.deleting
}

/// What stands in Azure changes at the other object's word: nothing is shown here rather than something old.
fn blank(status: &mut SecureRegistryStatus) {
    status.public_access = None;
    status.endpoints_ready = None;
    status.paths_verified = None;
    status.endpoints.clear();
    status.external_dns = None;
    status.snapshot = None;
    status.stale_since = None;
}

fn keep_access(view: &View<'_>, former: &SecureRegistryStatus, status: &mut SecureRegistryStatus) -> bool {
    let (Some(before), Some(access)) = (&former.public_access, &mut status.public_access) else {
        return false;
    };
    let known = |id: &str| {
        let line = |t: &&TargetAccessStatus| t.resource_id.eq_ignore_ascii_case(id) && t.access != Access::Unknown;
        before.targets.iter().find(line).cloned()
    };
    let mut kept = false;
    for line in access.targets.iter_mut().filter(|t| t.access == Access::Unknown) {
        if let Some(former) = known(&line.resource_id) {
            *line = former;
            kept = true;
        }
    }
    if is_unread(view.seen.azure.registry()) {
        for former in &before.targets {
            let listed = |t: &TargetAccessStatus| t.resource_id.eq_ignore_ascii_case(&former.resource_id);
            if former.access != Access::Unknown && !access.targets.iter().any(listed) {
                access.targets.push(former.clone());
                kept = true;
            }
        }
    }
    if kept {
        let judged: Vec<AccessAssessment> = access.targets.iter().filter_map(judged).collect();
        access.summary = Summary::of(&judged, judged.len() == access.targets.len()).to_string();
    }
    kept
}

fn judged(line: &TargetAccessStatus) -> Option<AccessAssessment> {
    Some(AccessAssessment {
        target: line.target.parse().ok()?,
        id: line.resource_id.parse().ok()?,
        closed: line.access.is_closed(),
        detail: line.detail.clone(),
    })
}

fn keep_endpoints(view: &View<'_>, former: &SecureRegistryStatus, status: &mut SecureRegistryStatus) -> bool {
    let same = |a: &EndpointStatus, b: &EndpointStatus| a.resource_id.eq_ignore_ascii_case(&b.resource_id);
    let mut kept = false;
    for line in status.endpoints.iter_mut().filter(|e| e.provisioning_state == UNKNOWN) {
        let before = former.endpoints.iter().find(|f| same(f, line));
        if let Some(before) = before.filter(|f| f.provisioning_state != UNKNOWN) {
            *line = before.clone();
            kept = true;
        }
    }
    let targets = &view.seen.azure.targets;
    let mut accounts = targets.accounts();
    // The others have the same endpoints, read or not.
    let hides = |id: &ArmId| kind_of(id).is_some_and(has_optional_group);
    let targets_unread = is_unread(targets.registry()) || accounts.any(|(id, fact)| is_unread(fact) && hides(id));
    for before in former.endpoints.iter().filter(|_| targets_unread) {
        if !status.endpoints.iter().any(|e| same(e, before)) {
            status.endpoints.push(before.clone());
            kept = true;
        }
    }
    if kept {
        let ready = |e: &&EndpointStatus| {
            let approved = e.connection_state.as_deref().unwrap_or_default();
            e.provisioning_state.eq_ignore_ascii_case("Succeeded") && approved.eq_ignore_ascii_case("Approved")
        };
        let ready = status.endpoints.iter().filter(ready).count();
        status.endpoints_ready = Some(format!("{ready}/{}", status.endpoints.len()));
    }
    kept
}

fn is_unread<T>(fact: &Fact<T>) -> bool {
    fact.ignorance().is_some()
}

/// Fewer paths are known than before, because something that tells of them could not be read.
fn keep_paths(view: &View<'_>, plan: &Plan, former: &SecureRegistryStatus, status: &mut SecureRegistryStatus) -> bool {
    let azure = &view.seen.azure;
    let endpoints = azure.endpoints.values();
    let unread = is_unread(&azure.discovery)
        || is_unread(azure.registry())
        || azure.targets.iter().any(|(_, fact)| is_unread(fact))
        || endpoints.clone().any(is_unread)
        || endpoints.filter_map(Fact::seen).any(|e| is_unread(&e.members));
    let total = |text: &Option<String>| -> Option<usize> { text.as_deref()?.split_once('/')?.1.parse().ok() };
    let fewer = total(&former.paths_verified) > total(&status.paths_verified);
    let keep = unread && fewer && !plan.assessment.paths_known;
    if keep {
        status.paths_verified.clone_from(&former.paths_verified);
    }
    keep
}
