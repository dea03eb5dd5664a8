//! The harness that every controller runs in: which pass runs when, how many at once, and what becomes of one that fails, hangs or
//! panics. A failure is a matter of that one object: it waits with its own backoff, the others go on. A controller says what it keeps of
//! each object, what else wakes it, and what a pass does; what it writes goes through a [`ClusterWriter`](crate::writer::ClusterWriter).
//!
//! | whose | what |
//! | --- | --- |
//! | harness | watch that no object can stop, backoff per object, turns, deadline, panic guard, metrics and log of passes |
//! | controller | what is kept of an object, what else wakes it, the pass, one status write |
//! | [`controllers`](crate::controllers) | which of them run, by leadership, until shutdown, and that the end waits for running passes |
//!
//! A whole controller (`requests.rs` is one of this shape):
//!
//! ```
//! use std::sync::Arc;
//!
//! use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
//! use serde_json::{Value, json};
//! use sreg_api::BreakGlass;
//! use sreg_runtime::Context;
//! use sreg_runtime::controller::{Controller, Kept, Pass, PassError, Passes, Watched};
//! use sreg_runtime::metrics::PassResult;
//! use sreg_runtime::writer::StatusOf;
//!
//! /// What the watch keeps of each object: small, and whatever people wrote.
//! #[derive(Debug, Clone)]
//! struct Reason(String);
//!
//! impl Kept for Reason {
//!     type Kind = BreakGlass;
//!
//!     fn keep(_: &ObjectMeta, spec: Value, _: Value) -> Self {
//!         Reason(spec["reason"].as_str().unwrap_or_default().to_owned())
//!     }
//! }
//!
//! struct Reasons {
//!     context: Arc<Context>,
//!     passes: Passes,
//! }
//!
//! impl Controller for Reasons {
//!     type Kept = Reason;
//!
//!     fn context(&self) -> &Arc<Context> {
//!         &self.context
//!     }
//!
//!     fn passes(&self) -> &Passes {
//!         &self.passes
//!     }
//!
//!     async fn pass(&self, object: &Watched<Reason>) -> Result<Pass, PassError> {
//!         let meta = &object.metadata;
//!         let of = StatusOf {
//!             namespace: meta.namespace.as_deref(),
//!             name: meta.name.as_deref().unwrap_or_default(),
//!             uid: meta.uid.as_deref().unwrap_or_default(),
//!         };
//!         let status = json!({"phase": "Pending", "message": format!("read: {}", object.kept.0)});
//!         self.context.writer().write_status::<BreakGlass>(of, "an-example", status).await?;
//!         Ok(Pass::until_it_changes(PassResult::Progressed))
//!     }
//! }
//!
//! fn in_the_list_of_controllers(context: &Arc<Context>) -> Reasons {
//!     Reasons {
//!         context: Arc::clone(context),
//!         passes: Passes::new("reasons", 2),
//!     }
//! }
//! ```

use std::any::Any;
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use kube::api::Api;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::{Store, Writer};
use kube::{Resource, ResourceExt};
use sreg_domain::{CallFailure, Withheld};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api_words;
use crate::backoff::{Backoff, jittered};
use crate::context::Context;
use crate::memory::ObjectKey;
use crate::metrics::PassResult;
use crate::turns::Turns;
use crate::watch;
use crate::writer::Unwritten;

pub use crate::watch::{Kept, News, Watched};

/// Why a pass broke off. Waiting and failing steps are no errors: a report tells of them.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// Something that the pass depends on could not be read.
    #[error(transparent)]
    Read(Box<CallFailure>),
    /// The status was not written.
    #[error(transparent)]
    WriteStatus(Box<CallFailure>),
    /// Leadership was not held when something was to be written.
    #[error("write status: {0}")]
    NotLeading(Withheld),
    /// The plan breaks a rule: a defect of ours, and nothing of it was carried out.
    #[error("carry out the plan for SecureRegistry {object}: it breaks the rule {rule:?}: {message}")]
    BrokenPlan {
        /// `namespace/name`.
        object: String,
        /// Which rule.
        rule: &'static str,
        /// What breaks it.
        message: String,
    },
    /// The pass took too long.
    #[error("pass not finished after {after:?}")]
    Deadline {
        /// The settings' pass deadline.
        after: Duration,
    },
    /// The pass panicked: a defect of ours, of no consequence for other objects.
    #[error("pass panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

impl From<Unwritten> for PassError {
    fn from(unwritten: Unwritten) -> PassError {
        match unwritten {
            Unwritten::Withheld(why) => PassError::NotLeading(why),
            Unwritten::Failed(failure) => PassError::WriteStatus(Box::new(failure)),
        }
    }
}

impl PassError {
    /// How metrics count it.
    pub fn result(&self) -> PassResult {
        match self {
            PassError::Read(_) | PassError::WriteStatus(_) | PassError::BrokenPlan { .. } => PassResult::Failed,
            PassError::NotLeading(_) => PassResult::NotLeader,
            PassError::Deadline { .. } => PassResult::DeadlineExceeded,
            PassError::Panicked { .. } => PassResult::Panicked,
        }
    }

    /// From a closed set, for logs.
    pub fn category(&self) -> &'static str {
        match self {
            PassError::Read(_) => "read",
            PassError::WriteStatus(_) => "status",
            PassError::NotLeading(_) => "leadership",
            PassError::BrokenPlan { .. } => "plan",
            PassError::Deadline { .. } => "deadline",
            PassError::Panicked { .. } => "panic",
        }
    }
}

/// How a pass ended that did not break off.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    /// When the next one is due.
    pub next: Action,
    /// How metrics count it.
    pub result: PassResult,
}

impl Pass {
    /// The next pass comes when the object changes, or something wakes it.
    pub fn until_it_changes(result: PassResult) -> Pass {
        let next = Action::await_change();
        Pass { next, result }
    }

    /// The next pass comes after exactly this long: something ends then.
    pub fn again_in(wait: Duration, result: PassResult) -> Pass {
        let next = Action::requeue(wait);
        Pass { next, result }
    }

    /// The next pass comes after this long, or a little earlier, so that objects applied together do not stay in step.
    pub fn again_after(wait: Duration, result: PassResult) -> Pass {
        let next = Action::requeue(jittered(wait));
        Pass { next, result }
    }
}

/// The passes of one controller. Clones share them.
#[derive(Debug, Clone)]
pub struct Passes {
    /// What logs and metrics call the controller: its kind's plural, as a rule.
    pub name: &'static str,
    /// Whose pass comes next.
    pub(crate) turns: Turns,
    /// Failures in a row, per object.
    pub(crate) backoff: Arc<Backoff>,
}

impl Passes {
    /// Of which so many run at once, at least one.
    pub fn new(name: &'static str, at_once: usize) -> Passes {
        Passes::in_turns(name, Turns::new(at_once))
    }

    /// Whose turns others know too.
    pub(crate) fn in_turns(name: &'static str, turns: Turns) -> Passes {
        Passes {
            name,
            turns,
            backoff: Arc::default(),
        }
    }

    /// No pass begins any more; ends when none is under way.
    pub(crate) async fn close(&self) {
        self.turns.close().await;
    }

    /// Runs one pass, which can neither hang nor take others down, and counts it.
    pub(crate) async fn guard(
        &self,
        context: &Context,
        pass: impl Future<Output = Result<Pass, PassError>>,
    ) -> Result<Pass, PassError> {
        let deadline = context.settings.pass_deadline;
        let began = Instant::now();
        let ended = match tokio::time::timeout(deadline, AssertUnwindSafe(pass).catch_unwind()).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(panic)) => Err(PassError::Panicked {
                message: panic_message(panic.as_ref()),
            }),
            Err(_) => Err(PassError::Deadline { after: deadline }),
        };
        let result = ended.as_ref().map_or_else(PassError::result, |pass| pass.result);
        context.metrics.pass(self.name, result, began.elapsed());
        ended
    }
}

/// A controller: passes over the objects of one kind.
pub trait Controller: Send + Sync + 'static {
    /// What the watch keeps of each object.
    type Kept: Kept;

    /// Clients, settings and the clock.
    fn context(&self) -> &Arc<Context>;

    /// Its passes.
    fn passes(&self) -> &Passes;

    /// One pass over one object, as the watch last showed it.
    fn pass(&self, object: &Watched<Self::Kept>) -> impl Future<Output = Result<Pass, PassError>> + Send;

    /// What else makes a pass due, of objects in `namespace`, or in all; `known` are those that the watch has shown.
    fn woken(&self, _namespace: Option<&str>, _known: Store<Watched<Self::Kept>>) -> BoxStream<'static, ObjectKey> {
        stream::pending().boxed()
    }

    /// The watch has news. `true`: a pass is due though nothing changed that the key knows of.
    fn hear(&self, _news: News<'_, Self::Kept>) -> bool {
        false
    }
}

/// Runs passes until `shutdown`. Ends by itself only through a defect.
pub(crate) fn run<C: Controller>(controller: Arc<C>, shutdown: &CancellationToken) -> BoxFuture<'static, ()> {
    let scopes: Vec<Option<String>> = match &controller.context().settings.namespaces {
        Some(namespaces) => namespaces.iter().cloned().map(Some).collect(),
        None => vec![None],
    };
    let running: Vec<_> = scopes
        .into_iter()
        .map(|scope| run_scope(&controller, scope, shutdown))
        .collect();
    join_all(running).map(drop).boxed()
}

/// One kube controller for one namespace, or for all. It starts whatever is due; passes of all scopes share the turns.
fn run_scope<C: Controller>(
    controller: &Arc<C>,
    namespace: Option<String>,
    shutdown: &CancellationToken,
) -> BoxFuture<'static, ()> {
    let context = controller.context();
    let api: Api<Watched<C::Kept>> = match &namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let writer = Writer::new(());
    let reader = writer.as_reader();
    let heard = Arc::clone(controller);
    let config = watch::config(context.settings.streaming_lists);
    let changes = watch::changes(api, config, writer, move |news| {
        if let News::Gone { uid, .. } = &news {
            heard.passes().backoff.forget(uid);
        }
        heard.hear(news)
    });
    let woken = controller.woken(namespace.as_deref(), reader.clone());
    let woken = woken.map(|key| ObjectRef::new(&key.name).within(&key.namespace));
    let stopped = shutdown.clone();
    let told = Arc::clone(controller);
    controller::Controller::for_stream(changes, reader)
        .reconcile_on(woken)
        .graceful_shutdown_on(async move { stopped.cancelled().await })
        .run(
            |object, controller: Arc<C>| in_turn(object, controller).boxed(),
            after_failure,
            Arc::clone(controller),
        )
        .for_each_concurrent(None, move |ended| {
            note(told.passes(), ended);
            std::future::ready(())
        })
        .boxed()
}

async fn in_turn<C: Controller>(object: Arc<Watched<C::Kept>>, controller: Arc<C>) -> Result<Action, PassError> {
    let passes = controller.passes();
    let turn = passes.turns.take(ObjectKey::of(&*object)).await;
    match passes.guard(controller.context(), controller.pass(&object)).await {
        Ok(pass) => {
            passes.backoff.forget(&object.uid().unwrap_or_default());
            Ok(pass.next)
        }
        Err(error) => {
            turn.broke_off();
            Err(error)
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

fn after_failure<C: Controller>(object: Arc<Watched<C::Kept>>, _: &PassError, controller: Arc<C>) -> Action {
    let wait = controller.passes().backoff.failed(&object.uid().unwrap_or_default());
    Action::requeue(wait)
}

type Ended<K> = Result<(ObjectRef<K>, Action), controller::Error<PassError, kube::runtime::watcher::Error>>;

fn note<K: Resource<DynamicType = ()> + Clone + Debug>(passes: &Passes, ended: Ended<K>) {
    let kind = passes.name;
    match ended {
        Ok((object, _)) => tracing::debug!(kind, %object, "pass ended"),
        // Requeued, and deleted since; or something names an object that was never there.
        Err(controller::Error::ObjectNotFound(object)) => {
            tracing::debug!(kind, %object, "object is gone");
            passes.turns.forget(&ObjectKey {
                namespace: object.namespace.unwrap_or_default(),
                name: object.name,
            });
        }
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            let category = error.category();
            tracing::warn!(kind, %object, %error, category, "pass failed, will be tried again with backoff");
        }
        Err(controller::Error::QueueError(error)) => {
            tracing::warn!(
                kind,
                error = api_words::of_watch(&error),
                "watch interrupted, trying again"
            );
        }
        Err(controller::Error::RunnerError(error)) => tracing::error!(kind, %error, "controller cannot run"),
    }
}
