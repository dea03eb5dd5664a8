//! Effects in the cluster. Everything that speaks of the object names its uid: a late write to a name must neither bring a
//! deleted object back nor touch its successor.
//!
//! | resource | verbs | where |
//! | --- | --- | --- |
//! | leases | get, create, patch, delete | operator's namespace |
//! | configmaps | get, create, patch, delete | operator's namespace |
//! | secureregistries | get, patch | everywhere served |
//! | connectivityprobes | create, get, patch, delete | the vantage points' namespaces |

use std::collections::BTreeMap;
use std::future::Future;

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Resource;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;
use sreg_api::names::{
    ANNOTATION_CREATES_REGISTRY, ANNOTATION_SILENT_SINCE, FINALIZER, FINALIZER_MANAGER, LABEL_MANAGED_BY,
    LABEL_REGISTRY_UID, LABEL_VANTAGE_POINT, MANAGED_BY, PROBE_MANAGER, PUBLISHED_DNS_MANAGER, SILENCE_MANAGER,
    SNAPSHOT_MANAGER,
};
use sreg_api::{ConnectivityProbe, SecureRegistry};
use sreg_domain::Effect;
use sreg_domain::action::{ClusterAction, ProbeWrite, Snapshot, StepResult};
use sreg_domain::desired::ObjectRef;

use crate::context::Context;
use crate::leadership::Moment;
use crate::observe::{SNAPSHOT_KEY, claim_of, is_alive, registries, snapshot_of};
use crate::writer::{ClusterWriter, Unwritten, failure};

/// What writing needs besides: where the operator's own objects live, the time that is written, and how many writes run at once.
struct Cluster<'a> {
    writer: ClusterWriter,
    operator_namespace: &'a str,
    now: Timestamp,
    at_once: usize,
}

/// Carries out one effect.
pub(super) async fn carry_out(context: &Context, object: &ObjectRef, action: &ClusterAction) -> StepResult {
    let cluster = &Cluster {
        writer: context.writer(),
        operator_namespace: &context.settings.operator_namespace,
        now: context.clock.now(),
        at_once: context.settings.step_concurrency.max(1),
    };
    let effect = match action {
        ClusterAction::Claim { lease, from } => claim(cluster, object, lease, from.as_deref()).await,
        ClusterAction::RecordCreation { lease, mark } => record_creation(cluster, object, lease, mark).await,
        ClusterAction::ReleaseClaim { lease } => release_claim(cluster, object, lease).await,
        ClusterAction::AddFinalizer => add_finalizer(cluster, object).await,
        ClusterAction::RemoveFinalizer => remove_finalizer(cluster, object).await,
        ClusterAction::WriteSnapshot { config_map, snapshot } => write_snapshot(cluster, config_map, snapshot).await,
        ClusterAction::DeleteSnapshot { config_map } | ClusterAction::DeletePublishedDns { config_map } => {
            delete_config_map(cluster, config_map).await
        }
        ClusterAction::PublishDns { config_map, data } => publish_dns(cluster, config_map, data).await,
        ClusterAction::ApplyProbe(probe) => apply_probe(cluster, object, probe).await,
        ClusterAction::OpenRound {
            number,
            subject,
            probes,
        } => {
            let opened = Moment::now();
            // The first write already voids the round before; if this one breaks off, none is open.
            context.memories.drop_round(&object.uid);
            let written = apply_probes(cluster, object, probes).await;
            if written.is_ok() {
                context
                    .memories
                    .open_round(&object.uid, *number, subject.clone(), opened);
            }
            written
        }
        ClusterAction::MarkProbe {
            namespace,
            name,
            silent_since,
        } => mark_probe(cluster, (namespace, name), *silent_since).await,
        ClusterAction::DeleteProbe { namespace, name } => delete_probe(cluster, object, namespace, name).await,
    };
    effect.map_or_else(StepResult::from, StepResult::Effect)
}

fn identity(object: &ObjectRef) -> String {
    format!("{}/{}/{}", object.namespace, object.name, object.uid)
}

fn leases(cluster: &Cluster<'_>) -> Api<Lease> {
    Api::namespaced(cluster.writer.client.clone(), cluster.operator_namespace)
}

fn config_maps(cluster: &Cluster<'_>) -> Api<ConfigMap> {
    Api::namespaced(cluster.writer.client.clone(), cluster.operator_namespace)
}

/// Deletes exactly what was read.
fn exactly(meta: &ObjectMeta) -> DeleteParams {
    let preconditions = Preconditions {
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
    };
    DeleteParams {
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    }
}

/// A delete: what is gone already is done.
async fn delete<T>(
    cluster: &Cluster<'_>,
    attempt: &str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<Effect, Unwritten> {
    match cluster.writer.send(attempt, call).await? {
        Ok(_) => Ok(Effect::done()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Effect::done()),
        Err(error) => Err(Unwritten::Failed(failure(attempt, &error))),
    }
}

/// One object per Azure registry, taken by create: of two that try, one wins. It is taken over only from the holder that the plan
/// names, after that one was looked for once more.
async fn claim(cluster: &Cluster<'_>, object: &ObjectRef, name: &str, from: Option<&str>) -> Result<Effect, Unwritten> {
    let attempt = format!("create lease {name}");
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(identity(object)),
            acquire_time: Some(MicroTime(to_micros(cluster.now))),
            ..LeaseSpec::default()
        }),
    };
    let api = leases(cluster);
    match cluster
        .writer
        .send(&attempt, api.create(&PostParams::default(), &lease))
        .await?
    {
        Ok(_) => return Ok(Effect::done()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(Unwritten::Failed(failure(&attempt, &error))),
    }
    let Some(present) = cluster.writer.look(&attempt, api.get_opt(name)).await? else {
        return Ok(Effect::Stale(format!("lease {name} was there and is gone")));
    };
    let held = claim_of(&present);
    if held.uid == object.uid {
        return Ok(Effect::done());
    }
    if from != Some(held.uid.as_str()) || is_alive(&cluster.writer, &held).await {
        return Ok(Effect::Stale(format!("lease {name} is held by {}", held.holder)));
    }
    let attempt = format!("delete lease {name} of {}, which no longer exists", held.holder);
    delete(cluster, &attempt, api.delete(name, &exactly(&present.metadata))).await?;
    cluster
        .writer
        .write(
            &format!("create lease {name}"),
            api.create(&PostParams::default(), &lease),
        )
        .await?;
    Ok(Effect::done())
}

/// The API server keeps microseconds.
fn to_micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// Says in the claim that its holder creates the registry. Whoever takes the claim over makes a new Lease, which does not say so.
async fn record_creation(
    cluster: &Cluster<'_>,
    object: &ObjectRef,
    name: &str,
    mark: &str,
) -> Result<Effect, Unwritten> {
    let attempt = format!("record in lease {name} that the registry is created");
    let api = leases(cluster);
    let present = cluster.writer.look(&attempt, api.get_opt(name)).await?;
    let Some(lease) = present.filter(|lease| claim_of(lease).uid == object.uid) else {
        return Ok(Effect::Stale(format!(
            "lease {name} is not held by this object any more"
        )));
    };
    let patch = Patch::Merge(json!({"metadata": {
        "uid": lease.metadata.uid,
        "resourceVersion": lease.metadata.resource_version,
        "annotations": {ANNOTATION_CREATES_REGISTRY: mark},
    }}));
    cluster
        .writer
        .write(&attempt, api.patch(name, &PatchParams::default(), &patch))
        .await?;
    Ok(Effect::done())
}

async fn release_claim(cluster: &Cluster<'_>, object: &ObjectRef, name: &str) -> Result<Effect, Unwritten> {
    let attempt = format!("delete lease {name}");
    let api = leases(cluster);
    let present = cluster.writer.look(&attempt, api.get_opt(name)).await?;
    match present {
        Some(lease) if claim_of(&lease).uid == object.uid => {
            delete(cluster, &attempt, api.delete(name, &exactly(&lease.metadata))).await
        }
        // Nobody's, or somebody else's: either way not ours any more.
        Some(_) | None => Ok(Effect::done()),
    }
}

/// Finalizers by apply, with a manager of their own and the uid: without it an apply to a name that is gone makes the object
/// again.
fn finalizers(object: &ObjectRef, finalizers: &[&str]) -> Patch<serde_json::Value> {
    Patch::Apply(json!({
        "apiVersion": SecureRegistry::api_version(&()),
        "kind": SecureRegistry::kind(&()),
        "metadata": {"name": object.name, "namespace": object.namespace, "uid": object.uid, "finalizers": finalizers},
    }))
}

async fn add_finalizer(cluster: &Cluster<'_>, object: &ObjectRef) -> Result<Effect, Unwritten> {
    let attempt = format!("put finalizer {FINALIZER} on {}/{}", object.namespace, object.name);
    let params = PatchParams::apply(FINALIZER_MANAGER).force();
    let api = registries(&cluster.writer.client, &object.namespace);
    cluster
        .writer
        .write(
            &attempt,
            api.patch(&object.name, &params, &finalizers(object, &[FINALIZER])),
        )
        .await?;
    Ok(Effect::done())
}

async fn remove_finalizer(cluster: &Cluster<'_>, object: &ObjectRef) -> Result<Effect, Unwritten> {
    let attempt = format!("take finalizer {FINALIZER} off {}/{}", object.namespace, object.name);
    let params = PatchParams::apply(FINALIZER_MANAGER).force();
    let api = registries(&cluster.writer.client, &object.namespace);
    let answer = match cluster
        .writer
        .send(&attempt, api.patch(&object.name, &params, &finalizers(object, &[])))
        .await?
    {
        Ok(answer) => answer,
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Effect::done()),
        Err(error) => match cluster.writer.look(&attempt, api.get_opt(&object.name)).await? {
            Some(present) if present.metadata.uid.as_ref() == Some(&object.uid) => {
                return Err(Unwritten::Failed(failure(&attempt, &error)));
            }
            Some(_) | None => return Ok(Effect::done()),
        },
    };
    // Apply takes away only what this manager alone put there. A backup that was restored, or a manifest that was saved and
    // applied again, owns it as well.
    let mut left = answer.metadata.finalizers.unwrap_or_default();
    if !left.iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(Effect::done());
    }
    left.retain(|finalizer| finalizer != FINALIZER);
    let exactly_this = json!({"metadata": {
        "uid": object.uid, "resourceVersion": answer.metadata.resource_version, "finalizers": left,
    }});
    cluster
        .writer
        .write(
            &attempt,
            api.patch(&object.name, &PatchParams::default(), &Patch::Merge(exactly_this)),
        )
        .await?;
    Ok(Effect::done())
}

async fn write_snapshot(cluster: &Cluster<'_>, name: &str, snapshot: &Snapshot) -> Result<Effect, Unwritten> {
    let attempt = format!("write ConfigMap {name}");
    let text = serde_json::to_string_pretty(snapshot)
        .map_err(|error| Unwritten::Failed(failure(&attempt, &kube::Error::SerdeError(error))))?;
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some([(SNAPSHOT_KEY.to_owned(), text)].into()),
        ..ConfigMap::default()
    };
    let params = PatchParams::apply(SNAPSHOT_MANAGER).force();
    let written = cluster
        .writer
        .write(&attempt, config_maps(cluster).patch(name, &params, &Patch::Apply(&map)))
        .await?;
    match snapshot_of(&written) {
        Ok(kept) if kept == *snapshot => Ok(Effect::done()),
        Ok(_) | Err(_) => Ok(Effect::Stale(format!(
            "ConfigMap {name} holds something else than was written"
        ))),
    }
}

/// Whoever wrote it: it belongs to the Azure registry, and so to the object that holds the claim on that.
async fn delete_config_map(cluster: &Cluster<'_>, name: &str) -> Result<Effect, Unwritten> {
    let attempt = format!("delete ConfigMap {name}");
    let api = config_maps(cluster);
    let present = cluster.writer.look(&attempt, api.get_opt(name)).await?;
    let Some(map) = present else { return Ok(Effect::done()) };
    delete(cluster, &attempt, api.delete(name, &exactly(&map.metadata))).await
}

/// What people read.
async fn publish_dns(cluster: &Cluster<'_>, name: &str, data: &BTreeMap<String, String>) -> Result<Effect, Unwritten> {
    if data.is_empty() {
        return delete_config_map(cluster, name).await;
    }
    let attempt = format!("write ConfigMap {name}");
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some(data.clone()),
        ..ConfigMap::default()
    };
    let params = PatchParams::apply(PUBLISHED_DNS_MANAGER).force();
    let api = config_maps(cluster);
    cluster
        .writer
        .write(&attempt, api.patch(name, &params, &Patch::Apply(&map)))
        .await?;
    Ok(Effect::done())
}

fn probes(cluster: &Cluster<'_>, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(
        cluster.writer.client.clone(),
        namespace,
        &ApiResource::erase::<ConnectivityProbe>(&()),
    )
}

async fn apply_probe(cluster: &Cluster<'_>, object: &ObjectRef, probe: &ProbeWrite) -> Result<Effect, Unwritten> {
    let attempt = format!("apply ConnectivityProbe {}/{}", probe.namespace, probe.name);
    let body = json!({
        "apiVersion": ConnectivityProbe::api_version(&()),
        "kind": ConnectivityProbe::kind(&()),
        "metadata": {
            "name": probe.name,
            "namespace": probe.namespace,
            "labels": {
                LABEL_MANAGED_BY: MANAGED_BY,
                LABEL_REGISTRY_UID: object.uid,
                LABEL_VANTAGE_POINT: probe.spec.vantage_point,
            },
        },
        "spec": probe.spec,
    });
    let params = PatchParams::apply(PROBE_MANAGER).force();
    cluster
        .writer
        .write(
            &attempt,
            probes(cluster, &probe.namespace).patch(&probe.name, &params, &Patch::Apply(body)),
        )
        .await?;
    Ok(Effect::done())
}

/// Merged and not applied: one that is gone must not come back for the sake of a mark.
async fn mark_probe(
    cluster: &Cluster<'_>,
    (namespace, name): (&str, &str),
    silent_since: Option<Timestamp>,
) -> Result<Effect, Unwritten> {
    let attempt = format!("write the silence of its agent to ConnectivityProbe {namespace}/{name}");
    let since = silent_since.map(|since| since.to_string());
    let body = json!({"metadata": {"annotations": {ANNOTATION_SILENT_SINCE: since}}});
    let params = PatchParams {
        field_manager: Some(SILENCE_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    cluster
        .writer
        .write(
            &attempt,
            probes(cluster, namespace).patch(name, &params, &Patch::Merge(body)),
        )
        .await?;
    Ok(Effect::done())
}

/// All of them, or the first reason why not.
async fn apply_probes(cluster: &Cluster<'_>, object: &ObjectRef, probes: &[ProbeWrite]) -> Result<Effect, Unwritten> {
    let at_once = cluster.at_once;
    let writes: Vec<_> = probes.iter().map(|probe| apply_probe(cluster, object, probe)).collect();
    let mut writes = stream::iter(writes).buffer_unordered(at_once);
    let mut result = Ok(Effect::done());
    while let Some(written) = writes.next().await {
        if let Err(why) = written {
            result = result.and(Err(why));
        }
    }
    result
}

async fn delete_probe(
    cluster: &Cluster<'_>,
    object: &ObjectRef,
    namespace: &str,
    name: &str,
) -> Result<Effect, Unwritten> {
    let attempt = format!("delete ConnectivityProbe {namespace}/{name}");
    let api = probes(cluster, namespace);
    let present = cluster.writer.look(&attempt, api.get_opt(name)).await?;
    let Some(probe) = present else {
        return Ok(Effect::done());
    };
    if probe
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(LABEL_REGISTRY_UID))
        != Some(&object.uid)
    {
        return Ok(Effect::Stale(format!(
            "ConnectivityProbe {namespace}/{name} belongs to another object"
        )));
    }
    // By uid alone: its agent may write its status at any moment.
    let preconditions = Preconditions {
        uid: probe.metadata.uid.clone(),
        resource_version: None,
    };
    let params = DeleteParams {
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    delete(cluster, &attempt, api.delete(name, &params)).await
}
