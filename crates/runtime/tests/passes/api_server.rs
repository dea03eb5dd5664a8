//! A small, honest API server in process: get, list, watch (with initial events), create, server-side apply, merge patch and
//! delete, with resourceVersions, generations, uids, finalizers, a status subresource and preconditions. It exists because
//! paused time jumps at every real socket; its answers follow what a real server was seen to do. Every write is in a log.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use sreg_runtime::Clock;
use tokio::sync::watch;

use super::apply;
use super::campaign::courier::{Courier, Delivery};
use super::campaign::gate::Gate;
use super::wire::{ApiResponse, Refusal, Reply, Target, query, refuse, respond, same, seconds, selects, target};

/// Plural, namespace (empty for cluster-scoped kinds), name.
pub type Key = (String, String, String);

/// One write that had an effect, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// `create`, `apply`, `patch` or `delete`.
    pub verb: &'static str,
    /// Plural, with `/status` for the subresource.
    pub resource: String,
    /// Name.
    pub name: String,
    /// Field manager of an apply.
    pub manager: String,
}

/// What happens to a request beside or instead of its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Refused with this status; no effect.
    Refuse(u16),
    /// Carried out, and the answer is lost.
    LoseAnswer,
    /// Carried out, and the answer comes so much later.
    AnswerLate(Duration),
}

type Interceptor = Box<dyn FnMut(&Method, &Key) -> Fault + Send>;

/// The server; clones share one store.
#[derive(Clone)]
pub struct ApiServer {
    store: Arc<Mutex<Store>>,
    version: watch::Sender<u64>,
    clock: Clock,
}

#[derive(Default)]
pub(super) struct Store {
    pub(super) objects: BTreeMap<Key, Value>,
    /// What each field manager last applied.
    applied: HashMap<(Key, String), Value>,
    pub(super) log: Vec<Event>,
    writes: Vec<Write>,
    pub(super) version: u64,
    interceptor: Option<Interceptor>,
    pub(super) courier: Courier,
    /// Where set, what watches and reads that accept an old answer are served from.
    pub(super) past: Option<Past>,
}

/// The watch cache of a server that lags behind etcd.
pub(super) struct Past {
    pub(super) objects: BTreeMap<Key, Value>,
    pub(super) version: u64,
}

#[derive(Clone)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) kind: &'static str,
    pub(super) key: Key,
    pub(super) object: Value,
}

impl Store {
    /// The first event after a version that is wanted, and how far was looked.
    pub(super) fn event_after(&self, version: u64, wanted: impl Fn(&Event) -> bool) -> (Option<Event>, u64) {
        let (_, known) = self.watched();
        let from = self.log.partition_point(|event| event.version <= version);
        let mut later = self.log.iter().skip(from).take_while(|event| event.version <= known);
        (later.find(|event| wanted(event)).cloned(), known)
    }

    /// All objects as whoever watches knows them, and their version.
    pub(super) fn watched(&self) -> (&BTreeMap<Key, Value>, u64) {
        let past = self.past.as_ref().map(|past| (&past.objects, past.version));
        past.unwrap_or((&self.objects, self.version))
    }

    /// What becomes of an event that somebody watches for.
    pub(super) fn deliver(&mut self, event: &Event) -> Delivery {
        self.courier.take(&event.key.0)
    }

    /// Whether more is known of the same object than this event tells.
    pub(super) fn is_outdated(&self, event: &Event) -> bool {
        let from = self.log.partition_point(|other| other.version <= event.version);
        self.log.iter().skip(from).any(|other| other.key == event.key)
    }
}

impl ApiServer {
    /// An empty server whose times come from `clock`.
    pub fn new(clock: Clock) -> Self {
        ApiServer {
            store: Arc::default(),
            version: watch::Sender::new(0),
            clock,
        }
    }

    /// A client of it. No retries, no sockets.
    pub fn client(&self) -> kube::Client {
        self.client_through(Gate::open())
    }

    /// Decides about every request but watches from now on; lists have no name.
    pub fn intercept(&self, interceptor: impl FnMut(&Method, &Key) -> Fault + Send + 'static) {
        self.lock().interceptor = Some(Box::new(interceptor));
    }

    /// From now on watches tell nothing, and reads that accept an old answer get one from now.
    pub fn freeze_watch_cache(&self) {
        let mut store = self.lock();
        let (objects, version) = (store.objects.clone(), store.version);
        store.past = Some(Past { objects, version });
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// An object as it is now.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lock()
            .objects
            .get(&(plural.into(), namespace.into(), name.into()))
            .cloned()
    }

    /// All objects of a kind.
    pub fn all(&self, plural: &str) -> Vec<Value> {
        self.lock()
            .objects
            .iter()
            .filter(|(key, _)| key.0 == plural)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// All objects of a kind with this label.
    pub fn labelled(&self, plural: &str, label: &str, value: &str) -> Vec<Value> {
        let store = self.lock();
        let labelled = |(key, object): &(&Key, &Value)| key.0 == plural && object["metadata"]["labels"][label] == value;
        store
            .objects
            .iter()
            .filter(labelled)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Puts an object there as a person would with `kubectl apply`.
    pub fn put(&self, plural: &str, object: Value) {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let key = (plural.to_owned(), text("/metadata/namespace"), text("/metadata/name"));
        let target = Target { key, status: false };
        self.apply(&target, object, "kubectl")
            .unwrap_or_else(|refusal| panic!("{}", refusal.body));
    }

    /// Changes an object by hand, whatever the rules.
    pub fn meddle(&self, plural: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let key: Key = (plural.into(), namespace.into(), name.into());
        let mut object = self.lock().objects.get(&key).cloned().unwrap();
        change(&mut object);
        self.store_object(&mut self.lock(), &key, object);
    }

    /// Deletes as a person would.
    pub fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let target = Target {
            key: (plural.into(), namespace.into(), name.into()),
            status: false,
        };
        self.delete(&target, &Value::Null)
            .unwrap_or_else(|refusal| panic!("{}", refusal.body));
    }

    /// Every write that had an effect.
    pub fn writes(&self) -> Vec<Write> {
        self.lock().writes.clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    pub(super) async fn answer(&self, request: Request<Body>) -> Result<Reply, std::io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let query = query(&parts.uri);
        let Some(target) = target(parts.uri.path()) else {
            return Ok(respond(&refuse(404, "NotFound", "no such path")));
        };
        if parts.method == Method::GET && query.get("watch").is_some_and(|watch| watch != "false") {
            return Ok(self.watch(&target, &query));
        }
        let fault = match &mut self.lock().interceptor {
            Some(interceptor) => interceptor(&parts.method, &target.key),
            None => Fault::None,
        };
        if let Fault::Refuse(code) = fault {
            return Ok(respond(&refuse(code, "", "refused by the test")));
        }
        let answer = self.carry_out(&parts, &target, &query, &body);
        if fault == Fault::LoseAnswer {
            return Err(std::io::Error::other("the answer was lost"));
        }
        if let Fault::AnswerLate(by) = fault {
            tokio::time::sleep(by).await;
        }
        Ok(respond(&answer.unwrap_or_else(|refusal| refusal)))
    }

    fn carry_out(
        &self,
        parts: &http::request::Parts,
        target: &Target,
        query: &HashMap<String, String>,
        body: &Bytes,
    ) -> Result<Box<ApiResponse>, Refusal> {
        let body: Value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).unwrap()
        };
        let kind = parts
            .headers
            .get("content-type")
            .map_or("", |kind| kind.to_str().unwrap());
        let manager = query.get("fieldManager").map_or("", String::as_str);
        let old_will_do = query.contains_key("resourceVersion");
        let object = match (parts.method.as_str(), kind) {
            ("GET", _) if target.key.2.is_empty() => self.list(target, query, old_will_do),
            ("GET", _) if old_will_do => Self::find_in(self.lock().watched().0, &target.key)?,
            ("GET", _) => self.find(&target.key)?,
            ("POST", _) => self.create(target, body)?,
            ("PATCH", "application/apply-patch+yaml") => self.apply(target, body, manager)?,
            ("PATCH", "application/merge-patch+json") => self.merge(target, &body)?,
            ("DELETE", _) => self.delete(target, &body)?,
            (method, kind) => return Err(refuse(405, "MethodNotAllowed", format!("{method} {kind}"))),
        };
        Ok(Box::new(ApiResponse {
            code: StatusCode::OK,
            body: object,
        }))
    }

    fn find(&self, key: &Key) -> Result<Value, Refusal> {
        Self::find_in(&self.lock().objects, key)
    }

    fn find_in(objects: &BTreeMap<Key, Value>, key: &Key) -> Result<Value, Refusal> {
        let found = objects.get(key).cloned();
        found.ok_or_else(|| refuse(404, "NotFound", format!("{} {:?} not found", key.0, key.2)))
    }

    fn list(&self, target: &Target, query: &HashMap<String, String>, old_will_do: bool) -> Value {
        let store = self.lock();
        let (objects, version) = match old_will_do {
            true => store.watched(),
            false => (&store.objects, store.version),
        };
        let items: Vec<Value> = objects
            .iter()
            .filter(|(key, object)| selects(target, query, key, object))
            .map(|(_, object)| object.clone())
            .collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string()}, "items": items})
    }

    fn create(&self, target: &Target, mut object: Value) -> Result<Value, Refusal> {
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let key = (target.key.0.clone(), target.key.1.clone(), name);
        let mut store = self.lock();
        if store.objects.contains_key(&key) {
            return Err(refuse(
                409,
                "AlreadyExists",
                format!("{} {:?} already exists", key.0, key.2),
            ));
        }
        self.bear(&mut store, &key, &mut object);
        note(&mut store, "create", &key, false, "");
        Ok(self.store_object(&mut store, &key, object))
    }

    fn bear(&self, store: &mut Store, key: &Key, object: &mut Value) {
        let meta = &mut object["metadata"];
        if !key.1.is_empty() {
            meta["namespace"] = key.1.clone().into();
        }
        meta["uid"] = format!("uid-{}-{}", key.2, store.version + 1).into();
        meta["generation"] = 1.into();
        meta["creationTimestamp"] = seconds(&self.clock).into();
    }

    /// Server-side apply, always by force.
    fn apply(&self, target: &Target, body: Value, manager: &str) -> Result<Value, Refusal> {
        let key = &target.key;
        let mut store = self.lock();
        let uid = body.pointer("/metadata/uid").cloned();
        let Some(present) = store.objects.get(key).cloned() else {
            if target.status || uid.is_some() {
                let (code, reason) = if uid.is_some() && !target.status {
                    (409, "Conflict")
                } else {
                    (404, "NotFound")
                };
                return Err(refuse(code, reason, format!("{} {:?} not found", key.0, key.2)));
            }
            let mut object = body.clone();
            store
                .applied
                .insert((key.clone(), manager.to_owned()), apply::owned_part(&body, false));
            self.bear(&mut store, key, &mut object);
            note(&mut store, "apply", key, false, manager);
            return Ok(self.store_object(&mut store, key, object));
        };
        same(&present, &body)?;
        let slot = (
            key.clone(),
            format!("{manager}{}", if target.status { "/status" } else { "" }),
        );
        let wanted = apply::owned_part(&body, target.status);
        let before = store.applied.get(&slot).cloned().unwrap_or_default();
        let others: Vec<Value> = store
            .applied
            .iter()
            .filter(|(other, _)| other.0 == *key && **other != slot)
            .map(|(_, v)| v.clone())
            .collect();
        let mut object = present.clone();
        apply::apply(&mut object, &before, &wanted, &others);
        store.applied.insert(slot, wanted);
        Ok(self.changed(&mut store, target, "apply", manager, &present, object))
    }

    fn merge(&self, target: &Target, body: &Value) -> Result<Value, Refusal> {
        let present = self.find(&target.key)?;
        same(&present, body)?;
        let mut object = present.clone();
        apply::merge_patch(&mut object, body);
        Ok(self.changed(&mut self.lock(), target, "patch", "", &present, object))
    }

    /// Stores a changed object: nothing if nothing changed, gone if its last finalizer went.
    fn changed(
        &self,
        store: &mut Store,
        target: &Target,
        verb: &'static str,
        manager: &str,
        before: &Value,
        mut object: Value,
    ) -> Value {
        if object == *before {
            return object;
        }
        if object.get("spec") != before.get("spec") {
            object["metadata"]["generation"] = (before["metadata"]["generation"].as_i64().unwrap_or(1) + 1).into();
        }
        note(store, verb, &target.key, target.status, manager);
        let deleting = object["metadata"].get("deletionTimestamp").is_some();
        let held = object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|finalizers| !finalizers.is_empty());
        if deleting && !held {
            self.drop_object(store, &target.key, object)
        } else {
            self.store_object(store, &target.key, object)
        }
    }

    fn delete(&self, target: &Target, body: &Value) -> Result<Value, Refusal> {
        let mut object = self.find(&target.key)?;
        let conditions = body.get("preconditions").cloned().unwrap_or_default();
        same(&object, &json!({"metadata": conditions}))?;
        let mut store = self.lock();
        note(&mut store, "delete", &target.key, false, "");
        if object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            return Ok(self.drop_object(&mut store, &target.key, object));
        }
        object["metadata"]["deletionTimestamp"] = seconds(&self.clock).into();
        Ok(self.store_object(&mut store, &target.key, object))
    }

    fn store_object(&self, store: &mut Store, key: &Key, mut object: Value) -> Value {
        store.version += 1;
        object["metadata"]["resourceVersion"] = store.version.to_string().into();
        // As the definition has it.
        if key.0 == "secureregistries" && object.get("status").is_none_or(Value::is_null) {
            object["status"] = never_observed();
        }
        let kind = if store.objects.insert(key.clone(), object.clone()).is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        store.log.push(Event {
            version: store.version,
            kind,
            key: key.clone(),
            object: object.clone(),
        });
        self.version.send_replace(store.version);
        object
    }

    fn drop_object(&self, store: &mut Store, key: &Key, mut object: Value) -> Value {
        store.version += 1;
        object["metadata"]["resourceVersion"] = store.version.to_string().into();
        store.objects.remove(key);
        store.applied.retain(|(owner, _), _| owner != key);
        store.log.push(Event {
            version: store.version,
            kind: "DELETED",
            key: key.clone(),
            object: object.clone(),
        });
        self.version.send_replace(store.version);
        object
    }
}

/// The status of an object that nobody has looked at yet.
pub fn never_observed() -> Value {
    json!({"observedGeneration": sreg_api::crd::NEVER_OBSERVED})
}

fn note(store: &mut Store, verb: &'static str, key: &Key, status: bool, manager: &str) {
    let resource = if status {
        format!("{}/status", key.0)
    } else {
        key.0.clone()
    };
    store.writes.push(Write {
        verb,
        resource,
        name: key.2.clone(),
        manager: manager.to_owned(),
    });
}
