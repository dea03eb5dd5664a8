//! Runs passes: which, when, how many at once, and what becomes of a pass that fails, hangs or panics. A failure is a matter
//! of that one object: it waits with its own backoff, the others go on. Started when leadership is acquired; ends when told,
//! after the running passes have had their grace.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt};
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::store::Writer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::grants;
use crate::memory::ObjectKey;
use crate::observe::Watched;
use crate::orphaned_break_glass;
use crate::reconcile::{PassError, reconcile};
use crate::triggers;

/// Why the controller ended otherwise than asked.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// Its streams ended though nobody asked for it.
    #[error("controller of SecureRegistry objects ended by itself")]
    Ended,
    /// Passes were still running at the end of the grace and were given up.
    #[error("wait for running passes to end: the grace is over")]
    GraceOver,
}

/// Runs passes until `shutdown`; those that run then may end within the grace. Only the leader may call it.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) -> Result<(), ControllerError> {
    let scopes: Vec<Option<String>> = match &context.settings.namespaces {
        Some(namespaces) => namespaces.iter().cloned().map(Some).collect(),
        None => vec![None],
    };
    let controllers = scopes.into_iter().map(|scope| run_scope(&context, scope, &shutdown));
    // Not the kube controllers' own end: one told to stop before its first list has arrived would wait for that list.
    let idle = async {
        shutdown.cancelled().await;
        tokio::time::timeout(context.settings.shutdown_grace, context.turns.close())
            .await
            .is_ok()
    };
    let telling = grants::tell(Arc::clone(&context), shutdown.clone());
    tokio::select! {
        biased;
        is_idle = idle => if is_idle { Ok(()) } else { Err(ControllerError::GraceOver) },
        () = telling => if shutdown.is_cancelled() { Ok(()) } else { Err(ControllerError::Ended) },
        _ = join_all(controllers) => if shutdown.is_cancelled() { Ok(()) } else { Err(ControllerError::Ended) },
    }
}

/// One kube controller for one namespace, or for all. It starts whatever is due; passes of all scopes share the turns.
fn run_scope(
    context: &Arc<Context>,
    namespace: Option<String>,
    shutdown: &CancellationToken,
) -> BoxFuture<'static, ()> {
    let api: Api<Watched> = match &namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let writer = Writer::new(());
    let reader = writer.as_reader();
    let stopped = shutdown.clone();
    let told = Arc::clone(context);
    Controller::for_stream(triggers::objects(Arc::clone(context), api, writer), reader)
        .reconcile_on(triggers::related(context, namespace.as_deref()))
        .graceful_shutdown_on(async move { stopped.cancelled().await })
        .run(
            move |object, context| {
                async move {
                    let turn = context.turns.take(ObjectKey::of(&*object)).await;
                    let ended = pass(&object, &context).await;
                    if ended.is_err() {
                        turn.broke_off();
                    }
                    ended
                }
                .boxed()
            },
            after_failure,
            Arc::clone(context),
        )
        .for_each_concurrent(None, move |result| record(Arc::clone(&told), result))
        .boxed()
}

/// One pass that can neither hang nor take others down.
async fn pass(object: &Watched, context: &Context) -> Result<Action, PassError> {
    let ObjectKey { namespace, name } = ObjectKey::of(object);
    let deadline = context.settings.pass_deadline;
    let began = Instant::now();
    let guarded = AssertUnwindSafe(reconcile(context, &namespace, &name)).catch_unwind();
    let ended = match tokio::time::timeout(deadline, guarded).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(panic)) => Err(PassError::Panicked {
            message: panic_message(panic.as_ref()),
        }),
        Err(_) => Err(PassError::Deadline { after: deadline }),
    };
    let result = ended.as_ref().map_or_else(PassError::result, |(_, result)| *result);
    context.metrics.pass(result, began.elapsed());
    ended.map(|(action, _)| action)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

fn after_failure(object: Arc<Watched>, _: &PassError, context: Arc<Context>) -> Action {
    Action::requeue(context.backoff.failed(&object.uid().unwrap_or_default()))
}

type PassResult = Result<
    (kube::runtime::reflector::ObjectRef<Watched>, Action),
    controller::Error<PassError, kube::runtime::watcher::Error>,
>;

async fn record(context: Arc<Context>, result: PassResult) {
    match result {
        Ok((object, _)) => tracing::debug!(%object, "pass ended"),
        // Requeued, and deleted since; or something names an object that was never there.
        Err(controller::Error::ObjectNotFound(object)) => {
            tracing::debug!(%object, "object is gone");
            let key = ObjectKey {
                namespace: object.namespace.unwrap_or_default(),
                name: object.name,
            };
            context.turns.forget(&key);
            orphaned_break_glass::tell_of_absence(&context, &key.namespace, &key.name).await;
        }
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            let cause = std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default();
            tracing::warn!(%object, %error, cause, category = error.category(), "pass failed, will be tried again with backoff");
        }
        Err(controller::Error::QueueError(error)) => tracing::warn!(%error, "watch interrupted, trying again"),
        Err(controller::Error::RunnerError(error)) => tracing::error!(%error, "controller cannot run"),
    }
}
