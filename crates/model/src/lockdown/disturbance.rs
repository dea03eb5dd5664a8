//! What people, Azure, other teams and chance do. Each costs one of the budget.

use sreg_api::probe::{Hop, PathResult, ProbeOutcome};
use sreg_api::registry::PublicAccess;
use sreg_domain::seen::BreakGlassSeen;
use sreg_domain::{Fact, Grants};

use super::coverage::Happening;
use super::operator::{Died, End, Landing};
use super::state::{Pass, State, TICK};
use super::{Lockdown, NETWORKS, POINTS, Policy, invariants, policy};
use crate::world::World;
use crate::world::scramble::Blow;

/// Something that goes wrong, or that somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disturbance {
    /// The leading process dies between passes or after planning; a write under way arrives or not.
    Crash {
        /// It arrives.
        landed: bool,
    },
    /// It dies within a pass.
    CrashWithin(Died),
    /// A step takes effect, its answer is lost.
    StepUnanswered,
    /// What comes of a closing write: it takes effect and its answer is lost, it never arrives, or it is answered and changes nothing.
    WriteGoneWrong(Landing),
    /// The lease goes to the other process; the former one does not know yet.
    HandOver,
    /// Status is gone.
    EraseStatus,
    /// An agent falls silent.
    Silence(usize),
    /// A path breaks: the registry's from the hub, the storage's from the spoke.
    Break(usize),
    /// An agent reports that paths fail which do not.
    WrongFailure(usize),
    /// An agent reports failures, fewer than count.
    FewFailures(usize),
    /// An agent reports fewer successes than asked for.
    FewSuccesses(usize),
    /// An agent reports success for another round.
    OtherRound(usize),
    /// An agent reports success for another subject.
    OtherSubject(usize),
    /// An agent reports success for an older generation of the probe.
    OtherGeneration(usize),
    /// An agent reports success at an address that is not the endpoint's.
    OtherAddress(usize),
    /// Somebody opens a target by hand: registry, storage.
    OpenByHand(bool),
    /// Somebody closes the storage.
    CloseByHand,
    /// The user wants public access.
    Enable,
    /// The user wants it closed.
    Disable,
    /// Somebody begins an emergency.
    BreakGlass,
    /// Somebody ends it.
    EndBreakGlass,
    /// The approver takes his approval back.
    Withdraw,
    /// Somebody (or a policy) removes the storage endpoint's zone group, with its records.
    RemoveZoneGroup,
    /// Somebody deletes the storage endpoint's records.
    RemoveRecords,
    /// A policy makes a zone group of its own on an endpoint that has none.
    ForeignZoneGroup,
    /// The storage endpoint is deleted: the next one has another address.
    RemoveEndpoint,
    /// The container registry gains a region.
    NewReplica,
    /// A job takes away every tag that is not its own: also the mark of our endpoints and links.
    WipeTags,
    /// An administrator takes every grant away. Once faults stop everything is granted again.
    TakeGrants,
    /// An operator of another cluster, or somebody who writes tags, puts another object's claim on the registry. Once faults stop it
    /// is given back.
    ClaimInAzure,
    /// The claim in this cluster becomes another object's. Once faults stop an administrator frees it.
    ClaimInCluster,
    /// Somebody copies our tag onto another team's endpoint.
    CopyTag,
    /// The object is deleted.
    Delete,
}

/// Every kind.
pub const ALL: &[Disturbance] = &[
    Disturbance::Crash { landed: false },
    Disturbance::Crash { landed: true },
    Disturbance::CrashWithin(Died::HalfWay),
    Disturbance::CrashWithin(Died::AfterOne),
    Disturbance::CrashWithin(Died::BeforeReport),
    Disturbance::StepUnanswered,
    Disturbance::WriteGoneWrong(Landing::Unanswered),
    Disturbance::WriteGoneWrong(Landing::Lost),
    Disturbance::WriteGoneWrong(Landing::Vain),
    Disturbance::HandOver,
    Disturbance::EraseStatus,
    Disturbance::Silence(0),
    Disturbance::Silence(1),
    Disturbance::Break(0),
    Disturbance::Break(1),
    Disturbance::WrongFailure(0),
    Disturbance::WrongFailure(1),
    Disturbance::FewFailures(0),
    Disturbance::FewSuccesses(1),
    Disturbance::OtherRound(0),
    Disturbance::OtherRound(1),
    Disturbance::OtherSubject(1),
    Disturbance::OtherGeneration(1),
    Disturbance::OtherAddress(1),
    Disturbance::OpenByHand(true),
    Disturbance::OpenByHand(false),
    Disturbance::CloseByHand,
    Disturbance::Enable,
    Disturbance::Disable,
    Disturbance::BreakGlass,
    Disturbance::EndBreakGlass,
    Disturbance::Withdraw,
    Disturbance::RemoveZoneGroup,
    Disturbance::RemoveRecords,
    Disturbance::ForeignZoneGroup,
    Disturbance::RemoveEndpoint,
    Disturbance::NewReplica,
    Disturbance::WipeTags,
    Disturbance::TakeGrants,
    Disturbance::ClaimInAzure,
    Disturbance::ClaimInCluster,
    Disturbance::CopyTag,
    Disturbance::Delete,
];

/// Another cluster's object, as the claim tag names it.
const ANOTHER: &str = "0123456789abcdef/ml-platform/contoso-models/99999999-2222-3333-4444-555555555555";

/// Who was kept out by another's claim gets it back.
pub(crate) fn give_back(world: &mut World) {
    if invariants::tag_names_another(world) {
        let mark = world.desired.claim_mark().to_string();
        world.tag_claim(Some(&mark));
    }
    if invariants::lease_is_anothers(world) {
        world.seen.cluster.claim = Fact::Absent;
    }
}

/// The paths that can break.
pub(crate) const PATHS: [(&str, &str); 2] = [
    ("hub", "abcd-1234.registry.westeurope.api.azureml.ms"),
    ("spoke", "contosostore.blob.core.windows.net"),
];

impl Lockdown {
    /// Whether it can come about at all now; most others simply change nothing.
    pub(crate) fn can(&self, state: &State, disturbance: Disturbance) -> bool {
        let sent = matches!(state.operators[state.leader].pass, Pass::Sent(..));
        let needs_sent = matches!(
            disturbance,
            Disturbance::Crash { landed: true } | Disturbance::WriteGoneWrong(_)
        );
        // By the time rule: a write under way ends before the lease does.
        let needs_unsent = matches!(
            disturbance,
            Disturbance::CrashWithin(_) | Disturbance::StepUnanswered | Disturbance::HandOver
        );
        let needs_idle = matches!(disturbance, Disturbance::HandOver);
        let idle = matches!(state.operators[1 - state.leader].pass, Pass::Idle);
        (!needs_sent || sent) && (!needs_unsent || !sent) && (!needs_idle || idle)
    }

    /// It comes about. `false`: there was nothing for it to happen to.
    pub(crate) fn disturb(&self, state: &mut State, disturbance: Disturbance) -> bool {
        let k = state.leader;
        match disturbance {
            Disturbance::Crash { landed } => {
                if landed {
                    self.land(state, k, Landing::Unanswered);
                }
                Self::dies(state, k);
            }
            Disturbance::CrashWithin(died) => return self.pass_that_ends(state, k, End::Dies(died)),
            Disturbance::StepUnanswered => return self.pass_that_ends(state, k, End::Unanswered),
            Disturbance::WriteGoneWrong(landing) => self.land(state, k, landing),
            Disturbance::HandOver => {
                self.tally.count(Happening::HandedOver);
                // With nothing to do it notices at once and ends.
                if matches!(state.operators[k].pass, Pass::Idle) {
                    Self::dies(state, k);
                }
                state.leader = 1 - k;
            }
            Disturbance::EraseStatus => state.world_mut().seen.object.status = Default::default(),
            Disturbance::Silence(n) => set_alive(state.world_mut(), n, false),
            Disturbance::Break(n) => {
                let (network, name) = PATHS[n];
                state.world_mut().broken.insert((network.into(), name.into()));
            }
            Disturbance::WrongFailure(n) => report_failure(state, n, 0),
            Disturbance::FewFailures(n) => report_failure(state, n, 1),
            Disturbance::FewSuccesses(n) => forge(state, n, |s| {
                s.results.iter_mut().for_each(|r| r.successes -= 1);
            }),
            Disturbance::OtherRound(n) => forge(state, n, |s| s.round = s.round.wrapping_add(1_000_000)),
            Disturbance::OtherSubject(n) => forge(state, n, |s| s.subject = "0".repeat(64)),
            Disturbance::OtherGeneration(n) => forge(state, n, |s| s.observed_generation = Some(-1)),
            Disturbance::OtherAddress(n) => forge(state, n, |s| {
                let public = vec!["203.0.113.9".to_owned()];
                s.results.iter_mut().for_each(|r| r.addresses.clone_from(&public));
            }),
            Disturbance::OpenByHand(registry) => state.world_mut().suffer(if registry {
                Blow::OpenRegistry
            } else {
                Blow::OpenStorage
            }),
            Disturbance::CloseByHand => state.world_mut().suffer(Blow::CloseStorage),
            Disturbance::Enable => want(state, PublicAccess::Enabled),
            Disturbance::Disable => want(state, PublicAccess::Disabled),
            Disturbance::BreakGlass => begin_emergency(state.world_mut()),
            Disturbance::EndBreakGlass => state.world_mut().seen.cluster.break_glasses = Fact::Seen(Vec::new()),
            Disturbance::Withdraw => {
                state.world_mut().seen.cluster.approvals = Fact::Seen(Vec::new());
                state.ghost.approved = None;
            }
            Disturbance::RemoveZoneGroup => {
                let at = storage_endpoint(&state.world);
                state.world_mut().suffer(Blow::RemoveZoneGroup(at));
            }
            Disturbance::RemoveRecords => {
                let at = storage_endpoint(&state.world);
                state.world_mut().suffer(Blow::RemoveRecords(at));
            }
            Disturbance::ForeignZoneGroup => policy::acts(state.world_mut(), Policy::Competes),
            Disturbance::RemoveEndpoint => {
                let at = storage_endpoint(&state.world);
                state.world_mut().suffer(Blow::RemoveEndpoint(at));
            }
            Disturbance::NewReplica => state.world_mut().suffer(Blow::NewReplica),
            Disturbance::WipeTags => state.world_mut().suffer(Blow::WipeTags),
            Disturbance::TakeGrants => state.world_mut().regrant(Some(Grants::default())),
            Disturbance::ClaimInAzure => {
                let mark = state.world.mark_of(ANOTHER);
                state.world_mut().tag_claim(Some(&mark));
            }
            Disturbance::ClaimInCluster => state.world_mut().claimed_by("others/models"),
            Disturbance::CopyTag => state.world_mut().copy_our_tag(),
            Disturbance::Delete => {
                let world = state.world_mut();
                world.delete();
                // What nobody has put a finalizer on is gone at once.
                world.gone = !world.seen.object.has_finalizer;
            }
        }
        true
    }
}

pub(crate) fn storage_endpoint(world: &World) -> u8 {
    let at = world
        .seen
        .azure
        .endpoints
        .keys()
        .position(|id| id.name().contains("blob"));
    u8::try_from(at.unwrap_or(0)).unwrap()
}

fn want(state: &mut State, access: PublicAccess) {
    if state.world.desired.public_access == access {
        return;
    }
    state.ghost.rolling_back = false;
    state
        .world_mut()
        .respec(|object| object.spec.public_access.desired = access);
}

pub(crate) fn begin_emergency(world: &mut World) {
    let now = world.now;
    if let Fact::Seen(glasses) = &mut world.seen.cluster.break_glasses
        && glasses.is_empty()
    {
        glasses.push(BreakGlassSeen {
            name: "emergency".into(),
            uid: "uid-emergency".into(),
            status: None,
            created_at: now,
            duration: TICK,
            reason: "pipelines fail".into(),
            requested_by: "jane".into(),
        });
    }
}

pub(crate) fn set_alive(world: &mut World, n: usize, alive: bool) {
    let point = POINTS[n];
    if alive {
        world.silent.remove(point);
    } else {
        world.silent.insert(point.into());
    }
    if let Some(Fact::Seen(seen)) = world.seen.cluster.vantage_points.get_mut(point) {
        seen.alive = Fact::Seen(alive);
    }
}

/// The agent of a network answers what it finds, as often as asked.
pub(crate) fn answer(state: &mut State, n: usize) {
    if state.world.silent.contains(POINTS[n]) {
        return;
    }
    let measured = invariants::measure(&state.world, NETWORKS[n]);
    let world = state.world_mut();
    let silent = std::mem::replace(&mut world.silent, POINTS.iter().map(|p| (*p).to_owned()).collect());
    world.silent.remove(POINTS[n]);
    world.answer();
    world.silent = silent;
    for (other, point) in POINTS.iter().enumerate() {
        let alive = !world.silent.contains(*point);
        set_alive(world, other, alive);
    }
    let Some(Fact::Seen(probe)) = world.seen.cluster.probes.get(POINTS[n]) else {
        return;
    };
    let round = probe.spec.round;
    let fails = |r: &PathResult| r.outcome == ProbeOutcome::Failed;
    let failed = probe.status.as_ref().is_some_and(|s| s.results.iter().any(fails));
    state.ghost.measured[n] = measured.filter(|_| round > 0).map(|paths| (round, paths));
    state.ghost.failed[n] = failed.then_some(round).filter(|r| *r > 0);
}

/// A status that claims success for everything, but for one thing that does not fit.
fn forge(state: &mut State, n: usize, twist: impl FnOnce(&mut sreg_api::probe::ConnectivityProbeStatus)) {
    let Some(Fact::Seen(probe)) = state.world_mut().seen.cluster.probes.get_mut(POINTS[n]) else {
        return;
    };
    let spec = &probe.spec;
    let mut status = sreg_api::probe::ConnectivityProbeStatus {
        observed_generation: Some(probe.generation),
        round: spec.round,
        subject: spec.subject.clone(),
        results: spec
            .paths
            .iter()
            .map(|p| passes(p, spec.consecutive_successes))
            .collect(),
        ..Default::default()
    };
    twist(&mut status);
    probe.status = Some(status);
    state.ghost.failed[n] = None;
}

fn passes(path: &sreg_api::probe::ProbePath, successes: i32) -> PathResult {
    PathResult {
        fqdn: path.fqdn.clone(),
        outcome: ProbeOutcome::Succeeded,
        hop: None,
        message: String::new(),
        addresses: path.addresses.clone(),
        cname_chain: Vec::new(),
        silent_dns_servers: Vec::new(),
        successes,
        failures: 0,
        last_transition_time: None,
    }
}

fn report_failure(state: &mut State, n: usize, fewer: i32) {
    let mut round = 0;
    let mut needed = 0;
    if let Some(Fact::Seen(probe)) = state.world.seen.cluster.probes.get(POINTS[n]) {
        round = probe.spec.round;
        needed = probe.spec.consecutive_successes;
    }
    forge(state, n, |status| {
        for result in &mut status.results {
            result.outcome = ProbeOutcome::Failed;
            result.hop = Some(Hop::Tcp);
            result.addresses.clear();
            (result.successes, result.failures) = (0, needed - fewer);
        }
    });
    state.ghost.measured[n] = None;
    state.ghost.failed[n] = (round > 0 && fewer == 0).then_some(round);
}
