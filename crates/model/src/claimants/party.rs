//! One of the two objects, with the operator of its cluster and all that both see. A pass goes wave by wave, with the fence where it
//! stands in `act`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use sreg_api::SecureRegistryStatus;
use sreg_api::names::CLAIM_TAG;
use sreg_api::registry::PublicAccess;
use sreg_domain::action::{Effect, StepOutcome, StepResult};
use sreg_domain::seen::{Claim, Memory};
use sreg_domain::{Action, AzureAction, ClusterAction, Fact, Grants, Seen, Withheld};
use sreg_planner::plan::WaitReason;
use sreg_planner::{Plan, ReportInput, Step, lint, plan, report, validate};

use super::{Claimants, Disturbance, Flaw, Happening, Second, State, rules, without_take_over};
use crate::lockdown::disturbance::begin_emergency;
use crate::lockdown::state::{Planned, Rule, age, old, tick_world};
use crate::lockdown::state_key::{Numbers, hash_memory, hash_world, names, plan_key};
use crate::world::{World, settings};

/// One object, its operator, and what they see.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) world: Arc<World>,
    /// What names depended on when the operator last looked.
    names: Option<u64>,
    pub(crate) pass: Option<Arc<Pass>>,
}

/// A pass under way.
#[derive(Clone)]
pub(crate) struct Pass {
    planned: Planned,
    /// The wave that comes next.
    next: usize,
    /// A step of an earlier wave was not carried out.
    held: bool,
}

impl Party {
    pub(crate) fn new(mut world: World) -> Party {
        world.seen.memory = Memory::default();
        Party {
            world: Arc::new(world),
            names: None,
            pass: None,
        }
    }

    pub(crate) fn world_mut(&mut self) -> &mut World {
        Arc::make_mut(&mut self.world)
    }

    /// A new process in this one's place.
    fn restart(&mut self) {
        self.world_mut().seen.memory = Memory::default();
        self.names = None;
        self.pass = None;
    }

    pub(crate) fn tick(&mut self) {
        let world = self.world_mut();
        tick_world(world);
        let oldest = old(world);
        age(&mut world.seen.memory, oldest);
        if let Some(pass) = &mut self.pass {
            let pass = Arc::make_mut(pass);
            pass.planned = pass.planned.tick();
        }
    }

    pub(crate) fn hash_with(&self, hasher: &mut impl Hasher) {
        let mut numbers = Numbers::in_order();
        hash_world(&self.world, &mut numbers, hasher);
        hash_memory(&self.world.seen.memory, &mut numbers, hasher);
        (self.names, &self.world.desired.object.uid).hash(hasher);
        self.pass.is_some().hash(hasher);
        let Some(pass) = &self.pass else { return };
        let (then, now) = (&pass.planned.world.desired.object, &self.world.desired.object);
        (
            pass.planned.key(),
            pass.next,
            pass.held,
            then.generation == now.generation,
        )
            .hash(hasher);
        for step in &pass.planned.done {
            (&step.step, std::mem::discriminant(&step.result)).hash(hasher);
        }
    }

    /// What the operator sees now, with what it remembers.
    fn observe(&mut self, flaw: Option<Flaw>) -> Seen {
        let names = names(&self.world);
        let changed = self.names.is_some_and(|known| known != names);
        self.names = Some(names);
        let memory = &mut self.world_mut().seen.memory;
        memory.since_name_change.get_or_insert(Duration::ZERO);
        if changed {
            memory.since_name_change = Some(Duration::ZERO);
            memory.name_changed = Some(Duration::ZERO);
        }
        let mut seen = match flaw {
            Some(flaw) => flawed(World::clone(&self.world), flaw).seen_now(),
            None => self.world.seen_now(),
        };
        seen.nonce = self.new_number();
        seen
    }

    /// A round number that nobody of this object's holds.
    fn new_number(&self) -> i64 {
        let seen = &self.world.seen;
        let probes = seen.cluster.probes.values().filter_map(Fact::seen);
        let told = probes.flat_map(|p| [Some(p.spec.round), p.status.as_ref().map(|s| s.round)]);
        let opened = seen.memory.round.iter().map(|round| round.number);
        let taken: Vec<i64> = told.flatten().chain(opened).collect();
        (1..).find(|n| !taken.contains(n)).unwrap()
    }
}

/// The world as an operator with this flaw sees it.
fn flawed(mut world: World, flaw: Flaw) -> World {
    match flaw {
        Flaw::TakesClaimsForItsOwn => {
            let mark = world.desired.claim_mark().to_string();
            world.seen.cluster.claim = Fact::Seen(Claim::of(&world.desired.object, None));
            world.tag_claim(Some(&mark));
        }
        Flaw::FightsForTheTag if rules::tag_names_another_cluster(&world) => {
            world.tag_claim(None);
            world.seen.object.status.claim_lost_to = None;
        }
        Flaw::FightsForTheTag | Flaw::DeletesWithoutSecondLook => {}
    }
    world
}

/// Whether the other one can see what comes of it.
fn is_shared(step: &Step) -> bool {
    match &step.action {
        Action::Azure(_) => true,
        Action::Cluster(action) => matches!(
            action,
            ClusterAction::Claim { .. }
                | ClusterAction::ReleaseClaim { .. }
                | ClusterAction::RecordCreation { .. }
                | ClusterAction::WriteSnapshot { .. }
                | ClusterAction::DeleteSnapshot { .. }
        ),
    }
}

fn deletes(step: &Step) -> bool {
    matches!(&step.action, Action::Azure(action) if action.removes().is_some())
}

impl Claimants {
    fn plan(&self, k: usize, world: &World, seen: &Seen) -> Arc<Plan> {
        let key = (k, world.desired.object.uid.clone(), plan_key(world, seen));
        if let Some(known) = self.plans.lock().unwrap().get(&key) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(plan(&world.desired, seen, world.now));
        self.plans.lock().unwrap().insert(key, Arc::clone(&fresh));
        fresh
    }

    /// What is wrong with this one's operator: it takes two to fight.
    fn flaw_of(&self, k: usize) -> Option<Flaw> {
        self.flaw.filter(|flaw| k == 1 || *flaw == Flaw::FightsForTheTag)
    }

    /// An operator looks and plans; a pass that the other cannot see anything of is over at once.
    pub(crate) fn look(&self, state: &mut State, k: usize) {
        let seen = state.parties[k].observe(self.flaw_of(k));
        let world = Arc::clone(&state.parties[k].world);
        let plan = if self.flaw_of(k).is_some() {
            Arc::new(plan(&world.desired, &seen, world.now))
        } else {
            self.plan(k, &world, &seen)
        };
        if let Some(refused) = plan.waits.iter().find(|w| w.reason == WaitReason::PlanRefusedStalled) {
            state.breaks(Rule::Refused, format!("object {k}: {}", refused.message));
        }
        if plan
            .waits
            .iter()
            .any(|w| w.reason == WaitReason::ClaimedElsewhereStalled)
        {
            self.tally.count(Happening::ToldOfTheHolder(k));
        }
        let seen_by_the_other = plan.steps().any(is_shared);
        let planned = Planned::new(plan, world, seen, false);
        state.parties[k].pass = Some(Arc::new(Pass {
            planned,
            next: 0,
            held: false,
        }));
        while !seen_by_the_other && state.parties[k].pass.is_some() {
            self.carry(state, k);
        }
    }

    /// The next wave; behind the last one the pass is reported.
    pub(crate) fn carry(&self, state: &mut State, k: usize) {
        let Some(pass) = state.parties[k].pass.take() else {
            return;
        };
        let mut pass = Arc::unwrap_or_clone(pass);
        let wave = pass.planned.plan.waves.get(pass.next).cloned().unwrap_or_default();
        let held = pass.held;
        for step in &wave {
            let result = if held && !step.action.only_tells() {
                StepResult::Withheld(Withheld::NotLeading)
            } else {
                match self.pass_fence(state, k, &pass.planned, step) {
                    Ok(()) => self.apply(state, k, step),
                    Err(why) => {
                        self.tally.count(Happening::RefusedByFence(k));
                        StepResult::Withheld(why)
                    }
                }
            };
            pass.held |= !matches!(result, StepResult::Effect(Effect::Done { .. })) && !step.action.only_tells();
            pass.planned.done.push(StepOutcome {
                step: step.id.clone(),
                action: step.action.clone(),
                result,
            });
        }
        pass.next += 1;
        if pass.next < pass.planned.plan.waves.len() {
            state.parties[k].pass = Some(Arc::new(pass));
        } else {
            Self::report(&mut state.parties[k], &pass.planned);
        }
        if state.parties[k].world.gone {
            self.tally.count(Happening::Ended(k));
        }
        state.share(k, self.config.second);
    }

    /// A whole pass of one, nothing between its waves.
    pub(crate) fn whole_pass(&self, state: &mut State, k: usize) {
        if state.parties[k].pass.is_none() && !state.parties[k].world.gone {
            self.look(state, k);
        }
        while state.parties[k].pass.is_some() {
            self.carry(state, k);
        }
    }

    /// As `act/fence.rs`.
    fn pass_fence(&self, state: &mut State, k: usize, planned: &Planned, step: &Step) -> Result<(), Withheld> {
        let flaw = self.flaw_of(k);
        let asks = step.action.closes()
            || step.action.opens()
            || (deletes(step) && self.flaw != Some(Flaw::DeletesWithoutSecondLook));
        if !asks {
            return Ok(());
        }
        let world = Arc::clone(&state.parties[k].world);
        let object = &world.desired.object;
        if world.gone || (object.generation, &object.uid) != planned.identity() {
            return Err(Withheld::ObjectGone);
        }
        if world.seen.object.deleting != planned.world.seen.object.deleting {
            return Err(Withheld::ObjectDeleted);
        }
        let desired = validate(&world.object, &settings(), &world.desired.grants)
            .map_err(|_| Withheld::SpecBroken("the object names no registry".to_owned()))?;
        if desired.grants != world.desired.grants {
            return Err(Withheld::GrantsChanged);
        }
        let seen = state.parties[k].observe(flaw);
        let fresh = plan(&world.desired, &seen, world.now);
        if let Some(broken) = lint(&world.desired, &seen, &fresh).first() {
            return Err(Withheld::BreaksRule {
                rule: broken.rule,
                message: broken.message.clone(),
            });
        }
        if fresh.takes_claim() {
            return Err(Withheld::ClaimGone);
        }
        let waves = if step.action.closes() { 1 } else { fresh.waves.len() };
        let mut now = fresh.waves.iter().take(waves).flatten();
        let same = now.any(|s| s.id == step.id && s.action == step.action);
        same.then_some(()).ok_or(Withheld::NotPlanned)
    }

    /// One step takes effect.
    fn apply(&self, state: &mut State, k: usize, step: &Step) -> StepResult {
        if let Some((rule, why)) = rules::why_not(state, k, &step.action, self.config.second) {
            state.breaks(rule, format!("{} of object {k} goes out, but {why}", step.id));
        }
        let before = state.parties[k].world.closed();
        let why_not_open = rules::why_not_open(state, k);
        let world = state.parties[k].world_mut();
        let outcome = world.apply(step);
        world.journal.clear();
        world.writes.clear();
        let done = matches!(outcome.result, StepResult::Effect(Effect::Done { .. }));
        let after = state.parties[k].world.closed();
        let turned = |to: bool| {
            let mut all = before.iter();
            all.any(|(target, closed)| *closed != to && after.get(target) == Some(&to))
        };
        if turned(false) {
            self.tally.count(Happening::Opened(k));
            if let Some(why) = why_not_open {
                state.breaks(Rule::Opening, format!("{} of object {k} opens, but {why}", step.id));
            }
        }
        if turned(true) {
            self.tally.count(Happening::Closed(k));
            state.ghost.closed_by = Some(k);
        }
        if state.parties[k].world.all_open() {
            state.ghost.closed_by = None;
        }
        match &step.action {
            Action::Azure(AzureAction::CreateEndpoint { id, .. } | AzureAction::MergeTags { id, .. }) if done => {
                state.ghost.made_by.insert(id.clone(), k);
            }
            Action::Azure(AzureAction::DeleteEndpoint { id, .. }) if done => {
                self.tally.count(Happening::Deleted(k));
                state.ghost.made_by.remove(id);
            }
            Action::Azure(_) | Action::Cluster(_) => {}
        }
        outcome.result
    }

    fn report(party: &mut Party, planned: &Planned) {
        if party.world.gone {
            return;
        }
        let told = report(ReportInput {
            desired: &planned.world.desired,
            seen: &planned.seen,
            plan: &planned.plan,
            outcome: &planned.outcome(),
            now: party.world.now,
        });
        let lost = planned.plan.assessment.path_is_lost;
        let world = party.world_mut();
        world.tell(&told.decided);
        let lost_for = world.seen.memory.lost_for.unwrap_or_default();
        world.seen.memory.lost_for = lost.then_some(lost_for);
        world.seen.object.status = told.status;
        // Only people read it.
        world.seen.object.status.history.clear();
        world.answer();
        world.approve();
    }

    /// It comes about. `false`: there was nothing for it to happen to.
    pub(crate) fn disturb(&self, state: &mut State, what: Disturbance, k: usize) -> bool {
        let party = &mut state.parties[k];
        let lives = !party.world.gone && !party.world.seen.object.deleting;
        match what {
            Disturbance::WipeClaimTag => {
                let registry = party.world.seen.azure.registry_details();
                let tagged = registry.is_some_and(|registry| registry.tags.contains_key(CLAIM_TAG));
                party.world_mut().tag_claim(None);
                // Between clusters the tag is all there is: whoever wipes it frees the registry (docs/security.md).
                if self.config.second == Second::InAnotherCluster {
                    state.ghost.closed_by = None;
                }
                state.share(k, self.config.second);
                tagged
            }
            Disturbance::Reapply => {
                if !party.world.gone {
                    return false;
                }
                let world = party.world_mut();
                world.come_again();
                world.wish();
                party.restart();
                state.share(k, self.config.second);
                true
            }
            _ if !lives => false,
            Disturbance::Enable => {
                let wanted = party.world.desired.public_access == PublicAccess::Disabled;
                if wanted {
                    let enable = |object: &mut sreg_api::SecureRegistry| {
                        object.spec.public_access.desired = PublicAccess::Enabled;
                    };
                    party.world_mut().turn_ungranted(enable);
                }
                wanted
            }
            Disturbance::BreakGlass => {
                begin_emergency(party.world_mut());
                true
            }
            Disturbance::Delete => {
                let world = party.world_mut();
                world.delete();
                world.gone = !world.seen.object.has_finalizer;
                if world.gone {
                    self.tally.count(Happening::Ended(k));
                }
                state.share(k, self.config.second);
                true
            }
            Disturbance::LetTakeOver => {
                party.world_mut().regrant(None);
                state.ghost.may_take_over[k] = true;
                true
            }
            Disturbance::TakeGrants => {
                party.world_mut().regrant(Some(Grants::default()));
                state.ghost.granted[k] = false;
                true
            }
            Disturbance::EraseStatus => {
                party.world_mut().seen.object.status = SecureRegistryStatus::default();
                true
            }
            Disturbance::Restart => {
                party.restart();
                true
            }
        }
    }

    /// Administrators give back what they took.
    pub(crate) fn give_grants(state: &mut State) {
        for k in 0..2 {
            if !state.ghost.granted[k] {
                let world = state.parties[k].world_mut();
                let grants = (!state.ghost.may_take_over[k]).then(|| without_take_over(world));
                world.regrant(grants);
                state.ghost.granted[k] = true;
            }
        }
    }
}
