//! The main job: from public to locked and proven; and it stays so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use sreg_testbed::{NAMESPACE, OperatorOptions, worlds};
use sreg_testkit::eventually;

use crate::setting::{NAME, SETTLED, Setting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_registry_ends_locked_and_proven_and_then_nothing_is_written_any_more() -> Result<()> {
    let setting = Setting::demo().await?;
    let uninvolved = Uninvolved::watch(&setting);
    setting
        .apply(|o| o["spec"]["drift"] = json!({"interval": "1s"}))
        .await?;
    let object = setting.locked().await?;
    setting.assert_locked_with_proof()?;
    ensure!(
        setting.our_endpoints().len() == 3,
        "three endpoints: {:?}",
        setting.our_endpoints()
    );
    let status = object.status.unwrap_or_default();
    ensure!(
        status.public_access.is_some_and(|p| p.summary == "Locked"),
        "PUBLIC says Locked"
    );
    ensure!(
        status.endpoints_ready.as_deref() == Some("3/3"),
        "{:?}",
        status.endpoints_ready
    );

    // Settled: visits go on, writes to Azure and to the object do not.
    let mark = setting.testbed.simulator().journal().last();
    let before = setting.testbed.registries().get(NAME).await?;
    setting.visited(mark, 4).await?;
    ensure!(
        setting.writes_since(mark).is_empty(),
        "writes after settling: {:?}",
        setting.writes_since(mark)
    );
    let after = setting.testbed.registries().get(NAME).await?;
    ensure!(
        before.metadata.resource_version == after.metadata.resource_version,
        "the settled object was written"
    );

    let kubectl = |args: &'static [&'static str]| {
        setting
            .testbed
            .plane
            .kubectl(args, setting.testbed.plane.admin_kubeconfig())
    };
    let wait = kubectl(&[
        "wait",
        "-n",
        NAMESPACE,
        "sreg/contoso-models",
        "--for=condition=Ready",
        "--timeout=10s",
    ])
    .await?;
    ensure!(
        wait.status.success(),
        "kubectl wait: {}",
        String::from_utf8_lossy(&wait.stderr)
    );
    let wide = String::from_utf8(kubectl(&["get", "sreg", "-n", NAMESPACE, "-o", "wide"]).await?.stdout)?;
    for word in [
        "STATE",
        "PUBLIC",
        "ENDPOINTS",
        "VERIFIED",
        "READY",
        "AGE",
        "MESSAGE",
        "GRANTS",
        "Locked",
        "3/3",
        "True",
    ] {
        ensure!(wide.contains(word), "`kubectl get sreg -o wide` lacks {word}:\n{wide}");
    }
    setting.noted("Locked", "").await?;
    uninvolved.judge()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_in_two_regions_is_locked_with_every_storage_account_and_replica_proven() -> Result<()> {
    let setting = Setting::new(worlds::two_regions()?).await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    setting.assert_locked_with_proof()?;
    ensure!(
        setting.our_endpoints().len() == 6,
        "registry, blob and dfs of two storage accounts, ACR: {:?}",
        setting.our_endpoints()
    );
    let required = setting
        .testbed
        .simulator()
        .with_world(|w| sreg_testbed::oracle::required_paths(w, &setting.requirement().unwrap()));
    for part in ["westeurope.data.azurecr.io", "northeurope.data.azurecr.io"] {
        ensure!(
            required.iter().any(|p| p.fqdn.ends_with(part)),
            "no path to a replica's data endpoint {part}: {required:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observe_reports_what_it_would_do_and_writes_nothing_to_azure() -> Result<()> {
    let setting = Setting::demo().await?;
    let mark = setting.testbed.simulator().journal().last();
    setting
        .apply(|o| {
            o["spec"]["managementPolicy"] = json!("Observe");
            o["spec"]["drift"] = json!({"interval": "1s"});
        })
        .await?;
    let object = setting.testbed.await_state(NAME, &["Observed"], SETTLED).await?;
    setting.visited(mark, 3).await?;
    ensure!(
        setting.writes_since(mark).is_empty(),
        "{:?}",
        setting.writes_since(mark)
    );
    let status = object.status.unwrap_or_default();
    ensure!(
        status.findings.iter().any(|f| f.reason == "WouldDo"),
        "{:?}",
        status.findings
    );
    ensure!(
        status.public_access.is_some_and(|p| p.summary == "Open"),
        "the registry is reported open"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_opened_by_hand_is_closed_again_with_a_new_proof() -> Result<()> {
    let setting = Setting::demo().await?;
    setting
        .apply(|o| o["spec"]["drift"] = json!({"interval": "1s"}))
        .await?;
    setting.locked().await?;
    let registry = setting.registry()?;
    let storage = setting
        .testbed
        .simulator()
        .with_world(|w| sreg_testbed::oracle::targets_of(w, &registry))
        .into_iter()
        .find(|id| id.contains("/storageaccounts/"))
        .unwrap_or_default();
    let mark = setting.testbed.simulator().journal().last();
    let changed = setting.testbed.simulator().change_by_hand(&storage, |body| {
        body["properties"]["publicNetworkAccess"] = json!("Enabled");
        body["properties"]["networkAcls"]["defaultAction"] = json!("Allow");
    });
    ensure!(changed, "the storage account exists");
    eventually(SETTLED, "the storage account to be closed again", || async {
        let closed = sreg_testbed::oracle::closed(setting.testbed.simulator(), &registry);
        if closed.iter().all(|(_, closed)| *closed) {
            Ok(())
        } else {
            Err(format!("{closed:?}"))
        }
    })
    .await?;
    setting.locked().await?;
    setting.assert_locked_with_proof()?;
    let writes = setting.writes_since(mark);
    ensure!(
        writes.len() == 1 && writes[0].to_lowercase().contains("storageaccounts"),
        "only storage is written: {writes:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_when_the_leader_is_killed() -> Result<()> {
    let mut setting = Setting::demo().await?;
    if let Some(operator) = setting.operator.take() {
        operator.terminate(Duration::from_secs(20)).await?;
    }
    let replica = |name: &str| OperatorOptions {
        name: name.into(),
        leader_elect: true,
        args: ["--lease-duration=9s", "--lease-grace=6s", "--lease-margin=2s"]
            .map(String::from)
            .to_vec(),
        ..OperatorOptions::default()
    };
    let first = setting.testbed.start_operator(replica("first")).await?;
    setting.apply(|_| ()).await?;
    setting
        .testbed
        .await_state(
            NAME,
            &["CreatingEndpoints", "ConfiguringDns", "Proving", "Locked"],
            SETTLED,
        )
        .await?;
    let second = setting.testbed.start_operator(replica("second")).await?;
    first.kill9()?;
    setting.locked().await?;
    setting.assert_locked_with_proof()?;
    second.terminate(Duration::from_secs(20)).await?;
    Ok(())
}

/// A network that nobody linked or named: a name of another team's must resolve and connect there at every moment.
struct Uninvolved {
    failed: Arc<AtomicBool>,
    looks: Arc<std::sync::atomic::AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Uninvolved {
    fn watch(setting: &Setting) -> Uninvolved {
        let failed = Arc::new(AtomicBool::new(false));
        let looks = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (simulator, seen, count) = (setting.testbed.simulator().clone(), failed.clone(), looks.clone());
        let registry = setting.registry().unwrap_or_default();
        let task = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(100));
            loop {
                every.tick().await;
                if !sreg_testbed::oracle::uninvolved_connects(&simulator, &registry, "sandbox") {
                    seen.store(true, Ordering::SeqCst);
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Uninvolved { failed, looks, task }
    }

    fn judge(self) -> Result<()> {
        self.task.abort();
        ensure!(
            self.looks.load(Ordering::SeqCst) > 10,
            "the uninvolved network was hardly looked at"
        );
        ensure!(
            !self.failed.load(Ordering::SeqCst),
            "a client of the uninvolved network lost its connection"
        );
        Ok(())
    }
}
