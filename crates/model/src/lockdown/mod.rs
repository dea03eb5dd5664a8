//! The lockdown: planner × Azure × policy × approver × agents × crashes × two operators, for one registry and two client
//! networks. Every plan comes from the real `plan`, every status from the real `report`, every wish from the real `validate`.
//!
//! ```text
//! Look ──► neither opens nor closes: carried out and reported at once, or broken off by a crash, or unanswered
//!   └────► opens or closes: Planned ─ anything may happen ─► Carry ─► opens
//!                                                              └────► fence ─► Sent ─ anything but time ─► Land
//! ```
//!
//! Free to happen at any moment, any number of times: time passes, the leader looks, agents answer what they find, broken paths
//! are repaired, silent agents come back, the approver approves what he is asked for, a policy makes zone groups where there are none.
//! What disturbs ([`disturbance`]) costs one of a budget: an exploration with budget *n* holds every way in which *n* disturbances
//! can meet every moment of a run, and fails if one of its disturbances never changed anything.
//!
//! Rules are judged from the model's own knowledge (`truth`), never from the planner's assessment:
//!
//! * a closing write goes out only if spec, emergency, lease, proof, `dnsSettle` and approval all allow it, at that instant;
//! * a closed target is opened by us only by spec, break-glass in force, or the rollback that was chosen and confirmed, and only while
//!   the registry is granted and claimed, in this cluster and in Azure;
//! * what we delete in Azure was made by this object, which holds the claim;
//! * neither the planner's lint nor this Azure ever has to refuse what was planned;
//! * from every state, once faults stop, what is desired comes about and stays (`calm`); deletion ends; nothing livelocks.
//!
//! That each of them can be found broken is shown with a [`Flaw`] or by its clauses (`apart`).
//!
//! # Bounds
//!
//! | | |
//! | --- | --- |
//! | world | one registry in one region, one storage account, one container registry that may gain a region; endpoints in one subnet |
//! | networks | two, with an agent each |
//! | processes | two, with one lease between them |
//! | starts | nothing there; all built and nothing proven; locked, the grace period just begun |
//! | budget | 1 of every kind that can change anything, from built and from locked (Hold and Reopen); 2 of those that belong together: names, losses, emergencies and specs that turn, who is silent or forgotten, others who claim the registry while it is opened or deleted |
//! | budget, whole campaign | also 2 while building and with slow caches, 3 losses, 2 emergencies on the way to the lock, 2 of silence, approval and erased status with crash and hand-over on that way, 1 beside a policy that competes or obstructs |
//! | durations | `maxAge`, the grace period and a break-glass last one tick, `dnsSettle` one (in one exploration two, longer than evidence is fresh) |
//!
//! An exploration is complete within these; beyond them it says nothing. More networks, registries and regions are the property
//! tests' and the scenarios'.
//!
//! # What is abstracted, and why that is sound
//!
//! * **Time** goes in ticks of a minute, and ages saturate one tick beyond the longest duration that they are compared with, so nothing
//!   is lost but the pauses after a third rollback. What happens within a tick has an order but no length.
//! * **Round numbers** are new whenever one is drawn, and only their equality counts: states that differ in their names are one. What
//!   else tells states apart is told, and tested, in `key` and `apart`.
//! * **The lease** stays with a process while its closing write is under way. That is what the model of the lease proves
//!   ([`super::election`]), for writes that are sent only while more of the lease is left than they may take.
//! * **Plans** that neither open nor close are carried out at once, or broken off in the ways listed; a plan made from an old view
//!   is explored where it matters, for writes that open or close: between plan and fence anything may happen.
//! * Each **observation** is complete. That ignorance closes and opens nothing is a law of the planner's property tests, and a 404
//!   that is not believed is ignorance; slow operations, refusals, locks and 429 are the property tests' and the campaign's.
//! * An **agent** may be silent, wrong about failures, late, echo the wrong things, or succeed at a wrong address; one that echoes
//!   everything right and lies about success cannot be told from an honest one.
//! * The **grace period** of a lock begins when a status first says that it is locked, not with the closing write: whoever dies in
//!   between gives the lock a later one. That is how the product counts, and a limit of it.
//! * A **break-glass** that is over is collected soon after; one at a time. What it was told names clock times, so it is told again
//!   after a tick.
//! * What only people read (messages, history, events, transition times) does not tell states apart.

pub mod coverage;
mod distinguishability;
pub mod disturbance;
pub(crate) mod invariants;
mod liveness;
pub mod operator;
mod policy;
pub(crate) mod state;
pub(crate) mod state_key;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sreg_api::registry::{DeletionPolicy, DnsMode, DnsSpec, LockdownGate, LockdownSpec, RollbackPolicy, RollbackSpec};
use stateright::{Model, Property};

use crate::world::World;
use coverage::{Happening, Tally};
use disturbance::Disturbance;
use liveness::Calm;
use operator::{End, Landing};
use state::Pass;
pub use state::{Broken, Rule, State};

/// The client networks.
pub(crate) const NETWORKS: [&str; 2] = ["hub", "spoke"];
/// Their vantage points.
pub(crate) const POINTS: [&str; 2] = ["hub-agent", "spoke-agent"];

/// One registry, two client networks, everything short.
pub(crate) const SPEC: &str = r#"
apiVersion: secureregistry.dev/v1alpha1
kind: SecureRegistry
metadata: {name: contoso-models, namespace: ml-platform, uid: 11111111-2222-3333-4444-555555555555, generation: 1}
spec:
  registry:
    resourceId: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contosoreg
  endpoints:
    - name: hub
      subnetResourceId: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-hub/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints
      dns:
        linkVirtualNetworks:
          - /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-hub/providers/Microsoft.Network/virtualNetworks/hub
          - /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-spoke/providers/Microsoft.Network/virtualNetworks/spoke
  clientNetworks:
    - {name: hub, virtualNetworkResourceId: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-hub/providers/Microsoft.Network/virtualNetworks/hub, vantagePoint: hub-agent}
    - {name: spoke, virtualNetworkResourceId: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-spoke/providers/Microsoft.Network/virtualNetworks/spoke, vantagePoint: spoke-agent}
  verification: {consecutiveSuccesses: 2, interval: 10s, maxAge: 1m, dnsSettle: 1m}
"#;

/// Where an exploration begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing is done yet.
    Nothing,
    /// Endpoints and names are there, nothing is proven.
    Built,
    /// Locked, the grace period begins.
    Locked,
}

/// One exploration.
#[derive(Debug, Clone)]
pub struct Config {
    /// For people.
    pub name: &'static str,
    /// Where it begins.
    pub start: Start,
    /// What a lost path does.
    pub rollback: RollbackPolicy,
    /// The lock waits for an approval.
    pub approval: bool,
    /// What a policy does about zone groups, at any moment.
    pub policy: Policy,
    /// Clients may hold former answers for so many ticks; evidence is fresh for one.
    pub dns_settle: u8,
    /// What deletion does.
    pub deletion: DeletionPolicy,
    /// How many disturbances.
    pub budget: u8,
    /// Which. Each has to change something somewhere.
    pub disturbances: Vec<Disturbance>,
}

/// An Azure Policy that makes a zone group wherever an endpoint has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// There is none.
    Absent,
    /// It makes them instead of us: `dns.mode: Policy`.
    Serves,
    /// It makes them although we do, with our own zones: whoever comes first. `dns.mode: Managed`.
    Competes,
    /// It makes them although we do, with zones of its own, which our networks do not ask: `dns.mode: Managed`. Then there is no way
    /// on, and rest is to say so and to write nothing.
    Obstructs,
}

/// What is wrong on purpose, to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// The plan is not made again before a closing write.
    ClosesWithoutSecondLook,
    /// The plan is not made again before an opening write.
    OpensWithoutSecondLook,
    /// Whatever carries our tag is deleted with the object.
    DeletesWhatIsTagged,
    /// The lease is not asked.
    WritesWithoutLease,
    /// Whoever is asked for an approval never gives it.
    NobodyApproves,
    /// Once faults stop, a policy removes a zone group as often as it is made.
    PolicyUndoes,
    /// Somebody opens a target once everything is at rest.
    RestIsDisturbed,
}

/// The model.
pub struct Lockdown {
    /// What is explored.
    pub config: Config,
    /// What is wrong on purpose.
    pub flaw: Flaw,
    /// What came about.
    pub tally: Arc<Tally>,
    /// What is known about what comes once faults stop.
    calm: Mutex<Calm>,
    /// Plans by what they follow from.
    plans: Mutex<HashMap<u64, Arc<sreg_planner::Plan>>>,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick,
    /// The leading process looks and plans; if nothing opens or closes, it also acts and reports.
    Look,
    /// A process goes on with what it planned: it opens, or comes up to its fence.
    Carry(usize),
    /// Its write lands and is answered.
    Land(usize),
    /// An agent answers what it finds.
    Answer(usize),
    /// A broken path is repaired.
    Heal(usize),
    /// A silent agent is back.
    Speak(usize),
    /// The approver approves what is asked for.
    Approve,
    /// The policy makes zone groups.
    PolicyActs,
    /// Something of the budget.
    Disturb(Disturbance),
}

impl Lockdown {
    /// A model of this configuration.
    pub fn new(config: Config) -> Lockdown {
        Lockdown {
            config,
            flaw: Flaw::None,
            tally: Arc::default(),
            calm: Mutex::default(),
            plans: Mutex::default(),
        }
    }

    fn world(&self) -> World {
        let mut world = World::public(SPEC);
        let config = self.config.clone();
        world.respec(|object| {
            let spec = &mut object.spec;
            spec.deletion_policy = config.deletion;
            let settles = u64::from(config.dns_settle) * state::TICK.as_secs();
            spec.verification.dns_settle = format!("{settles}s");
            spec.public_access.rollback = Some(RollbackSpec {
                on_failure: config.rollback,
                grace_period: "1m".into(),
            });
            if config.approval {
                spec.public_access.lockdown = Some(LockdownSpec {
                    wait_for: vec![LockdownGate::Approval],
                    window: None,
                });
            }
            if config.policy == Policy::Serves {
                spec.endpoints[0].dns = Some(DnsSpec {
                    mode: Some(DnsMode::Policy),
                    ..DnsSpec::default()
                });
            }
        });
        if config.policy == Policy::Serves {
            policy::zones(&mut world);
        }
        world
    }

    /// Goes on without disturbance until this is so.
    fn until(&self, state: &mut State, holds: impl Fn(&State) -> bool) {
        for _ in 0..100 {
            if holds(state) {
                return;
            }
            let before = state.situation();
            (0..2).for_each(|n| disturbance::answer(state, n));
            policy::acts(state.world_mut(), self.config.policy);
            self.approve(state);
            self.step_on(state);
            if state.situation() == before {
                state.tick();
            }
        }
        panic!("the beginning is never reached: {state:#?}");
    }

    fn step_on(&self, state: &mut State) {
        let k = state.leader;
        match state.operators[k].pass {
            Pass::Idle => drop(self.look(state, k, End::Whole)),
            Pass::Planned(_) => self.carry(state, k),
            Pass::Sent(..) => self.land(state, k, Landing::Answered),
        }
    }
}

impl Model for Lockdown {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::new(self.world(), 0);
        match self.config.start {
            Start::Nothing => {}
            Start::Built => self.until(&mut state, |s| {
                let all = s.world.seen.object.status.conditions.iter();
                let ready = |kind: &str| all.clone().any(|c| c.type_ == kind && c.status == "True");
                ready("EndpointsReady") && ready("DnsReady")
            }),
            Start::Locked => self.until(&mut state, |s| {
                let exposure = s.world.seen.object.status.exposure.as_ref();
                s.world.all_closed() && exposure.is_some_and(|e| e.locked_at.is_some())
            }),
        }
        state.left = self.config.budget;
        state.seal();
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() || state.world.gone {
            return;
        }
        if matches!(state.operators[state.leader].pass, Pass::Idle) {
            actions.push(Action::Look);
        }
        for k in 0..2 {
            match state.operators[k].pass {
                Pass::Idle => {}
                Pass::Planned(_) => actions.push(Action::Carry(k)),
                Pass::Sent(..) => actions.push(Action::Land(k)),
            }
        }
        // A write is under way for less than a tick.
        if !state.operators.iter().any(|o| matches!(o.pass, Pass::Sent(..))) {
            actions.push(Action::Tick);
        }
        actions.extend((0..2).map(Action::Answer));
        actions.extend((0..2).map(Action::Heal));
        actions.extend((0..2).map(Action::Speak));
        if self.config.approval {
            actions.push(Action::Approve);
        }
        if self.config.policy != Policy::Absent {
            actions.push(Action::PolicyActs);
        }
        if state.left > 0 {
            let possible = self.config.disturbances.iter().filter(|d| self.can(state, **d));
            actions.extend(possible.map(|d| Action::Disturb(*d)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.tick(),
            Action::Look => drop(self.look(&mut state, last.leader, End::Whole)),
            Action::Carry(k) => self.carry(&mut state, k),
            Action::Land(k) => self.land(&mut state, k, Landing::Answered),
            Action::Answer(n) => disturbance::answer(&mut state, n),
            Action::Heal(n) => {
                let (network, name) = disturbance::PATHS[n];
                state
                    .world
                    .broken
                    .contains(&(network.into(), name.into()))
                    .then_some(())?;
                state.world_mut().broken.remove(&(network.into(), name.into()));
            }
            Action::Speak(n) => {
                state.world.silent.contains(POINTS[n]).then_some(())?;
                disturbance::set_alive(state.world_mut(), n, true);
            }
            Action::Approve => self.approve(&mut state),
            Action::PolicyActs => policy::acts(state.world_mut(), self.config.policy),
            Action::Disturb(disturbance) => self.disturb(&mut state, disturbance).then_some(())?,
        }
        state.seal();
        if state == *last {
            return None;
        }
        if let Action::Disturb(disturbance) = action {
            self.tally.disturbed(disturbance);
            state.left -= 1;
            state.seal();
        }
        if state.world.gone {
            self.tally.count(Happening::Released);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Lockdown>> {
        fn kept(state: &State, rule: Rule) -> bool {
            state.broken.as_ref().is_none_or(|b| b.rule != rule)
        }
        vec![
            Property::always(CLOSING, |_, state| kept(state, Rule::Closing)),
            Property::always(OPENING, |_, state| kept(state, Rule::Opening)),
            Property::always(DELETING, |_, state| kept(state, Rule::Deleting)),
            Property::always(REFUSED, |_, state| kept(state, Rule::Refused)),
            Property::always(RESTING, |model: &Lockdown, state: &State| {
                state.broken.is_some() || model.comes_to_rest(state).is_ok()
            }),
        ]
    }
}

/// The one rule.
pub const CLOSING: &str = "a closing write goes out only behind fresh proof, by the leader";
/// Its mirror.
pub const OPENING: &str = "we open only by spec, break-glass, or the rollback that was chosen";
/// Of deletions in Azure.
pub const DELETING: &str = "we delete only what this object made, while it holds the claim";
/// No plan that the lint or Azure has to refuse.
pub const REFUSED: &str = "the planner plans nothing that its own lint, or Azure, has to refuse";
/// Eventually always.
pub const RESTING: &str = "once faults stop, what is desired comes about and stays";
