//! After the lock: probing goes on, and the lock holds. A lost path is an alert; only within the grace period, only where the
//! user chose `Reopen`, and only after enough failures in a new round does it open again.
//!
//! | paths | policy | then |
//! | --- | --- | --- |
//! | all pass | – | settled |
//! | not told (silence, unknown) | – | wait; never a reason to open |
//! | one fails by its name | any | the operator writes records again: nobody is asked to |
//! | one fails | Hold, or after the grace period | Stalled: path lost |
//! | one fails, several vantage points say so | Reopen | a new round confirms it, status records it, then the snapshot is restored |
//! | one fails, one vantage point alone says so | Reopen | the same, once it has gone on saying so for a pause, in which people are told |
//! | opened by rollback | Reopen | lock again after a pause that grows; Stalled after the third |

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sreg_api::probe::{Hop, ProbeOutcome};
use sreg_api::registry::{PublicAccess, RollbackPolicy};
use sreg_domain::desired::Spec;
use sreg_domain::last_report::Rollback;
use sreg_domain::{ArmId, Desired, Fact, Seen, duration};

use crate::contribution::{Contribution, Next};
use crate::evidence::{Evidence, Look, first_failure, look_closer};
use crate::lockdown::{kept_open, limits, would_open};
use crate::opening::{self, Cause};
use crate::paths::Paths;
use crate::plan::{AccessAssessment, Assessment, FindingReason, PathAssessment, PathStanding, Wait, WaitReason};
use crate::view::{self, View, WholeView};
use crate::{blind, kept, never_locked, obstacles};

/// After this many reopenings only a change of spec locks again.
const MOST_ROLLBACKS: i32 = 3;

/// A rollback that status recorded, while it holds the lock back.
pub(crate) struct Pausing<'a> {
    record: &'a Rollback,
    /// When locking is tried again; `None`: not before the spec changes.
    until: Option<Timestamp>,
    /// It may still be finished: an unfinished one in a status from long ago (a restored backup) reopens nothing.
    may_finish: bool,
}

impl<'a> Pausing<'a> {
    /// The path that was lost.
    pub(crate) fn reason(&self) -> &'a str {
        &self.record.reason
    }
}

/// How long after a rollback nothing is locked: longer each time.
pub(crate) fn pause(grace_period: Duration, count: i32) -> Duration {
    grace_period
        .max(Duration::from_secs(60))
        .saturating_mul(1 << count.clamp(1, 8))
}

/// When it was opened again. A clock that is ahead of ours says that it will be: it has been, so it counts from now.
fn reopened_at(record: &Rollback, now: Timestamp) -> Option<Timestamp> {
    Some(record.reopened_at?.min(now))
}

/// The rollback that status recorded, while it holds the lock back.
pub(crate) fn pausing<'a>(view: &View<'a>) -> Option<Pausing<'a>> {
    let spec = view.desired.whole()?;
    let record = view.last().rollback.as_ref()?;
    let mine = record.generation == view.desired.object.generation && record.count > 0;
    if !mine || spec.rollback != RollbackPolicy::Reopen || view.desired.public_access != PublicAccess::Disabled {
        return None;
    }
    let pause = SignedDuration::try_from(pause(spec.grace_period, record.count)).ok()?;
    let ends = reopened_at(record, view.now)?.saturating_add(pause).ok()?;
    let for_good = record.count >= MOST_ROLLBACKS;
    let running = view.now < ends;
    (running || for_good).then_some(Pausing {
        record,
        until: (!for_good).then_some(ends),
        // While a closing write may still arrive, it may have to be finished once more.
        may_finish: running && (!record.restored || view.seen.cluster.restored.is_some()),
    })
}

/// Whether a rollback that status has recorded is still to be finished.
pub(crate) fn finishes_rollback(view: &View<'_>) -> bool {
    pausing(view).is_some_and(|pausing| pausing.may_finish)
}

/// How old the lock is.
fn since_locked(view: &WholeView<'_>) -> Option<Duration> {
    Duration::try_from(view.now.duration_since(view.last().locked_at()?)).ok()
}

/// How old the lock is, where a loss rolls it back: one that comes now, or one that came within the grace period and lasts.
fn may_roll_back(view: &WholeView<'_>) -> Option<Duration> {
    let since = since_locked(view)?;
    let began = since.saturating_sub(view.seen.memory.lost_for.unwrap_or_default());
    let grace = view.spec.grace_period;
    // Its pause is shorter than evidence may be old; visits come when they come.
    let latest = grace.saturating_add(view.spec.verification.max_age);
    (began <= grace && since <= latest).then_some(since)
}

/// A rollback that status has recorded is finished, and holds the lock back.
pub(crate) fn go_on_rolling_back(view: &View<'_>) -> (Contribution, Next) {
    let mut draft = Contribution::default();
    let Some(Pausing {
        record,
        until,
        may_finish,
    }) = pausing(view)
    else {
        return (draft, Next::GoOn);
    };
    draft.add(if may_finish {
        opening::plan(view, Cause::Rollback)
    } else {
        opening::tell_left_out(view, "repair that, then put it back by hand")
    });
    draft.add(opening::keep_or_forget_snapshot(view));
    match until {
        Some(until) => {
            draft.looks.push(Duration::try_from(until.duration_since(view.now)).unwrap_or_default());
            draft.waiting(WaitReason::RollbackBackoff, format!("opened again because {}: locking is tried again at {until}, if that path works by then; a change of spec, such as another rollback.gracePeriod, tries at once", record.reason));
        }
        None => draft.waiting(
            WaitReason::PathLostStalled,
            format!("opened again {} times because {}: repair that path, then change the spec (or set spec.publicAccess.rollback.onFailure: Hold) to lock again", record.count, record.reason),
        ),
    }
    (draft, Next::Stop)
}

/// Plans a rollback where the user chose it. Once it is confirmed nothing is closed. Status records it before anything is opened, so that
/// a crash in between loses neither count nor pause.
pub(crate) fn plan_rollback(
    view: &WholeView<'_>,
    paths: &Paths,
    evidence: &Evidence,
    so_far: &Contribution,
) -> (Contribution, Next) {
    let mut draft = Contribution::default();
    let chosen = view.spec.rollback == RollbackPolicy::Reopen && view.desired.public_access == PublicAccess::Disabled;
    let (true, Some(since)) = (chosen, may_roll_back(view)) else {
        return (draft, Next::GoOn);
    };
    let ours = view.seen.cluster.snapshot.seen().is_some_and(|snapshot| {
        view.access
            .iter()
            .any(|a| a.closed == Some(true) && would_open(a.target, snapshot, &a.id))
    });
    let failing = evidence.looks.iter().any(|look| matches!(look, Look::Fails(..)));
    let (true, true, Some(subject)) = (ours, failing, &paths.subject) else {
        return (draft, Next::GoOn);
    };
    let next = match &evidence.round {
        // A round from before the lock says nothing about after it.
        Some(round) if round.age < since => match lost(view, paths, evidence).into_iter().next() {
            Some((_, lost)) => {
                if let Some(alone) = single_witness(view, paths, evidence) {
                    draft.looks.push(alone.remaining);
                    return (draft, Next::GoOn);
                }
                draft.find(FindingReason::RolledBack, lost);
                if view.desired.observe_only {
                    draft.add(opening::plan(view, Cause::Rollback));
                } else {
                    draft.waiting(
                        WaitReason::RollbackAboutToOpen,
                        "a lost path is confirmed: status records that before public access is opened again",
                    );
                }
                Next::Stop
            }
            None => Next::GoOn,
        },
        Some(_) | None => {
            if !so_far.has_steps() {
                draft.cluster.push(evidence.open_round(view, subject));
            }
            Next::GoOn
        }
    };
    (draft, next)
}

/// The paths that have failed as often as a round counts: vantage point, and what is lost.
fn lost<'a>(view: &WholeView<'_>, paths: &'a Paths, evidence: &Evidence) -> Vec<(&'a str, String)> {
    let needed = view.spec.verification.consecutive_successes;
    let paths = evidence.looks.iter().zip(&paths.all);
    let lost = paths.filter_map(|(look, path)| match look {
        Look::Fails(hop, message, times) if *times >= needed => Some((
            path.vantage_point.as_str(),
            format!("{} cannot reach {}: {hop}: {message}", path.network, path.path.fqdn),
        )),
        Look::Fails(..) | Look::Passes(_) | Look::Nothing(_) => None,
    });
    lost.collect()
}

/// Whether a path is lost in a round from after the lock, which holds: of one that is half done the time in status is its predecessor's.
pub(crate) fn is_lost(view: &WholeView<'_>, paths: &Paths, evidence: &Evidence) -> bool {
    let (Some(round), Some(since)) = (&evidence.round, since_locked(view)) else {
        return false;
    };
    view.all_closed() && round.age < since && !lost(view, paths, evidence).is_empty()
}

/// Whether clients of what was locked may be cut off, as far as object and cluster tell: an agent says that a path fails, or is silent.
/// Asked before Azure is, so that what it takes to find out does not stand behind everything else.
pub fn may_have_lost_a_path(desired: &Desired, seen: &Seen) -> bool {
    let cluster = &seen.cluster;
    let fails = |point: &str| {
        let status = cluster
            .probes
            .get(point)
            .and_then(Fact::seen)
            .and_then(|probe| probe.status.as_ref());
        status.is_some_and(|found| found.results.iter().any(|path| path.outcome == ProbeOutcome::Failed))
    };
    let silent = |point: &str| {
        let point = cluster.vantage_points.get(point).and_then(Fact::seen);
        point.is_some_and(|point| !matches!(point.alive, Fact::Seen(true)))
    };
    let mut networks = desired
        .client_networks()
        .iter()
        .map(|network| network.vantage_point.as_str());
    seen.object.last.was_locked() && networks.any(|point| fails(point) || silent(point))
}

/// A loss that one vantage point alone tells of.
struct SingleWitness<'a> {
    vantage_point: &'a str,
    /// For how much longer it has to go on saying so.
    remaining: Duration,
}

/// One agent can lie, or be the only thing that is broken: on its word alone a registry opens to everybody no sooner than people
/// had the time to look. A second vantage point that loses a path in the same round ends the pause; it begins anew where no path is lost
/// in between, or this process ends. `None`: there is nothing to wait for.
fn single_witness<'a>(view: &WholeView<'_>, paths: &'a Paths, evidence: &Evidence) -> Option<SingleWitness<'a>> {
    let lost = lost(view, paths, evidence);
    let (vantage_point, _) = lost.first()?;
    let account = |point: &str| {
        let point = view.seen.cluster.vantage_points.get(point)?.seen()?;
        Some((point.namespace.as_str(), point.service_account.as_str()))
    };
    // Two vantage points of one ServiceAccount are one witness.
    if lost.iter().any(|(other, _)| account(other) != account(vantage_point)) {
        return None;
    }
    let lasted = view.seen.memory.lost_for.unwrap_or_default();
    let remaining = single_witness_pause(view.spec).saturating_sub(lasted);
    (!remaining.is_zero()).then_some(SingleWitness {
        vantage_point,
        remaining,
    })
}

const SINGLE_WITNESS_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Short enough for its round still to count at its end, and shorter than the time in which a loss rolls back.
fn single_witness_pause(spec: &Spec) -> Duration {
    let verification = &spec.verification;
    let attempts = verification.consecutive_successes.saturating_sub(1);
    let confirming = verification.interval.saturating_mul(attempts);
    SINGLE_WITNESS_PAUSE
        .min(verification.max_age.saturating_sub(confirming) / 2)
        .min(spec.grace_period / 3)
}

/// While the names cannot be moved to what the spec asks for now, the endpoints that were made for it serve nobody: that no path leads
/// through them is no loss.
fn those_in_use(view: &WholeView<'_>, standings: &[PathAssessment], so_far: &Contribution) -> Vec<PathAssessment> {
    let moving = so_far.waits.iter().any(|w| w.reason == WaitReason::DnsChangeStalled);
    let serves_nobody = |id: &ArmId| {
        let endpoint = view.seen.azure.endpoints.get(id).and_then(Fact::seen);
        endpoint.is_some_and(|e| e.zone_groups.seen().is_some_and(Vec::is_empty))
    };
    let used = standings
        .iter()
        .filter(|path| !(moving && serves_nobody(&path.endpoint)));
    used.cloned().collect()
}

/// What an emergency does other than restoring: it opens fully where the snapshot holds nothing, and leaves closed what was closed
/// before the lock. Whoever breaks the glass has to know that before.
fn tell_what_is_not_restored(view: &WholeView<'_>) -> Contribution {
    let mut draft = Contribution::default();
    let snapshot = &view.seen.cluster.snapshot;
    if snapshot.ignorance().is_some() || view.desired.observe_only {
        return draft;
    }
    let kept = |access: &AccessAssessment| snapshot.seen().and_then(|s| kept::kept(s, &access.id));
    let named = |chosen: &dyn Fn(&AccessAssessment) -> bool| {
        let chosen = view.access.iter().filter(|access| chosen(access));
        let names: Vec<String> = chosen.map(view::named).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    if let Some(unkept) = named(&|access| kept(access).is_none()) {
        let approved = match never_locked::held(view) {
            Some(wait) => format!("; {}", wait.message),
            None => String::new(),
        };
        draft.find(
            FindingReason::NothingToRestore,
            format!(
                "nothing is kept of what was before the lock of {unkept} (created closed, closed before this object came, or the snapshot was deleted): a BreakGlass opens fully, from every network{approved}"
            ),
        );
    }
    let was_closed = |access: &AccessAssessment| kept(access).is_some_and(|n| kept::settings_closed(access.target, n));
    if let Some(closed) = named(&was_closed) {
        draft.find(
            FindingReason::NothingToRestore,
            format!(
                "{closed} was closed already before the lock, so a BreakGlass leaves it closed; to open it as well in an emergency, open it in Azure, or set spec.publicAccess.desired: Enabled and approve the opening that status.approvalsWanted lists then (a ChangeApproval with change: Opening)"
            ),
        );
    }
    draft
}

/// Whether the operator is putting back what the failing names lack: nobody is asked to do that. Once it cannot (a write is refused
/// again and again) the wait for that is stalled, and the loss is told as well.
fn is_put_back(
    view: &WholeView<'_>,
    standings: &[PathAssessment],
    dns_ready: Option<bool>,
    so_far: &Contribution,
) -> bool {
    let stuck = so_far.waits.iter().any(|w| w.reason.is_stalled());
    let names_are_ours = |path: &PathAssessment| {
        let network = view.spec.client_networks.iter().find(|n| n.name == path.network);
        let place = network.and_then(|n| view.spec.endpoints.iter().find(|e| e.name == n.endpoint));
        place.is_some_and(|place| place.dns.is_ours())
    };
    let by_name = |path: &PathAssessment| match &path.standing {
        PathStanding::Failing(hop, _) => *hop == Hop::Dns && names_are_ours(path),
        PathStanding::Passing | PathStanding::Reported | PathStanding::Unknown(_) => true,
    };
    so_far.is_at_work() && !stuck && dns_ready == Some(false) && standings.iter().all(by_name)
}

/// Whether names are still being published by people for a registry that was closed from birth: what nobody had yet is not lost.
fn is_published(view: &WholeView<'_>, so_far: &Contribution) -> bool {
    let held_before = view.last().was_locked() || view.last().was_ever_locked;
    !held_before && so_far.waits.iter().any(|w| w.reason == WaitReason::DnsExternalPending)
}

/// Says what keeps a locked registry from being settled.
pub(crate) fn plan(
    view: &WholeView<'_>,
    (paths, evidence): (&Paths, &Evidence),
    assessment: &Assessment,
    so_far: &Contribution,
) -> Contribution {
    let (standings, dns_ready) = (assessment.paths.as_slice(), assessment.dns_ready);
    let mut draft = limits();
    draft.add(kept_open(view));
    draft.add(tell_what_is_not_restored(view));
    draft.add(obstacles::tell(view));
    let used = those_in_use(view, standings, so_far);
    let lost =
        first_failure(&used).filter(|_| !is_put_back(view, &used, dns_ready, so_far) && !is_published(view, so_far));
    if let Some(lost) = lost {
        let repair = match so_far.waits.iter().find(|w| w.reason == WaitReason::DnsExternalPending) {
            Some(wait) => wait.message.as_str(),
            None => "repair the path",
        };
        let way_back = match view.spec.rollback {
            RollbackPolicy::Hold => format!("the lock holds: {repair}, or open with a BreakGlass"),
            RollbackPolicy::Reopen if may_roll_back(view).is_some() => match single_witness(view, paths, evidence) {
                Some(alone) => format!(
                    "VantagePoint {} alone says so: public access is opened once it has said so for {}, or as soon as another one loses a path too. Where its agent is what is broken, or is not to be trusted, set spec.publicAccess.rollback.onFailure: Hold",
                    alone.vantage_point,
                    duration::show(single_witness_pause(view.spec))
                ),
                None => "the lock is opened again if a new proof round confirms it".to_owned(),
            },
            RollbackPolicy::Reopen => {
                format!("the lock holds, its grace period is over: {repair}, or open with a BreakGlass")
            }
        };
        draft.waiting(
            WaitReason::PathLostStalled,
            format!("{lost}; {way_back}; what agents see: {}", look_closer(view)),
        );
    }
    // That paths are not known follows from what is at work or waited for already, and would name the wrong one to act.
    let said = so_far.is_at_work() || draft.is_at_work();
    let gaps = paths
        .gaps
        .iter()
        .filter(|gap| !said || gap.reason != WaitReason::PathsUnknown);
    let waits: Vec<Wait> = gaps.chain(&evidence.waits).cloned().collect();
    waits.into_iter().for_each(|wait| draft.wait(wait));
    blind::waits(view, evidence)
        .into_iter()
        .for_each(|wait| draft.wait(wait));
    let silent = standings.iter().find_map(|p| match &p.standing {
        PathStanding::Unknown(why) => Some(format!("{} to {}: {why}", p.network, p.path.fqdn)),
        PathStanding::Passing | PathStanding::Reported | PathStanding::Failing(..) => None,
    });
    let asks = !so_far.probes.is_empty() && !so_far.opens_round();
    let waits = !(so_far.waits.is_empty() && draft.waits.is_empty());
    if let (Some(silent), false) = (silent, waits || asks) {
        draft.waiting(WaitReason::ProofPending, silent);
    }
    draft
}
