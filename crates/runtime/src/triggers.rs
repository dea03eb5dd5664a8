//! Which changes start a pass. The root watch passes on what people change, not our own status writes; related kinds are
//! turned into the object that they belong to. Deletions always count, also those that happened while no watch was open:
//! what a new list lacks is gone. Only keys are kept, no objects.

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Resource, ResourceExt};
use serde_json::Value;
use sreg_api::names::LABEL_REGISTRY_UID;
use sreg_api::probe::ProbeOutcome;
use sreg_api::{BreakGlass, ChangeApproval, ConnectivityProbe, RegistryGrant, VantagePoint};
use sreg_domain::Fact;

use crate::context::Context;
use crate::damping::{Wake, damped};
use crate::memory::ObjectKey;
use crate::observe::{Watched, alive};
use crate::turns::Urgency;

/// How many objects a list brings at once, where there is no streaming: each may be as large as the API server takes.
const PAGE: u32 = 50;

fn config(context: &Context) -> watcher::Config {
    let config = watcher::Config::default().page_size(PAGE);
    if context.settings.streaming_lists {
        config.streaming_lists()
    } else {
        config
    }
}

/// Objects that need a pass because they were changed by somebody, or lost their status. Forgets what is gone.
pub(crate) fn objects(
    context: Arc<Context>,
    api: Api<Watched>,
    writer: Writer<Watched>,
) -> impl Stream<Item = Result<Watched, watcher::Error>> + Send {
    let events = watch(api, config(&context))
        .default_backoff()
        .modify(Watched::let_go)
        .reflect(writer);
    let mut known: Known<Option<Shown>> = Known::default();
    events.filter_map(move |event| {
        let event = match event {
            Ok(event) => event,
            Err(error) => return ready(complain("secureregistries", &error)),
        };
        let change = known.take(event, |object| {
            let shown = Shown {
                has_status: object.has_status,
                is_to_be_open: object.is_to_be_open,
            };
            (object.metadata.clone(), object.key, Some(shown))
        });
        for (uid, _) in &change.gone {
            context.forget(uid);
        }
        let Some((object, Difference { is_new, before, .. })) = change.object else {
            return ready(None);
        };
        if object.is_to_be_open && before.is_none_or(|before| !before.is_to_be_open) {
            context.turns.hasten(ObjectKey::of(&object), Urgency::Opening);
        }
        let lost_status = before.is_some_and(|before| before.has_status && !object.has_status);
        ready((is_new || lost_status).then_some(Ok(object)))
    })
}

/// What was last shown of an object, besides what people change.
#[derive(Debug, Clone, Copy)]
struct Shown {
    has_status: bool,
    is_to_be_open: bool,
}

/// Objects that need a pass because something that they depend on changed.
pub(crate) fn related(
    context: &Arc<Context>,
    namespace: Option<&str>,
) -> impl Stream<Item = ObjectRef<Watched>> + Send + use<> {
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
    .map(|key| ObjectRef::new(&key.name).within(&key.namespace))
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
    let events = watch(api, config(&context)).default_backoff();
    events.flat_map(move |event| {
        let woken: Vec<Wake> = match event {
            Ok(event) => {
                let change = known.take(event, |object| {
                    (object.metadata.clone(), key(object), wakes.note(&context, object))
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

/// The watch goes on by itself, with backoff.
fn complain<T>(plural: &str, error: &watcher::Error) -> Option<T> {
    tracing::warn!(kind = plural, error = words(error), "watch interrupted, trying again");
    None
}

/// The API server's own sentence where there is one: the whole status object helps nobody.
fn words(error: &watcher::Error) -> String {
    let cause = match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => cause,
        watcher::Error::WatchError(status) => return status.message.clone(),
        watcher::Error::NoResourceVersion => return error.to_string(),
    };
    if let kube::Error::Api(status) = cause {
        status.message.clone()
    } else {
        cause.to_string()
    }
}

fn digest(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What is known of a kind's objects: by uid a key to tell a change by, and a note.
struct Known<N> {
    objects: HashMap<String, (u64, N)>,
    /// While a list runs: what it has not shown yet.
    missing: HashSet<String>,
}

impl<N> Default for Known<N> {
    fn default() -> Self {
        Known {
            objects: HashMap::new(),
            missing: HashSet::new(),
        }
    }
}

/// What an event brought.
struct Change<K, N> {
    object: Option<(K, Difference<N>)>,
    /// Uids and notes of objects that are gone.
    gone: Vec<(String, N)>,
}

struct Difference<N> {
    /// The key differs from the one before, or there was none.
    is_new: bool,
    before: N,
    now: N,
}

impl<N: Clone + Default> Known<N> {
    fn take<K>(&mut self, event: Event<K>, look: impl FnOnce(&K) -> (ObjectMeta, u64, N)) -> Change<K, N> {
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                let (meta, key, now) = look(&object);
                let uid = meta.uid.unwrap_or_default();
                self.missing.remove(&uid);
                let before = self.objects.insert(uid, (key, now.clone()));
                let is_new = before.as_ref().is_none_or(|(known, _)| *known != key);
                let before = before.map(|(_, note)| note).unwrap_or_default();
                Change {
                    object: Some((object, Difference { is_new, before, now })),
                    gone: Vec::new(),
                }
            }
            Event::Delete(object) => {
                let (meta, _, now) = look(&object);
                let uid = meta.uid.unwrap_or_default();
                self.missing.remove(&uid);
                self.objects.remove(&uid);
                Change {
                    object: None,
                    gone: vec![(uid, now)],
                }
            }
            Event::Init => {
                self.missing = self.objects.keys().cloned().collect();
                Change {
                    object: None,
                    gone: Vec::new(),
                }
            }
            Event::InitDone => {
                let gone = self.missing.drain().filter_map(|uid| self.objects.remove_entry(&uid));
                Change {
                    object: None,
                    gone: gone.map(|(uid, (_, note))| (uid, note)).collect(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uid: &str, generation: i64) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.into()),
            generation: Some(generation),
            ..ObjectMeta::default()
        }
    }

    fn take(known: &mut Known<i64>, event: Event<ObjectMeta>) -> (bool, Vec<(String, i64)>) {
        let look = |meta: &ObjectMeta| {
            (
                meta.clone(),
                digest(meta.generation),
                meta.generation.unwrap_or_default(),
            )
        };
        let change = known.take(event, look);
        (
            change.object.is_some_and(|(_, difference)| difference.is_new),
            change.gone,
        )
    }

    #[test]
    fn what_people_change_starts_a_pass_and_our_own_status_does_not() {
        let object = |meta: serde_json::Value, status: &str| -> u64 {
            let text = serde_json::json!({"metadata": meta, "status": status});
            let mut object: Watched = serde_json::from_value(text).unwrap();
            object.let_go();
            object.key
        };
        let plain = object(serde_json::json!({"generation": 1, "resourceVersion": "5"}), "");
        let ours = object(serde_json::json!({"generation": 1, "resourceVersion": "6"}), "another");
        assert_eq!(plain, ours);
        for theirs in [
            serde_json::json!({"generation": 2}),
            serde_json::json!({"generation": 1, "finalizers": ["a/b"]}),
            serde_json::json!({"generation": 1, "deletionTimestamp": "2026-01-01T00:00:00Z"}),
            serde_json::json!({"generation": 1, "labels": {"wave": "1"}}),
            serde_json::json!({"generation": 1, "annotations": {"look": "now"}}),
        ] {
            assert_ne!(object(theirs.clone(), ""), plain, "{theirs}");
        }
    }

    #[test]
    fn a_change_counts_once_and_a_deletion_always() {
        let mut known = Known::default();
        assert!(take(&mut known, Event::Apply(object("a", 1))).0);
        assert!(
            !take(&mut known, Event::Apply(object("a", 1))).0,
            "our own status write"
        );
        assert!(take(&mut known, Event::Apply(object("a", 2))).0);
        assert_eq!(
            take(&mut known, Event::Delete(object("a", 2))).1,
            vec![("a".to_owned(), 2)]
        );
        assert!(
            take(&mut known, Event::Apply(object("a", 2))).0,
            "seen again after a deletion it is new"
        );
    }

    #[test]
    fn what_a_new_list_lacks_was_deleted_while_nobody_watched() {
        let mut known = Known::default();
        take(&mut known, Event::Apply(object("a", 1)));
        take(&mut known, Event::Apply(object("b", 5)));
        take(&mut known, Event::Init);
        assert!(
            !take(&mut known, Event::InitApply(object("a", 1))).0,
            "unchanged, so a new list is no storm"
        );
        assert_eq!(take(&mut known, Event::InitDone).1, vec![("b".to_owned(), 5)]);
    }
}
