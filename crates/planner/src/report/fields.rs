//! The fields of a status beside its conditions.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sreg_api::ChangeKind;
use sreg_api::conditions::{ConditionType, State};
use sreg_api::status::{
    ApprovalUse, ApprovalWanted, EndpointStatus, ExposureStatus, FindingStatus, HistoryEntry, OperationStatus,
    ProofStatus, PublicAccessStatus, PublicClientStatus, RollbackStatus, SecureRegistryStatus, SnapshotStatus,
    TargetAccessStatus, WaitStatus,
};
use sreg_domain::action::{Effect, StepOutcome, StepResult};
use sreg_domain::seen::Attempt;
use sreg_domain::{Action, AzureAction, Digest, Fact, Outcome, naming};

use super::emergencies::{BREAK_GLASS_ENDED, Emergencies};
use super::summary::Summary;
use super::{ReportedState, exposure, shown, stale};
use crate::conditions::{says_the_same, truncate, whole_seconds};
use crate::plan::{AccessAssessment, EndpointAssessment, FindingReason, PathStanding, Plan, WaitReason};
use crate::view::View;
use crate::{
    approvals, attempts, azure_claim, callers, finalizer, gates, lockdown, locked, never_locked, obstacles, opening,
    published,
};

/// Status stays small.
const MOST_LINES: usize = 16;
const LONGEST_LINE: usize = 512;
/// A command that is cut is none.
const LONGEST_FINDING: usize = 1536;
/// A wait may hold a command for each of several scopes.
const LONGEST_WAIT: usize = 4096;
/// What an approver must know in full.
const LONGEST_LIST: usize = 4096;
const MOST_APPROVALS: usize = 8;

/// The whole status.
pub(super) fn status(
    view: &View<'_>,
    plan: &Plan,
    outcome: &Outcome,
    (verdict, emergencies): (&ReportedState, &Emergencies),
    (conditions, refusals): (Vec<Condition>, Vec<Attempt>),
    now: Timestamp,
) -> SecureRegistryStatus {
    let former = &view.seen.object.status;
    let assessment = &plan.assessment;
    let ready = assessment.endpoints.iter().filter(|e| e.ready == Some(true)).count();
    let (passing, required) = shown::verified(view, plan);
    let public_access = public_access(view, plan, &refusals);
    let mut status = SecureRegistryStatus {
        observed_generation: Some(view.desired.object.generation),
        release_required: finalizer::is_required(view, outcome),
        endpoints_ready: Some(format!("{ready}/{}", assessment.endpoints.len())),
        paths_verified: Some(format!("{passing}/{required}")),
        grants: Some(view.desired.stands_on.join(", ")).filter(|grants| !grants.is_empty()),
        last_proof: last_proof(view, plan, now),
        stale_since: None,
        unsettled_since: None,
        endpoints: assessment.endpoints.iter().map(|e| endpoint(view, plan, e)).collect(),
        waiting_for: waiting_for(plan, &former.waiting_for),
        public_clients: public_clients(view),
        findings: findings(plan),
        external_dns: published::status(view),
        // What is under way goes on, also where nobody may look at it.
        operations: if stale::is_shown(view) {
            operations(view, outcome)
        } else {
            former.operations.clone()
        },
        refusals: refusals.iter().map(attempts::to_status).collect(),
        approvals_wanted: approvals_wanted(view, plan),
        approvals_used: approvals_used(view, plan, outcome, now),
        last_name_change_time: last_name_change(view, plan, outcome, &conditions, now),
        exposure: None,
        claim_lost_to: azure_claim::lost_to(view).map(|mark| mark.to_string()),
        claimed_at: former
            .claimed_at
            .clone()
            .or_else(|| azure_claim::counts_as_ours(view).then(|| whole_seconds(now))),
        snapshot: snapshot(view),
        rollback: None,
        break_glasses: emergencies.uses.clone(),
        history: former.history.clone(),
        public_access: Some(public_access),
        conditions,
    };
    stale::keep_last_known(view, plan, &mut status, now);
    status.exposure = exposure::exposure(view, outcome, former.exposure.as_ref(), now);
    status.rollback = rollback(view, plan, status.exposure.as_ref(), now);
    let judged = view.desired.is_whole() || !stale::is_shown(view);
    if view.seen.object.deleting || !judged {
        keep_what_was_not_judged(former, &mut status);
    }
    if !view.seen.object.deleting && !judged {
        keep_findings(former, &mut status);
    }
    status.history.extend(emergencies.history(now));
    let evidence = evidence(view, &status).filter(|_| locked_now(former, &status));
    if let Some(digest) = &evidence {
        let approver = approver(view, plan, &status)
            .map(|a| format!(", {a}"))
            .unwrap_or_default();
        status.history.push(HistoryEntry {
            time: Some(whole_seconds(now)),
            state: State::Locked.to_string(),
            evidence_digest: Some(digest.clone()),
            message: truncate(
                &format!(
                    "evidence {digest}{approver}: registry, storage and container registry are closed to the public{}",
                    view.but_for()
                ),
                256,
            ),
        });
    }
    match (verdict.state, evidence) {
        // Each use of a break-glass has its own line.
        (State::BreakGlass, _) if !status.break_glasses.is_empty() => bound(&mut status),
        (State::Locked, Some(_)) => bound(&mut status),
        (state, _) => remember(former, &mut status, state, &verdict.message, now),
    }
    status
}

/// What the lock that holds was based on: what the fence passed, else what the snapshot kept.
pub(super) fn evidence(view: &View<'_>, status: &SecureRegistryStatus) -> Option<String> {
    let passed = status.exposure.as_ref().and_then(|e| e.evidence_digest.clone());
    let kept = || view.seen.cluster.snapshot.seen().map(|s| s.evidence_digest.to_string());
    passed.or_else(kept)
}

/// Records stay longest: evidence of locks and uses of break-glasses; of those the first one stays for good.
fn bound(status: &mut SecureRegistryStatus) {
    let history = &mut status.history;
    while history.len() > MOST_LINES {
        let latest = history.len().saturating_sub(1);
        let passing = history.iter().take(latest).position(|line| !is_record(line));
        history.remove(passing.unwrap_or(1));
    }
}

fn is_record(line: &HistoryEntry) -> bool {
    line.evidence_digest.is_some() || line.state == State::BreakGlass.to_string() || line.state == BREAK_GLASS_ENDED
}

/// All three became closed, by what status remembers: in between something may not have been readable.
pub(super) fn locked_now(former: &SecureRegistryStatus, status: &SecureRegistryStatus) -> bool {
    let closed = Summary::in_status(status) == Summary::Locked;
    let remediated = |s: &SecureRegistryStatus| {
        let exposure = s.exposure.as_ref();
        exposure.is_some_and(|e| e.time_to_remediate_seconds.is_some())
    };
    closed && remediated(status) && !remediated(former)
}

/// A teardown looks at little, and so does a visit to an object that breaks rules; what was known of the rest stays.
fn keep_what_was_not_judged(former: &SecureRegistryStatus, status: &mut SecureRegistryStatus) {
    status.endpoints_ready = former.endpoints_ready.clone();
    status.paths_verified = former.paths_verified.clone();
    status.endpoints = former.endpoints.clone();
    status.external_dns = former.external_dns.clone();
    status.approvals_wanted.clear();
}

/// Of an object that breaks rules little is judged anew. What was found of the rest is found no second time after its repair.
fn keep_findings(former: &SecureRegistryStatus, status: &mut SecureRegistryStatus) {
    let judged = [
        FindingReason::WouldDo,
        FindingReason::WouldWait,
        FindingReason::Drift,
        FindingReason::BreakGlassEnded,
    ];
    let kept = |f: &&FindingStatus| !judged.iter().any(|reason| f.reason == reason.to_string());
    let new = std::mem::take(&mut status.findings);
    status.findings = former.findings.iter().filter(kept).cloned().collect();
    for finding in new {
        if !status.findings.contains(&finding) {
            status.findings.push(finding);
        }
    }
    status.findings.truncate(MOST_LINES);
}

/// Adds a line of history when the state changed.
pub(super) fn remember(
    former: &SecureRegistryStatus,
    status: &mut SecureRegistryStatus,
    state: State,
    message: &str,
    now: Timestamp,
) {
    let ready = ConditionType::Ready.to_string();
    let was = former
        .conditions
        .iter()
        .find(|c| c.type_ == ready)
        .map(|c| c.reason.as_str());
    if was == Some(state.to_string().as_str()) {
        return bound(status);
    }
    status.history.push(HistoryEntry {
        time: Some(whole_seconds(now)),
        state: state.to_string(),
        message: truncate(message, 256),
        evidence_digest: None,
    });
    bound(status);
}

/// The last complete proof. One that was recorded keeps its time for as long as it is the same.
fn last_proof(view: &View<'_>, plan: &Plan, now: Timestamp) -> Option<ProofStatus> {
    let former = view.seen.object.status.last_proof.clone();
    let Some(digest) = plan.assessment.evidence.as_ref().map(ToString::to_string) else {
        return former;
    };
    let paths = plan.assessment.paths.len();
    former.filter(|f| f.evidence_digest == digest).or_else(|| {
        Some(ProofStatus {
            time: Some(whole_seconds(now)),
            paths: format!("{paths}/{paths}"),
            evidence_digest: digest,
        })
    })
}

fn public_access(view: &View<'_>, plan: &Plan, refusals: &[Attempt]) -> PublicAccessStatus {
    let access = &plan.assessment.access;
    let line = |a: &AccessAssessment| TargetAccessStatus {
        target: a.target.to_string(),
        resource_id: a.id.to_string(),
        access: a.closed.into(),
        detail: a.detail.clone(),
        refusal: (a.closed != Some(true))
            .then(|| refusals.iter().find(|r| r.step == lockdown::closing_step(a)))
            .flatten()
            .map(|r| r.message.clone()),
    };
    PublicAccessStatus {
        summary: Summary::of(access, view.targets.gap.is_none()).to_string(),
        targets: access.iter().map(line).collect(),
    }
}

fn endpoint(view: &View<'_>, plan: &Plan, line: &EndpointAssessment) -> EndpointStatus {
    let fact = view.seen.azure.endpoints.get(&line.id);
    let seen = fact.and_then(Fact::seen);
    let members = seen
        .and_then(|e| e.members.seen())
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut addresses: Vec<String> = members.iter().map(|m| m.address.to_string()).collect();
    addresses.sort();
    addresses.dedup();
    let mut fqdns: Vec<String> = members.iter().flat_map(|m| &m.fqdns).map(ToString::to_string).collect();
    fqdns.sort();
    fqdns.dedup();
    if fqdns.is_empty() {
        let former = view.seen.object.status.endpoints.iter();
        let mut before = former.filter(|f| f.resource_id.eq_ignore_ascii_case(line.id.as_ref()));
        fqdns = before.next().map(|f| f.fqdns.clone()).unwrap_or_default();
    }
    let failing = plan.assessment.paths.iter().find_map(|p| match &p.standing {
        PathStanding::Failing(hop, message) if p.endpoint == line.id => {
            Some(format!("{} {}: {hop}, {message}", p.network, p.path.fqdn))
        }
        PathStanding::Failing(..) | PathStanding::Passing | PathStanding::Reported | PathStanding::Unknown(_) => None,
    });
    EndpointStatus {
        name: line.place.clone(),
        target: line.group.target().to_string(),
        group_id: line.group.group_id().into(),
        resource_id: line.id.to_string(),
        provisioning_state: match (fact, seen) {
            (_, Some(endpoint)) => endpoint.provisioning_state.to_string(),
            (Some(Fact::Absent), None) => "Absent".into(),
            (Some(Fact::Unknown(_) | Fact::Seen(_)) | None, None) => "Unknown".into(),
        },
        connection_state: seen.and_then(|e| e.connection_status.as_ref().map(ToString::to_string)),
        addresses,
        fqdns,
        failing_path: failing.map(|f| truncate(&f, LONGEST_LINE)),
    }
}

/// The same call failing in the same words is no news: the former line stays, with its correlation id.
fn waiting_for(plan: &Plan, former: &[WaitStatus]) -> Vec<WaitStatus> {
    let line = |w: &crate::plan::Wait| {
        let now = WaitStatus {
            reason: w.reason.to_string(),
            message: truncate(&w.message, LONGEST_WAIT),
            actor: w.reason.actor().to_string(),
        };
        let same = |f: &&WaitStatus| f.reason == now.reason && says_the_same(&f.message, &now.message);
        former.iter().find(same).cloned().unwrap_or(now)
    };
    plan.waits.iter().take(MOST_LINES).map(line).collect()
}

fn findings(plan: &Plan) -> Vec<FindingStatus> {
    let line = |f: &crate::plan::Finding| FindingStatus {
        reason: f.reason.to_string(),
        message: truncate(
            &f.message,
            if lists_rules(f.reason) {
                LONGEST_LIST
            } else {
                LONGEST_FINDING
            },
        ),
    };
    plan.findings.iter().take(MOST_LINES).map(line).collect()
}

fn lists_rules(reason: FindingReason) -> bool {
    matches!(reason, FindingReason::RulesClose | FindingReason::RulesNotPutBack)
}

/// Running operations and those just started.
fn operations(view: &View<'_>, outcome: &Outcome) -> Vec<OperationStatus> {
    let keeps = |o: &&sreg_domain::seen::OperationSeen| o.state.may_run();
    let before = view.seen.azure.operations.iter().filter(keeps).map(|o| &o.operation);
    let started: Vec<_> = outcome
        .steps
        .iter()
        .filter_map(|s| match &s.result {
            StepResult::Effect(Effect::Started(operation)) => Some(operation),
            StepResult::Effect(Effect::Done { .. } | Effect::Stale(_))
            | StepResult::Failed(_)
            | StepResult::Withheld(_) => None,
        })
        .collect();
    let superseded = |o: &&sreg_domain::Operation| !started.iter().any(|s| s.resource == o.resource);
    let mut lines: Vec<OperationStatus> = before
        .filter(superseded)
        .chain(started.iter().copied())
        .map(|o| OperationStatus {
            step: o.step.to_string(),
            resource_id: o.resource.to_string(),
            poll_url: o.poll_url.clone(),
            started_at: Some(whole_seconds(o.started_at)),
        })
        .collect();
    lines.sort_by(|a, b| (&a.resource_id, &a.step).cmp(&(&b.resource_id, &b.step)));
    lines
}

fn approvals_wanted(view: &View<'_>, plan: &Plan) -> Vec<ApprovalWanted> {
    let line = |change: ChangeKind, digest: &Digest, summary: String| ApprovalWanted {
        change: change.to_string(),
        digest: digest.to_string(),
        summary,
    };
    let mut wanted = Vec::new();
    let changes = plan.assessment.name_changes.iter();
    wanted.extend(changes.map(|c| line(ChangeKind::NameChanges, &c.digest, truncate(&c.summary, LONGEST_LINE))));
    if let Some(digest) = plan
        .assessment
        .lockdown_digest
        .as_ref()
        .filter(|_| approvals::is_listed(&plan.waits, &plan.findings))
    {
        let summary = truncate(&lockdown_summary(view, plan), LONGEST_LIST);
        wanted.push(line(ChangeKind::Lockdown, digest, summary));
    }
    if plan.waits.iter().any(|w| w.reason == WaitReason::OpeningApproval) {
        let closed: Vec<&str> = if never_locked::needs_approval(view) {
            let closed = view.access.iter().filter(|a| a.closed == Some(true));
            closed.map(|a| a.id.name()).collect()
        } else {
            never_locked::closed_before(view).map(|a| a.id.name()).collect()
        };
        let summary = format!("opens what this object did not close: {}", closed.join(", "));
        wanted.push(line(
            ChangeKind::Opening,
            &never_locked::digest(view),
            truncate(&summary, LONGEST_LINE),
        ));
    }
    wanted
}

/// Who came by another way than our endpoints. What is denied once all is closed is nobody whom the lock is about to cut off.
fn public_clients(view: &View<'_>) -> Vec<PublicClientStatus> {
    let known = view
        .seen
        .azure
        .recent_public_clients
        .seen()
        .filter(|_| !view.all_closed());
    let clients = known.map(Vec::as_slice).unwrap_or_default();
    let outsiders = |clients| {
        let spec = view.desired.whole();
        spec.map(|spec| callers::outsiders(spec, view.seen, clients))
            .unwrap_or_default()
    };
    let mut lines: Vec<PublicClientStatus> = outsiders(clients)
        .into_iter()
        .map(|outsider| PublicClientStatus {
            address: truncate(&outsider.client.address, LONGEST_LINE),
            resource_id: outsider.client.target.to_string(),
            why: (!outsider.why.is_empty()).then_some(outsider.why),
        })
        .collect();
    lines.truncate(MOST_LINES);
    lines
}

/// Which approvals the writes of this visit went out with.
fn approvals_used(view: &View<'_>, plan: &Plan, outcome: &Outcome, now: Timestamp) -> Vec<ApprovalUse> {
    let mut uses = view.seen.object.status.approvals_used.clone();
    let went = |s: &&StepOutcome| matches!(s.result, StepResult::Effect(Effect::Done { .. } | Effect::Started(_)));
    let closed = outcome.steps.iter().filter(went).any(|s| s.action.closes());
    let others_closed = |action: &Action| match action {
        Action::Azure(AzureAction::Edit { target, id, .. }) if action.opens() => {
            never_locked::needs_approval(view) || never_locked::was_closed_before(view, *target, id)
        }
        Action::Azure(_) | Action::Cluster(_) => false,
    };
    let opened = outcome.steps.iter().filter(went).any(|s| others_closed(&s.action));
    let opening = opened.then(|| never_locked::digest(view));
    let openings = opening.as_ref().map(|digest| (ChangeKind::Opening, digest));
    let renamed = outcome.steps.iter().filter(went).any(|s| s.action.changes_names());
    let lockdown = plan.assessment.lockdown_digest.as_ref();
    let lockdown = lockdown.filter(|_| closed && gates::needs_approval(view));
    let lockdown = lockdown.map(|digest| (ChangeKind::Lockdown, digest));
    let names = plan.assessment.approved_changes.iter().filter(|_| renamed);
    let names = names.map(|digest| (ChangeKind::NameChanges, digest));
    for (change, digest) in lockdown.into_iter().chain(names).chain(openings) {
        let Some(approval) = approvals::given(view, change, digest).next() else {
            continue;
        };
        let mut this = ApprovalUse {
            name: approval.name.clone(),
            change: change.to_string(),
            digest: digest.to_string(),
            approved_by: approval.approved_by.clone(),
            used_at: Some(whole_seconds(now)),
        };
        let same = |u: &ApprovalUse| u.name == this.name && u.change == this.change && u.digest == this.digest;
        if let Some(before) = uses.iter().position(same).map(|at| uses.remove(at))
            && change == ChangeKind::NameChanges
        {
            this.used_at = before.used_at;
        }
        uses.push(this);
    }
    let surplus = uses.len().saturating_sub(MOST_APPROVALS);
    uses.drain(..surplus);
    uses
}

/// Who approved the lock that holds: `approved by joe (ChangeApproval chg-17)`.
pub(super) fn approver(view: &View<'_>, plan: &Plan, status: &SecureRegistryStatus) -> Option<String> {
    let digest = plan
        .assessment
        .lockdown_digest
        .as_ref()
        .filter(|_| gates::needs_approval(view))?;
    let kind = ChangeKind::Lockdown.to_string();
    let used = |u: &&ApprovalUse| u.change == kind && u.digest == digest.to_string();
    let used = status.approvals_used.iter().rev().find(used)?;
    Some(format!(
        "approved by {} (ChangeApproval {})",
        used.approved_by, used.name
    ))
}

/// What the digest covers, in words.
fn lockdown_summary(view: &View<'_>, plan: &Plan) -> String {
    let listed = |names: Vec<&str>| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let targets = listed(view.access.iter().map(|a| a.id.name()).collect());
    let networks = listed(view.desired.client_networks().iter().map(|n| n.name.as_str()).collect());
    let spec = view.desired.whole();
    let waived = spec.into_iter().flat_map(|spec| spec.waived.keys());
    let waived = listed(waived.map(sreg_domain::ArmId::name).collect());
    let hosts = spec.into_iter().flat_map(|spec| spec.waived_hosts.keys());
    let hosts = listed(hosts.map(sreg_domain::Fqdn::as_str).collect());
    let obstacles = obstacles::known(view);
    let obstacles = listed(obstacles.iter().map(String::as_str).collect());
    let firewalls = view
        .whole()
        .map(|whole| crate::firewall::told(&whole))
        .unwrap_or_default();
    let firewalls = listed(firewalls.iter().map(|(_, told)| told.as_str()).collect());
    let stay = match obstacles::not_closed(view) {
        names if names.is_empty() => String::new(),
        names => format!(
            " (but {}, which a resource lock or a deny assignment keeps open)",
            names.join(", ")
        ),
    };
    format!(
        "close public access of {targets}{stay} once all {} paths from {networks} are proven; waived networks: {waived}; waived hosts: {hosts}; forbids opening again: {obstacles}; cut off by firewalls: {firewalls}",
        plan.assessment.paths.len()
    )
}

/// Moves when a write of ours is about to change names or did, and when DNS or endpoints have just become ready: an operation ends
/// long after it was started, and a write may have been lost from status by a crash.
fn last_name_change(
    view: &View<'_>,
    plan: &Plan,
    outcome: &Outcome,
    conditions: &[Condition],
    now: Timestamp,
) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    let former = &view.seen.object.status;
    let wrote = outcome.steps.iter().any(|s| {
        s.action.changes_names() && matches!(s.result, StepResult::Effect(Effect::Done { .. } | Effect::Started(_)))
    });
    let holds =
        |all: &[Condition], kind: ConditionType| all.iter().any(|c| c.type_ == kind.to_string() && c.status == "True");
    let both = |all: &[Condition]| holds(all, ConditionType::EndpointsReady) && holds(all, ConditionType::DnsReady);
    let arrived = both(conditions) && !both(&former.conditions) && !view.desired.endpoints().is_empty();
    if wrote || !plan.assessment.names_about_to_change.is_empty() {
        return Some(whole_seconds(now));
    }
    let recorded = former.last_name_change_time.clone();
    if !arrived {
        return recorded;
    }
    let unread = |kind: ConditionType| {
        let mut conditions = former.conditions.iter();
        conditions.any(|c| c.type_ == kind.to_string() && c.status != "False")
    };
    if !(unread(ConditionType::EndpointsReady) && unread(ConditionType::DnsReady)) {
        return Some(whole_seconds(now));
    }
    // A read failed in between: what this process has seen to be the same for so long did not change.
    let same_for = view.seen.memory.since_name_change.unwrap_or_default();
    let same_since = SignedDuration::try_from(same_for)
        .ok()
        .and_then(|since| now.checked_sub(since).ok())
        .map_or_else(|| whole_seconds(now), whole_seconds);
    Some(recorded.map_or(same_since.clone(), |recorded| recorded.max(same_since)))
}

fn snapshot(view: &View<'_>) -> Option<SnapshotStatus> {
    match &view.seen.cluster.snapshot {
        Fact::Seen(snapshot) => Some(SnapshotStatus {
            config_map: naming::snapshot_name(&view.desired.registry),
            digest: Digest::of_json(&serde_json::to_value(snapshot).unwrap_or_default()).to_string(),
            evidence_digest: snapshot.evidence_digest.to_string(),
        }),
        Fact::Absent => None,
        Fact::Unknown(_) => view.seen.object.status.snapshot.clone(),
    }
}

/// Counts reopenings by rollback, anew when the spec changes; forgotten when a lock has held past its grace period. Until then it says
/// that the lock before never held, so that the next one is no lock that only comes back.
fn rollback(view: &View<'_>, plan: &Plan, exposure: Option<&ExposureStatus>, now: Timestamp) -> Option<RollbackStatus> {
    let generation = view.desired.object.generation;
    let former = view.seen.object.status.rollback.clone().map(|f| RollbackStatus {
        count: if f.generation == generation { f.count } else { 0 },
        generation,
        ..f
    });
    let about_to = |w: &crate::plan::Wait| w.reason == WaitReason::RollbackAboutToOpen;
    let confirmed = plan.waits.iter().any(about_to);
    let lost = plan.findings.iter().find(|f| f.reason == FindingReason::RolledBack);
    match (lost.filter(|_| confirmed), former) {
        (Some(lost), former) => Some(RollbackStatus {
            count: former.map_or(0, |f| f.count).saturating_add(1),
            reopened_at: Some(whole_seconds(now)),
            generation,
            reason: truncate(&lost.message, LONGEST_LINE),
            restored: false,
        }),
        (None, Some(f)) if (f.restored || locked::pausing(view).is_none()) && has_held(view, exposure, now) => None,
        // Once all is as open as it was the rollback is over: what somebody closes after that is not ours to open.
        // And one from a clock that is ahead counts from now, or its pause would begin again with every visit until then.
        (None, former) => former.map(|f| RollbackStatus {
            restored: f.restored || opening::is_restored(view),
            reopened_at: f.reopened_at.map(|at| at.min(whole_seconds(now))),
            ..f
        }),
    }
}

/// A lock that is there, and older than its grace period.
fn has_held(view: &View<'_>, exposure: Option<&ExposureStatus>, now: Timestamp) -> bool {
    if !view.all_closed() {
        return false;
    }
    let locked_at = exposure.and_then(|e| e.locked_at.as_ref());
    let grace = view.desired.whole().map_or(Duration::ZERO, |spec| spec.grace_period);
    locked_at.is_some_and(|at| Duration::try_from(now.duration_since(at.0)).is_ok_and(|since| since > grace))
}
