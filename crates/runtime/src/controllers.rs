//! Which controllers run. Started when leadership is acquired; ends when told, after the running passes have had their grace. The one
//! over `SecureRegistry` objects is what the process is for: it ends with it. Those that only tell people how something stands run
//! apart: what goes wrong with one of them holds up neither an emergency nor the others.
//!
//! | controller | from | to |
//! | --- | --- | --- |
//! | `secureregistries` | the object, and all that it names in the cluster and in Azure | Azure, its status, and what it decided of those that name it |
//! | `breakglasses`, `changeapprovals` | the object, its SecureRegistry, and what a pass over that decided | its status |
//! | grants | all RegistryGrants, Namespaces, VantagePoints | status of each grant |

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::controller::{self, Controller, Passes};
use crate::grants;
use crate::requests::{BreakGlasses, ChangeApprovals, Request, Requests};
use crate::secure_registry::SecureRegistries;

/// The kinds that controllers watch: readiness waits until the API server serves them. Grants may be missing: then nobody grants anything.
pub const KINDS: [&str; 5] = [
    "secureregistries",
    "vantagepoints",
    "connectivityprobes",
    "breakglasses",
    "changeapprovals",
];

/// Why the controllers ended otherwise than asked.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// Its streams ended though nobody asked for it.
    #[error("controller of SecureRegistry objects ended by itself")]
    Ended,
    /// Passes were still running at the end of the grace and were given up.
    #[error("wait for running passes to end: the grace is over")]
    GraceOver,
}

/// Runs all controllers until `shutdown`; passes that run then may end within the grace. Only the leader may call it.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) -> Result<(), ControllerError> {
    let registries = Arc::new(SecureRegistries::new(&context));
    let glasses = Arc::new(Requests::<BreakGlasses>::new(&context));
    let approvals = Arc::new(Requests::<ChangeApprovals>::new(&context));
    let grants = Passes::new("registrygrants", 1);
    let passes = [registries.passes(), glasses.passes(), approvals.passes(), &grants].map(Passes::clone);
    let grace = context.settings.shutdown_grace;
    let serving = controller::run(registries, &shutdown);
    let mut telling = JoinSet::new();
    telling.spawn(again(BreakGlasses::NAME, shutdown.clone(), move |stop| {
        controller::run(Arc::clone(&glasses), stop)
    }));
    telling.spawn(again(ChangeApprovals::NAME, shutdown.clone(), move |stop| {
        controller::run(Arc::clone(&approvals), stop)
    }));
    telling.spawn(again("registrygrants", shutdown.clone(), move |stop| {
        grants::tell(Arc::clone(&context), grants.clone(), stop.clone()).boxed()
    }));
    // Not the kube controllers' own end: one told to stop before its first list has arrived would wait for that list.
    let idle = async {
        shutdown.cancelled().await;
        let idle = join_all(passes.iter().map(Passes::close));
        tokio::time::timeout(grace, idle).await.is_ok()
    };
    tokio::select! {
        biased;
        is_idle = idle => if is_idle { Ok(()) } else { Err(ControllerError::GraceOver) },
        () = serving => if shutdown.is_cancelled() { Ok(()) } else { Err(ControllerError::Ended) },
    }
}

/// Between the end of a controller that ended by itself and its next start.
const PAUSE: Duration = Duration::from_secs(30);

/// Runs a controller in a task of its own, and again if it ends by itself or panics.
async fn again<R>(name: &'static str, shutdown: CancellationToken, run: R)
where
    R: Fn(&CancellationToken) -> BoxFuture<'static, ()>,
{
    while !shutdown.is_cancelled() {
        let mut task = JoinSet::new();
        task.spawn(run(&shutdown));
        let ended = task.join_next().await;
        if shutdown.is_cancelled() {
            return;
        }
        let why = match ended {
            Some(Err(error)) => error.to_string(),
            Some(Ok(())) | None => "it ended by itself".to_owned(),
        };
        tracing::error!(controller = name, why, "controller ended, starting it again");
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_panics_or_ends_is_started_again_until_shutdown() {
        let starts = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let counted = Arc::clone(&starts);
        let running = again("test", stop.clone(), move |stop| {
            let (start, stopped) = (counted.fetch_add(1, Ordering::Relaxed), stop.clone());
            async move {
                match start {
                    0 => panic!("a defect"),
                    1 => {}
                    2 => stopped.cancelled().await,
                    _ => pending().await,
                }
            }
            .boxed()
        });
        tokio::pin!(running);
        let patience = tokio::time::timeout(PAUSE * 3, &mut running);
        assert!(patience.await.is_err());
        stop.cancel();
        running.await;
        assert_eq!(starts.load(Ordering::Relaxed), 3);
    }
}
