//! Grants: read live at each pass and again by the fence, because they say what may be read of Azure at all; and told how they are
//! understood, so that whoever wrote one sees which entries grant nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sreg_api::grant::RegistryGrantStatus;
use sreg_api::names::GRANT_MANAGER;
use sreg_api::{RegistryGrant, VantagePoint};
use sreg_domain::{CallFailure, Grants};
use sreg_planner::{FoundGrant, NamesThere, grant_conditions, grants_serving};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api_words;
use crate::context::Context;
use crate::controller::{Pass, PassError, Passes};
use crate::memory::ObjectKey;
use crate::metrics::PassResult;
use crate::writer::{StatusOf, Unwritten};
use crate::{paging, watch};

fn api(context: &Context) -> Api<DynamicObject> {
    Api::all_with(context.client.clone(), &ApiResource::erase::<RegistryGrant>(&()))
}

/// The grants that serve a namespace now.
///
/// # Errors
/// Grants, or the labels of the namespace where one asks for them, cannot be read.
pub(crate) async fn serving(context: &Context, namespace: &str) -> Result<Grants, CallFailure> {
    let found: Vec<(String, FoundGrant)> = listed(context).await?.iter().map(found).collect();
    let labels = if found.iter().any(|(_, grant)| grant.asks_for_labels(namespace)) {
        labels_of(context, namespace).await?
    } else {
        BTreeMap::new()
    };
    let found = found.iter().map(|(name, grant)| (name.as_str(), grant));
    Ok(grants_serving(found, namespace, &labels))
}

fn found(grant: &DynamicObject) -> (String, FoundGrant) {
    let spec = grant.data.get("spec").unwrap_or(&Value::Null);
    (grant.name_any(), FoundGrant::new(spec))
}

async fn listed(context: &Context) -> Result<Vec<DynamicObject>, CallFailure> {
    // The kind is not installed (any more): nobody grants anything, and what is being deleted can go.
    let list = async {
        let mut all = Vec::new();
        let api = api(context);
        let page = |params| {
            let api = api.clone();
            async move { api.list(&params).await }
        };
        let listed = paging::each_item(GRANTS_PAGE, page, |mut grant: DynamicObject| {
            // Whatever else people write on a grant is let go with its page.
            grant.metadata.annotations = None;
            grant.metadata.managed_fields = None;
            all.push(grant);
        });
        match listed.await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(()) => Ok(all),
        }
    };
    context.writer().read("list registrygrants", list).await
}

async fn labels_of(context: &Context, namespace: &str) -> Result<BTreeMap<String, String>, CallFailure> {
    let api: Api<Namespace> = Api::all(context.client.clone());
    let attempt = format!("read Namespace {namespace}");
    let found = context.writer().read(&attempt, api.get_metadata_opt(namespace)).await?;
    Ok(found.and_then(|found| found.metadata.labels).unwrap_or_default())
}

/// Several grants that change together are told together.
const GATHER: Duration = Duration::from_millis(200);
/// What could not be told is told again after this long.
const AGAIN: Duration = Duration::from_secs(30);
/// Namespaces and VantagePoints come and go: whom a grant serves is looked at again so often.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// Tells every grant how it is understood, whenever one changes, until `shutdown`. What one grants depends on all the others, so that
/// all are told in one pass. Only the leader may call it.
pub(crate) async fn tell(context: Arc<Context>, passes: Passes, shutdown: CancellationToken) {
    let all = ObjectKey {
        namespace: String::new(),
        name: "all".to_owned(),
    };
    let config = watch::config(context.settings.streaming_lists);
    let mut changes = watcher::watcher(api(&context), config).default_backoff().boxed();
    let mut due = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            change = changes.next() => match change {
                Some(Ok(_)) => due = due.min(Instant::now() + GATHER),
                // The passes say what is wrong with reading grants.
                Some(Err(error)) => tracing::debug!(error = api_words::of_watch(&error), "watch of registrygrants interrupted, trying again"),
                None => return,
            },
            () = sleep_until(due) => {
                let turn = passes.turns.take(all.clone()).await;
                let told = passes.guard(&context, tell_all(&context)).await;
                drop(turn);
                if let Err(why) = &told {
                    tracing::warn!(%why, "cannot tell RegistryGrants how they are understood, trying again");
                }
                due = Instant::now() + if told.is_ok() { LOOK_AGAIN } else { AGAIN };
            }
        }
    }
}

/// So many at once.
const PAGE: u32 = 500;
/// Grants may be as large as their size is limited to, so that fewer of them are asked for at once.
const GRANTS_PAGE: u32 = 50;

/// What else people wrote on these objects is let go.
async fn names_and_labels<K>(api: &Api<K>) -> Result<BTreeMap<String, BTreeMap<String, String>>, kube::Error>
where
    K: Clone + Debug + DeserializeOwned + Resource<DynamicType = ()>,
{
    let mut all = BTreeMap::new();
    let list = |params| async move { api.list_metadata(&params).await };
    paging::each_item(PAGE, list, |object| {
        all.insert(object.name_any(), object.metadata.labels.unwrap_or_default());
    })
    .await?;
    Ok(all)
}

/// What grants may name. `None`: it cannot be read, which the log says.
async fn names_there(context: &Context) -> Option<NamesThere> {
    let attempt = async {
        let namespaces: Api<Namespace> = Api::all(context.client.clone());
        let points: Api<VantagePoint> = Api::all(context.client.clone());
        Ok::<_, kube::Error>(NamesThere {
            namespaces: names_and_labels(&namespaces).await?,
            vantage_points: names_and_labels(&points).await?.into_keys().collect(),
        })
    };
    let there = context
        .writer()
        .read("list Namespaces and VantagePoints", attempt)
        .await;
    there
        .inspect_err(|error| tracing::warn!(%error, "whom RegistryGrants serve is not told"))
        .ok()
}

async fn tell_all(context: &Context) -> Result<Pass, PassError> {
    let listed = listed(context).await.map_err(|why| PassError::Read(Box::new(why)))?;
    let there = names_there(context).await;
    let all: Vec<(String, FoundGrant)> = listed.iter().map(found).collect();
    let by_name: Vec<(&str, &FoundGrant)> = all.iter().map(|(name, grant)| (name.as_str(), grant)).collect();
    let mut told = Ok(());
    for (grant, (name, found)) in listed.iter().zip(&all) {
        let generation = grant.metadata.generation.unwrap_or_default();
        let former: RegistryGrantStatus = grant
            .data
            .get("status")
            .and_then(|status| RegistryGrantStatus::deserialize(status).ok())
            .unwrap_or_default();
        let conditions = grant_conditions(
            (name, found),
            (&by_name, there.as_ref()),
            (&former.conditions, generation),
            context.clock.now(),
        );
        // One that cannot be told keeps none of the others untold.
        told = told.and(write(context, grant, generation, &former, conditions).await);
    }
    told?;
    Ok(Pass::again_after(LOOK_AGAIN, PassResult::Settled))
}

async fn write(
    context: &Context,
    grant: &DynamicObject,
    generation: i64,
    former: &RegistryGrantStatus,
    conditions: Vec<Condition>,
) -> Result<(), Unwritten> {
    let status = RegistryGrantStatus {
        observed_generation: Some(generation),
        conditions,
    };
    if status == *former {
        return Ok(());
    }
    let (name, uid) = (grant.name_any(), grant.uid().unwrap_or_default());
    let of = StatusOf {
        namespace: None,
        name: &name,
        uid: &uid,
    };
    context
        .writer()
        .write_status::<RegistryGrant>(of, GRANT_MANAGER, json!(status))
        .await
}
