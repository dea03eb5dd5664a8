//! One word for how an object stands: the reason of `Ready` and the `STATE` column. Follows from steps first, then from the most
//! telling wait, then from what is settled.

use sreg_api::conditions::State;
use sreg_api::registry::PublicAccess;
use sreg_domain::reasons::Shown;
use sreg_domain::seen::{EndpointSeen, IgnoranceKind};
use sreg_domain::{Action, ArmId, AzureAction, ClusterAction, Fact};

use crate::evidence::first_failure;
use crate::opening;
use crate::plan::{Assessment, EndpointAssessment, Step, Wait, WaitReason};
use crate::view::View;
use crate::{attempts, break_glass};

/// Orders waits so that the most telling one comes first.
pub(crate) fn sort(waits: &mut Vec<Wait>) {
    waits.sort_by(|a, b| (a.reason.row().rank, &a.message).cmp(&(b.reason.row().rank, &b.message)));
    waits.dedup();
}

/// Judges a plan.
pub(crate) fn judge(view: &View<'_>, steps: &[&Step], waits: &[Wait], assessment: &Assessment) -> State {
    let state = by_plan(view, steps, waits, assessment);
    let repairs = matches!(
        state,
        State::Progressing | State::CreatingEndpoints | State::ConfiguringDns | State::Settling | State::Proving
    );
    let lost = || first_failure(&assessment.paths).is_some() || lost_endpoints(view, assessment).next().is_some();
    if repairs && is_shut_off(view) && lost() {
        State::Degraded
    } else {
        state
    }
}

/// Public access is wanted closed and is, as far as anybody knows: clients depend on the private endpoints.
pub(crate) fn is_shut_off(view: &View<'_>) -> bool {
    let closed = view.all_closed() || (view.last().was_locked() && !view.any_open());
    closed && view.desired.public_access == PublicAccess::Disabled && !view.desired.observe_only
}

/// An endpoint that carried names and carries nobody any more.
pub(crate) struct LostEndpoint<'a> {
    line: &'a EndpointAssessment,
    /// Whom it takes along, and the names that they miss.
    pub(crate) networks: Vec<&'a str>,
    pub(crate) fqdns: &'a [String],
    /// Whether it is there, and as what.
    seen: Option<&'a EndpointSeen>,
}

/// Endpoints that carried names and are gone, or not approved any more.
pub(crate) fn lost_endpoints<'a>(
    view: &'a View<'_>,
    assessment: &'a Assessment,
) -> impl Iterator<Item = LostEndpoint<'a>> {
    let former = &view.last().endpoints;
    let unready = assessment.endpoints.iter().filter(|e| e.ready == Some(false));
    unready.filter_map(move |line| {
        let carried = former.iter().find(|f| f.id == line.id && !f.fqdns.is_empty())?;
        let seen = view.seen.azure.endpoints.get(&line.id).and_then(Fact::seen);
        let approved = seen.and_then(|e| e.connection_status.as_deref());
        if approved.is_some_and(|a| a.eq_ignore_ascii_case("Approved")) {
            return None;
        }
        let networks = view
            .desired
            .client_networks()
            .iter()
            .filter(|n| n.endpoint == line.place);
        Some(LostEndpoint {
            line,
            networks: networks.map(|n| n.name.as_str()).collect(),
            fqdns: &carried.fqdns,
            seen,
        })
    })
}

impl LostEndpoint<'_> {
    pub(crate) fn id(&self) -> &ArmId {
        &self.line.id
    }

    /// What became of it.
    pub(crate) fn show(&self) -> String {
        let line = self.line;
        let what = match self.seen {
            None => "is gone".to_owned(),
            Some(endpoint) => not_carrying(endpoint),
        };
        format!(
            "private endpoint {}/{} {} {what}",
            line.place,
            line.group.group_id(),
            line.target.name()
        )
    }
}

/// Why an endpoint that is there carries nobody.
fn not_carrying(endpoint: &EndpointSeen) -> String {
    let state = &endpoint.provisioning_state;
    match endpoint.connection_status.as_deref() {
        Some(connection) if state.eq_ignore_ascii_case("Succeeded") => {
            format!("has a connection that is {}", connection.to_ascii_lowercase())
        }
        Some(_) | None => format!("is {}", state.to_ascii_lowercase()),
    }
}

/// What steps and waits say; `settled` is what is true when neither are left.
fn by_plan(view: &View<'_>, steps: &[&Step], waits: &[Wait], assessment: &Assessment) -> State {
    if view.seen.object.deleting {
        return State::Deleting;
    }
    let opens = steps.iter().any(|step| step.action.opens());
    let is_outage = !opens && waits.iter().all(|w| !w.reason.is_stalled());
    if let (Fact::Unknown(why), true) = (view.seen.azure.registry(), is_outage) {
        return unread(view, why.kind);
    }
    if let Some(state) = by_writes(view, steps) {
        return state;
    }
    let worst = waits.first().map(|w| w.reason);
    let emergency = matches!(break_glass::state(view), break_glass::BreakGlassState::Active { .. });
    if emergency
        && view.desired.public_access == PublicAccess::Disabled
        && !view.desired.observe_only
        && worst.is_none_or(|w| w.row().rank > 0)
        && !opening::is_shut(view)
    {
        return State::BreakGlass;
    }
    match worst {
        Some(reason) if view.desired.observe_only && !reason.is_stalled() && reason != WaitReason::NotKnown => {
            State::Observed
        }
        Some(reason) => by_wait(view, reason, assessment),
        None if !steps.is_empty() => by_probes(view, assessment),
        None => settled(view),
    }
}

/// An outage is called one, once there is something to compare it with.
fn unread(view: &View<'_>, kind: IgnoranceKind) -> State {
    let outage = match kind {
        IgnoranceKind::Throttled | IgnoranceKind::Unreachable | IgnoranceKind::Nonsense => true,
        IgnoranceKind::Forbidden
        | IgnoranceKind::SignIn
        | IgnoranceKind::Settling
        | IgnoranceKind::NotRead
        | IgnoranceKind::Refused => false,
    };
    if outage && view.last().knows_access {
        State::AzureUnreachable
    } else {
        State::Unknown
    }
}

/// The busiest write decides.
fn by_writes(view: &View<'_>, steps: &[&Step]) -> Option<State> {
    // A snapshot that is kept for rules that Azure refused, or for writes that may arrive late, belongs to an opening: nothing is about to
    // be locked.
    let marked = view.seen.cluster.snapshot.seen().is_some_and(|s| s.restored_in_part);
    let keeps = |action: &Action| matches!(action, Action::Cluster(ClusterAction::WriteSnapshot { snapshot, .. }) if snapshot.restored_at.is_some() || (snapshot.restored_in_part && !marked));
    let writes = steps.iter().map(|step| &step.action).filter(|action| !keeps(action));
    let mut states: Vec<(u8, State)> = writes.filter_map(by_write).collect();
    states.sort_by_key(|(rank, _)| *rank);
    states.first().map(|(_, state)| *state)
}

fn by_write(action: &Action) -> Option<(u8, State)> {
    if action.is_upkeep() {
        // Nobody depends on it: what is locked stays locked meanwhile.
        return None;
    }
    match action {
        Action::Azure(azure) if azure.is_closing() => Some((0, State::Locking)),
        Action::Azure(azure) if azure.is_opening() => Some((0, State::Opening)),
        Action::Azure(AzureAction::CreateEndpoint { .. } | AzureAction::DeleteEndpoint { .. }) => {
            Some((1, State::CreatingEndpoints))
        }
        Action::Azure(
            AzureAction::CreateZone { .. }
            | AzureAction::LinkZone { .. }
            | AzureAction::PutZoneGroup { .. }
            | AzureAction::DeleteZoneGroup { .. },
        ) => Some((2, State::ConfiguringDns)),
        Action::Azure(
            AzureAction::CreateRegistry { .. }
            | AzureAction::SetTags { .. }
            | AzureAction::GrantManagedGroupAccess { .. }
            | AzureAction::Edit { .. },
        ) => Some((3, State::Progressing)),
        Action::Cluster(ClusterAction::WriteSnapshot { .. }) => Some((1, State::Locking)),
        Action::Cluster(ClusterAction::OpenRound { .. }) => Some((4, State::Proving)),
        Action::Cluster(
            ClusterAction::Claim { .. }
            | ClusterAction::RecordCreation { .. }
            | ClusterAction::ReleaseClaim { .. }
            | ClusterAction::RemoveFinalizer,
        ) => Some((5, State::Progressing)),
        // Tags, the finalizer, and tidying up in the cluster, change nothing about how the registry stands.
        Action::Azure(AzureAction::MergeTags { .. })
        | Action::Cluster(
            ClusterAction::AddFinalizer
            | ClusterAction::DeleteSnapshot { .. }
            | ClusterAction::ApplyProbe(_)
            | ClusterAction::PublishDns { .. }
            | ClusterAction::DeletePublishedDns { .. }
            | ClusterAction::MarkProbe { .. }
            | ClusterAction::DeleteProbe { .. },
        ) => None,
    }
}

fn by_wait(view: &View<'_>, reason: WaitReason, assessment: &Assessment) -> State {
    match reason.row().state {
        Shown::As(state) => state,
        Shown::UnderWay => under_way(view, assessment),
        Shown::Unread if is_shut_off(view) => State::Unknown,
        Shown::Unread => State::Progressing,
    }
}

fn under_way(view: &View<'_>, assessment: &Assessment) -> State {
    if let Some(state) = by_operation(view).or_else(|| attempts::held_state(view)) {
        state
    } else if assessment.endpoints.iter().any(|e| e.ready != Some(true)) {
        State::CreatingEndpoints
    } else if assessment.dns_ready != Some(true) {
        State::ConfiguringDns
    } else {
        State::Progressing
    }
}

/// A running operation on a target's public access says more than that something runs.
fn by_operation(view: &View<'_>) -> Option<State> {
    let on_targets = view.access.iter().filter_map(|a| view.running(&a.id));
    on_targets
        .filter_map(|o| attempts::brought_about(o.operation.step.kind))
        .next()
}

/// Only probes and tags are being written.
fn by_probes(view: &View<'_>, assessment: &Assessment) -> State {
    let proven = assessment
        .paths
        .iter()
        .all(|p| p.standing == crate::plan::PathStanding::Passing);
    let needs_proof = !view.desired.observe_only && view.desired.public_access == PublicAccess::Disabled;
    match assessment.paths.is_empty() {
        // Not even looked at: the claim's tag comes first, and alone.
        true if needs_proof => State::Progressing,
        false if needs_proof && !proven => State::Proving,
        true | false => settled(view),
    }
}

fn settled(view: &View<'_>) -> State {
    if view.desired.observe_only {
        State::Observed
    } else if view.desired.public_access == PublicAccess::Enabled {
        State::Open
    } else if view.all_closed() {
        State::Locked
    } else {
        // No gate named a reason: the lint refuses such a plan.
        State::Progressing
    }
}
