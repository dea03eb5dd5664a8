//! Objects of a cluster at a terminal: looked at, approved, opened and changed, by people with rights and without.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sreg_testbed::{NAMESPACE, Testbed};

use super::Terminal;
use crate::setting::{NAME, SETTLED, Setting, example};

/// From the wait for an approval to the lock, and through an emergency.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_looked_at_approved_and_opened_from_a_terminal() -> Result<()> {
    let setting = Setting::demo().await?;
    let gate = |object: &mut Value| object["spec"]["publicAccess"] = json!({"lockdown": {"waitFor": ["Approval"]}});
    setting.apply(gate).await?;
    setting
        .testbed
        .await_state(NAME, &["AwaitingApproval"], SETTLED)
        .await?;
    let admin = Terminal::at(&setting.testbed, setting.testbed.plane.admin_kubeconfig())?;
    let object = format!("{NAMESPACE}/{NAME}");
    let id = setting.registry()?;
    let why = admin
        .run(&["kubectl", "secureregistry", "why", &object])
        .await?
        .ended(0)?;
    for part in [
        "is AwaitingApproval since 2",
        "it waits for Approver (LockdownApproval)",
        "to approve: sreg approve",
    ] {
        ensure!(why.out.contains(part), "{part:?} is missing: {why:#?}");
    }
    let unasked = admin.run(&["sreg", "approve", &object]).await?;
    unasked.refused(&["repeat it with --yes", "Lockdown"])?;
    admin
        .run(&["sreg", "approve", &object, "--change", "Opening", "--yes"])
        .await?
        .refused(&["asks for no approval of Opening"])?;
    admin.run(&["sreg", "approve", &id, "--yes"]).await?.ended(0)?;
    setting.locked().await?;
    setting.assert_locked_with_proof()?;
    // What is applied is what the file says, but for the gate: nothing is left to do in Azure.
    let plan = admin.run(&["sreg", "plan", "-f", "examples/demo"]).await?.ended(0)?;
    ensure!(
        plan.out.contains("nothing to do") && plan.out.contains("it is taken for this one"),
        "{plan:#?}"
    );
    let status = admin.run(&["sreg", "status", NAME, "-n", NAMESPACE]).await?.ended(0)?;
    ensure!(status.out.matches("public access disabled").count() == 3, "{status:#?}");
    let table = admin.run(&["sreg", "status", "-A"]).await?.ended(0)?;
    ensure!(
        table
            .out
            .lines()
            .any(|row| row.contains(NAME) && row.contains("Locked")),
        "{table:#?}"
    );
    let reason = "incident 4711: builds cannot pull";
    admin
        .run(&["sreg", "break-glass", &object, "--for", "5m", "--reason", reason])
        .await?
        .ended(0)?;
    setting.testbed.await_state(NAME, &["BreakGlass"], SETTLED).await?;
    admin.run(&["sreg", "break-glass", &object, "--end"]).await?.ended(0)?;
    admin
        .run(&["sreg", "break-glass", &object, "--end"])
        .await?
        .refused(&["no BreakGlass of", "is under way"])?;
    setting.locked().await?;
    who_cannot(&setting.testbed, &admin, &object).await
}

async fn who_cannot(testbed: &Testbed, admin: &Terminal, object: &str) -> Result<()> {
    admin
        .run(&["sreg", "why", "nothing"])
        .await?
        .refused(&["no SecureRegistry nothing", "kubectl get secureregistries -A"])?;
    let stranger = Terminal::at(testbed, &testbed.plane.kubeconfig_for_user("stranger", None)?)?;
    stranger
        .run(&["sreg", "why", object])
        .await?
        .refused(&["forbidden", "kubectl auth can-i"])?;
    let nowhere = Terminal::at(testbed, Path::new("/no/such/kubeconfig"))?;
    nowhere
        .run(&["sreg", "status"])
        .await?
        .refused(&["find the cluster", "--kubeconfig"])?;
    let dead = "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\nclusters: [{name: x, cluster: {server: \"https://127.0.0.1:1\"}}]\nusers: [{name: x, user: {token: t}}]\n";
    let dead = admin.file("dead", dead)?;
    let away = Terminal::at(testbed, Path::new(&dead))?;
    away.run(&["sreg", "status"])
        .await?
        .refused(&["does not answer", "kubectl cluster-info"])
}

/// What stops the operator at a terminal stops every write; where a pipeline declares it, the pipeline's source is named instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_observed_enforced_and_looked_at_anew_from_a_terminal() -> Result<()> {
    let setting = Setting::demo().await?;
    // Created, not applied: nobody declares what it has by default.
    setting.create(&example(|_| ())?).await?;
    let admin = Terminal::at(&setting.testbed, setting.testbed.plane.admin_kubeconfig())?;
    let object = format!("{NAMESPACE}/{NAME}");
    admin.run(&["sreg", "observe", &object]).await?.ended(0)?;
    setting.testbed.await_state(NAME, &["Observed"], SETTLED).await?;
    let same = admin.run(&["sreg", "observe", &object]).await?.ended(0)?;
    ensure!(same.out.contains("already"), "{same:#?}");
    let said = admin.run(&["sreg", "reconcile", &object]).await?.ended(0)?;
    ensure!(said.out.contains("was asked to look"), "{said:#?}");
    admin.run(&["sreg", "enforce", &object]).await?.ended(0)?;
    setting.locked().await?;
    admin.run(&["sreg", "observe", &object]).await?.ended(0)?;
    let id = setting.registry()?;
    let declared = admin.file(
        "declared.yaml",
        &json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "SecureRegistry",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"registry": {"resourceId": id}, "managementPolicy": "Observe"},
        })
        .to_string(),
    )?;
    let as_flux = [
        "apply",
        "--server-side",
        "--field-manager=kustomize-controller",
        "--force-conflicts",
        "-f",
        &declared,
    ];
    setting.testbed.plane.admin_kubectl(&as_flux).await?;
    admin.run(&["sreg", "enforce", &object]).await?.refused(&[
        "kustomize-controller",
        "would put it back",
        "managementPolicy: Enforce",
    ])?;
    let stranger = Terminal::at(
        &setting.testbed,
        &setting.testbed.plane.kubeconfig_for_user("stranger", None)?,
    )?;
    stranger
        .run(&["sreg", "reconcile", &object])
        .await?
        .refused(&["forbidden", "kubectl auth can-i"])
}

/// Anybody may name a registry in an object of their own: whose is meant is not guessed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_several_objects_name_is_no_name() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| {}).await?;
    setting.locked().await?;
    let id = setting.registry()?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aaa"}});
    let theirs = json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "SecureRegistry",
        "metadata": {"name": "first", "namespace": "aaa"},
        "spec": {"registry": {"resourceId": id}, "managementPolicy": "Observe"},
    });
    setting
        .testbed
        .plane
        .apply_yaml(&format!("{namespace}\n---\n{theirs}\n"))
        .await?;
    let admin = Terminal::at(&setting.testbed, setting.testbed.plane.admin_kubeconfig())?;
    let ours = format!("{NAMESPACE}/{NAME}");
    for typed in [
        &["break-glass", &id, "--for", "5m", "--reason", "incident 4711: builds"][..],
        &["break-glass", &id, "--end"],
        &["approve", &id, "--yes"],
        &["observe", &id],
        &["reconcile", &id],
    ] {
        let said = admin.run(&[&["sreg"], typed].concat()).await?;
        said.refused(&["several objects name", "aaa/first", &ours])?;
    }
    setting.assert_locked_with_proof()
}
