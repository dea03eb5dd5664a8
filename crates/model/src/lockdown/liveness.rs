//! Once faults stop: from this very moment on everything is granted, nobody else holds the claim, agents are honest, broken paths
//! are repaired, the approver approves what is asked for, a policy goes on making zone groups where there are none, and nothing else
//! happens. Then what is desired has to come about, and stay.
//!
//! | schedule | from each explored state |
//! | --- | --- |
//! | `OthersFirst` | all of them act, the leader makes a whole pass, and so on; time passes where nothing changes |
//! | `HandedOver` | the lease goes to the other process, once; then its pass comes first, the others act after it |
//!
//! Each schedule is deterministic. So a situation that comes again before what is desired has come about is a livelock, and one
//! that cannot change any more a deadlock. Once it has come about, time passes with every round, until a situation comes again:
//! by then all ages have saturated, so that what follows is the same for ever. In every round until then nothing is written (but
//! what a break-glass is told that ends meanwhile), nothing is waited for, and everything is as desired: "eventually always", not
//! only "eventually". Against a policy that obstructs, to rest is to write nothing and to say why. A way that is known from a former
//! state is not walked again; on a way that is walked, a rule that is broken is found too.
//!
//! What this is not: it checks these two fair schedules from each state, not every fair schedule, as a checker of temporal logic
//! would. But explored states include every one in which faults may stop, and every one that any order of undisturbed actions leads
//! to; so a schedule may begin in any order, and the lease may be handed over at any moment of it.

use std::collections::HashMap;

use sreg_api::ChangeKind;
use sreg_api::registry::{LockdownGate, PublicAccess};
use sreg_domain::seen::ApprovalSeen;
use sreg_domain::{Digest, Fact};
use sreg_planner::plan::WaitReason;

use super::coverage::Happening;
use super::disturbance::{answer, give_back, set_alive, storage_endpoint};
use super::operator::{End, Landing, brief};
use super::state::{Pass, State};
use super::{Flaw, Lockdown, Policy, invariants, policy};
use crate::world::scramble::Blow;

/// Far more than any way takes.
const MOST: usize = 200;

/// In which order things go on once faults stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Schedule {
    OthersFirst,
    HandedOver,
}

/// Situations from which what is desired comes about and stays, by schedule; `true`: it had come about there.
pub(crate) type Calm = HashMap<(Schedule, u64), bool>;

impl Lockdown {
    /// Whether what is desired comes about once faults stop, and stays, or what happens instead.
    pub fn comes_to_rest(&self, from: &State) -> Result<(), String> {
        for schedule in [Schedule::OthersFirst, Schedule::HandedOver] {
            let mut state = from.clone();
            state.world_mut().regrant(None);
            give_back(state.world_mut());
            state.world_mut().broken.clear();
            (0..2).for_each(|n| set_alive(state.world_mut(), n, true));
            if schedule == Schedule::HandedOver {
                self.hand_over(&mut state);
            }
            let mut met = Vec::new();
            self.go_on(&mut state, schedule, &mut met)
                .map_err(|why| format!("{schedule:?}: {why}"))?;
            let met = met.into_iter().map(|(here, reached)| ((schedule, here), reached));
            let mut calm = self.calm.lock().unwrap();
            met.for_each(|(here, reached)| *calm.entry(here).or_default() |= reached);
        }
        Ok(())
    }

    fn go_on(&self, state: &mut State, schedule: Schedule, met: &mut Vec<(u64, bool)>) -> Result<(), String> {
        let mut reached = false;
        for _ in 0..MOST {
            if let Some(broken) = &state.broken {
                return Err(format!("on the way {:?} is broken: {}", broken.rule, broken.what));
            }
            let here = state.situation();
            let known = self.calm.lock().unwrap().get(&(schedule, here)).copied();
            if known.is_some_and(|then| then || !reached) || (reached && met.contains(&(here, true))) {
                return Ok(());
            }
            if met.contains(&(here, reached)) {
                return Err(format!("comes back to the same situation: {}", self.now(state)));
            }
            met.push((here, reached));
            if reached {
                state.tick();
                self.disturb_the_rest(state);
                self.everybody_acts(state, schedule, true)?;
                continue;
            }
            self.everybody_acts(state, schedule, false)?;
            if state.situation() != here {
                continue;
            }
            reached = self.is_reached(state);
            if !reached {
                state.tick();
            }
        }
        Err(format!("not at rest after {MOST} passes: {}", self.now(state)))
    }

    /// One round. At rest nothing is left to do, before and after every turn.
    fn everybody_acts(&self, state: &mut State, schedule: Schedule, at_rest: bool) -> Result<(), String> {
        let stays = |state: &State| match !at_rest || self.is_reached(state) {
            true => Ok(()),
            false => Err(format!("was reached, and is lost again: {}", self.now(state))),
        };
        match schedule {
            Schedule::OthersFirst => {
                self.others_act(state);
                stays(state)?;
                self.whole_pass(state);
            }
            Schedule::HandedOver => {
                stays(state)?;
                self.whole_pass(state);
                self.others_act(state);
            }
        }
        stays(state)
    }

    /// The lease goes to the other process. What this one has under way ends first, as [`super`] says.
    fn hand_over(&self, state: &mut State) {
        let k = state.leader;
        while matches!(state.operators[k].pass, Pass::Sent(..)) {
            self.land(state, k, Landing::Answered);
        }
        // What it planned when it was the leader before, it has given up.
        self.carry(state, 1 - k);
        if matches!(state.operators[k].pass, Pass::Idle) {
            Self::dies(state, k);
        }
        state.leader = 1 - k;
    }

    fn others_act(&self, state: &mut State) {
        (0..2).for_each(|n| answer(state, n));
        self.approve(state);
        policy::acts(state.world_mut(), self.config.policy);
        if self.flaw == Flaw::PolicyUndoes {
            let at = storage_endpoint(&state.world);
            state.world_mut().suffer(Blow::RemoveZoneGroup(at));
        }
    }

    fn disturb_the_rest(&self, state: &mut State) {
        if self.flaw == Flaw::RestIsDisturbed {
            state.world_mut().suffer(Blow::OpenStorage);
        }
    }

    fn whole_pass(&self, state: &mut State) {
        let k = state.leader;
        if state.world.gone {
            return;
        }
        if matches!(state.operators[k].pass, Pass::Idle) {
            self.look(state, k, End::Whole);
        }
        self.carry(state, k);
        while matches!(state.operators[k].pass, Pass::Sent(..)) {
            self.land(state, k, Landing::Answered);
        }
    }

    /// The approver approves what the operator asks for, if anything.
    pub(crate) fn approve(&self, state: &mut State) {
        let spec = state.world.desired.whole();
        let asked = spec.is_some_and(|spec| spec.gates.contains(&LockdownGate::Approval));
        if !asked || self.flaw == Flaw::NobodyApproves {
            return;
        }
        let wanted = state.world.seen.object.status.approvals_wanted.first();
        let Some(digest) = wanted.map(|w| Digest::from_text(&w.digest)) else {
            return;
        };
        let approval = ApprovalSeen {
            name: "approved".into(),
            change: ChangeKind::Lockdown,
            digest,
            approved_by: "joe".into(),
            uid: "approved".into(),
            status: None,
        };
        let known = state.world.seen.cluster.approvals.seen().map(Vec::as_slice);
        let given = known.is_some_and(|all| matches!(all, [one] if one.digest == approval.digest));
        if !given {
            state.world_mut().seen.cluster.approvals = Fact::Seen(vec![approval]);
            state.ghost.approved = Some(invariants::approvable(&state.world));
        }
    }

    /// What is desired is so, and the operator has nothing left to do or to wait for.
    fn is_reached(&self, state: &State) -> bool {
        let world = &state.world;
        if world.seen.object.deleting {
            return world.gone;
        }
        let as_desired = match world.desired.public_access {
            PublicAccess::Disabled => world.all_closed(),
            PublicAccess::Enabled => world.all_open(),
        };
        let mut seen = world.seen_now();
        seen.memory = state.operators[state.leader].memory.clone();
        seen.nonce = state.new_number();
        let plan = self.plan(world, &seen);
        let still = plan.steps().all(|step| step.action.only_tells());
        let says_why = plan
            .waits
            .iter()
            .any(|w| w.reason == WaitReason::ForeignResourceStalled);
        let obstructed = self.config.policy == Policy::Obstructs && says_why;
        // After the third rollback only a change of spec locks again, and the plan says so.
        let rollbacks = world.seen.object.status.rollback.as_ref().map_or(0, |r| r.count);
        let lost = plan.waits.iter().any(|w| w.reason == WaitReason::PathLostStalled);
        let given_up = rollbacks >= 3 && lost && world.all_open();
        if still && (obstructed || given_up) {
            self.tally.count(Happening::Stalled);
        }
        still && (obstructed || given_up || (as_desired && plan.waits.is_empty()))
    }

    fn now(&self, state: &State) -> String {
        let mut seen = state.world.seen_now();
        seen.memory = state.operators[state.leader].memory.clone();
        brief(&self.plan(&state.world, &seen))
    }
}
