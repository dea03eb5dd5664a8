//! What one moment of the model is, and what of it counts.
//!
//! The wall clock stands still: a tick moves every recorded time one tick into the past, down to a floor that lies beyond every
//! duration of the spec. Round numbers are the smallest that nobody holds, as a random one would be new to everybody. So equal
//! situations are equal states, whenever they come about.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_domain::action::{Effect, Outcome, StepOutcome, StepResult};
use sreg_domain::seen::Memory;
use sreg_domain::{Fact, Seen};
use sreg_planner::Plan;

use super::invariants::Ghost;
use super::state_key::{Numbers, hash_memory, hash_world};
use crate::world::World;

/// One step of time. The spec's durations are one or a few of them.
pub(crate) const TICK: Duration = Duration::from_secs(60);

/// The time of a rollback is not told apart beyond this: no pause after the first two is longer.
const FLOOR: i32 = 5;

/// One moment: the world, two operators, and what the model itself knows.
#[derive(Clone)]
pub struct State {
    pub(crate) world: Arc<World>,
    pub(crate) operators: [Operator; 2],
    /// Who holds the lease. While a write is under way it stays where it is: that is what the model of the lease proves.
    pub(crate) leader: usize,
    /// Disturbances that may still come.
    pub(crate) left: u8,
    pub(crate) ghost: Ghost,
    /// The first rule that was broken.
    pub broken: Option<Broken>,
    key: u64,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Broken {
    /// Which.
    pub rule: Rule,
    /// How.
    pub what: String,
}

/// What must never be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A closing write goes out only behind fresh proof of every path, from the holder of the lease.
    Closing,
    /// A closed target is opened only by spec, break-glass, or the rollback that was chosen.
    Opening,
    /// What is deleted in Azure was made by this object, which holds the registry's claim.
    Deleting,
    /// The planner never plans what its own lint has to refuse: the lint is the second net, not the first. Nor what Azure refuses,
    /// which in this world refuses nothing that was planned from what is there.
    Refused,
}

/// One process.
#[derive(Clone, Default)]
pub(crate) struct Operator {
    pub(crate) memory: Memory,
    /// What names depended on when it last looked.
    pub(crate) names: Option<u64>,
    pub(crate) pass: Pass,
}

/// How far a pass is. Other passes are over at once.
#[derive(Clone, Default)]
pub(crate) enum Pass {
    #[default]
    Idle,
    /// Planned something that opens or closes; nothing of it is done.
    Planned(Arc<Planned>),
    /// A closing write passed its fence and is under way: this step of the first wave.
    Sent(Arc<Planned>, usize),
}

/// A plan, what it was made from, and what came of it so far.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) plan: Arc<Plan>,
    pub(crate) world: Arc<World>,
    pub(crate) seen: Seen,
    /// A lost path is confirmed, judged when it was made.
    pub(crate) confirmed: bool,
    pub(crate) done: Vec<StepOutcome>,
    key: u64,
}

impl Planned {
    pub(crate) fn new(plan: Arc<Plan>, world: Arc<World>, seen: Seen, confirmed: bool) -> Planned {
        let mut planned = Planned {
            plan,
            world,
            seen,
            confirmed,
            done: Vec::new(),
            key: 0,
        };
        planned.rekey();
        planned
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let closed = |s: &StepOutcome| s.action.closes() && matches!(s.result, StepResult::Effect(Effect::Done { .. }));
        let evidence = &self.plan.assessment.evidence;
        Outcome {
            steps: self.done.clone(),
            locked_with: evidence.clone().filter(|_| self.done.iter().any(closed)),
        }
    }

    /// A plan follows from what it was made from.
    fn rekey(&mut self) {
        let mut hasher = DefaultHasher::new();
        let mut numbers = Numbers::in_order();
        hash_world(&self.world, &mut numbers, &mut hasher);
        hash_memory(&self.seen.memory, &mut numbers, &mut hasher);
        self.confirmed.hash(&mut hasher);
        self.key = hasher.finish();
    }

    /// Tells it from others: a plan follows from what it was made from.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Generation and uid of the object that it is for.
    pub(crate) fn identity(&self) -> (i64, &String) {
        let object = &self.world.desired.object;
        (object.generation, &object.uid)
    }

    pub(crate) fn tick(&self) -> Planned {
        let mut later = self.clone();
        tick_world(Arc::make_mut(&mut later.world));
        later.seen.object = later.world.seen.object.clone();
        later.seen.object.reread();
        later.seen.cluster = later.world.seen.cluster.clone();
        // What it remembers was judged when it planned; only the report still reads this.
        later.rekey();
        later
    }
}

impl State {
    pub(crate) fn new(world: World, left: u8) -> State {
        let mut state = State {
            world: Arc::new(world),
            operators: [Operator::default(), Operator::default()],
            leader: 0,
            left,
            ghost: Ghost::default(),
            broken: None,
            key: 0,
        };
        state.seal();
        state
    }

    /// To be called after every change.
    pub(crate) fn seal(&mut self) {
        self.ghost.forget(&self.world);
        let mut hasher = DefaultHasher::new();
        let mut numbers = Numbers::in_order();
        self.hash_situation(&mut numbers, &mut hasher);
        self.left.hash(&mut hasher);
        self.ghost.hash_with(&mut |number| numbers.of(number), &mut hasher);
        self.broken.hash(&mut hasher);
        self.key = hasher.finish();
    }

    /// What the future depends on if no disturbance comes any more.
    pub(crate) fn situation(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash_situation(&mut Numbers::in_order(), &mut hasher);
        hasher.finish()
    }

    fn hash_situation(&self, numbers: &mut Numbers, hasher: &mut impl Hasher) {
        hash_world(&self.world, numbers, hasher);
        let snapshot = self.world.seen.cluster.snapshot.seen();
        snapshot
            .and(self.ghost.snapshot)
            .map(|(number, subject)| (numbers.of(number), subject))
            .hash(hasher);
        self.leader.hash(hasher);
        for operator in &self.operators {
            hash_memory(&operator.memory, numbers, hasher);
            operator.names.hash(hasher);
            match &operator.pass {
                Pass::Idle => 0u8.hash(hasher),
                Pass::Planned(planned) => (1u8, planned.key).hash(hasher),
                Pass::Sent(planned, at) => (2u8, planned.key, at).hash(hasher),
            }
            if let Pass::Planned(planned) | Pass::Sent(planned, _) = &operator.pass {
                let (then, now) = (&planned.world.desired.object, &self.world.desired.object);
                (then.generation == now.generation).hash(hasher);
                for step in &planned.done {
                    (&step.step, std::mem::discriminant(&step.result)).hash(hasher);
                }
            }
        }
    }

    pub(crate) fn world_mut(&mut self) -> &mut World {
        Arc::make_mut(&mut self.world)
    }

    /// Time passes, for everybody.
    pub(crate) fn tick(&mut self) {
        tick_world(self.world_mut());
        let old = old(&self.world);
        for operator in &mut self.operators {
            age(&mut operator.memory, old);
            operator.pass = match &operator.pass {
                Pass::Idle => Pass::Idle,
                Pass::Planned(planned) => Pass::Planned(Arc::new(planned.tick())),
                Pass::Sent(planned, at) => Pass::Sent(Arc::new(planned.tick()), *at),
            };
        }
        self.ghost.tick(u8::try_from(old).unwrap());
    }

    /// A round number that nobody holds: what a random one is.
    pub(crate) fn new_number(&self) -> i64 {
        let probes = self.world.seen.cluster.probes.values().filter_map(Fact::seen);
        let mut taken: Vec<i64> = probes
            .flat_map(|p| [Some(p.spec.round), p.status.as_ref().map(|s| s.round)])
            .flatten()
            .chain(
                self.operators
                    .iter()
                    .filter_map(|o| o.memory.round.as_ref().map(|r| r.number)),
            )
            .chain(self.ghost.numbers())
            .collect();
        taken.sort_unstable();
        (1..).find(|n| taken.binary_search(n).is_err()).unwrap()
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
            .field("closed", &self.world.closed())
            .field("leader", &self.leader)
            .field("left", &self.left)
            .field("memory", &self.operators[self.leader].memory)
            .field("ghost", &self.ghost)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// Ages beyond this are not told apart: one tick longer than any duration that they are compared with.
pub(crate) fn old(world: &World) -> u32 {
    // A broken object has no durations, and is compared with its own once it is whole again.
    let Some(spec) = world.desired.whole() else {
        return FLOOR.unsigned_abs();
    };
    let verification = &spec.verification;
    let longest = [verification.max_age, verification.dns_settle, spec.grace_period, TICK];
    let longest = longest.into_iter().max().unwrap_or(TICK);
    u32::try_from(longest.as_secs() / TICK.as_secs()).unwrap() + 1
}

/// What an operator remembers is one tick older; ages beyond `old` are not told apart.
pub(crate) fn age(memory: &mut Memory, old: u32) {
    let older = |age: &mut Duration| *age = (*age + TICK).min(TICK * old);
    if let Some(round) = &mut memory.round {
        older(&mut round.age);
    }
    memory.lost_for.as_mut().map(older);
    memory.since_name_change.as_mut().map(older);
    memory.name_changed.as_mut().map(older);
}

pub(crate) fn tick_world(world: &mut World) {
    let now = world.now;
    let tick = SignedDuration::try_from(TICK).unwrap();
    let old = now - tick * i32::try_from(old(world)).unwrap();
    let floor = now - tick * FLOOR;
    let older = |time: &mut Time| time.0 = (time.0 - tick).max(old);
    let status = &mut world.seen.object.status;
    let mut times = vec![&mut status.last_name_change_time, &mut status.unsettled_since];
    if let Some(exposure) = &mut status.exposure {
        times.extend([&mut exposure.first_seen_public, &mut exposure.locked_at]);
    }
    for glass in &mut status.break_glasses {
        times.extend([&mut glass.created_at, &mut glass.counts_from, &mut glass.until]);
    }
    times.into_iter().flatten().for_each(older);
    if let Some(time) = status.rollback.as_mut().and_then(|r| r.reopened_at.as_mut()) {
        time.0 = (time.0 - tick).max(floor);
    }
    if let Fact::Seen(glasses) = &mut world.seen.cluster.break_glasses {
        for glass in glasses.iter_mut() {
            glass.created_at = (glass.created_at - tick).max(old);
            glass.status.as_mut().and_then(|told| told.until.as_mut()).map(older);
        }
        // Over: collected with its object.
        glasses.retain(|g| g.created_at > old);
    }
}
