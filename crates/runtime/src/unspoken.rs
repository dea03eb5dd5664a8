//! Break-glasses that no pass speaks for, because the SecureRegistry that they name does not exist or is not valid: they are
//! told so, else an operator on call would look at an empty phase. Nothing depends on it; what cannot be told is logged.

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use sreg_api::BreakGlass;
use sreg_domain::Action;
use sreg_planner::tell_without_registry;

use crate::act;
use crate::context::Context;
use crate::observe::{break_glass_of, read_object};

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

/// Tells those that name an object which does not exist, or breaks a rule.
pub(crate) async fn tell(context: &Context, namespace: &str, registry: &str, violation: Option<&str>) {
    let resource = ApiResource::erase::<BreakGlass>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &resource);
    let all = ListParams::default();
    let listed = match tokio::time::timeout(context.settings.read_deadline, api.list(&all)).await {
        Ok(Ok(list)) => list.items,
        Ok(Err(error)) => return tracing::warn!(namespace, %error, "cannot list BreakGlasses"),
        Err(_) => return tracing::warn!(namespace, "cannot list BreakGlasses: no answer in time"),
    };
    let live = |object: &DynamicObject| object.metadata.deletion_timestamp.is_none();
    for (named, glass) in listed.into_iter().filter(live).filter_map(break_glass_of) {
        if named != registry {
            continue;
        }
        let step = tell_without_registry(namespace, &glass, registry, violation, context.clock.now());
        if let Some(Action::Cluster(action)) = step.map(|step| step.action) {
            let result = act::tell(context, &action).await;
            tracing::debug!(
                namespace,
                name = glass.name,
                ?result,
                "BreakGlass without a SecureRegistry"
            );
        }
    }
}
