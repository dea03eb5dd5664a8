//! One process at work: a pass in the order of `reconcile` and `act`, with the fence where it stands there. Plans come from the
//! real `plan`, statuses from the real `report`.

use std::sync::Arc;
use std::time::Duration;

use sreg_api::SecureRegistryStatus;
use sreg_domain::action::{Effect, StepOutcome, StepResult};
use sreg_domain::seen::EndpointSeen;
use sreg_domain::{Action, AzureAction, CallFailure, Cause, ClusterAction, Fact, Seen, StepKind, Withheld};
use sreg_planner::plan::WaitReason;
use sreg_planner::{Plan, Report, ReportInput, Step, lint, plan, report, validate};

use super::coverage::Happening;
use super::invariants::{self, Permission};
use super::state::{Broken, Operator, Pass, Planned, Rule, State};
use super::state_key::{names, plan_key};
use super::{Flaw, Lockdown};
use crate::world::{World, settings};

/// How a pass ends that is over at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Carried out and reported.
    Whole,
    /// The process dies after this many steps; nothing is reported.
    Dies(Died),
    /// The first step takes effect, its answer is lost.
    Unanswered,
}

/// When a process dies within a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Died {
    /// Half of the first step is done, where it has halves: one probe of two carries the round.
    HalfWay,
    /// The first step is done.
    AfterOne,
    /// Everything is done.
    BeforeReport,
}

/// What comes of a closing write under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Landing {
    /// It takes effect and the answer arrives.
    Answered,
    /// It takes effect, the answer is lost.
    Unanswered,
    /// It never arrives.
    Lost,
    /// It is answered as done, and changes nothing: a policy that modifies what is written.
    Vain,
}

pub(crate) fn changes_access(step: &Step) -> bool {
    step.action.closes() || step.action.opens()
}

fn outcome_of(step: &Step, result: StepResult) -> StepOutcome {
    StepOutcome {
        step: step.id.clone(),
        action: step.action.clone(),
        result,
    }
}

fn unanswered(step: &Step) -> StepResult {
    StepResult::Failed(CallFailure::local(
        step.action.to_string(),
        Cause::Unreachable,
        "no answer in time",
    ))
}

fn is_done(outcome: &StepOutcome) -> bool {
    matches!(outcome.result, StepResult::Effect(Effect::Done { .. }))
}

impl Lockdown {
    /// A new process in this one's place: it remembers nothing.
    pub(crate) fn dies(state: &mut State, k: usize) {
        state.operators[k] = Operator::default();
        state.ghost.rounds[k] = None;
    }

    /// The real plan. The same situation is planned once.
    pub(crate) fn plan(&self, world: &World, seen: &Seen) -> Arc<Plan> {
        let key = plan_key(world, seen);
        if let Some(known) = self.plans.lock().unwrap().get(&key) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(plan(&world.desired, seen, world.now));
        self.plans.lock().unwrap().insert(key, Arc::clone(&fresh));
        fresh
    }

    /// What process `k` sees now, with what it remembers.
    fn observe(state: &mut State, k: usize) -> Seen {
        let number = state.new_number();
        let names = names(&state.world);
        let operator = &mut state.operators[k];
        // As `Memories::meet` and `names_seen`.
        operator.memory.since_name_change.get_or_insert(Duration::ZERO);
        if operator.names.is_some_and(|known| known != names) {
            operator.memory.since_name_change = Some(Duration::ZERO);
            operator.memory.name_changed = Some(Duration::ZERO);
        }
        operator.names = Some(names);
        let mut seen = state.world.seen_now();
        seen.memory = operator.memory.clone();
        seen.nonce = number;
        if !state.world.all_closed() {
            state.ghost.locked = None;
        }
        if state.world.all_open() {
            state.ghost.rolling_back = false;
        }
        seen
    }

    /// Process `k` looks, plans, and carries out what neither opens nor closes. `false`: the pass did not end like that.
    pub(crate) fn look(&self, state: &mut State, k: usize, end: End) -> bool {
        let seen = Self::observe(state, k);
        let world = Arc::clone(&state.world);
        let plan = self.flawed(&world, self.plan(&world, &seen));
        let confirmed = invariants::confirmed(state, k);
        if let Some(refused) = plan.waits.iter().find(|w| w.reason == WaitReason::PlanRefusedStalled) {
            let what = refused.message.clone();
            state.broken.get_or_insert(Broken {
                rule: Rule::Refused,
                what,
            });
        }
        let planned = Planned::new(plan, world, seen, confirmed);
        if planned.plan.steps().any(changes_access) {
            state.operators[k].pass = Pass::Planned(Arc::new(planned));
            false
        } else {
            self.carry_out(state, k, planned, end)
        }
    }

    /// The plan as [`Flaw::DeletesWhatIsTagged`] would have it.
    fn flawed(&self, world: &World, plan: Arc<Plan>) -> Arc<Plan> {
        if self.flaw != Flaw::DeletesWhatIsTagged || !world.seen.object.deleting {
            return plan;
        }
        let endpoints = world.seen.azure.endpoints.values().filter_map(Fact::seen);
        let tagged = endpoints.filter(|endpoint| endpoint.owner.as_ref() == Some(&world.desired.owner));
        let delete = |endpoint: &EndpointSeen| Step {
            id: StepKind::DeleteEndpoint.on(format!("{} by its tag", endpoint.id.name())),
            action: Action::Azure(AzureAction::DeleteEndpoint {
                id: endpoint.id.clone(),
                owner: world.desired.owner.clone(),
            }),
            touches: Vec::new(),
        };
        let mut plan = Arc::unwrap_or_clone(plan);
        plan.waves.insert(0, tagged.map(delete).collect());
        Arc::new(plan)
    }

    /// A pass over which something goes wrong. What closes goes wrong at its fence and its landing instead. `false`: there is no
    /// such pass now, or it has no such moment.
    pub(crate) fn pass_that_ends(&self, state: &mut State, k: usize, end: End) -> bool {
        match state.operators[k].pass.clone() {
            Pass::Idle => self.look(state, k, end),
            Pass::Planned(planned) if !planned.plan.steps().any(|step| step.action.closes()) => {
                state.operators[k].pass = Pass::Idle;
                self.carry_out(state, k, Arc::unwrap_or_clone(planned), end)
            }
            Pass::Planned(_) | Pass::Sent(..) => false,
        }
    }

    /// Carries out wave after wave, from where the plan stands, and reports. `false`: the pass did not end as it was to, because
    /// it has no such moment: no step, or none with halves.
    fn carry_out(&self, state: &mut State, k: usize, mut planned: Planned, end: End) -> bool {
        let waves = planned.plan.waves.clone();
        let mut held = false;
        let mut first = true;
        let mut ended = matches!(end, End::Whole | End::Dies(Died::BeforeReport));
        for step in waves.iter().flatten() {
            if held {
                planned
                    .done
                    .push(outcome_of(step, StepResult::Withheld(Withheld::NotLeading)));
                continue;
            }
            if std::mem::take(&mut first) && end == End::Dies(Died::HalfWay) {
                ended = half_of(state, step);
                Self::dies(state, k);
                return ended;
            }
            // As `act`: what opens passes the fence too.
            let withheld = step
                .action
                .opens()
                .then(|| self.judge_again(state, k, &planned, step).err())
                .flatten();
            if let Some(why) = withheld {
                self.tally.count(Happening::RefusedByFence);
                held = true;
                planned.done.push(outcome_of(step, StepResult::Withheld(why)));
                continue;
            }
            let mut outcome = self.apply(state, k, step);
            match end {
                End::Dies(Died::AfterOne) => {
                    Self::dies(state, k);
                    return true;
                }
                End::Unanswered if planned.done.is_empty() => {
                    ended = true;
                    self.tally.count(Happening::ReplyLost);
                    // As `act`: a round of which not every write was answered is void.
                    if matches!(step.action, Action::Cluster(ClusterAction::OpenRound { .. })) {
                        state.operators[k].memory.round = None;
                        state.ghost.rounds[k] = None;
                    }
                    outcome.result = unanswered(step);
                }
                End::Unanswered | End::Whole | End::Dies(_) => {}
            }
            held |= !is_done(&outcome);
            planned.done.push(outcome);
        }
        if matches!(end, End::Dies(_)) {
            Self::dies(state, k);
        } else {
            Self::report(state, k, &planned);
        }
        ended
    }

    /// One step takes effect.
    fn apply(&self, state: &mut State, k: usize, step: &Step) -> StepOutcome {
        if let Some(what) = invariants::why_not_delete(state, &step.action) {
            let what = format!("{} goes out, but {what}", step.id);
            state.broken.get_or_insert(Broken {
                rule: Rule::Deleting,
                what,
            });
        }
        if matches!(step.action, Action::Azure(AzureAction::DeleteEndpoint { .. })) {
            self.tally.count(Happening::DeletedEndpoint);
        }
        let before = state.world.closed();
        let permission = invariants::permission(state);
        let memory = state.operators[k].memory.clone();
        let world = state.world_mut();
        world.seen.memory = memory;
        let outcome = world.apply(step);
        world.journal.clear();
        world.writes.clear();
        if let StepResult::Failed(refusal) = &outcome.result {
            // Refusals are the scenarios' matter, so nothing in this Azure ever refuses: or a step meets what it should have seen.
            let what = format!("{} is refused: {}", step.id, refusal.message);
            state.broken.get_or_insert(Broken {
                rule: Rule::Refused,
                what,
            });
        }
        state.operators[k].memory = std::mem::take(&mut state.world_mut().seen.memory);
        if let Action::Cluster(ClusterAction::OpenRound { number, .. }) = &step.action {
            state.ghost.rounds[k] = Some((*number, 0));
        }
        if matches!(&step.action, Action::Cluster(ClusterAction::WriteSnapshot { .. })) {
            let round = state.operators[k].memory.round.as_ref();
            state.ghost.snapshot = round.map(|r| (r.number, invariants::subject(&state.world)));
        }
        if step.action.changes_names() {
            state.ghost.since_names = 0;
        }
        let after = state.world.closed();
        let opened = before
            .iter()
            .any(|(target, closed)| *closed && after.get(target) == Some(&false));
        if opened {
            self.tally.count(match permission {
                Permission::Nothing | Permission::Spec => Happening::OpenedBySpec,
                Permission::BreakGlass => Happening::OpenedByBreakGlass,
                Permission::Rollback => Happening::OpenedByRollback,
            });
            if permission == Permission::Nothing {
                let what = format!("{} opens, and nothing permits it", step.id);
                state.broken.get_or_insert(Broken {
                    rule: Rule::Opening,
                    what,
                });
            }
        }
        outcome
    }

    fn report(state: &mut State, k: usize, planned: &Planned) {
        let memory = &mut state.operators[k].memory;
        let lost_for = memory.lost_for.unwrap_or_default();
        memory.lost_for = planned.plan.assessment.path_is_lost.then_some(lost_for);
        if state.leader != k || state.world.gone {
            return;
        }
        let Report { status, decided, .. } = report(ReportInput {
            desired: &planned.world.desired,
            seen: &planned.seen,
            plan: &planned.plan,
            outcome: &planned.outcome(),
            now: state.world.now,
        });
        state.world_mut().tell(&decided);
        if planned.world.all_closed() {
            state.ghost.locked.get_or_insert(0);
        }
        let count = |s: &SecureRegistryStatus| s.rollback.as_ref().map_or(0, |r| r.count);
        if count(&status) > count(&state.world.seen.object.status) {
            // From here on whoever reads status opens; so it has to be true by now.
            state.ghost.rolling_back = true;
            if !planned.confirmed {
                let what = format!(
                    "a rollback is recorded, and no loss is confirmed: {:?} {:?} {:?} {:?}",
                    state.ghost.rounds, state.ghost.failed, state.ghost.locked, planned.seen.memory
                );
                state.broken.get_or_insert(Broken {
                    rule: Rule::Opening,
                    what,
                });
            }
        }
        let former = &mut state.world_mut().seen.object.status;
        *former = status;
        // Only people read it.
        former.history.clear();
    }

    /// A pass that opens or closes goes on: openings all at once, closings up to behind the fence.
    pub(crate) fn carry(&self, state: &mut State, k: usize) {
        let Pass::Planned(planned) = std::mem::take(&mut state.operators[k].pass) else {
            return;
        };
        if state.leader != k && self.flaw != Flaw::WritesWithoutLease {
            // Nothing is written without the lease, and the process ends.
            self.tally.count(Happening::RefusedByLease);
            return Self::dies(state, k);
        }
        if planned.plan.steps().any(|step| step.action.closes()) {
            self.pass_fence(state, k, Arc::unwrap_or_clone(planned), 0);
        } else {
            self.carry_out(state, k, Arc::unwrap_or_clone(planned), End::Whole);
        }
    }

    /// The fence before the `at`-th step of the first wave; behind it the write is under way.
    fn pass_fence(&self, state: &mut State, k: usize, mut planned: Planned, at: usize) {
        let wave = planned.plan.waves.first().cloned().unwrap_or_default();
        for (index, step) in wave.iter().enumerate().skip(at) {
            match self.judge_again(state, k, &planned, step) {
                Ok(()) => {
                    self.tally.count(Happening::Sent);
                    if let Some(why) = invariants::why_not_close(state, k) {
                        let what = format!("{} goes out, but {why}", step.id);
                        state.broken.get_or_insert(Broken {
                            rule: Rule::Closing,
                            what,
                        });
                    }
                    state.operators[k].pass = Pass::Sent(Arc::new(planned), index);
                    return;
                }
                Err(why) => {
                    self.tally.count(Happening::RefusedByFence);
                    planned.done.push(outcome_of(step, StepResult::Withheld(why)));
                }
            }
        }
        self.finish(state, k, planned);
    }

    /// As `act/fence.rs`: everything is read again, the same functions judge it with the same memory, and the write goes out only
    /// if the fresh plan begins with the identical step.
    fn judge_again(&self, state: &mut State, k: usize, planned: &Planned, step: &Step) -> Result<(), Withheld> {
        let flawed = (step.action.closes() && self.flaw == Flaw::ClosesWithoutSecondLook)
            || (step.action.opens() && self.flaw == Flaw::OpensWithoutSecondLook);
        if flawed {
            return Ok(());
        }
        let world = Arc::clone(&state.world);
        if world.gone || world.desired.object.generation != planned.world.desired.object.generation {
            return Err(Withheld::ObjectGone);
        }
        if world.seen.object.deleting {
            return Err(Withheld::ObjectDeleted);
        }
        let desired = validate(&world.object, &settings(), &world.desired.grants)
            .map_err(|_| Withheld::SpecBroken("the object names no registry".to_owned()))?;
        let seen = Self::observe(state, k);
        if desired != world.desired {
            return Err(Withheld::GrantsChanged);
        }
        let fresh = self.plan(&world, &seen);
        if let Some(broken) = lint(&desired, &seen, &fresh).first() {
            return Err(Withheld::BreaksRule {
                rule: broken.rule,
                message: broken.message.clone(),
            });
        }
        if fresh.takes_claim() {
            return Err(Withheld::ClaimGone);
        }
        let waves = if step.action.closes() { 1 } else { fresh.waves.len() };
        let mut first = fresh.waves.iter().take(waves).flatten();
        let same = first.any(|s| s.id == step.id && s.action == step.action);
        match (same, &fresh.assessment.evidence) {
            (true, _) if step.action.opens() => Ok(()),
            (true, Some(_)) => Ok(()),
            (true, None) => Err(Withheld::NoEvidence),
            (false, _) => Err(Withheld::NotPlanned),
        }
    }

    /// The write under way ends.
    pub(crate) fn land(&self, state: &mut State, k: usize, landing: Landing) {
        let Pass::Sent(planned, at) = std::mem::take(&mut state.operators[k].pass) else {
            return;
        };
        let mut planned = Arc::unwrap_or_clone(planned);
        let Some(step) = planned.plan.waves.first().and_then(|wave| wave.get(at)).cloned() else {
            return;
        };
        let outcome = match landing {
            Landing::Lost => outcome_of(&step, unanswered(&step)),
            Landing::Vain => outcome_of(&step, StepResult::Effect(Effect::done())),
            Landing::Answered | Landing::Unanswered => {
                if state.leader != k {
                    let what = format!("{} lands after the lease went to the other process", step.id);
                    state.broken.get_or_insert(Broken {
                        rule: Rule::Closing,
                        what,
                    });
                }
                let outcome = self.apply(state, k, &step);
                if is_done(&outcome) {
                    self.tally.count(Happening::Closed);
                }
                if landing == Landing::Unanswered {
                    self.tally.count(Happening::ReplyLost);
                    outcome_of(&step, unanswered(&step))
                } else {
                    outcome
                }
            }
        };
        planned.done.push(outcome);
        self.pass_fence(state, k, planned, at + 1);
    }

    /// What comes after the closing writes.
    fn finish(&self, state: &mut State, k: usize, mut planned: Planned) {
        let held = !planned.done.iter().all(is_done);
        let rest: Vec<Step> = planned.plan.waves.iter().skip(1).flatten().cloned().collect();
        for step in &rest {
            let outcome = if held {
                outcome_of(step, StepResult::Withheld(Withheld::NotLeading))
            } else {
                self.apply(state, k, step)
            };
            planned.done.push(outcome);
        }
        Self::report(state, k, &planned);
    }
}

/// Of a step that is several writes, the first. `false`: it is a single one.
fn half_of(state: &mut State, step: &Step) -> bool {
    if let Action::Cluster(ClusterAction::OpenRound { probes, .. }) = &step.action
        && let Some(first) = probes.first()
    {
        let half = Step {
            action: Action::Cluster(ClusterAction::ApplyProbe(first.clone())),
            ..step.clone()
        };
        state.world_mut().apply(&half);
        state.world_mut().journal.clear();
        state.world_mut().writes.clear();
        return true;
    }
    false
}

/// What a plan is, for people.
pub(crate) fn brief(plan: &Plan) -> String {
    let steps: Vec<String> = plan.steps().map(|s| s.id.to_string()).collect();
    let waits: Vec<String> = plan
        .waits
        .iter()
        .map(|w| format!("{}: {}", w.reason, w.message))
        .collect();
    format!("steps {steps:?}, waits {waits:?}")
}
