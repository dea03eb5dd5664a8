//! Watches that survive whatever is written into an object. What is kept of each object of a controller's own kind is small and cannot
//! fail; a pass is due when people change it, and a deletion always counts, also one that happened while no watch was open: what a
//! new list lacks is gone.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::future::ready;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::Api;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api_words;
use crate::memory::ObjectKey;

/// How many objects a list brings at once, where there is no streaming: each may be as large as the API server takes.
const PAGE: u32 = 50;

/// How watches begin: with a stream of what is there, or with a list, page by page.
pub(crate) fn config(streaming_lists: bool) -> watcher::Config {
    let config = watcher::Config::default().page_size(PAGE);
    if streaming_lists {
        config.streaming_lists()
    } else {
        config
    }
}

/// What a controller's watch keeps of each object of its kind.
pub trait Kept: Clone + Debug + Send + Sync + Sized + 'static {
    /// The kind that is watched.
    type Kind: Resource<DynamicType = ()>;

    /// What is kept of one. Nothing that people write may make this fail, or large.
    fn keep(metadata: &ObjectMeta, spec: Value, status: Value) -> Self;

    /// A pass is due when this changes. As a rule it is what people change, and not the status that we write.
    fn key(metadata: &ObjectMeta, _status: &Value) -> u64 {
        digest((
            metadata.generation,
            metadata.deletion_timestamp.is_some(),
            &metadata.finalizers,
            &metadata.labels,
            &metadata.annotations,
        ))
    }
}

/// An object as the watch keeps it.
#[derive(Debug, Clone)]
pub struct Watched<T> {
    /// Without labels, annotations and managed fields: they are as large as their writers please.
    pub metadata: ObjectMeta,
    /// Tells one state from another.
    pub key: u64,
    /// What else is kept; shared, because both the watch and its reader hold it.
    pub kept: Arc<T>,
}

impl<'de, T: Kept> Deserialize<'de> for Watched<T> {
    fn deserialize<D: Deserializer<'de>>(object: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Whole {
            metadata: ObjectMeta,
            #[serde(default)]
            spec: Value,
            #[serde(default)]
            status: Value,
        }
        let Whole {
            mut metadata,
            spec,
            status,
        } = Whole::deserialize(object)?;
        let key = T::key(&metadata, &status);
        let kept = Arc::new(T::keep(&metadata, spec, status));
        (
            metadata.labels,
            metadata.annotations,
            metadata.managed_fields,
            metadata.owner_references,
        ) = (None, None, None, None);
        Ok(Watched { metadata, key, kept })
    }
}

impl<T: Kept> Resource for Watched<T> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(dt: &()) -> Cow<'_, str> {
        T::Kind::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        T::Kind::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        T::Kind::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        T::Kind::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What a watch says of one object.
#[derive(Debug)]
pub enum News<'a, T> {
    /// It is there.
    Shown {
        /// Now.
        object: &'a Watched<T>,
        /// What was kept of it before.
        before: Option<Arc<T>>,
    },
    /// It is gone.
    Gone {
        /// Which one.
        key: ObjectKey,
        /// Its uid.
        uid: String,
    },
}

/// Objects of which a pass is due because they changed, or because `news` says so.
pub(crate) fn changes<T: Kept>(
    api: Api<Watched<T>>,
    config: watcher::Config,
    writer: Writer<Watched<T>>,
    news: impl Fn(News<'_, T>) -> bool + Send,
) -> impl Stream<Item = Result<Watched<T>, watcher::Error>> + Send {
    let events = watch(api, config).default_backoff().reflect(writer);
    let mut known: Known<Option<(ObjectKey, Arc<T>)>> = Known::default();
    events.filter_map(move |event| {
        let event = match event {
            Ok(event) => event,
            Err(error) => return ready(complain(&T::Kind::plural(&()), &error)),
        };
        let change = known.take(event, |object| {
            let note = (ObjectKey::of(object), Arc::clone(&object.kept));
            (object.metadata.uid.clone(), object.key, Some(note))
        });
        for (uid, note) in change.gone {
            if let Some((key, _)) = note {
                news(News::Gone { key, uid });
            }
        }
        let Some((object, Difference { is_new, before, .. })) = change.object else {
            return ready(None);
        };
        let before = before.map(|(_, kept)| kept);
        let is_news = news(News::Shown {
            object: &object,
            before,
        });
        ready((is_new || is_news).then_some(Ok(object)))
    })
}

/// The watch goes on by itself, with backoff.
pub(crate) fn complain<T>(plural: &str, error: &watcher::Error) -> Option<T> {
    tracing::warn!(
        kind = plural,
        error = api_words::of_watch(error),
        "watch interrupted, trying again"
    );
    None
}

/// One number for a value.
pub(crate) fn digest(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What is known of a kind's objects: by uid a key to tell a change by, and a note.
pub(crate) struct Known<N> {
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
pub(crate) struct Change<K, N> {
    pub(crate) object: Option<(K, Difference<N>)>,
    /// Uids and notes of objects that are gone.
    pub(crate) gone: Vec<(String, N)>,
}

/// How an object differs from what was known of it.
pub(crate) struct Difference<N> {
    /// The key differs from the one before, or there was none.
    pub(crate) is_new: bool,
    /// What was noted before.
    pub(crate) before: N,
    /// What is noted now.
    pub(crate) now: N,
}

impl<N: Clone + Default> Known<N> {
    /// Takes an event in.
    pub(crate) fn take<K>(
        &mut self,
        event: Event<K>,
        look: impl FnOnce(&K) -> (Option<String>, u64, N),
    ) -> Change<K, N> {
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                let (uid, key, now) = look(&object);
                let uid = uid.unwrap_or_default();
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
                let (uid, _, now) = look(&object);
                let uid = uid.unwrap_or_default();
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
                meta.uid.clone(),
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
