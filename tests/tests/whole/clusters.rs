//! Two real clusters over one Azure, with one installation's name and one object in both: the second stops and says who holds the
//! registry, a holder that was away finds out, and whoever moves loses nothing.

use anyhow::{Context, Result, anyhow, ensure};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use sreg_api::names::OPERATOR_NAMESPACE;
use sreg_api::{BreakGlassPhase, RegistryGrant, SecureRegistry};
use sreg_testbed::objects::ready;
use sreg_testbed::{NAMESPACE, OperatorOptions};

use crate::break_glass::{create, glass, person, told};
use crate::setting::{NAME, SETTLED, Setting};

/// Waits until the object there is stalled by another cluster's, and shows nothing of the registry.
async fn stopped(setting: &Setting) -> Result<()> {
    let object = setting.testbed.await_state(NAME, &["Stalled"], SETTLED).await?;
    let (_, message) = ready(&object);
    ensure!(
        message.contains(&format!("{NAMESPACE}/{NAME}")) && message.contains("cluster"),
        "{message}"
    );
    let status = object.status.unwrap_or_default();
    ensure!(
        status.public_access.is_none() && status.endpoints.is_empty(),
        "shown: {status:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_clusters_over_one_azure_the_second_touches_nothing_whatever_its_people_ask() -> Result<()> {
    let first = Setting::demo().await?;
    first.apply(|_| ()).await?;
    first.locked().await?;
    let second = first.beside().await?;
    let mark = first.testbed.simulator().journal().last();
    second
        .apply(|object| object["spec"]["deletionPolicy"] = json!("DeleteEndpoints"))
        .await?;
    stopped(&second).await?;
    // An emergency there opens nothing, and says why.
    let roles = ["secureregistry-view", "secureregistry-break-glass"];
    let olga = person(&second, NAMESPACE, "olga", &roles).await?;
    let broken = create(&olga, &glass("incident-1", NAME, "olga", "1h")).await;
    broken.map_err(|why| anyhow!(why)).context("break the glass")?;
    told(
        &second,
        "incident-1",
        BreakGlassPhase::Ignored,
        "holds the Azure registry",
    )
    .await?;
    // Nor does its spec, nor its end.
    let edit = json!({"spec": {"publicAccess": {"desired": "Enabled"}}});
    let edited = second.testbed.registries();
    edited
        .patch(NAME, &PatchParams::default(), &Patch::Merge(edit))
        .await
        .context("edit the object")?;
    stopped(&second).await?;
    second.delete().await?;
    let writes = first.writes_since(mark);
    ensure!(writes.is_empty(), "somebody wrote: {writes:?}");
    first.assert_locked_with_proof()?;
    first.locked().await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_is_moved_to_another_cluster_while_the_first_one_is_away_and_what_was_before_comes_back()
-> Result<()> {
    let mut first = Setting::demo().await?;
    first.apply(|_| ()).await?;
    let locked = first.locked().await?;
    // The first cluster's operator is cut off.
    let operator = first.operator.take().context("an operator runs")?;
    operator.terminate(SETTLED).await.context("stop the operator")?;
    let second = first.beside().await?;
    let snapshot = locked
        .status
        .unwrap_or_default()
        .snapshot
        .context("a lock has a snapshot")?;
    let maps = |setting: &Setting| -> Api<k8s_openapi::api::core::v1::ConfigMap> {
        Api::namespaced(setting.testbed.client.clone(), OPERATOR_NAMESPACE)
    };
    // The guide's steps: the way back, a grant with TakeOver, the object.
    let mut kept = maps(&first)
        .get(&snapshot.config_map)
        .await
        .context("read the snapshot")?;
    kept.metadata = kube::api::ObjectMeta {
        name: Some(kept.name_any()),
        labels: kept.metadata.labels.take(),
        ..Default::default()
    };
    maps(&second)
        .create(&PostParams::default(), &kept)
        .await
        .context("bring the snapshot")?;
    let grants: Api<RegistryGrant> = Api::all(second.testbed.client.clone());
    let mut grant = serde_json::to_value(grants.get("ml-platform").await.context("read the grant")?)?;
    grant["spec"]["registries"][0]["operations"] = json!(["Lock", "Open", "TakeOver"]);
    let more = Patch::Merge(json!({"spec": grant["spec"]}));
    let granted = grants.patch("ml-platform", &PatchParams::default(), &more).await;
    granted.context("let it take over")?;
    second.apply(|_| ()).await?;
    second.locked().await?;
    second.noted("TakenOver", NAME).await?;
    // The first one comes back, finds out, and writes nothing.
    let mark = first.testbed.simulator().journal().last();
    first.operator = Some(first.testbed.start_operator(OperatorOptions::default()).await?);
    stopped(&first).await?;
    first.delete().await?;
    let writes = first.writes_since(mark);
    ensure!(writes.is_empty(), "somebody wrote: {writes:?}");
    second.assert_locked_with_proof()?;
    // What was before the lock of the first one comes back in the second, without an approval.
    let api: Api<SecureRegistry> = second.testbed.registries();
    let edit = json!({"spec": {"publicAccess": {"desired": "Enabled"}}});
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(edit)).await?;
    second.testbed.await_state(NAME, &["Open"], SETTLED).await?;
    Ok(())
}
