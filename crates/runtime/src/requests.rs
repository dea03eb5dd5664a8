//! The controllers that tell BreakGlasses and ChangeApprovals how they stand: people's requests, each of which names a `SecureRegistry`
//! beside it. Its status is a projection: of what the last pass over that registry decided, or, where there is none or it names no Azure
//! registry, of the request alone. Nothing reads it back but the person who made the request, and the planner for an end that was once
//! told: no opening waits for it, and what cannot be written is tried again with backoff.
//!
//! | the SecureRegistry | the status says |
//! | --- | --- |
//! | does not exist | that nothing happens, and when its time is over |
//! | names no Azure registry | the same, and what is wrong with it |
//! | was not passed over by this process yet | what it said |
//! | was passed over | what that pass decided |

use std::marker::PhantomData;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::store::Store;
use serde::Serialize;
use serde_json::{Value, json};
use sreg_planner::Decided;

use crate::context::Context;
use crate::controller::{Controller, Kept, Pass, PassError, Passes, Watched};
use crate::decisions::Decision;
use crate::memory::ObjectKey;
use crate::metrics::PassResult;
use crate::observe::read_live;
use crate::watch::digest;
use crate::writer::StatusOf;

mod break_glass;
mod change_approval;

pub(crate) use break_glass::BreakGlasses;
pub(crate) use change_approval::ChangeApprovals;

/// One kind of request.
pub(crate) trait Request: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Its kind.
    type Kind: Resource<DynamicType = ()>;
    /// What it asks for.
    type Seen: Clone + std::fmt::Debug + Send + Sync;
    /// Its status.
    type Status: Clone + Serialize + PartialEq + Send + Sync;

    /// What logs and metrics call its controller.
    const NAME: &'static str;
    /// Who writes its status.
    const MANAGER: &'static str;

    /// The `SecureRegistry` that it names, and what it asks for, without what people may make large. `None`: it does not parse.
    fn parse(metadata: &ObjectMeta, spec: Value, status: Value) -> Option<(String, Self::Seen)>;

    /// What it says now.
    fn told(seen: &Self::Seen) -> Option<&Self::Status>;

    /// What a pass over its registry decided of the one with this uid.
    fn decided<'a>(all: &'a Decided, uid: &str) -> Option<&'a Self::Status>;

    /// What it says where no pass judges it; `None`: what it says stays.
    fn alone(seen: &Self::Seen, registry: &ObjectKey, violation: Option<&str>, now: Timestamp) -> Option<Self::Status>;

    /// When it would say something else by itself.
    fn ends(seen: &Self::Seen) -> Option<Timestamp>;
}

/// A request as the watch keeps it. `None`: it does not parse, and counts for nothing.
#[derive(Debug, Clone)]
pub(crate) struct Named<R: Request>(Option<(String, R::Seen)>);

impl<R: Request> Kept for Named<R> {
    type Kind = R::Kind;

    fn keep(metadata: &ObjectMeta, spec: Value, status: Value) -> Self {
        Named(R::parse(metadata, spec, status))
    }

    /// Also when somebody writes its status: what is not true there is written anew.
    fn key(metadata: &ObjectMeta, status: &Value) -> u64 {
        digest((
            metadata.generation,
            metadata.deletion_timestamp.is_some(),
            status.to_string(),
        ))
    }
}

/// The controller over one kind of request.
pub(crate) struct Requests<R> {
    context: Arc<Context>,
    passes: Passes,
    kind: PhantomData<fn() -> R>,
}

/// So many statuses are written at once: each costs a read and a write of the API server.
const AT_ONCE: usize = 4;

impl<R: Request> Requests<R> {
    pub(crate) fn new(context: &Arc<Context>) -> Self {
        Requests {
            context: Arc::clone(context),
            passes: Passes::new(R::NAME, AT_ONCE),
            kind: PhantomData,
        }
    }

    /// What is true of a request now, and when that may change by itself; `None`: what it says stays.
    async fn status(
        &self,
        (uid, seen): (&str, &R::Seen),
        registry: &ObjectKey,
    ) -> Result<(Option<R::Status>, Option<Timestamp>), PassError> {
        let read = read_live(&self.context.writer(), &registry.namespace, &registry.name).await;
        let found = read.map_err(|failure| PassError::Read(Box::new(failure)))?;
        let alone = |violation: Option<&str>| {
            let now = self.context.clock.now();
            let next = R::ends(seen).filter(|end| now < *end);
            (R::alone(seen, registry, violation, now), next)
        };
        let Some(found) = found else {
            return Ok(alone(None));
        };
        Ok(match self.context.decisions.of(&found.reference.uid) {
            None => (None, None),
            Some(Decision::Unusable(why)) => alone(Some(&why)),
            Some(Decision::Judged(decided)) => (R::decided(&decided, uid).cloned(), None),
        })
    }
}

impl<R: Request> Controller for Requests<R> {
    type Kept = Named<R>;

    fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn passes(&self) -> &Passes {
        &self.passes
    }

    async fn pass(&self, object: &Watched<Named<R>>) -> Result<Pass, PassError> {
        let (meta, Named(request)) = (&object.metadata, &*object.kept);
        let (Some((registry, seen)), None) = (request, &meta.deletion_timestamp) else {
            return Ok(Pass::until_it_changes(PassResult::Settled));
        };
        let ObjectKey { namespace, name } = ObjectKey::of(object);
        let of = StatusOf {
            namespace: Some(&namespace),
            name: &name,
            uid: meta.uid.as_deref().unwrap_or_default(),
        };
        let registry = ObjectKey {
            namespace: namespace.clone(),
            name: registry.clone(),
        };
        let (status, next) = self.status((of.uid, seen), &registry).await?;
        let mut result = PassResult::Settled;
        if let Some(status) = status.filter(|status| R::told(seen) != Some(status)) {
            let writer = self.context.writer();
            writer.write_status::<R::Kind>(of, R::MANAGER, json!(status)).await?;
            result = PassResult::Progressed;
        }
        let left = next.and_then(|end| end.duration_since(self.context.clock.now()).try_into().ok());
        Ok(left.map_or(Pass::until_it_changes(result), |left| Pass::again_in(left, result)))
    }

    /// Something else was decided of the registry that they name, or it is gone.
    fn woken(&self, _: Option<&str>, known: Store<Watched<Named<R>>>) -> BoxStream<'static, ObjectKey> {
        let naming = move |registry: Option<ObjectKey>| {
            let named = known.state().into_iter().filter(move |object| {
                let (key, Named(request)) = (ObjectKey::of(&**object), &*object.kept);
                let of = |registry: &ObjectKey| {
                    let names = request.as_ref().is_some_and(|(name, _)| *name == registry.name);
                    names && key.namespace == registry.namespace
                };
                registry.as_ref().is_none_or(of)
            });
            stream::iter(named.map(|object| ObjectKey::of(&*object)).collect::<Vec<_>>())
        };
        self.context.decisions.news().flat_map(naming).boxed()
    }
}
