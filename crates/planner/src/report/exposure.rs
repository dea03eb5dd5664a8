//! How long the registry was exposed, and by what: for people and what they count. Whether a lock held before follows from it too.

use jiff::Timestamp;
use sreg_api::registry::PublicAccess;
use sreg_api::status::{BreakGlassUse, ExposedSeconds, ExposureStatus, SecureRegistryStatus};
use sreg_domain::Outcome;

use crate::break_glass::{self, BreakGlassState};
use crate::conditions::whole_seconds;
use crate::view::View;

/// Exposed since when, locked since when. A lock that this status did not see coming (it was erased, or the registry is adopted
/// closed) has no known time: its grace period must not begin again. Nor is the time told while a break-glass is (or may be) in force:
/// one that began after the last closing write, before anybody saw all closed, would be older than the lock and count as spent. While it is open again after a lock, the former lock's time stays and the time to remediate is
/// gone.
pub(super) fn exposure(
    view: &View<'_>,
    outcome: &Outcome,
    former: Option<&ExposureStatus>,
    now: Timestamp,
) -> Option<ExposureStatus> {
    let was_locked = view.last().was_locked();
    let former = former.cloned().unwrap_or_default();
    let emergency = match break_glass::state(view) {
        BreakGlassState::Active { .. } | BreakGlassState::NotKnown => true,
        BreakGlassState::None | BreakGlassState::UsedUp { .. } => false,
    };
    let mut exposure = if view.all_closed() {
        if was_locked || emergency {
            former
        } else {
            ended(&view.seen.object.status, former, now)
        }
    } else if view.any_open() && (former.first_seen_public.is_none() || was_locked) {
        ExposureStatus {
            first_public_at: former.first_public_at.or_else(|| Some(whole_seconds(now))),
            first_seen_public: Some(whole_seconds(now)),
            time_to_remediate_seconds: None,
            ..former
        }
    } else {
        former
    };
    // A management policy that cannot be read is taken for Observe, which lifts no lock.
    let observed = view.desired.observe_only && view.desired.is_whole();
    let lifted = view.desired.public_access == PublicAccess::Enabled || observed;
    exposure.by_spec |= view.any_open() && lifted;
    // What was not recorded by whoever came before begins with what is known.
    if exposure.first_public_at.is_none() {
        exposure.first_public_at.clone_from(&exposure.first_seen_public);
    }
    if view.all_open() && view.seen.cluster.snapshot.is_absent() {
        exposure.evidence_digest = None;
    }
    if let Some(evidence) = &outcome.locked_with {
        exposure.evidence_digest = Some(evidence.to_string());
    }
    (exposure != ExposureStatus::default()).then_some(exposure)
}

/// All closed: an exposure is over.
fn ended(status: &SecureRegistryStatus, former: ExposureStatus, now: Timestamp) -> ExposureStatus {
    let Some(began) = former.first_seen_public.as_ref().map(|t| t.0) else {
        return ExposureStatus {
            locked_at: None,
            time_to_remediate_seconds: None,
            by_spec: false,
            ..former
        };
    };
    let total = now.as_second().saturating_sub(began.as_second()).max(0);
    let emergency = held_open(&status.break_glasses, began, now).min(total);
    let rest = total.saturating_sub(emergency);
    let mut sum = former.exposed_seconds.clone().unwrap_or_default();
    let ExposedSeconds {
        before_first_lock,
        by_drift,
        by_break_glass,
        by_spec,
    } = &mut sum;
    *by_break_glass = by_break_glass.saturating_add(emergency);
    let cause = if former.by_spec {
        by_spec
    } else if former.first_locked_at.is_none() {
        before_first_lock
    } else {
        by_drift
    };
    *cause = cause.saturating_add(rest);
    ExposureStatus {
        first_locked_at: former.first_locked_at.clone().or_else(|| Some(whole_seconds(now))),
        exposed_seconds: Some(sum),
        locked_at: Some(whole_seconds(now)),
        time_to_remediate_seconds: Some(rest),
        by_spec: false,
        ..former
    }
}

/// Seconds of an exposure for which break-glasses held it open; where two overlap they count once.
fn held_open(uses: &[BreakGlassUse], began: Timestamp, ended: Timestamp) -> i64 {
    let term = |u: &BreakGlassUse| {
        let from = u.created_at.as_ref()?.0.max(began).as_second();
        Some((from, u.until.as_ref()?.0.min(ended).as_second()))
    };
    let mut terms: Vec<(i64, i64)> = uses.iter().filter_map(term).collect();
    terms.sort_unstable();
    let mut counted = began.as_second();
    let mut sum = 0_i64;
    for (from, until) in terms {
        let from = from.max(counted);
        sum = sum.saturating_add(until.saturating_sub(from).max(0));
        counted = counted.max(until);
    }
    sum
}
