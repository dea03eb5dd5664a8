//! Crashes, lost status, broken DNS, other people's hands and forged evidence.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use sreg_api::{ConnectivityProbe, SecureRegistry};
use sreg_testbed::objects::AGENT_SERVICE_ACCOUNT;
use sreg_testbed::{NAMESPACE, OPERATOR_NAMESPACE};
use sreg_testkit::eventually;

use crate::setting::{NAME, SETTLED, Setting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_every_write_to_azure_it_ends_in_the_same_locked_state_without_orphans() -> Result<()> {
    let mut setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    let (mut handled, mut kills) = (0, 0);
    let end = tokio::time::Instant::now() + Duration::from_secs(300);
    loop {
        ensure!(tokio::time::Instant::now() < end, "not locked after {kills} kills");
        let writes = setting.writes_since(0).len();
        if writes > handled {
            handled = writes;
            kills += 1;
            setting.restart_operator().await?;
        }
        let object = setting.testbed.registries().get(NAME).await?;
        if sreg_testbed::objects::ready(&object).0 == "Locked" && setting.writes_since(0).len() == handled {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure!(kills >= 5, "the run has more than {kills} writes to be killed after");
    setting.assert_locked_with_proof()?;
    ensure!(
        setting.our_endpoints().len() == 3,
        "no orphans: {:?}",
        setting.our_endpoints()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_erased_again_and_again_changes_nothing_about_the_end() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    let as_operator = setting.testbed.as_operator().await?;
    let api: Api<SecureRegistry> = Api::namespaced(as_operator, NAMESPACE);
    let erase = json!({"apiVersion": "secureregistry.dev/v1alpha1", "kind": "SecureRegistry", "status": null});
    for state in ["CreatingEndpoints", "ConfiguringDns", "Proving", "Locked"] {
        setting
            .testbed
            .await_state(NAME, &[state, "Locking", "Locked"], SETTLED)
            .await?;
        api.patch_status(NAME, &PatchParams::default(), &Patch::Merge(&erase))
            .await?;
    }
    setting.locked().await?;
    setting.assert_locked_with_proof()?;
    ensure!(setting.our_endpoints().len() == 3, "{:?}", setting.our_endpoints());
    let mark = setting.testbed.simulator().journal().last();
    api.patch_status(NAME, &PatchParams::default(), &Patch::Merge(&erase))
        .await?;
    setting.locked().await?;
    ensure!(
        setting.writes_since(mark).is_empty(),
        "nothing reopens: {:?}",
        setting.writes_since(mark)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_network_whose_dns_is_missing_keeps_the_registry_open_and_is_named_with_the_hop() -> Result<()> {
    let setting = Setting::demo().await?;
    // The spoke is a client but nobody links it: it goes on resolving public addresses.
    setting
        .apply(|o| {
            let hub = o["spec"]["clientNetworks"][0]["virtualNetworkResourceId"].clone();
            o["spec"]["endpoints"][0]["dns"]["linkVirtualNetworks"] = json!([hub]);
        })
        .await?;
    let object = eventually(SETTLED, "the failing path to be named", || async {
        let object = setting
            .testbed
            .registries()
            .get(NAME)
            .await
            .map_err(|e| e.to_string())?;
        let (state, message) = sreg_testbed::objects::ready(&object);
        if message.contains("spoke-a") && message.contains("dns") {
            Ok(object)
        } else {
            Err(format!("{state}: {message}"))
        }
    })
    .await?;
    let status = object.status.unwrap_or_default();
    ensure!(status.public_access.is_some_and(|p| p.summary == "Open"), "still open");
    let mark = setting.testbed.simulator().journal().last();
    setting.visited(mark, 3).await?;
    setting.assert_never_closed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_others_keep_changing_is_locked_and_loses_none_of_their_changes() -> Result<()> {
    let setting = Setting::demo().await?;
    let registry = setting.registry()?;
    setting.apply(|_| ()).await?;
    setting
        .testbed
        .await_state(NAME, &["Proving", "Locking", "Locked"], SETTLED)
        .await?;
    for turn in 0..60 {
        let changed = setting.testbed.simulator().change_by_hand(&registry, |body| {
            body["tags"]["changed-by-hand"] = json!(turn.to_string());
            body["properties"]["unknownToUs"] = json!({"turn": turn});
        });
        ensure!(changed, "the registry exists");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    setting.locked().await?;
    setting.assert_locked_with_proof()?;
    setting.testbed.simulator().with_world(|world| {
        let body = world.get(&registry).map(|r| r.body.clone()).unwrap_or_default();
        ensure!(
            body["tags"]["changed-by-hand"] == "59",
            "a tag set by hand was lost: {}",
            body["tags"]
        );
        ensure!(
            body["properties"]["unknownToUs"]["turn"] == 59,
            "a field that we do not know was lost"
        );
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_user_cannot_forge_evidence_nor_one_agent_that_of_another() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    let spoke: Api<ConnectivityProbe> = Api::namespaced(setting.testbed.client.clone(), "spoke-a-agent");
    let probe = eventually(SETTLED, "the spoke's probe", || async {
        spoke
            .list(&Default::default())
            .await
            .map_err(|e| e.to_string())?
            .items
            .pop()
            .ok_or_else(|| "none yet".to_owned())
    })
    .await?;
    let name = probe.metadata.name.clone().unwrap_or_default();
    let forged = json!({"status": {"round": 1, "subject": "x", "summary": "9/9", "results": []}});
    let respec = json!({"spec": {"round": 77}});
    // An administrator of the namespace, with every right that RBAC can give.
    let user = setting.testbed.namespace_admin("spoke-a-agent", "mallory").await?;
    let hub = setting
        .testbed
        .as_service_account("hub-agent", AGENT_SERVICE_ACCOUNT)
        .await?;
    setting
        .testbed
        .bind_cluster_admin("hub-agent", AGENT_SERVICE_ACCOUNT)
        .await?;
    for (who, client) in [
        ("a namespace administrator", user),
        ("another agent, made cluster-admin", hub),
    ] {
        let api: Api<ConnectivityProbe> = Api::namespaced(client, "spoke-a-agent");
        for (what, result) in [
            (
                "status",
                api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&forged))
                    .await,
            ),
            (
                "spec",
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&respec)).await,
            ),
        ] {
            match result {
                Err(kube::Error::Api(status)) if status.is_forbidden() || status.is_invalid() => {}
                Err(error) => return Err(error.into()),
                Ok(_) => anyhow::bail!("{who} could write the {what} of a probe"),
            }
        }
    }
    setting.locked().await?;
    setting.assert_locked_with_proof()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_gets_by_with_exactly_the_committed_rbac() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    let refused: Vec<String> = setting
        .testbed
        .plane
        .audit_log()?
        .into_iter()
        .filter(|e| e.code == 403 && e.user.starts_with("system:serviceaccount:"))
        .map(|e| {
            format!(
                "{} {} {}/{} {}/{}",
                e.user, e.verb, e.group, e.resource, e.namespace, e.name
            )
        })
        .collect();
    ensure!(refused.is_empty(), "refused: {refused:?}");
    ensure!(
        setting.testbed.plane.audit_log()?.iter().any(|e| e
            .user
            .ends_with(&format!("{OPERATOR_NAMESPACE}:secure-registry-operator"))),
        "the audit log shows the operator's ServiceAccount"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_deleted_by_hand_is_named_while_it_is_missing_and_written_again() -> Result<()> {
    let setting = Setting::demo().await?;
    setting
        .apply(|o| o["spec"]["drift"] = json!({"interval": "1s"}))
        .await?;
    setting.locked().await?;
    let record = setting.testbed.simulator().with_world(|world| {
        let ours =
            |id: &str| id.contains("/resourcegroups/dns/") && id.contains("privatelink.blob") && id.contains("/a/");
        world
            .resources
            .iter()
            .find(|(key, _)| ours(key))
            .map(|(_, r)| r.id.clone())
    });
    let record = record.unwrap_or_default();
    let closings = |setting: &Setting| -> Result<usize> {
        let journal = setting.testbed.simulator().journal().snapshot();
        let registry = setting.registry()?;
        let targets = setting
            .testbed
            .simulator()
            .with_world(|w| sreg_testbed::oracle::targets_of(w, &registry));
        Ok(sreg_testbed::oracle::closing_writes(&targets, &journal).len())
    };
    let before = closings(&setting)?;
    // Nothing puts it back before it was told, however long that takes.
    let throttled = json!({"method": "PUT", "path": "privateDnsZoneGroups",
        "effect": {"status": {"status": 429, "code": "TooManyRequests", "retryAfter": 1}}});
    setting.testbed.simulator().inject(serde_json::from_value(throttled)?);
    ensure!(
        setting.testbed.simulator().delete_by_hand(&record),
        "the record exists: {record:?}"
    );
    eventually(SETTLED, "the lost record to be told", || async {
        let object = setting
            .testbed
            .registries()
            .get(NAME)
            .await
            .map_err(|e| e.to_string())?;
        let (state, message) = sreg_testbed::objects::ready(&object);
        if state == "Locked" { Err(message) } else { Ok(()) }
    })
    .await?;
    setting.testbed.simulator().clear_faults();
    setting.locked().await?;
    let there = setting
        .testbed
        .simulator()
        .with_world(|world| world.get(&record).is_some());
    ensure!(there, "the record is back");
    ensure!(closings(&setting)? == before, "nothing was opened or closed for it");
    setting.assert_locked_with_proof()
}
