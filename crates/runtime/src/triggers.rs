//! What else than its own change makes a pass over a `SecureRegistry` due: related objects are turned into the one that they belong to.
//! Only keys are kept of them.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde_json::Value;
use sreg_api::names::LABEL_REGISTRY_UID;
use sreg_api::probe::ProbeOutcome;
use sreg_api::{BreakGlass, ChangeApproval, ConnectivityProbe, RegistryGrant, VantagePoint};
use sreg_domain::Fact;

use crate::context::Context;
use crate::damping::{Wake, damped};
use crate::memory::ObjectKey;
use crate::observe::alive;
use crate::turns::Urgency;
use crate::watch::{Known, complain, config, digest};

/// Objects that need a pass because something that they depend on changed.
pub(crate) fn related(context: &Arc<Context>, namespace: Option<&str>) -> impl Stream<Item = ObjectKey> + Send + use<> {
    let everywhere = |resource: &ApiResource| Api::<DynamicObject>::all_with(context.client.clone(), resource);
    let served = |resource: &ApiResource| match namespace {
        Some(namespace) => Api::namespaced_with(context.client.clone(), namespace, resource),
        None => everywhere(resource),
    };
    let (probes, points) = (resource::<ConnectivityProbe>(), resource::<VantagePoint>());
    let grants = resource::<RegistryGrant>();
    let (glasses, approvals) = (resource::<BreakGlass>(), resource::<ChangeApproval>());
    let scope = namespace.map(str::to_owned);
    let hastened = Arc::clone(context);
    stream::select_all([
        damped(
            stream::select(
                kind(
                    context,
                    everywhere(&probes),
                    "connectivityprobes",
                    key_of_answer,
                    Wakes::WhoseProbe,
                ),
                agents(context),
            ),
            context.settings.plan.floors.probe_interval,
            Arc::clone(&context.metrics),
        )
        .boxed(),
        kind(
            context,
            everywhere(&points),
            "vantagepoints",
            key_of_spec,
            Wakes::Owners(users_of_vantage_point),
        )
        .map(|(_, key)| key)
        .boxed(),
        kind(
            context,
            served(&glasses),
            "breakglasses",
            key_of_spec,
            Wakes::Owners(owner_by_name),
        )
        .map(|(_, key)| key)
        .inspect(move |key| hastened.turns.hasten(key.clone(), Urgency::Opening))
        .boxed(),
        kind(
            context,
            served(&approvals),
            "changeapprovals",
            key_of_spec,
            Wakes::Owners(owner_by_name),
        )
        .map(|(_, key)| key)
        .boxed(),
        kind(
            context,
            everywhere(&grants),
            "registrygrants",
            key_of_spec,
            Wakes::Everybody,
        )
        .map(|(_, key)| key)
        .boxed(),
    ])
    .filter(move |key| ready(scope.as_ref().is_none_or(|scope| *scope == key.namespace)))
}

/// No Lease is looked at more often than this for its own sake, nor more seldom: who renews is seen to within the latter.
const LEASE_LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Objects whose agents fell silent or came back. That a Lease is not renewed is no event of a watch: each is looked at when it
/// would run out, so that a dead agent is told at the end of its Lease and not at the next pass.
fn agents(context: &Arc<Context>) -> impl Stream<Item = Wake> + Send + use<> {
    let known: HashMap<String, bool> = HashMap::new();
    let start = (Arc::clone(context), known);
    let looks = stream::unfold(start, |(context, mut known)| async move {
        let (least, most) = LEASE_LOOKS;
        let next = context.memories.until_next_expiry().unwrap_or(most);
        tokio::time::sleep(next.clamp(least, most).saturating_add(least)).await;
        let mut keys = Vec::new();
        for (point, namespace) in context.memories.vantage_points_in_use() {
            let alive = match alive(&context, &namespace, &point).await {
                Fact::Seen(alive) => alive,
                Fact::Absent => false,
                // Not to be told: the next pass says so.
                Fact::Unknown(_) => continue,
            };
            let before = known.insert(point.clone(), alive);
            if before.is_some_and(|before| before != alive) {
                let users = context.memories.looking_from(&point).into_iter();
                let users = users.inspect(|key| hasten_if_cut_off(&context, key, !alive));
                keys.extend(users.map(|key| (format!("the Lease of VantagePoint {point}"), key)));
            }
        }
        Some((stream::iter(keys), (context, known)))
    });
    looks.flatten()
}

/// Who may have lost a path does not stand behind those who have not. Before any damping: of an object that is woken already the next
/// pass becomes urgent.
fn hasten_if_cut_off(context: &Context, object: &ObjectKey, says_so: bool) {
    if says_so && context.memories.depends_on_paths(object) {
        context.turns.hasten(object.clone(), Urgency::LostPath);
    }
}

/// Whether an agent says that a path fails.
fn tells_of_a_loss(probe: &DynamicObject) -> bool {
    let results = probe.data.pointer("/status/results").and_then(Value::as_array);
    let failed = |result: &Value| result["outcome"] == ProbeOutcome::Failed.as_str();
    results.is_some_and(|results| results.iter().any(failed))
}

fn resource<K: Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

/// A probe: what the agent answered. Its spec is our own writing.
fn key_of_answer(object: &DynamicObject) -> u64 {
    digest((
        object.metadata.deletion_timestamp.is_some(),
        object.data.get("status").map(Value::to_string),
    ))
}

fn key_of_spec(object: &DynamicObject) -> u64 {
    digest((object.metadata.deletion_timestamp.is_some(), object.metadata.generation))
}

fn owner_by_label(context: &Context, probe: &DynamicObject) -> Vec<ObjectKey> {
    let uid = probe.labels().get(LABEL_REGISTRY_UID);
    uid.and_then(|uid| context.memories.key_of(uid)).into_iter().collect()
}

fn users_of_vantage_point(context: &Context, point: &DynamicObject) -> Vec<ObjectKey> {
    context.memories.looking_from(&point.name_any())
}

/// Break-glasses and approvals name the object beside them.
fn owner_by_name(_: &Context, object: &DynamicObject) -> Vec<ObjectKey> {
    let name = object.data.pointer("/spec/secureRegistryName").and_then(Value::as_str);
    let key = |name: &str| {
        Some(ObjectKey {
            namespace: object.namespace()?,
            name: name.to_owned(),
        })
    };
    name.and_then(key).into_iter().collect()
}

/// Whom a change of a related object starts a pass for.
#[derive(Clone, Copy)]
enum Wakes {
    /// The objects that it belonged to when it was last seen.
    Owners(fn(&Context, &DynamicObject) -> Vec<ObjectKey>),
    /// The object whose paths a probe tries; before others, where one fails of what is closed.
    WhoseProbe,
    /// Every object that is known by then: a grant may serve any namespace, also one that it did not serve before.
    Everybody,
}

impl Wakes {
    /// What has to be remembered of a related object.
    fn note(self, context: &Context, object: &DynamicObject) -> Noted {
        let owners = match self {
            Wakes::Owners(owners) => owners(context, object),
            Wakes::WhoseProbe => owner_by_label(context, object),
            Wakes::Everybody => Vec::new(),
        };
        Noted {
            owners,
            tells_of_a_loss: matches!(self, Wakes::WhoseProbe) && tells_of_a_loss(object),
        }
    }

    /// Whom to wake, by what was remembered.
    fn keys(self, context: &Context, noted: Noted) -> Vec<ObjectKey> {
        let keys = match self {
            Wakes::Owners(_) | Wakes::WhoseProbe => noted.owners,
            Wakes::Everybody => context.memories.all_keys(),
        };
        keys.iter()
            .for_each(|key| hasten_if_cut_off(context, key, noted.tells_of_a_loss));
        keys
    }
}

/// What is remembered of a related object.
#[derive(Clone, Default)]
struct Noted {
    owners: Vec<ObjectKey>,
    tells_of_a_loss: bool,
}

fn kind(
    context: &Arc<Context>,
    api: Api<DynamicObject>,
    plural: &'static str,
    key: fn(&DynamicObject) -> u64,
    wakes: Wakes,
) -> impl Stream<Item = Wake> + Send + use<> {
    let mut known: Known<Noted> = Known::default();
    let context = Arc::clone(context);
    let events = watcher(api, config(context.settings.streaming_lists)).default_backoff();
    events.flat_map(move |event| {
        let woken: Vec<Wake> = match event {
            Ok(event) => {
                let change = known.take(event, |object| {
                    (object.metadata.uid.clone(), key(object), wakes.note(&context, object))
                });
                let uid = |object: &DynamicObject| object.uid().unwrap_or_default();
                let changed = change.object.filter(|(_, change)| change.is_new);
                let changed = changed.map(|(object, change)| (uid(&object), change.now));
                let noted = change.gone.into_iter().chain(changed);
                noted
                    .flat_map(|(uid, noted)| {
                        let keys = wakes.keys(&context, noted).into_iter();
                        keys.map(move |key| (uid.clone(), key)).collect::<Vec<_>>()
                    })
                    .collect()
            }
            Err(error) => complain(plural, &error).unwrap_or_default(),
        };
        stream::iter(woken)
    })
}
