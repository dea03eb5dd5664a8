//! BreakGlasses and ChangeApprovals whose `SecureRegistry` does not exist, or names no Azure registry, so that no pass writes their
//! status: their status says so, else whoever made them would look at an empty phase. Nothing depends on it; what cannot be written is
//! logged.

use sreg_domain::seen::Ignorance;
use sreg_domain::{Action, ClusterAction, Effect};
use sreg_planner::{Step, tell_approval_without_registry, tell_without_registry};

use crate::act::{Unwritten, tell_approval, tell_break_glass};
use crate::context::Context;
use crate::observe::{approvals_for, break_glasses_for, read_object};

/// Tells those that name an object which is not there.
pub(crate) async fn tell_of_absence(context: &Context, namespace: &str, registry: &str) {
    let read = read_object(&context.client, namespace, registry);
    match tokio::time::timeout(context.settings.read_deadline, read).await {
        Ok(Ok(None)) => tell(context, namespace, registry, None).await,
        Ok(Ok(Some(_))) => {}
        Ok(Err(error)) => tracing::warn!(namespace, registry, %error, "cannot read SecureRegistry for what names it"),
        Err(_) => tracing::warn!(
            namespace,
            registry,
            "cannot read SecureRegistry for what names it: no answer in time"
        ),
    }
}

/// Tells those that name an object which does not exist, or names no registry.
pub(crate) async fn tell(context: &Context, namespace: &str, registry: &str, violation: Option<&str>) {
    let now = context.clock.now();
    for glass in known(break_glasses_for(context, namespace, registry).await) {
        carry_out(
            context,
            tell_without_registry(namespace, &glass, registry, violation, now),
        )
        .await;
    }
    for approval in known(approvals_for(context, namespace, registry).await) {
        carry_out(
            context,
            tell_approval_without_registry(namespace, &approval, registry, violation),
        )
        .await;
    }
}

fn known<T>(read: Result<Vec<T>, Ignorance>) -> Vec<T> {
    read.unwrap_or_else(|why| {
        tracing::warn!(why = why.message, "cannot {}", why.attempt);
        Vec::new()
    })
}

async fn carry_out(context: &Context, step: Option<Step>) {
    let Some(Action::Cluster(action)) = step.map(|step| step.action) else {
        return;
    };
    match write(context, &action).await {
        Ok(_) => tracing::debug!("done: {action}"),
        Err(Unwritten::Withheld(why)) => tracing::debug!(%why, "not done: {action}"),
        Err(Unwritten::Failed(failure)) => tracing::warn!("{failure}"),
    }
}

async fn write(context: &Context, action: &ClusterAction) -> Result<Option<Effect>, Unwritten> {
    if let ClusterAction::TellBreakGlass {
        namespace,
        name,
        uid,
        status,
    } = action
    {
        return tell_break_glass(context, (namespace, name, uid), status)
            .await
            .map(Some);
    }
    if let ClusterAction::TellApproval {
        namespace,
        name,
        uid,
        status,
    } = action
    {
        return tell_approval(context, (namespace, name, uid), status).await.map(Some);
    }
    Ok(None)
}
