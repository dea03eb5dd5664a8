//! Emergencies on the real control plane: who may open, how long, what it leaves behind, and that the lock comes back by itself.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use sreg_api::{BreakGlass, BreakGlassPhase, BreakGlassSpec, BreakGlassStatus};
use sreg_testbed::{NAMESPACE, OperatorOptions, oracle};
use sreg_testkit::{Process, eventually};

use crate::setting::{NAME, SETTLED, Setting};

/// Rights by the shipped roles, in one namespace.
pub(crate) async fn person(setting: &Setting, namespace: &str, user: &str, roles: &[&str]) -> Result<Client> {
    for role in roles {
        let binding = format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {user}-{role}, namespace: {namespace}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
             subjects: [{{kind: User, name: {user}, apiGroup: rbac.authorization.k8s.io}}]\n"
        );
        setting
            .testbed
            .plane
            .apply_yaml(&binding)
            .await
            .context("bind the role")?;
    }
    let kubeconfig = setting.testbed.plane.kubeconfig_for_user(user, None)?;
    setting.testbed.plane.client(&kubeconfig).await
}

pub(crate) fn glass(name: &str, registry: &str, requested_by: &str, duration: &str) -> BreakGlass {
    BreakGlass::new(
        name,
        BreakGlassSpec {
            secure_registry_name: registry.into(),
            reason: format!("incident {name}: all pipelines fail"),
            requested_by: requested_by.into(),
            duration: duration.into(),
        },
    )
}

pub(crate) async fn create(client: &Client, glass: &BreakGlass) -> Result<(), String> {
    let api: Api<BreakGlass> = Api::namespaced(client.clone(), NAMESPACE);
    let created = api.create(&PostParams::default(), glass).await;
    created.map(drop).map_err(|error| error.to_string())
}

pub(crate) async fn told(
    setting: &Setting,
    name: &str,
    phase: BreakGlassPhase,
    says: &str,
) -> Result<BreakGlassStatus> {
    let api: Api<BreakGlass> = Api::namespaced(setting.testbed.client.clone(), NAMESPACE);
    eventually(SETTLED, format!("{name} to be {phase}: {says}"), || async {
        let status = api.get(name).await.map_err(|e| e.to_string())?.status;
        let status = status.ok_or("it was told nothing")?;
        if status.phase == phase && status.message.contains(says) {
            Ok(status)
        } else {
            Err(format!("{}: {}", status.phase, status.message))
        }
    })
    .await
}

async fn operator(setting: &Setting) -> Result<Process> {
    let options = OperatorOptions {
        args: vec!["--max-break-glass=30s".into()],
        ..OperatorOptions::default()
    };
    setting.testbed.start_operator(options).await
}

/// What the operator counts, as Prometheus reads it.
pub(crate) async fn metrics(operator: &Process) -> Result<String> {
    let line = operator.line_with("operator started", SETTLED).await?;
    let line: serde_json::Value = serde_json::from_str(&line)?;
    let address = line["address"].as_str().context("the address")?.to_owned();
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

async fn everything_is_open(setting: &Setting) -> Result<()> {
    setting.testbed.await_state(NAME, &["BreakGlass"], SETTLED).await?;
    ensure_open(setting)
}

fn ensure_open(setting: &Setting) -> Result<()> {
    let open = oracle::closed(setting.testbed.simulator(), &setting.registry()?);
    ensure!(open.iter().all(|(_, closed)| !closed), "everything is open: {open:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_glass_opens_outlives_its_operator_is_cut_at_the_longest_time_and_locks_again_by_itself() -> Result<()>
{
    let mut setting = Setting::demo().await?;
    if let Some(operator) = setting.operator.take() {
        operator.terminate(Duration::from_secs(20)).await?;
    }
    setting.operator = Some(operator(&setting).await?);
    setting.apply(|_| ()).await?;
    setting.locked().await?;

    let editor = person(
        &setting,
        NAMESPACE,
        "erin",
        &["secureregistry-view", "secureregistry-edit"],
    )
    .await?;
    let refused = create(&editor, &glass("edited", NAME, "erin", "25s")).await;
    ensure!(
        refused.as_ref().is_err_and(|e| e.contains("cannot create resource")),
        "who edits may not open: {refused:?}"
    );
    let jane = person(&setting, NAMESPACE, "jane", &["secureregistry-break-glass"]).await?;
    let refused = create(&jane, &glass("borrowed", NAME, "erin", "25s")).await;
    ensure!(
        refused.as_ref().is_err_and(|e| e.contains("write requestedBy: jane")),
        "a borrowed name: {refused:?}"
    );
    create(&jane, &glass("typo", "contoso-modles", "jane", "25s"))
        .await
        .map_err(anyhow::Error::msg)?;
    told(
        &setting,
        "typo",
        BreakGlassPhase::Pending,
        "there is no SecureRegistry contoso-modles",
    )
    .await?;

    create(&jane, &glass("first", NAME, "jane", "25s"))
        .await
        .map_err(anyhow::Error::msg)?;
    everything_is_open(&setting).await?;
    let first = told(
        &setting,
        "first",
        BreakGlassPhase::Active,
        "holds public access of contoso-models open",
    )
    .await?;
    let running = setting.operator.take().context("an operator")?;
    let uses = format!("secureregistry_break_glass_uses_total{{namespace=\"{NAMESPACE}\",name=\"{NAME}\"}} 1");
    ensure!(metrics(&running).await?.contains(&uses), "a use is counted");
    running.kill9()?;

    create(&jane, &glass("second", NAME, "jane", "10m"))
        .await
        .map_err(anyhow::Error::msg)?;
    let running = operator(&setting).await?;
    let second = told(&setting, "second", BreakGlassPhase::Active, "cut: it asks for").await?;
    let (first_end, second_end) = (first.until.context("an end")?.0, second.until.context("an end")?.0);
    ensure!(
        (first_end.as_second()..=first_end.as_second() + 5).contains(&second_end.as_second()),
        "25 s and at most 30 s from the first: {first_end} and {second_end}"
    );
    let object = setting.locked().await?;
    setting.assert_locked_with_proof()?;
    let status = object.status.unwrap_or_default();
    let exposure = status.exposure.unwrap_or_default();
    let locked_at = exposure.locked_at.context("a time of the lock")?.0;
    ensure!(
        locked_at >= second_end,
        "locked at {locked_at}, not before {second_end}"
    );
    for name in ["first", "second"] {
        told(&setting, name, BreakGlassPhase::Spent, "was locked again at").await?;
    }
    ensure!(
        metrics(&running).await?.contains(&uses),
        "the new operator saw one use begin"
    );
    setting.operator = Some(running);

    let digest = exposure.evidence_digest.context("the evidence of the lock")?;
    let lines = |state: &str| status.history.iter().filter(|h| h.state == state).count();
    ensure!(
        (lines("BreakGlass"), lines("BreakGlassEnded")) == (2, 2),
        "{:?}",
        status.history
    );
    let begun = setting.noted("BreakGlassBegan", "second by jane").await?;
    let ended = setting.noted("BreakGlassEnded", "second").await?;
    ensure!(begun.len() == 2 && ended.len() == 2, "each once: {begun:?} {ended:?}");
    for part in [
        "first by jane",
        "second by jane",
        "incident second: all pipelines fail",
        "(cut from",
    ] {
        ensure!(begun.iter().any(|note| note.contains(part)), "{part}: {begun:?}");
    }
    // The lock's event carries its evidence.
    let locks = setting.noted("Locked", &digest).await?;
    ensure!(
        locks
            .iter()
            .any(|n| n.contains("again after BreakGlass") && n.contains(&digest)),
        "{locks:?}"
    );
    let map = status.snapshot.context("the snapshot")?;
    ensure!(
        map.evidence_digest == digest,
        "snapshot {} and lock {digest}",
        map.evidence_digest
    );
    let kept = [
        "get",
        "configmap",
        "-A",
        "--field-selector",
        &format!("metadata.name={}", map.config_map),
    ];
    let kept = setting
        .testbed
        .plane
        .admin_kubectl(&[kept.as_slice(), &["-o", "jsonpath={.items[0].data.snapshot\\.json}"]].concat())
        .await?;
    ensure!(
        serde_json::from_str::<serde_json::Value>(&kept)?["evidenceDigest"] == digest.as_str(),
        "the ConfigMap keeps {kept}"
    );
    let text = setting
        .testbed
        .plane
        .admin_kubectl(&["get", "breakglass", "-n", NAMESPACE])
        .await?;
    for word in ["REGISTRY", "REQUESTED BY", "PHASE", "UNTIL", "Spent", "Expired"] {
        ensure!(text.contains(word), "`kubectl get breakglass` lacks {word}:\n{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_may_not_tell_opens_all_the_same() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    // Nobody may write that status any more.
    let policy = json!([{"op": "replace", "path": "/spec/validations/0/expression", "value": "false"}]).to_string();
    let name = "validatingadmissionpolicy/break-glass-status.secureregistry.dev";
    setting
        .testbed
        .plane
        .admin_kubectl(&["patch", name, "--type=json", "-p", &policy])
        .await?;
    let jane = person(&setting, NAMESPACE, "jane", &["secureregistry-break-glass"]).await?;
    create(&jane, &glass("silent", NAME, "jane", "10m"))
        .await
        .map_err(anyhow::Error::msg)?;
    everything_is_open(&setting).await?;
    Ok(())
}

/// A window's schedule is nothing that the API server can check.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_that_breaks_a_rule_keeps_nobody_from_the_way_back() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    let window = json!({"schedule": "every tuesday at night", "timeZone": "UTC", "duration": "2h"});
    setting
        .apply(|o| o["spec"]["publicAccess"]["lockdown"] = json!({"waitFor": ["Window"], "window": window}))
        .await?;
    let object = setting.testbed.await_state(NAME, &["Stalled"], SETTLED).await?;
    let (_, message) = sreg_testbed::objects::ready(&object);
    ensure!(message.contains("every tuesday at night"), "{message}");
    let jane = person(&setting, NAMESPACE, "jane", &["secureregistry-break-glass"]).await?;
    create(&jane, &glass("tuesday", NAME, "jane", "20s"))
        .await
        .map_err(anyhow::Error::msg)?;
    told(
        &setting,
        "tuesday",
        BreakGlassPhase::Active,
        "once its SecureRegistry is valid",
    )
    .await?;
    ensure_open(&setting)?;
    told(
        &setting,
        "tuesday",
        BreakGlassPhase::Expired,
        "nothing is locked again before contoso-models is repaired",
    )
    .await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    setting.assert_locked_with_proof()
}
