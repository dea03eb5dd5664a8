//! A cloud of one's own, told by a file: every endpoint that the binary talks to comes from there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azure_sim::Caller;
use azure_sim::journal::{Entry, Service};
use azure_sim::seed::WorkspaceSeed;
use serde_json::{Value, json};
use sreg_testbed::{NAMESPACE, worlds};
use sreg_testkit::{Program, eventually};

use crate::setting::{NAME, SETTLED, Setting};

/// The scope that the demo's subscriptions have for the logs.
const LOGS: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/network";

/// Statuses of the answers that this endpoint gave the operator.
fn answered(setting: &Setting, service: Service) -> Vec<u16> {
    let records = setting.testbed.simulator().journal().snapshot();
    let requests = records.into_iter().filter_map(|record| match record.entry {
        Entry::Request(request) if request.service == service => Some(request.status),
        Entry::Request(_) | Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => None,
    });
    requests.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recent_public_clients_and_discovery_are_read_where_the_cloud_file_says() -> Result<()> {
    let mut options = worlds::demo()?;
    options.seed.log_analytics_workspaces = vec![WorkspaceSeed {
        name: "logs".into(),
        subscription: "platform".into(),
        resource_group: "network".into(),
    }];
    options.seed.callers = vec![Caller {
        target: "contosoreg".into(),
        address: "20.1.2.3".into(),
        requests: 7,
        seconds_ago: 600,
    }];
    let setting = Setting::new(options).await?;
    let grant = json!({
        "apiVersion": "secureregistry.dev/v1alpha1",
        "kind": "RegistryGrant",
        "metadata": {"name": "logs"},
        "spec": {"namespaces": {"names": [NAMESPACE]}, "logAnalyticsWorkspaces": [LOGS]},
    });
    setting
        .testbed
        .plane
        .apply_yaml(&grant.to_string())
        .await
        .context("grant the workspace")?;
    let asks = |accept: Value| {
        move |object: &mut Value| {
            object["spec"]["drift"] = json!({"interval": "1s"});
            object["spec"]["verification"]["recentPublicClients"] = json!({
                "logAnalyticsWorkspaceResourceId": format!("{LOGS}/providers/Microsoft.OperationalInsights/workspaces/logs"),
                "window": "24h",
                "policy": "Block",
                "accept": accept,
            });
        }
    };
    setting.apply(asks(json!([]))).await?;
    eventually(SETTLED, "the lock to wait for the client", || async {
        let object = setting
            .testbed
            .registries()
            .get(NAME)
            .await
            .map_err(|e| e.to_string())?;
        let status = serde_json::to_value(object.status.unwrap_or_default()).map_err(|e| e.to_string())?;
        let waits = status["waitingFor"].as_array().cloned().unwrap_or_default();
        let found = waits.iter().any(|wait| {
            wait["reason"] == "RecentPublicClients"
                && wait["message"].as_str().is_some_and(|m| m.contains("20.1.2.3 → "))
        });
        if found { Ok(()) } else { Err(format!("{waits:?}")) }
    })
    .await?;
    setting.assert_never_closed()?;
    for service in [Service::LogAnalytics, Service::Discovery] {
        let answers = answered(&setting, service);
        ensure!(answers.contains(&200), "{service:?} answered {answers:?}");
    }

    setting.apply(asks(json!(["20.1.2.0/24"]))).await?;
    setting.locked().await?;
    setting.assert_locked_with_proof()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_file_that_cannot_be_used_ends_the_start_with_the_line_and_the_field() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cloud.yaml");
    for (document, says) in [
        ("name: Contoso\nextends: AzurePublic\nresourceManger: {}\n", "line 3"),
        (
            "name: Contoso\nauthorityHost: https://login.contoso.example\n",
            "privateLink.amlRegistry: it is missing",
        ),
        (
            "name: Contoso\nextends: AzurePublic\napiVersions: {Microsoft.Storage/storageAccounts: 2023-01-01}\n",
            "2023-01-01 is too old, write 2025-06-01",
        ),
    ] {
        std::fs::write(&file, document)?;
        for command in [
            &["run", "--azure-tenant-id=t", "--azure-credential=azure-cli"][..],
            &["agent", "--name=hub"],
        ] {
            let process = Program::built("secure-registry-operator")?
                .args(command)
                .arg("--azure-cloud-file")
                .arg(&file)
                .unprinted()
                .spawn()?;
            let status = process.exit(Duration::from_secs(20)).await?;
            let lines = process.lines().join("\n");
            ensure!(status.code() == Some(1), "{command:?}: {status}: {lines}");
            let file = file.to_string_lossy();
            ensure!(
                lines.contains(&format!("use {file} for --azure-cloud-file")),
                "{command:?}: {lines}"
            );
            ensure!(lines.contains(says), "{command:?}: {lines}");
        }
    }
    Ok(())
}
