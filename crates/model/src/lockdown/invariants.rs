//! What the model knows by itself, and how it judges: from its own world, never from the planner's assessment.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use sreg_api::names::CLAIM_TAG;
use sreg_api::registry::{LockdownGate, PublicAccess, RollbackPolicy};
use sreg_domain::desired::Spec;
use sreg_domain::{Action, ArmId, AzureAction, EndpointGroup, Fact};

use super::state::{State, TICK};
use crate::world::{World, registry_name};

/// What really happened, as far as the rules ask for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ghost {
    /// The round that each process opened last, and its age in ticks.
    pub(crate) rounds: [Option<(i64, u8)>; 2],
    /// Per client network: every path really passed as often as needed, in this round, over exactly these names and addresses.
    pub(crate) measured: [Option<(i64, u64)>; 2],
    /// Per client network: some path was reported to fail as often as needed, in this round.
    pub(crate) failed: [Option<i64>; 2],
    /// Ticks since a write of ours last changed names, whichever process made it.
    pub(crate) since_names: u8,
    /// Ticks since an operator first told that all is closed. Its grace period begins then: a process that saw it, and died before
    /// it could tell, leaves the next one a period that begins when that one tells.
    pub(crate) locked: Option<u8>,
    /// A rollback has begun and nobody has seen all open since.
    pub(crate) rolling_back: bool,
    /// What the approver approved: the paths that he was shown.
    pub(crate) approved: Option<u64>,
    /// The round and the subject that the snapshot names.
    pub(crate) snapshot: Option<(i64, u64)>,
}

impl Ghost {
    /// Ages beyond `old` are not told apart.
    pub(crate) fn tick(&mut self, old: u8) {
        let older = |age: &mut u8| *age = (*age + 1).min(old);
        self.rounds.iter_mut().flatten().for_each(|(_, age)| older(age));
        self.locked.as_mut().map(older);
        older(&mut self.since_names);
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = i64> + '_ {
        let opened = self.rounds.iter().flatten().map(|(number, _)| *number);
        let measured = self.measured.iter().flatten().map(|(number, _)| *number);
        let kept = self.snapshot.iter().map(|(number, _)| *number);
        let failed = self.failed.iter().flatten().copied();
        opened.chain(measured).chain(failed).chain(kept)
    }

    /// What can never count again: only a round that a living process opened can.
    pub(crate) fn forget(&mut self, world: &World) {
        let rounds = self.rounds;
        let lives = |number: i64| rounds.iter().flatten().any(|(open, _)| *open == number);
        for n in 0..2 {
            self.measured[n] = self.measured[n].filter(|(number, _)| lives(*number));
            self.failed[n] = self.failed[n].filter(|number| lives(*number));
        }
        if world.seen.cluster.snapshot.seen().is_none() {
            self.snapshot = None;
        }
    }

    pub(crate) fn hash_with(&self, number: &mut impl FnMut(i64) -> i64, hasher: &mut impl Hasher) {
        let Ghost {
            rounds,
            measured,
            failed,
            since_names,
            locked,
            rolling_back,
            approved,
            snapshot: _,
        } = self;
        rounds
            .map(|round| round.map(|(open, age)| (number(open), age)))
            .hash(hasher);
        measured
            .map(|m| m.map(|(round, paths)| (number(round), paths)))
            .hash(hasher);
        failed.map(|round| round.map(&mut *number)).hash(hasher);
        (since_names, locked, rolling_back, approved).hash(hasher);
    }
}

/// By what a plan may open what is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Permission {
    Nothing,
    Spec,
    BreakGlass,
    Rollback,
}

/// Every name that clients need, with the address that it must lead to; `None` where no endpoint carries it.
fn required(world: &World) -> BTreeMap<String, Option<String>> {
    let azure = &world.seen.azure;
    let mut names: Vec<String> = Vec::new();
    let regions = azure
        .registry_details()
        .into_iter()
        .flat_map(|registry| &registry.regions);
    names.extend(regions.map(|r| registry_name(r.location.as_str()).to_string()));
    names.extend(azure.discovery.seen().into_iter().flatten().map(ToString::to_string));
    for target in azure.targets.seen() {
        let asked = |group: &EndpointGroup| *group != EndpointGroup::Dfs;
        let reported = target.names.iter().filter(|(group, _)| asked(group));
        names.extend(reported.map(|(_, name)| name.to_string()));
        let replicas = target.container_registry().and_then(|acr| acr.replicas.seen());
        let replicas = replicas.into_iter().flatten();
        names.extend(replicas.map(|place| format!("contosoacr.{place}.data.azurecr.io")));
    }
    let address = |name: &str| {
        let endpoints = azure.endpoints.values().filter_map(Fact::seen);
        let up = endpoints.filter(|e| e.connection_status.as_deref() == Some("Approved"));
        let mut members = up.flat_map(|e| e.members.seen().into_iter().flatten());
        let member = members.find(|m| m.fqdns.iter().any(|f| f.as_str() == name))?;
        Some(member.address.to_string())
    };
    names.iter().map(|name| (name.clone(), address(name))).collect()
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What has to be proven now.
pub(crate) fn subject(world: &World) -> u64 {
    digest(&required(world))
}

/// What an approver is shown.
pub(crate) fn approvable(world: &World) -> u64 {
    digest(&required(world).keys().collect::<Vec<_>>())
}

/// What a client in this network really finds: the digest of what it needs, if it reaches all of it.
pub(crate) fn measure(world: &World, network: &str) -> Option<u64> {
    let required = required(world);
    let reached = required.iter().all(|(name, address)| {
        let address = address.as_ref().map(|a| vec![a.clone()]);
        address.is_some_and(|a| world.reaches(network, name, &a).is_ok())
    });
    reached.then(|| digest(&required))
}

/// Administrators grant everything here, or nothing.
fn granted(world: &World) -> bool {
    world.grants.is_none()
}

/// The registry's claim tag names another object.
pub(crate) fn tag_names_another(world: &World) -> bool {
    let tags = world.seen.azure.registry_details().map(|registry| &registry.tags);
    let says = tags.and_then(|tags| tags.get(CLAIM_TAG));
    says.is_some_and(|says| *says != world.desired.claim_mark().to_string())
}

/// The claim in this cluster is another object's.
pub(crate) fn lease_is_anothers(world: &World) -> bool {
    let claim = world.seen.cluster.claim.seen();
    claim.is_some_and(|claim| claim.uid != world.desired.object.uid)
}

/// The registry is this object's, in this cluster and of all clusters.
fn claimed(world: &World) -> bool {
    world.seen.cluster.claim.seen().is_some() && !held_by_another(world)
}

/// Another object holds the registry. One that is going, and whose claim was freed meanwhile, still takes away what it made.
fn held_by_another(world: &World) -> bool {
    lease_is_anothers(world) || tag_names_another(world)
}

/// Why this must not be deleted, if it is a deletion.
pub(crate) fn why_not_delete(state: &State, action: &Action) -> Option<String> {
    let world = &state.world;
    let endpoint = match action {
        Action::Azure(AzureAction::DeleteEndpoint { id, .. }) => id.clone(),
        Action::Azure(AzureAction::DeleteZoneGroup { id, .. }) => id.parent()?,
        Action::Azure(_) | Action::Cluster(_) => return None,
    };
    if held_by_another(world) {
        return Some("another object holds the registry".into());
    }
    let groups = world.groups();
    let mut made = world.desired.endpoints().iter().flat_map(|place| {
        let id = |(group, target): &(EndpointGroup, ArmId)| world.endpoint_id(place, *group, target);
        groups.iter().map(id)
    });
    (!made.any(|id| id == endpoint)).then(|| format!("{endpoint} is not of this object's making"))
}

/// A break-glass runs: created, and not over.
pub(crate) fn break_glass(world: &World) -> bool {
    let glasses = world.seen.cluster.break_glasses.seen().into_iter().flatten();
    let now = world.now;
    glasses
        .filter_map(|g| g.created_at.checked_add(g.duration).ok().map(|end| (g.created_at, end)))
        .any(|(start, end)| start <= now && now < end)
}

/// Why a closing write by this process must not go out now.
pub(crate) fn why_not_close(state: &State, operator: usize) -> Option<String> {
    let world = &state.world;
    if state.leader != operator {
        return Some("the other process holds the lease".into());
    }
    if world.gone || world.seen.object.deleting {
        return Some("the object is being deleted".into());
    }
    if !granted(world) {
        return Some("nobody grants it".into());
    }
    if !claimed(world) {
        return Some("it holds no claim".into());
    }
    if world.desired.public_access != PublicAccess::Disabled {
        return Some("the spec wants public access".into());
    }
    if break_glass(world) {
        return Some("a break-glass is in force".into());
    }
    let Some(spec) = world.desired.whole() else {
        return Some("nothing of a broken object is carried out".into());
    };
    let ghost = &state.ghost;
    let Some((number, age)) = ghost.rounds[operator] else {
        return Some("this process opened no round".into());
    };
    if TICK * u32::from(age) > spec.verification.max_age {
        return Some("the round is too old".into());
    }
    let subject = subject(world);
    if let Some(unproven) = (0..2).find(|n| ghost.measured[*n] != Some((number, subject))) {
        return Some(format!(
            "network {unproven} has not proven its paths in this round: {:?}",
            ghost.measured
        ));
    }
    if TICK * u32::from(ghost.since_names) < spec.verification.dns_settle {
        return Some("names changed by a write of ours within dnsSettle".into());
    }
    let gated = spec.gates.contains(&LockdownGate::Approval);
    if gated && ghost.approved != Some(approvable(world)) {
        return Some("these paths are not approved".into());
    }
    None
}

/// What permits opening what is closed, now.
pub(crate) fn permission(state: &State) -> Permission {
    let world = &state.world;
    if world.seen.object.deleting || !granted(world) || !claimed(world) {
        Permission::Nothing
    } else if world.desired.public_access == PublicAccess::Enabled {
        Permission::Spec
    } else if break_glass(world) {
        Permission::BreakGlass
    } else if world.desired.whole().is_some_and(reopens) && state.ghost.rolling_back {
        Permission::Rollback
    } else {
        Permission::Nothing
    }
}

fn reopens(spec: &Spec) -> bool {
    spec.rollback == RollbackPolicy::Reopen
}

/// How long one agent alone has to say that a path is lost.
fn pause_of_one(spec: &Spec) -> Duration {
    let verification = &spec.verification;
    let confirming = verification.interval * (verification.consecutive_successes - 1);
    let rounds_left = (verification.max_age - confirming) / 2;
    rounds_left.min(spec.grace_period / 3).min(Duration::from_secs(300))
}

/// A path was really reported lost, in a round that this process opened after a lock that is young enough.
pub(crate) fn confirmed(state: &State, operator: usize) -> bool {
    let (world, ghost) = (&state.world, &state.ghost);
    let Some(spec) = world.desired.whole() else {
        return false;
    };
    let chosen = reopens(spec) && !world.seen.object.deleting;
    match (ghost.locked, ghost.rounds[operator]) {
        (Some(locked), Some((number, age))) => {
            let lasted = state.operators[operator].memory.lost_for.unwrap_or_default();
            let within = (TICK * u32::from(locked)).saturating_sub(lasted) <= spec.grace_period;
            let told = match ghost.failed.iter().filter(|round| **round == Some(number)).count() {
                0 => false,
                1 => lasted >= pause_of_one(spec),
                _ => true,
            };
            chosen && within && age < locked && told
        }
        (None, _) | (_, None) => false,
    }
}
