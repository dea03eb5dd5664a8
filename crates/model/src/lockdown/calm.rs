//! Once faults stop: from this very moment on agents are honest, broken paths are repaired, the approver approves what is asked
//! for, a policy goes on making zone groups where there are none, and nothing else happens. Then what is desired has to come
//! about, and stay.
//!
//! The continuation is deterministic, so a situation that comes again before that is a livelock, and one that cannot change
//! any more is a deadlock. From every explored state such a continuation is run; that is a sound check of "eventually always"
//! in all of them, because explored states include every one in which faults may stop.

use sreg_api::ChangeKind;
use sreg_api::registry::{LockdownGate, PublicAccess};
use sreg_domain::seen::ApprovalSeen;
use sreg_domain::{Digest, Fact};

use super::disturbance::{answer, policy_acts, set_alive};
use super::operator::{End, Landing, brief};
use super::state::{Pass, State};
use super::{Lockdown, truth};

/// Far more than any way takes.
const MOST: usize = 200;

impl Lockdown {
    /// Whether what is desired comes about once faults stop, or what happens instead.
    pub fn comes_to_rest(&self, from: &State) -> Result<(), String> {
        let mut state = from.clone();
        state.world_mut().broken.clear();
        (0..2).for_each(|n| set_alive(state.world_mut(), n, true));
        let mut met = Vec::new();
        let verdict = self.go_on(&mut state, &mut met);
        if verdict.is_ok() {
            self.calm.lock().unwrap().extend(met);
        }
        verdict
    }

    fn go_on(&self, state: &mut State, met: &mut Vec<u64>) -> Result<(), String> {
        for _ in 0..MOST {
            let here = state.situation();
            if self.calm.lock().unwrap().contains(&here) {
                return Ok(());
            }
            if met.contains(&here) {
                return Err(format!("comes back to the same situation: {}", self.now(state)));
            }
            met.push(here);
            self.others_act(state);
            let before = state.situation();
            self.whole_pass(state);
            if state.situation() != before {
                continue;
            }
            match self.is_reached(state) {
                true => return Ok(()),
                false => state.tick(),
            }
        }
        Err(format!("not at rest after {MOST} passes: {}", self.now(state)))
    }

    fn others_act(&self, state: &mut State) {
        (0..2).for_each(|n| answer(state, n));
        self.approve(state);
        if self.config.policy_acts {
            policy_acts(state.world_mut());
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
        if !state.world.desired.gates.contains(&LockdownGate::Approval) {
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
        };
        if state.world.seen.cluster.approvals != Fact::Seen(vec![approval.clone()]) {
            state.world_mut().seen.cluster.approvals = Fact::Seen(vec![approval]);
            state.ghost.approved = Some(truth::approvable(&state.world));
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
        as_desired && plan.waves.is_empty() && plan.waits.is_empty()
    }

    fn now(&self, state: &State) -> String {
        let mut seen = state.world.seen_now();
        seen.memory = state.operators[state.leader].memory.clone();
        brief(&self.plan(&state.world, &seen))
    }
}
