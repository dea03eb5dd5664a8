//! Looks at Azure: everything that a plan needs, read live and in parallel under one deadline. Never writes, never fails:
//! what cannot be told is `Unknown(why)`.
//!
//! Where public access is to be opened, everything but the registry and its accounts gets little time: a network provider that
//! hangs, a zone or a policy that cannot be read costs an emergency seconds, not the visit.
//!
//! ```text
//! registry ─┬─ storage, container registries ─┬─ endpoints (wanted by name, known by id, ours by tag) ─ NIC, zone groups ─ locks, rights
//!           ├─ discovery                      └─ perimeters, obstacles to reopening
//!           └─ deny assignments, policies, locks, rights
//! subnets, networks │ zones, zones elsewhere │ shared storage │ principal │ operations │ public clients
//! then: neighbours │ policies that make zone groups, and the records below those they made
//! ```

mod addresses;
mod discovery;
mod endpoints;
mod locks;
mod network;
mod obstacles;
mod perimeters;
mod policies;
mod public_clients;
mod registry;
mod remembered;
mod rights;
mod targets;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use sreg_domain::action::Operation;
use sreg_domain::desired::Desired;
use sreg_domain::outside::{LONGEST_NAME, words};
use sreg_domain::seen::{
    AzureSeen, Fact, Ignorance, IgnoranceKind, LinkSeen, OperationSeen, OperationState, Principal, ZoneSeen,
};
use sreg_domain::target::kind_of;
use sreg_domain::{ArmId, CallFailure, Cause, Known, TargetKind};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::arm::{Arm, ArmResponse, Call, Leaving, Payer};
use crate::client::Inner;
use crate::settings::Patience;
use crate::{identity, json, operations};

pub(crate) use network::Neighbours;
pub(crate) use obstacles::{DenyAssignments, unknown as no_deny_assignments};
pub(crate) use perimeters::{Perimeters, unknown as no_perimeters};
pub(crate) use policies::{Definitions, unread as no_definitions};
pub(crate) use rights::{Rights, unknown as no_rights};

/// Odd items that are told of in one visit.
const MOST_ODD: usize = 16;

/// One visit: the client, its deadline, and how many calls it may have under way.
pub(super) struct Look<'a> {
    inner: &'a Inner,
    deadline: Instant,
    places: Arc<Semaphore>,
    /// For whom it is done.
    payer: Payer,
    /// Somebody waits for public access to be opened: what that needs does not queue behind anything else.
    urgent: bool,
    /// What was left out of lists.
    odd: Arc<Mutex<BTreeSet<String>>>,
    /// What roles allow us on the scopes that this visit asked about: each is asked once.
    asked: Arc<rights::Asked>,
}

impl Look<'_> {
    fn arm(&self) -> &Arm {
        &self.inner.arm
    }

    /// Tells of an item of a list that is no sense and concerns nobody of ours: it is left out, and holds up nothing.
    fn left_out(&self, of: &ArmId, item: &Value, why: &str) {
        let name = json::text(item, "/name")
            .or_else(|| json::text(item, "/id"))
            .unwrap_or("without a name");
        let name = words(name, LONGEST_NAME);
        let mut odd = self.odd.lock().unwrap_or_else(PoisonError::into_inner);
        if odd.len() < MOST_ODD {
            odd.insert(format!("{why} ({name}, below {of}): it is left out"));
        }
    }

    /// Runs one call when there is room, or not at all when the deadline comes first.
    async fn in_turn<T>(
        &self,
        attempt: &str,
        call: impl Future<Output = Result<T, CallFailure>>,
    ) -> Result<T, CallFailure> {
        match tokio::time::timeout_at(self.deadline, self.places.acquire()).await {
            Ok(Ok(_place)) => call.await,
            Ok(Err(_)) | Err(_) => Err(CallFailure::local(
                attempt,
                Cause::Unreachable,
                "not asked: the visit's time was up",
            )),
        }
    }

    /// The same for what may take so long at most.
    fn no_longer_than(&self, most: Duration) -> Look<'_> {
        let end = Instant::now().checked_add(most);
        self.until(end.unwrap_or(self.deadline))
    }

    /// The same for what has to be there by then.
    fn until(&self, end: Instant) -> Look<'_> {
        Look {
            inner: self.inner,
            deadline: end.min(self.deadline),
            places: self.places.clone(),
            payer: self.payer.clone(),
            urgent: self.urgent,
            odd: self.odd.clone(),
            asked: Arc::clone(&self.asked),
        }
    }

    /// A resource.
    async fn read(&self, id: &ArmId) -> Result<Value, CallFailure> {
        let attempt = format!("read {id}");
        let call = Call::read(self.arm(), id).on_behalf_of(&self.payer);
        // No budget of ours, spent on other things or paused by them, keeps anybody from the way back.
        let call = if self.urgent { call.prepaid() } else { call };
        let answer = self.in_turn(&attempt, self.arm().send(call, self.deadline)).await?;
        let body = answer.object()?;
        match crate::json::id(&body, "/id") {
            Some(answered) if answered != *id => Err(nonsense(id, "the answer is about another resource")),
            Some(_) | None => Ok(body),
        }
    }

    /// A resource that may be absent.
    async fn find(&self, id: &ArmId) -> Result<Option<Value>, CallFailure> {
        match self.read(id).await {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.cause == Cause::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All pages of a list.
    async fn list(&self, call: Call) -> Result<Vec<Value>, CallFailure> {
        self.list_of(call, Some).await
    }

    /// All pages of a list, of each item what `keep` makes of it: the rest goes before the next page comes. Believed only where roles
    /// allow us to read what it lists: else it may be short.
    async fn list_of<T>(&self, call: Call, keep: impl FnMut(Value) -> Option<T> + Send) -> Result<Vec<T>, CallFailure> {
        let (attempt, scope, action) = (call.attempt.clone(), call.listed.clone(), call.action.clone());
        let short = async {
            match (&scope, &action) {
                (Some(scope), Some(action)) => self.may_be_short(&attempt, scope, action).await,
                _ => None,
            }
        };
        let (items, short) = futures::join!(self.list_as_it_comes(call, keep), short);
        // What Azure refuses is told in its own words.
        items.and_then(|items| short.map_or(Ok(items), Err))
    }

    /// The same, whatever of it we may not see.
    async fn list_as_it_comes<T>(
        &self,
        call: Call,
        keep: impl FnMut(Value) -> Option<T> + Send,
    ) -> Result<Vec<T>, CallFailure> {
        let attempt = call.attempt.clone();
        let call = call.on_behalf_of(&self.payer);
        self.in_turn(&attempt, self.arm().list(call, self.deadline, keep)).await
    }

    /// Any call with a token for any scope.
    async fn send(&self, call: Call, scope: &str) -> Result<ArmResponse, CallFailure> {
        let attempt = call.attempt.clone();
        let call = call.on_behalf_of(&self.payer);
        self.in_turn(&attempt, self.arm().send_with(call, scope, self.deadline))
            .await
    }

    /// A resource, read and understood.
    async fn fact<T>(&self, id: &ArmId, understand: impl FnOnce(&Value) -> Result<T, &'static str>) -> Fact<T> {
        match self.read(id).await {
            Ok(body) => understood(id, understand(&body)),
            Err(error) => unseen(error),
        }
    }
}

fn understood<T>(id: &ArmId, result: Result<T, &'static str>) -> Fact<T> {
    match result {
        Ok(value) => Fact::Seen(value),
        Err(why) => Fact::Unknown(nonsense(id, why).into_ignorance()),
    }
}

fn nonsense(id: &ArmId, why: &str) -> CallFailure {
    CallFailure {
        status: Some(200),
        ..CallFailure::local(format!("read {id}"), Cause::Nonsense, why)
    }
}

/// What an error leaves us with: only Azure's own "not found" is an absence.
fn unseen<T>(error: CallFailure) -> Fact<T> {
    if error.cause == Cause::Missing {
        Fact::Absent
    } else {
        Fact::Unknown(error.into_ignorance())
    }
}

/// Something that exists but is not yet to be relied on.
fn settling(attempt: String, message: &str) -> Ignorance {
    Ignorance {
        attempt,
        kind: IgnoranceKind::Settling,
        message: message.to_owned(),
        code: None,
        correlation_id: None,
        retry_after: None,
    }
}

/// Looks at everything.
pub(crate) async fn observe(inner: &Inner, desired: &Desired, known: &Known, patience: Patience) -> AzureSeen {
    let Patience {
        within,
        for_the_rest,
        lane,
    } = patience;
    let deadline = Instant::now() + within;
    let payer = Payer::new(&desired.object.namespace, lane);
    let places = || Arc::new(Semaphore::new(inner.settings.concurrency.max(1)));
    let look = Look {
        inner,
        deadline: for_the_rest.map_or(deadline, |most| deadline.min(Instant::now() + most)),
        places: places(),
        payer: payer.clone(),
        urgent: false,
        odd: Arc::default(),
        asked: Arc::default(),
    };
    // Calls that hang hold places: what an opening needs has its own.
    let own_places = || for_the_rest.map_or_else(|| look.places.clone(), |_| places());
    let access = Look {
        inner,
        deadline,
        places: own_places(),
        payer,
        urgent: for_the_rest.is_some(),
        odd: look.odd.clone(),
        asked: Arc::clone(&look.asked),
    };
    // How operations on targets stand, and what may forbid opening them, decides how the opening goes on: it is waited for no longer than
    // the rest, but not behind it.
    let mut beside = look.until(look.deadline);
    beside.places = own_places();
    let sharing = desired
        .whole()
        .into_iter()
        .flat_map(|spec| spec.sharing.iter().cloned());
    let (core, principal, subnets, virtual_networks, zones, elsewhere, shared, polled) = futures::join!(
        registry::with_everything_behind(&access, &beside, &look, desired, known),
        principal(&look),
        each(desired.endpoints().iter().map(|p| p.subnet.clone()), |id| {
            network::subnet(&look, id)
        }),
        each(network::named(desired), |id| network::virtual_network(&look, id)),
        each(zones::named(desired), |id| zones::zone(&look, desired, id)),
        zones::elsewhere(&look, desired),
        each(sharing, |id| async {
            targets::storage(&look, id).await.map(|(seen, _)| seen)
        }),
        join_all(known.operations.iter().map(|o| poll(&beside, o))),
    );
    let elsewhere = zones::with_those_of_endpoints(&look, desired, &core.endpoints, elsewhere).await;
    let all_zones = zones.values().filter_map(Fact::seen);
    let all_zones = all_zones.chain(elsewhere.seen().into_iter().flatten());
    let wanted = registry::wanted_endpoints(desired, &core.targets);
    let (neighbours, zone_group_policies, records_by_policy) = futures::join!(
        network::neighbours(&look, &virtual_networks, all_zones),
        policies::zone_groups(&look, desired, &wanted, &core.endpoints, &virtual_networks),
        zones::records_by_policy(&look, desired, &core.endpoints),
    );
    let targets = core.targets.iter().map(|(id, _)| id);
    let written: BTreeSet<ArmId> = targets.chain(shared.keys()).cloned().collect();
    let mut seen = AzureSeen {
        principal,
        targets: core.targets,
        discovery: core.discovery,
        deny_assignments: core.deny_assignments,
        endpoints: core.endpoints,
        accounts_left: core.accounts_left,
        subnets,
        virtual_networks,
        neighbours,
        zones,
        zones_elsewhere: elsewhere,
        zone_group_policies,
        records_by_policy,
        shared_storage: shared,
        recent_public_clients: core.recent_public_clients,
        reopening_obstacles: core.reopening_obstacles,
        removal_obstacles: core.removal_obstacles,
        closing_obstacles: core.closing_obstacles,
        locks: core.locks,
        rights: core.rights,
        also_changed: inner.also_changed.of(&written),
        operations: polled,
        odd: look
            .odd
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect(),
    };
    distrust_fresh_absence(inner, &mut seen);
    seen
}

/// Reads each id once, all at once.
async fn each<T, F: Future<Output = Fact<T>>>(
    ids: impl Iterator<Item = ArmId>,
    read: impl Fn(ArmId) -> F,
) -> BTreeMap<ArmId, Fact<T>> {
    let distinct: BTreeSet<ArmId> = ids.collect();
    join_all(distinct.into_iter().map(|id| {
        let fact = read(id.clone());
        async move { (id, fact.await) }
    }))
    .await
    .into_iter()
    .collect()
}

async fn poll(look: &Look<'_>, operation: &Operation) -> OperationSeen {
    let attempt = format!("read the state of the operation on {}", operation.resource);
    let state = look
        .in_turn(&attempt, async {
            Ok(operations::poll(look.arm(), operation, &look.payer, look.deadline).await)
        })
        .await;
    let state = state.unwrap_or(OperationState::Unreadable { retry_after: None });
    look.inner.refused_rules.stands(&operation.resource, &state);
    also_changed(look, &operation.resource, &state).await;
    OperationSeen {
        operation: operation.clone(),
        state,
    }
}

/// Once an operation has ended its target is read again: what changed besides what we wrote.
async fn also_changed(look: &Look<'_>, target: &ArmId, state: &OperationState) {
    let changes = &look.inner.also_changed;
    if !changes.awaits(target) {
        return;
    }
    match state {
        OperationState::Running { .. } | OperationState::Unreadable { .. } => {}
        // It cannot be read now, or it is not there: nothing is told rather than guessed.
        OperationState::Succeeded => changes.ended(target, look.read(target).await.ok().as_ref()),
        OperationState::Failed(_) | OperationState::Lost => changes.ended(target, None),
    }
}

async fn principal(look: &Look<'_>) -> Fact<Principal> {
    let attempt = "get a token for Azure Resource Manager";
    let unknown = |kind, message: String, code| {
        Fact::Unknown(Ignorance {
            attempt: attempt.to_owned(),
            kind,
            message,
            code,
            correlation_id: None,
            retry_after: None,
        })
    };
    match look.arm().token(look.deadline).await {
        Ok(token) => match identity::principal_of(&token) {
            Some(principal) => Fact::Seen(principal),
            None => unknown(
                IgnoranceKind::Nonsense,
                "the token names no object id and tenant".to_owned(),
                None,
            ),
        },
        Err(error) if error.refused => unknown(IgnoranceKind::SignIn, error.message, error.code),
        Err(error) => unknown(IgnoranceKind::Unreachable, error.message, error.code),
    }
}

/// One 404 is not an absence for something that we are creating, or created a moment ago.
fn distrust_fresh_absence(inner: &Inner, seen: &mut AzureSeen) {
    let running: BTreeSet<ArmId> = seen
        .operations
        .iter()
        .filter(|o| o.state.may_run())
        .map(|o| o.operation.resource.clone())
        .collect();
    let fresh = |id: &ArmId| running.contains(id) || inner.created_recently(id);
    settle(&mut seen.endpoints, &fresh);
    settle(&mut seen.zones, &fresh);
    let is_registry = |id: &ArmId| kind_of(id) == Some(TargetKind::Registry);
    if running.iter().any(is_registry) {
        let registries = seen.targets.iter_mut().filter(|(id, _)| is_registry(id));
        for (_, absent) in registries.filter(|(_, fact)| fact.is_absent()) {
            *absent = Fact::Unknown(settling("read the registry".to_owned(), "it is being created"));
        }
    }
    for (zone, fact) in &mut seen.zones {
        let Fact::Seen(ZoneSeen { links, .. }) = fact else {
            continue;
        };
        let Fact::Seen(listed) = &links else { continue };
        let missing =
            |id: &&ArmId| id.parent().as_ref() == Some(zone) && !listed.iter().any(|l: &LinkSeen| l.id == **id);
        if let Some(link) = running.iter().find(missing) {
            *links = Fact::Unknown(settling(
                format!("list the links of {zone}"),
                &format!("{link} is being created"),
            ));
        }
    }
}

fn settle<T>(facts: &mut BTreeMap<ArmId, Fact<T>>, fresh: &impl Fn(&ArmId) -> bool) {
    for (id, fact) in facts {
        if fact.is_absent() && fresh(id) {
            *fact = Fact::Unknown(settling(
                format!("read {id}"),
                "it is being changed, and this answer may be behind",
            ));
        }
    }
}
