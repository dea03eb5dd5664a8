//! Grants: read live at each pass and again by the fence, because they say what may be read of Azure at all; and told how they are
//! understood, so that whoever wrote one sees which entries grant nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use sreg_api::RegistryGrant;
use sreg_api::grant::{RegistryGrantSpec, RegistryGrantStatus};
use sreg_api::names::GRANT_MANAGER;
use sreg_domain::Grants;
use sreg_planner::{chooses_by_label, grant_conditions, grants_for};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::act::{Unwritten, send};
use crate::context::Context;

fn api(context: &Context) -> Api<DynamicObject> {
    Api::all_with(context.client.clone(), &ApiResource::erase::<RegistryGrant>(&()))
}

/// The grants that serve a namespace now.
///
/// # Errors
/// Grants, or the labels of the namespace where one asks for them, cannot be read: the sentence says what the API server said.
pub(crate) async fn serving(context: &Context, namespace: &str) -> Result<Grants, String> {
    let specs = all(context).await?;
    let by_label = specs.iter().any(|(_, spec)| chooses_by_label(spec));
    let labels = if by_label {
        labels_of(context, namespace).await?
    } else {
        BTreeMap::new()
    };
    let specs = specs.iter().map(|(name, spec)| (name.as_str(), spec));
    Ok(grants_for(specs, namespace, &labels))
}

/// Name and spec of every grant. One that does not parse grants nothing, and its status says so.
async fn all(context: &Context) -> Result<Vec<(String, RegistryGrantSpec)>, String> {
    let listed = listed(context).await?;
    let parsed = listed.into_iter().map(|grant| (grant.name_any(), spec_of(&grant)));
    Ok(parsed.filter_map(|(name, spec)| Some((name, spec.ok()?))).collect())
}

async fn listed(context: &Context) -> Result<Vec<DynamicObject>, String> {
    let attempt = "list registrygrants";
    let params = ListParams::default();
    let (api, deadline) = (api(context), context.settings.read_deadline);
    match timeout(deadline, api.list(&params)).await {
        Ok(Ok(list)) => Ok(list.items),
        Ok(Err(error)) => Err(format!("{attempt}: {error}")),
        Err(_) => Err(format!("{attempt}: no answer in time")),
    }
}

async fn labels_of(context: &Context, namespace: &str) -> Result<BTreeMap<String, String>, String> {
    let attempt = format!("read Namespace {namespace}");
    let api: Api<Namespace> = Api::all(context.client.clone());
    match timeout(context.settings.read_deadline, api.get_metadata_opt(namespace)).await {
        Ok(Ok(found)) => Ok(found.and_then(|found| found.metadata.labels).unwrap_or_default()),
        Ok(Err(error)) => Err(format!("{attempt}: {error}")),
        Err(_) => Err(format!("{attempt}: no answer in time")),
    }
}

fn spec_of(grant: &DynamicObject) -> Result<RegistryGrantSpec, String> {
    let spec = grant.data.get("spec").unwrap_or(&Value::Null);
    RegistryGrantSpec::deserialize(spec).map_err(|error| error.to_string())
}

/// Several grants that change together are told together.
const GATHER: Duration = Duration::from_millis(200);
/// What could not be told is told again after this long.
const AGAIN: Duration = Duration::from_secs(30);

/// Tells every grant how it is understood, whenever one changes, until `shutdown`. Only the leader may call it.
pub(crate) async fn tell(context: Arc<Context>, shutdown: CancellationToken) {
    let config = watcher::Config::default();
    let mut changes = watcher::watcher(api(&context), config).default_backoff().boxed();
    let mut due = Some(Instant::now());
    loop {
        let next = due.unwrap_or_else(|| Instant::now() + AGAIN);
        tokio::select! {
            () = shutdown.cancelled() => return,
            change = changes.next() => match change {
                Some(Ok(_)) => due = Some(due.unwrap_or_else(|| Instant::now() + GATHER)),
                // The passes say what is wrong with reading grants.
                Some(Err(error)) => tracing::debug!(%error, "watch of registrygrants interrupted, trying again"),
                None => return,
            },
            () = sleep_until(next), if due.is_some() => {
                let told = tell_all(&context).await;
                if let Err(why) = &told {
                    tracing::warn!(why, "cannot tell RegistryGrants how they are understood, trying again");
                }
                due = told.is_err().then(|| Instant::now() + AGAIN);
            }
        }
    }
}

async fn tell_all(context: &Context) -> Result<(), String> {
    let listed = listed(context).await?;
    let parsed: Vec<(String, Result<RegistryGrantSpec, String>)> =
        listed.iter().map(|grant| (grant.name_any(), spec_of(grant))).collect();
    let understood: Vec<(&str, &RegistryGrantSpec)> = parsed
        .iter()
        .filter_map(|(name, spec)| Some((name.as_str(), spec.as_ref().ok()?)))
        .collect();
    for (grant, (name, spec)) in listed.iter().zip(&parsed) {
        let generation = grant.metadata.generation.unwrap_or_default();
        let former: RegistryGrantStatus = grant
            .data
            .get("status")
            .and_then(|status| RegistryGrantStatus::deserialize(status).ok())
            .unwrap_or_default();
        let conditions = grant_conditions(
            (name, spec.as_ref().map_err(String::as_str)),
            &understood,
            (&former.conditions, generation),
            context.clock.now(),
        );
        write(context, grant, generation, &former, conditions).await?;
    }
    Ok(())
}

async fn write(
    context: &Context,
    grant: &DynamicObject,
    generation: i64,
    former: &RegistryGrantStatus,
    conditions: Vec<Condition>,
) -> Result<(), String> {
    let status = RegistryGrantStatus {
        observed_generation: Some(generation),
        conditions,
    };
    if status == *former {
        return Ok(());
    }
    let name = grant.name_any();
    let attempt = format!("write status of RegistryGrant {name}");
    let body = json!({
        "apiVersion": RegistryGrant::api_version(&()),
        "kind": RegistryGrant::kind(&()),
        "metadata": {"name": name, "uid": grant.uid()},
        "status": status,
    });
    let params = PatchParams::apply(GRANT_MANAGER).force();
    let api = api(context);
    match send(context, &attempt, api.patch_status(&name, &params, &Patch::Apply(body))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(answer))) if answer.is_not_found() || answer.is_conflict() => Ok(()),
        Ok(Err(error)) => Err(format!("{attempt}: {error}")),
        Err(Unwritten::Failed(failure)) => Err(failure.to_string()),
        Err(Unwritten::Withheld(why)) => Err(format!("{attempt}: {why}")),
    }
}
