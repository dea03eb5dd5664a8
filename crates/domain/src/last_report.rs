//! What the object's status said when the visit began. Status is untrusted, may be erased at any time, and holds text; here it is read,
//! once, and what makes no sense in it is left out.

use std::str::FromStr;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sreg_api::conditions::{ConditionType, State};
use sreg_api::status::{
    ApprovalUse, BreakGlassUse, EndpointStatus, ExposureStatus, HistoryEntry, RefusalStatus, RollbackStatus,
};
use sreg_api::{ChangeKind, SecureRegistryStatus};

use crate::attempt::Attempt;
use crate::claim_mark::ClaimMark;
use crate::reasons::WaitReason;
use crate::{ArmId, Digest};

/// The last report about an object, as far as it can be understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LastReport {
    /// Generation of the spec that it was about.
    pub generation: Option<i64>,
    /// Our finalizer was on the object.
    pub release_required: bool,
    /// Its conditions; what is none of ours is left out.
    pub conditions: Vec<ReportedCondition>,
    /// When the registry's claim tag first named this object.
    pub claimed_at: Option<Timestamp>,
    /// Who took the registry over since.
    pub claim_lost_to: Option<ClaimMark>,
    /// Since when a locked registry is unsettled by what may pass.
    pub unsettled_since: Option<Timestamp>,
    /// It says how public access stands.
    pub knows_access: bool,
    /// Private endpoints.
    pub endpoints: Vec<ReportedEndpoint>,
    /// What was waited for.
    pub waits: Vec<WaitReason>,
    /// Writes that had no lasting effect.
    pub attempts: Vec<Attempt>,
    /// Approvals that writes went out with.
    pub approvals_used: Vec<UsedApproval>,
    /// When names last changed by a write of ours.
    pub last_name_change: Option<Timestamp>,
    /// How long the registry was exposed, and whether a lock holds.
    pub exposure: Option<Exposure>,
    /// Reopenings by rollback.
    pub rollback: Option<Rollback>,
    /// Emergencies since the last lock.
    pub emergencies: Vec<ReportedEmergency>,
    /// The last transition.
    pub last_transition: Option<Transition>,
    /// Some transition was to `Locked`.
    pub was_ever_locked: bool,
}

/// A condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedCondition {
    /// Its type.
    pub kind: ConditionType,
    /// It was `True`.
    pub is_true: bool,
    /// Its reason, where that is a state.
    pub state: Option<State>,
    /// Generation of the spec that it was about.
    pub generation: Option<i64>,
}

/// A private endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedEndpoint {
    /// Which.
    pub id: ArmId,
    /// It was there.
    pub exists: bool,
    /// Names that it carried.
    pub fqdns: Vec<String>,
}

/// A use of a `ChangeApproval`.
#[derive(Debug, Clone, PartialEq)]
pub struct UsedApproval {
    /// Name of the object.
    pub name: String,
    /// What it changed.
    pub change: ChangeKind,
    /// What it named.
    pub digest: Digest,
    /// When.
    pub used_at: Option<Timestamp>,
}

/// How long the registry was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// When it was first seen open in this exposure.
    pub first_seen_public: Option<Timestamp>,
    /// When it was seen closed.
    pub locked_at: Option<Timestamp>,
    /// This exposure has ended.
    pub is_remediated: bool,
    /// The spec desired it open.
    pub by_spec: bool,
    /// A closing write of ours went out, and we have not opened everything since.
    pub has_evidence: bool,
}

/// Reopenings by rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// How often.
    pub count: i32,
    /// The latest.
    pub reopened_at: Option<Timestamp>,
    /// Generation of the spec that they belong to.
    pub generation: i64,
    /// The path that was lost.
    pub reason: String,
    /// All that the lock had closed was seen open again.
    pub restored: bool,
}

/// A use of a `BreakGlass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedEmergency {
    /// Name of the object.
    pub name: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// From when the longest time counts.
    pub counts_from: Option<Timestamp>,
    /// When it ends or ended.
    pub until: Option<Timestamp>,
}

/// A transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state entered; `None` for one that is no state of ours, such as `BreakGlassEnded`.
    pub state: Option<State>,
    /// When, where that is said.
    pub at: Option<Timestamp>,
}

fn time(time: &Option<Time>) -> Option<Timestamp> {
    time.as_ref().map(|time| time.0)
}

impl LastReport {
    /// Reads a status.
    pub fn read(status: &SecureRegistryStatus) -> LastReport {
        LastReport {
            generation: status.observed_generation,
            release_required: status.release_required,
            conditions: status.conditions.iter().filter_map(condition).collect(),
            claimed_at: time(&status.claimed_at),
            claim_lost_to: status.claim_lost_to.as_deref().and_then(ClaimMark::parse),
            unsettled_since: time(&status.unsettled_since),
            knows_access: status.public_access.is_some(),
            endpoints: status.endpoints.iter().filter_map(endpoint).collect(),
            waits: status
                .waiting_for
                .iter()
                .filter_map(|w| w.reason.parse().ok())
                .collect(),
            attempts: status.refusals.iter().filter_map(attempt).collect(),
            approvals_used: status.approvals_used.iter().filter_map(used).collect(),
            last_name_change: time(&status.last_name_change_time),
            exposure: status.exposure.as_ref().map(exposure),
            rollback: status.rollback.as_ref().map(rollback),
            emergencies: status.break_glasses.iter().map(emergency).collect(),
            last_transition: status.history.last().map(transition),
            was_ever_locked: status
                .history
                .iter()
                .any(|e| transition(e).state == Some(State::Locked)),
        }
    }

    /// When the registry was last seen locked.
    pub fn locked_at(&self) -> Option<Timestamp> {
        self.exposure?.locked_at
    }

    /// Whether the registry was locked, and not seen open since.
    pub fn was_locked(&self) -> bool {
        self.exposure
            .is_some_and(|e| e.locked_at.is_some() && (e.is_remediated || e.first_seen_public.is_none()))
    }

    /// Whether a closing write of ours went out, and we have not opened everything since.
    pub fn lock_has_begun(&self) -> bool {
        self.exposure.is_some_and(|e| e.has_evidence)
    }

    /// Whether a lock would only bring back one that held before (a break-glass is over, or somebody opened by hand), or finish one
    /// that has begun and still closes something. A lock that was rolled back never held, and one that the spec has lifted, or no
    /// longer enforced, is a thing of the past.
    pub fn relocks(&self, any_closed: bool) -> bool {
        let goes_on = |e: Exposure| e.locked_at.is_some() || (any_closed && e.has_evidence);
        self.exposure.is_some_and(|e| goes_on(e) && !e.by_spec) && self.rollback.is_none()
    }

    /// Whether what is open was opened by hand: a lock held, and neither spec, break-glass nor rollback has lifted it since.
    pub fn opened_by_hand(&self) -> bool {
        self.relocks(false) && self.emergencies.is_empty()
    }

    /// Whether a condition was `True`.
    pub fn is_true(&self, kind: ConditionType) -> bool {
        self.conditions.iter().any(|c| c.kind == kind && c.is_true)
    }

    /// The state that `Ready` named.
    pub fn state(&self) -> Option<State> {
        self.conditions.iter().find(|c| c.kind == ConditionType::Ready)?.state
    }

    /// Whether something was waited for.
    pub fn waited_for(&self, reason: WaitReason) -> bool {
        self.waits.contains(&reason)
    }
}

fn condition(condition: &Condition) -> Option<ReportedCondition> {
    Some(ReportedCondition {
        kind: ConditionType::from_str(&condition.type_).ok()?,
        is_true: condition.status == "True",
        state: condition.reason.parse().ok(),
        generation: condition.observed_generation,
    })
}

fn endpoint(endpoint: &EndpointStatus) -> Option<ReportedEndpoint> {
    Some(ReportedEndpoint {
        id: endpoint.resource_id.parse().ok()?,
        exists: endpoint.provisioning_state != "Absent",
        fqdns: endpoint.fqdns.clone(),
    })
}

/// A try that names no time is left out: nothing is held for it.
fn attempt(refusal: &RefusalStatus) -> Option<Attempt> {
    let at = time(&refusal.at)?;
    Some(Attempt {
        step: refusal.step.as_str().into(),
        resource: refusal.resource_id.parse().ok(),
        reason: refusal.reason.parse().unwrap_or(WaitReason::RefusedStalled),
        code: refusal.code.clone(),
        message: refusal.message.clone(),
        since: time(&refusal.since).unwrap_or(at),
        at,
        tries: refusal.tries,
        next_try: time(&refusal.next_try).unwrap_or(at),
    })
}

fn used(used: &ApprovalUse) -> Option<UsedApproval> {
    Some(UsedApproval {
        name: used.name.clone(),
        change: used.change.parse().ok()?,
        digest: Digest::from_text(&used.digest),
        used_at: time(&used.used_at),
    })
}

fn exposure(exposure: &ExposureStatus) -> Exposure {
    Exposure {
        first_seen_public: time(&exposure.first_seen_public),
        locked_at: time(&exposure.locked_at),
        is_remediated: exposure.time_to_remediate_seconds.is_some(),
        by_spec: exposure.by_spec,
        has_evidence: exposure.evidence_digest.is_some(),
    }
}

fn rollback(rollback: &RollbackStatus) -> Rollback {
    Rollback {
        count: rollback.count,
        reopened_at: time(&rollback.reopened_at),
        generation: rollback.generation,
        reason: rollback.reason.clone(),
        restored: rollback.restored,
    }
}

fn emergency(used: &BreakGlassUse) -> ReportedEmergency {
    ReportedEmergency {
        name: used.name.clone(),
        created_at: time(&used.created_at),
        counts_from: time(&used.counts_from),
        until: time(&used.until),
    }
}

fn transition(entry: &HistoryEntry) -> Transition {
    Transition {
        state: entry.state.parse().ok(),
        at: time(&entry.time),
    }
}
