//! Break-glasses that no pass speaks for, because the SecureRegistry that they name does not exist or names no registry:
//! they are told so, else an operator on call would look at an empty phase. Nothing depends on it; what cannot be told is logged.

use sreg_domain::{Action, ClusterAction};
use sreg_planner::tell_without_registry;

use crate::act::{Unwritten, tell_break_glass};
use crate::context::Context;
use crate::observe::{break_glasses_for, read_object};

/// Tells those that name an object which is not there.
pub(crate) async fn tell_of_absence(context: &Context, namespace: &str, registry: &str) {
    let read = read_object(&context.client, namespace, registry);
    match tokio::time::timeout(context.settings.read_deadline, read).await {
        Ok(Ok(None)) => tell(context, namespace, registry, None).await,
        Ok(Ok(Some(_))) => {}
        Ok(Err(error)) => {
            tracing::warn!(namespace, registry, %error, "cannot read SecureRegistry for its BreakGlasses")
        }
        Err(_) => tracing::warn!(
            namespace,
            registry,
            "cannot read SecureRegistry for its BreakGlasses: no answer in time"
        ),
    }
}

/// Tells those that name an object which does not exist, or names no registry.
pub(crate) async fn tell(context: &Context, namespace: &str, registry: &str, violation: Option<&str>) {
    let glasses = match break_glasses_for(context, namespace, registry).await {
        Ok(glasses) => glasses,
        Err(why) => return tracing::warn!(namespace, registry, why = why.message, "cannot {}", why.attempt),
    };
    for glass in glasses {
        let step = tell_without_registry(namespace, &glass, registry, violation, context.clock.now());
        let Some(Action::Cluster(ClusterAction::TellBreakGlass {
            namespace,
            name,
            uid,
            status,
        })) = step.map(|step| step.action)
        else {
            continue;
        };
        let result = tell_break_glass(context, (&namespace, &name, &uid), &status).await;
        match result {
            Ok(_) => tracing::debug!(namespace, name, "told a BreakGlass that it has no SecureRegistry"),
            Err(Unwritten::Withheld(why)) => tracing::debug!(namespace, name, why, "BreakGlass not told"),
            Err(Unwritten::Failed(failure)) => tracing::warn!(namespace, name, "{failure}"),
        }
    }
}
