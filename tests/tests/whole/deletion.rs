//! Deletion always finishes, needs to create nothing, and strands nobody.

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::json;
use sreg_api::SecureRegistry;
use sreg_api::names::FINALIZER;
use sreg_testbed::oracle;
use sreg_testkit::eventually;

use crate::setting::{NAME, SETTLED, Setting};

/// Open by its own spec, with its endpoints made.
async fn open_with(deletion_policy: &str) -> Result<Setting> {
    let setting = Setting::demo().await?;
    setting
        .apply(|o| {
            o["spec"]["deletionPolicy"] = json!(deletion_policy);
            o["spec"]["publicAccess"] = json!({"desired": "Enabled"});
        })
        .await?;
    setting.testbed.await_state(NAME, &["Open"], SETTLED).await?;
    Ok(setting)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_with_retain_leaves_azure_as_it_is() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    let mark = setting.testbed.simulator().journal().last();
    setting.delete().await?;
    ensure!(
        setting.writes_since(mark).is_empty(),
        "{:?}",
        setting.writes_since(mark)
    );
    setting.assert_locked_with_proof()?;
    ensure!(setting.our_endpoints().len() == 3, "endpoints stay");
    // The claim is released: the same registry can be declared again, and is found locked.
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    ensure!(
        setting.writes_since(mark).is_empty(),
        "adopted without a write: {:?}",
        setting.writes_since(mark)
    );
    Ok(())
}

/// `kubectl replace`, and whoever delivers manifests that way, sends no finalizers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_manifest_changes_nothing_gets_its_finalizer_back_and_still_ends_by_the_operators_hand() -> Result<()>
{
    let setting = Setting::demo().await?;
    let mut manifest = setting.apply(|_| ()).await?;
    setting.locked().await?;
    let mark = setting.testbed.simulator().journal().last();
    let api = setting.testbed.registries();
    manifest.metadata.finalizers = None;
    manifest.status = None;
    let has_finalizer = |object: &SecureRegistry| object.finalizers().iter().any(|it| it == FINALIZER);
    // As kubectl does: with the version that is there now, once more where that changed meanwhile.
    for attempt in 0.. {
        manifest.metadata.resource_version = api.get(NAME).await?.metadata.resource_version;
        match api.replace(NAME, &PostParams::default(), &manifest).await {
            Ok(replaced) => {
                ensure!(
                    !has_finalizer(&replaced),
                    "the server kept it: there is nothing to show"
                );
                break;
            }
            Err(kube::Error::Api(status)) if status.is_conflict() && attempt < 20 => {}
            Err(error) => return Err(error.into()),
        }
    }
    eventually(SETTLED, "the finalizer to be back", || async {
        let object = api.get(NAME).await.map_err(|error| error.to_string())?;
        has_finalizer(&object)
            .then_some(())
            .ok_or_else(|| format!("{:?}", object.finalizers()))
    })
    .await?;
    setting.locked().await?;
    setting.delete().await?;
    ensure!(
        setting.writes_since(mark).is_empty(),
        "{:?}",
        setting.writes_since(mark)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_namespace_that_is_terminating_deletion_ends_without_creating_anything() -> Result<()> {
    let setting = open_with("DeleteEndpoints").await?;
    setting
        .testbed
        .plane
        .admin_kubectl(&["delete", "namespace", sreg_testbed::NAMESPACE, "--wait=false"])
        .await?;
    let refused = setting
        .testbed
        .plane
        .admin_kubectl(&["create", "configmap", "late", "-n", sreg_testbed::NAMESPACE])
        .await;
    ensure!(refused.is_err(), "the namespace still takes new objects");
    setting.delete().await?;
    ensure!(setting.our_endpoints().is_empty(), "{:?}", setting.our_endpoints());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_an_object_that_holds_its_registry_open_says_so_in_an_event() -> Result<()> {
    let setting = open_with("Retain").await?;
    setting.delete().await?;
    setting.noted("LeftOpen", "is left open: the spec desired it").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_of_endpoints_while_open_removes_what_carries_our_mark_and_nothing_else() -> Result<()> {
    let setting = open_with("DeleteEndpoints").await?;
    ensure!(setting.our_endpoints().len() == 3, "{:?}", setting.our_endpoints());
    let zones = || {
        setting
            .testbed
            .simulator()
            .with_world(|w| w.of_kind("microsoft.network/privatednszones").count())
    };
    let zones_before = zones();
    setting.delete().await?;
    ensure!(setting.our_endpoints().is_empty(), "{:?}", setting.our_endpoints());
    ensure!(zones() == zones_before, "zones are never deleted");
    let open = oracle::closed(setting.testbed.simulator(), &setting.registry()?);
    ensure!(
        open.iter().all(|(_, closed)| !closed),
        "deletion closes nothing: {open:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_of_endpoints_while_locked_degrades_to_retain_because_it_would_strand_clients() -> Result<()> {
    let setting = Setting::demo().await?;
    setting
        .apply(|o| o["spec"]["deletionPolicy"] = json!("DeleteEndpoints"))
        .await?;
    setting.locked().await?;
    let mark = setting.testbed.simulator().journal().last();
    setting.delete().await?;
    ensure!(
        setting.writes_since(mark).is_empty(),
        "{:?}",
        setting.writes_since(mark)
    );
    ensure!(setting.our_endpoints().len() == 3, "endpoints stay");
    setting.assert_locked_with_proof()
}
