//! Two objects name one registry, each with a planner of its own: of two clusters, or of two namespaces of one cluster. The second
//! may be honest (a move from one cluster to another) or hostile (it wants open what the first one closes). Every plan comes from the
//! real `plan`, every status from the real `report`, every wish from the real `validate`.
//!
//! ```text
//! Look ──► writes nothing that the other can see: carried out and reported at once
//!   └────► else Planned ─ anything may happen ─► Carry: the next wave ─ anything may happen ─► … ─► reported
//!                                                  └─ what opens, closes or deletes passes the fence: planned again, live
//! ```
//!
//! What both see is Azure; in one cluster also the claim and what was before the lock. Agents answer honestly, and approvers (each
//! object has its own) approve what they are asked for, as soon as a pass ends: [`super::lockdown`] explores the rest.
//!
//! Rules are judged from what really happened, never from the planner's assessment:
//!
//! * whoever opens is granted that, holds the registry, and wants it open; what the other one closed it opens only where an
//!   administrator let it take over;
//! * whoever closes is granted that and holds the registry;
//! * whoever deletes made what it deletes, or holds by now what the other one of its name left;
//! * neither planner's lint ever has to refuse a plan;
//! * once nothing disturbs them any more neither fights the other: both come to rest and write nothing, and whoever holds the
//!   registry has what it wants.
//!
//! # Bounds
//!
//! One registry, two client networks, endpoints in one subnet that both name; one disturbance at any moment (in the whole campaign of
//! every kind, and two of those that belong together). Writes of one wave have an order and nothing comes between them.

mod party;
mod rest;
mod rules;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use sreg_api::grant::RegistryOperation;
use sreg_api::registry::{DeletionPolicy, PublicAccess};
use sreg_domain::{Fact, Grants, Purpose};
use sreg_planner::Plan;
use stateright::{Model, Property};

use crate::lockdown::SPEC;
use crate::lockdown::state::{Broken, Rule};
use crate::lockdown::state_key::names;
use crate::world::World;
use crate::world::grants::everything_but;
use party::Party;
use rules::Ghost;

/// Where the second object lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Second {
    /// In another namespace of the same cluster, under another name.
    InAnotherNamespace,
    /// In another cluster, under the same namespace and name: the installations have one name, too.
    InAnotherCluster,
}

/// Where an exploration begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Both objects are new, and nothing is done yet.
    Both,
    /// The first one has what it wants; the second one is new.
    FirstIsDone,
    /// The same, and its object has just been deleted.
    FirstIsGoing,
}

/// One exploration.
#[derive(Debug, Clone)]
pub struct Config {
    /// For people.
    pub name: &'static str,
    /// Where the second object lives.
    pub second: Second,
    /// What each of them wants.
    pub wants: [PublicAccess; 2],
    /// An administrator lets the second one take the registry over, from the beginning.
    pub second_may_take_over: bool,
    /// Where it begins.
    pub start: Start,
    /// What the end of either object does.
    pub deletion: DeletionPolicy,
    /// How often time passes; `None`: any number of times.
    pub ticks: Option<u8>,
    /// How many disturbances.
    pub budget: u8,
    /// Which, and of whom. Each has to change something somewhere.
    pub disturbances: Vec<(Disturbance, usize)>,
}

/// What people and chance do to one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Disturbance {
    /// Its spec wants public access.
    Enable,
    /// Somebody begins an emergency in its namespace.
    BreakGlass,
    /// Its object is deleted.
    Delete,
    /// What was deleted is applied again.
    Reapply,
    /// An administrator lets its namespace take the registry over.
    LetTakeOver,
    /// Administrators take every grant of its namespace away. Once nothing disturbs any more they give them back.
    TakeGrants,
    /// Its status is gone.
    EraseStatus,
    /// Its operator begins anew, and remembers nothing.
    Restart,
    /// A job wipes the registry's claim tag (whichever of the two this is said of).
    WipeClaimTag,
}

/// What is wrong on purpose, to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The second operator takes every claim for its own.
    TakesClaimsForItsOwn,
    /// What deletes goes out by a plan from before.
    DeletesWithoutSecondLook,
    /// Either operator sets the claim tag again whenever it names another.
    FightsForTheTag,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick,
    /// An operator looks and plans.
    Look(usize),
    /// It carries out the next wave of its plan.
    Carry(usize),
    /// Something of the budget.
    Disturb(Disturbance, usize),
}

/// Something that has to come about somewhere, and whose doing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Happening {
    /// It closed a target.
    Closed(usize),
    /// It opened one.
    Opened(usize),
    /// It deleted an endpoint.
    Deleted(usize),
    /// Its fence saw another world than the plan.
    RefusedByFence(usize),
    /// It is told that another object holds the registry.
    ToldOfTheHolder(usize),
    /// Its object ended.
    Ended(usize),
}

/// How often each came about.
#[derive(Debug, Default)]
pub struct Tally {
    happened: Mutex<BTreeMap<Happening, u64>>,
    disturbed: Mutex<BTreeMap<(Disturbance, usize), u64>>,
}

impl Tally {
    fn count(&self, what: Happening) {
        *self.happened.lock().unwrap().entry(what).or_default() += 1;
    }

    /// What came about, how often.
    pub fn happened(&self) -> BTreeMap<Happening, u64> {
        self.happened.lock().unwrap().clone()
    }

    /// Which disturbances changed something, how often.
    pub fn disturbed(&self) -> BTreeMap<(Disturbance, usize), u64> {
        self.disturbed.lock().unwrap().clone()
    }
}

/// The model.
pub struct Claimants {
    /// What is explored.
    pub config: Config,
    /// What is wrong on purpose, if anything.
    pub flaw: Option<Flaw>,
    /// What came about.
    pub tally: Arc<Tally>,
    /// Situations that are known to come to rest.
    calm: Mutex<HashSet<u64>>,
    /// Plans by what they follow from.
    plans: Mutex<HashMap<(usize, String, u64), Arc<Plan>>>,
}

/// One moment: what each of the two sees, and what the model itself knows.
#[derive(Clone)]
pub struct State {
    parties: [Party; 2],
    left: u8,
    /// How often time may still pass.
    ticks: Option<u8>,
    ghost: Ghost,
    /// The first rule that was broken.
    pub broken: Option<Broken>,
    key: u64,
}

impl State {
    /// To be called after every change.
    fn seal(&mut self) {
        let mut hasher = DefaultHasher::new();
        (self.situation(), self.left, self.ticks).hash(&mut hasher);
        self.broken.hash(&mut hasher);
        self.key = hasher.finish();
    }

    /// What the future depends on if no disturbance comes any more.
    fn situation(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.parties.iter().for_each(|party| party.hash_with(&mut hasher));
        self.ghost.hash(&mut hasher);
        hasher.finish()
    }

    /// What is there in Azure.
    fn azure(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let world = &self.parties[0].world;
        let digests = world.seen.azure.targets.seen().map(|target| target.digest.as_str());
        digests.collect::<Vec<_>>().hash(&mut hasher);
        names(world).hash(&mut hasher);
        hasher.finish()
    }

    fn breaks(&mut self, rule: Rule, what: String) {
        self.broken.get_or_insert(Broken { rule, what });
    }

    /// What the one did is seen by the other.
    fn share(&mut self, k: usize, second: Second) {
        let (azure, addresses) = {
            let world = &self.parties[k].world;
            (world.seen.azure.clone(), world.addresses)
        };
        let (cluster, gone) = (self.parties[k].world.seen.cluster.clone(), self.parties[k].world.gone);
        let uid = self.parties[k].world.desired.object.uid.clone();
        let other = self.parties[1 - k].world_mut();
        other.addresses = addresses;
        other.seen.azure.targets = azure.targets;
        other.seen.azure.endpoints.extend(azure.endpoints);
        other.seen.azure.zones.extend(azure.zones);
        if second == Second::InAnotherNamespace {
            other.seen.cluster.claim = cluster.claim;
            other.seen.cluster.snapshot = cluster.snapshot;
            other.seen.cluster.restored = cluster.restored;
            let other_is_gone = other.gone;
            let other_uid = other.desired.object.uid.clone();
            for party in &mut self.parties {
                if let Fact::Seen(claim) = &mut party.world_mut().seen.cluster.claim {
                    let lives = |of: &str, gone: bool| claim.uid == of && !gone;
                    claim.alive = lives(&uid, gone) || lives(&other_uid, other_is_gone);
                }
            }
        }
    }

    fn tick(&mut self) {
        self.parties.iter_mut().for_each(Party::tick);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        self.key == other.key
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key.hash(hasher);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("closed", &self.parties[0].world.closed())
            .field(
                "states",
                &[self.parties[0].world.state(), self.parties[1].world.state()],
            )
            .field(
                "messages",
                &[self.parties[0].world.message(), self.parties[1].world.message()],
            )
            .field("ghost", &self.ghost)
            .field("left", &self.left)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Claimants {
    /// A model of this configuration.
    pub fn new(config: Config) -> Claimants {
        Claimants {
            config,
            flaw: None,
            tally: Arc::default(),
            calm: Mutex::default(),
            plans: Mutex::default(),
        }
    }

    fn world(&self, k: usize) -> World {
        let mut yaml = SPEC.to_owned();
        if k == 1 {
            yaml = yaml.replace(
                "11111111-2222-3333-4444-555555555555",
                "22222222-2222-3333-4444-555555555555",
            );
        }
        if k == 1 && self.config.second == Second::InAnotherNamespace {
            yaml = yaml.replace("namespace: ml-platform", "namespace: others");
            yaml = yaml.replace("name: contoso-models", "name: models");
        }
        let mut world = World::public(&yaml);
        if k == 1 && self.config.second == Second::InAnotherCluster {
            world.cluster = "0c0c0c0c-0000-4000-8000-000000000002".to_owned();
        }
        let config = &self.config;
        world.respec(|object| {
            object.spec.deletion_policy = config.deletion;
            object.spec.public_access.desired = config.wants[k];
        });
        let grants = (k == 0 || !config.second_may_take_over).then(|| without_take_over(&world));
        world.regrant(grants);
        world.tag_claim(None);
        world
    }
}

/// What namespaces are granted where nobody decided otherwise.
fn without_take_over(world: &World) -> Grants {
    everything_but(&world.object, &[Purpose::Registry(RegistryOperation::TakeOver)])
}

impl Model for Claimants {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            parties: [Party::new(self.world(0)), Party::new(self.world(1))],
            left: self.config.budget,
            ticks: self.config.ticks,
            ghost: Ghost {
                may_take_over: [false, self.config.second_may_take_over],
                ..Ghost::default()
            },
            broken: None,
            key: 0,
        };
        if self.config.start != Start::Both {
            let done = |state: &State| ["Locked", "Open"].contains(&state.parties[0].world.state().as_str());
            for _ in 0..60 {
                if done(&state) {
                    break;
                }
                let before = state.situation();
                self.whole_pass(&mut state, 0);
                if state.situation() == before {
                    state.tick();
                }
            }
            assert!(done(&state), "{state:#?}");
            if self.config.start == Start::FirstIsGoing {
                self.disturb(&mut state, Disturbance::Delete, 0);
            }
        }
        state.seal();
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        for (k, party) in state.parties.iter().enumerate() {
            match &party.pass {
                None if party.world.gone => {}
                None => actions.push(Action::Look(k)),
                Some(_) => actions.push(Action::Carry(k)),
            }
        }
        if state.ticks != Some(0) {
            actions.push(Action::Tick);
        }
        if state.left > 0 {
            actions.extend(
                self.config
                    .disturbances
                    .iter()
                    .map(|(what, k)| Action::Disturb(*what, *k)),
            );
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => {
                state.tick();
                state.seal();
                (state != *last).then_some(())?;
                state.ticks = state.ticks.map(|left| left - 1);
            }
            Action::Look(k) => self.look(&mut state, k),
            Action::Carry(k) => self.carry(&mut state, k),
            Action::Disturb(what, k) => {
                self.disturb(&mut state, what, k).then_some(())?;
                state.seal();
                (state != *last).then_some(())?;
                state.left -= 1;
                *self.tally.disturbed.lock().unwrap().entry((what, k)).or_default() += 1;
            }
        }
        state.seal();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Claimants>> {
        fn kept(state: &State, rule: Rule) -> bool {
            state.broken.as_ref().is_none_or(|b| b.rule != rule)
        }
        vec![
            Property::always(OPENING, |_, state| kept(state, Rule::Opening)),
            Property::always(CLOSING, |_, state| kept(state, Rule::Closing)),
            Property::always(DELETING, |_, state| kept(state, Rule::Deleting)),
            Property::always(REFUSED, |_, state| kept(state, Rule::Refused)),
            Property::always(RESTING, |model: &Claimants, state: &State| {
                state.broken.is_some() || model.comes_to_rest(state).is_ok()
            }),
        ]
    }
}

/// Of openings.
pub const OPENING: &str = "whoever opens is granted that and holds the registry";
/// Of closing writes.
pub const CLOSING: &str = "whoever closes is granted that and holds the registry";
/// Of deletions in Azure.
pub const DELETING: &str = "whoever deletes made what it deletes, or holds what the other of its name left";
/// No plan that its own lint has to refuse.
pub const REFUSED: &str = "neither planner plans what its own lint has to refuse";
/// Eventually always.
pub const RESTING: &str = "neither fights the other, and whoever holds the registry has what it wants";
