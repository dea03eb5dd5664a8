//! The chart on a real API server: installed under names of one's own, upgraded, gone and back. Nothing runs there, so pods are
//! only judged: by admission, which knows the Pod Security Standard, and by who may do what.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sreg_testkit::{ControlPlane, eventually};

use crate::helm::Helm;
use crate::{chart, documents};

const RELEASE: &str = "keeper";
const NAMESPACE: &str = "team-7";
const ACCOUNT: &str = "system:serviceaccount:team-7:the-keeper";
const SOON: Duration = Duration::from_secs(30);

const NAMES: &str = "operator: {serviceAccount: {name: the-keeper}}\n";
const OBJECTS: &str = "
vantagePoints:
- {name: hub, spec: {network: OnPremises}}
- {name: own, runBy: Operator, spec: {network: OnPremises}}
- {name: far, runBy: Elsewhere, namespace: far-away, spec: {network: OnPremises}}
grants:
- name: ml
  spec: {namespaces: {names: [ml]}, vantagePoints: [hub, own, far]}
";

/// A release on a control plane.
struct Installed<'a> {
    helm: &'a Helm,
    plane: &'a ControlPlane,
    folder: tempfile::TempDir,
}

impl Installed<'_> {
    /// `helm VERB` with values.
    fn helm(&self, verb: &str, chart: &Path, values: &str) -> Output {
        let file = self.folder.path().join("values.yaml");
        std::fs::write(&file, values).unwrap();
        let mut arguments = vec![verb, RELEASE, chart.to_str().unwrap(), "--namespace", NAMESPACE];
        if verb == "install" {
            arguments.push("--create-namespace");
        }
        arguments.extend(["--values", file.to_str().unwrap()]);
        self.helm.run(Some(self.plane.admin_kubeconfig()), &arguments)
    }

    fn done(&self, verb: &str, chart: &Path, values: &str) -> Result<String> {
        let output = self.helm(verb, chart, values);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "Helm {} {verb}: {said}", self.helm.major);
        Ok(said.into_owned())
    }

    async fn get(&self, arguments: &[&str]) -> Result<Value> {
        let text = self
            .plane
            .admin_kubectl(&[&["get", "-o", "json"], arguments].concat())
            .await?;
        Ok(serde_json::from_str(&text)?)
    }

    async fn names(&self, kind: &str) -> Result<Vec<String>> {
        let list = self.get(&[kind, "-A"]).await?;
        let names = list["items"].as_array().context("a list")?.iter();
        Ok(names
            .filter_map(|it| it["metadata"]["name"].as_str().map(str::to_owned))
            .collect())
    }

    async fn may(&self, account: &str, what: &[&str]) -> Result<bool> {
        let impersonated = format!("--as={account}");
        let arguments = [&["auth", "can-i"], what, &[&impersonated]].concat();
        let output = self.plane.kubectl(&arguments, self.plane.admin_kubeconfig()).await?;
        let said = String::from_utf8_lossy(&output.stdout);
        match said.trim() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => anyhow::bail!("{what:?}: {said}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// The chart with a further field in the definition of vantage points, as a later version may have it.
    fn later_chart(&self) -> Result<std::path::PathBuf> {
        let folder = self.folder.path().join("later");
        let copied = Command::new("cp").arg("-r").arg(chart()).arg(&folder).status()?;
        ensure!(copied.success(), "copy the chart");
        let definition = folder.join("templates/crds/vantagepoints.yaml");
        let text = std::fs::read_to_string(&definition)?;
        let before = "            properties:\n              namespace:\n";
        ensure!(text.matches(before).count() == 1, "the definition has another shape");
        let field =
            "            properties:\n              room:\n                type: string\n              namespace:\n";
        std::fs::write(&definition, text.replace(before, field))?;
        Ok(folder)
    }
}

/// What every Helm does: one story, because policies and definitions belong to the whole cluster.
async fn story(major: u8) -> Result<()> {
    let plane = ControlPlane::start().await?;
    let helm = Helm::new(major);
    let installed = Installed {
        helm: &helm,
        plane: &plane,
        folder: tempfile::tempdir()?,
    };
    objects_of_kinds_that_nobody_knows_are_refused_before_anything_is_made(&installed).await?;
    let said = installed.done("install", &chart(), NAMES)?;
    ensure!(
        said.contains("Nothing is served yet: without a RegistryGrant"),
        "{said}"
    );
    let said = installed.done("upgrade", &chart(), &format!("{NAMES}{OBJECTS}"))?;
    ensure!(
        said.contains("Granted: ml.") && said.contains("Vantage points: hub, own, far."),
        "{said}"
    );
    the_declared_objects_are_there(&installed).await?;
    the_same_again_changes_nothing(&installed).await?;
    rights_follow_the_names(&installed).await?;
    policies_follow_the_names(&installed).await?;
    pods_satisfy_the_restricted_standard(&installed).await?;
    a_changed_definition_is_upgraded_and_objects_stay(&installed).await?;
    a_release_that_goes_leaves_definitions_and_objects(&installed).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_4_installs_upgrades_and_uninstalls_under_names_of_ones_own() -> Result<()> {
    story(4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_3_installs_upgrades_and_uninstalls_under_names_of_ones_own() -> Result<()> {
    story(3).await
}

async fn objects_of_kinds_that_nobody_knows_are_refused_before_anything_is_made(
    installed: &Installed<'_>,
) -> Result<()> {
    let output = installed.helm("install", &chart(), &format!("{NAMES}{OBJECTS}"));
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success()
            && said.contains("install once without `grants` and `vantagePoints`, then upgrade with them"),
        "{said}"
    );
    let made = installed.names("customresourcedefinitions").await?;
    ensure!(made.is_empty(), "{made:?}");
    Ok(())
}

async fn the_declared_objects_are_there(installed: &Installed<'_>) -> Result<()> {
    assert_eq!(installed.names("registrygrants").await?, ["ml"]);
    let points = installed.get(&["vantagepoints"]).await?;
    let declared: Vec<String> = points["items"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|point| {
            let spec = &point["spec"];
            format!(
                "{} {} {}",
                point["metadata"]["name"], spec["namespace"], spec["serviceAccountName"]
            )
            .replace('"', "")
        })
        .collect();
    assert_eq!(
        declared,
        [
            "far far-away secure-registry-agent",
            "hub hub secure-registry-agent",
            "own team-7 the-keeper"
        ]
    );
    let deployments = installed.get(&["deployments", "-A"]).await?;
    let placed: Vec<String> = deployments["items"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|it| format!("{}/{}", it["metadata"]["namespace"], it["metadata"]["name"]).replace('"', ""))
        .collect();
    assert_eq!(
        placed,
        ["hub/secure-registry-agent", "team-7/keeper-secure-registry-operator"]
    );
    Ok(())
}

/// No default of an API server is anything that the chart would set back, so that GitOps sees no difference either.
async fn the_same_again_changes_nothing(installed: &Installed<'_>) -> Result<()> {
    let kinds = "deployments,poddisruptionbudgets,customresourcedefinitions,validatingadmissionpolicies,clusterroles,registrygrants,vantagepoints";
    let generations = async || -> Result<Vec<(String, Value)>> {
        let list = installed
            .get(&[kinds, "-A", "-l", "app.kubernetes.io/managed-by=Helm"])
            .await?;
        let items = list["items"].as_array().context("a list")?.iter();
        Ok(items
            .map(|it| (crate::key(it), it["metadata"]["generation"].clone()))
            .collect())
    };
    let before = generations().await?;
    ensure!(before.len() > 30, "{before:?}");
    installed.done("upgrade", &chart(), &format!("{NAMES}{OBJECTS}"))?;
    assert_eq!(before, generations().await?);
    Ok(())
}

async fn rights_follow_the_names(installed: &Installed<'_>) -> Result<()> {
    let hub = "system:serviceaccount:hub:secure-registry-agent";
    let far = "system:serviceaccount:far-away:secure-registry-agent";
    for (account, what, may) in [
        (
            ACCOUNT,
            &["patch", "secureregistries", "--subresource=status", "-n", "ml"][..],
            true,
        ),
        (ACCOUNT, &["delete", "configmaps", "-n", NAMESPACE], true),
        (ACCOUNT, &["delete", "configmaps", "-n", "ml"], false),
        (ACCOUNT, &["get", "secrets", "-n", NAMESPACE], false),
        (
            "system:serviceaccount:secure-registry-system:secure-registry-operator",
            &["patch", "secureregistries", "-n", "ml"],
            false,
        ),
        (
            hub,
            &["patch", "connectivityprobes", "--subresource=status", "-n", "hub"],
            true,
        ),
        (
            hub,
            &["patch", "connectivityprobes", "--subresource=status", "-n", "far-away"],
            false,
        ),
        (far, &["patch", "leases/vantage-point-far", "-n", "far-away"], true),
        (far, &["patch", "leases/vantage-point-hub", "-n", "far-away"], false),
    ] {
        let answer = installed.may(account, what).await?;
        ensure!(answer == may, "{account} {what:?}: {answer}");
    }
    Ok(())
}

/// Somebody with every right of RBAC still takes no claim in the chosen namespace, and writes no status.
async fn policies_follow_the_names(installed: &Installed<'_>) -> Result<()> {
    let plane = installed.plane;
    plane
        .admin_kubectl(&[
            "create",
            "clusterrole",
            "leases",
            "--verb=*",
            "--resource=leases.coordination.k8s.io,configmaps",
        ])
        .await?;
    plane
        .admin_kubectl(&[
            "create",
            "clusterrolebinding",
            "intruder",
            "--clusterrole=leases",
            "--user=intruder",
        ])
        .await?;
    plane.admin_kubectl(&["create", "namespace", "elsewhere"]).await?;
    let intruder = plane.kubeconfig_for_user("intruder", None)?;
    let make = |namespace: &'static str, kind: &'static str| {
        let intruder = intruder.clone();
        async move {
            let object = match kind {
                "lease" => {
                    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "sreg-x", "namespace": namespace}})
                }
                _ => {
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sreg-x", "namespace": namespace}})
                }
            };
            let file = installed.folder.path().join("object.json");
            std::fs::write(&file, object.to_string())?;
            let output = plane
                .kubectl(
                    &["create", "--dry-run=server", "-f", &file.to_string_lossy()],
                    &intruder,
                )
                .await?;
            anyhow::Ok((
                output.status.success(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ))
        }
    };
    for kind in ["lease", "configmap"] {
        // A policy takes a moment to come into force.
        eventually(SOON, "the policy to deny", || async {
            let (made, said) = make(NAMESPACE, kind).await.map_err(|error| error.to_string())?;
            let denied = !made && said.contains("only the operator (team-7/the-keeper)");
            denied.then_some(()).ok_or(said)
        })
        .await?;
        let (made, said) = make("elsewhere", kind).await?;
        ensure!(made, "{said}");
    }
    Ok(())
}

async fn pods_satisfy_the_restricted_standard(installed: &Installed<'_>) -> Result<()> {
    let plane = installed.plane;
    plane.admin_kubectl(&["create", "namespace", "strict"]).await?;
    plane
        .admin_kubectl(&[
            "label",
            "namespace",
            "strict",
            "pod-security.kubernetes.io/enforce=restricted",
        ])
        .await?;
    let deployments = installed.get(&["deployments", "-A"]).await?;
    let mut judged = 0;
    for deployment in deployments["items"].as_array().context("a list")? {
        let mut pod = deployment["spec"]["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!("judged");
        pod["metadata"]["namespace"] = json!("strict");
        let mut lax = pod.clone();
        lax["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        for (pod, fits) in [(pod, true), (lax, false)] {
            let file = installed.folder.path().join("pod.json");
            std::fs::write(&file, pod.to_string())?;
            let output = plane
                .kubectl(
                    &["create", "--dry-run=server", "-f", &file.to_string_lossy()],
                    plane.admin_kubeconfig(),
                )
                .await?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success() == fits, "{said}\n{pod}");
            ensure!(fits || said.contains("violates PodSecurity"), "{said}");
            judged += 1;
        }
    }
    ensure!(judged == 4, "{judged}");
    let labels = installed.get(&["namespace", "hub"]).await?;
    assert_eq!(
        labels["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
    Ok(())
}

async fn a_changed_definition_is_upgraded_and_objects_stay(installed: &Installed<'_>) -> Result<()> {
    let before = installed.get(&["vantagepoint", "hub"]).await?;
    let later = installed.later_chart()?;
    installed.done("upgrade", &later, &format!("{NAMES}{OBJECTS}"))?;
    eventually(SOON, "the new field to be served", || async {
        let patch = r#"{"spec":{"room":"12"}}"#;
        installed
            .plane
            .admin_kubectl(&["patch", "vantagepoint", "hub", "--type=merge", "-p", patch])
            .await?;
        let now = installed.get(&["vantagepoint", "hub"]).await?;
        ensure!(now["spec"]["room"] == "12", "{now}");
        Ok(())
    })
    .await?;
    let after = installed.get(&["vantagepoint", "hub"]).await?;
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    Ok(())
}

async fn a_release_that_goes_leaves_definitions_and_objects(installed: &Installed<'_>) -> Result<()> {
    let plane = installed.plane;
    let observed = crate::repository().join("examples/observe");
    for file in ["namespace.yaml", "secureregistry.yaml"] {
        plane.apply_path(observed.join(file)).await?;
    }
    let definitions = installed.names("customresourcedefinitions").await?;
    ensure!(definitions.len() == 6, "{definitions:?}");
    let gone = installed.helm.run(
        Some(plane.admin_kubeconfig()),
        &["uninstall", RELEASE, "--namespace", NAMESPACE],
    );
    let said = String::from_utf8_lossy(&gone.stdout) + String::from_utf8_lossy(&gone.stderr);
    ensure!(gone.status.success(), "{said}");
    assert_eq!(installed.names("customresourcedefinitions").await?, definitions);
    let policies = installed.names("validatingadmissionpolicies").await?;
    ensure!(policies.is_empty(), "{policies:?}");
    assert_eq!(installed.names("secureregistries").await?, ["contoso-observed"]);
    // Back again, over what stayed.
    installed.done("install", &chart(), NAMES)?;
    assert_eq!(installed.names("secureregistries").await?, ["contoso-observed"]);
    Ok(())
}

/// An API server judges each object that the chart can render, without making it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_takes_whatever_the_examples_render() -> Result<()> {
    let plane = ControlPlane::start().await?;
    plane.install_crds(crate::repository().join("deploy/crds")).await?;
    for namespace in [
        crate::helm::NAMESPACE,
        "hub-agent",
        "vantage-office",
        "office-agent",
        "1234",
        "ml-platform",
        "ml-research",
    ] {
        plane.admin_kubectl(&["create", "namespace", namespace]).await?;
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("objects.json");
    for name in crate::examples() {
        let values = std::fs::read_to_string(chart().join("examples").join(format!("{name}.yaml")))?;
        let objects: Vec<Value> = documents(&Helm::new(4).render(&values))
            .into_iter()
            // Its kinds are the Prometheus Operator's.
            .filter(|object| object["apiVersion"] != "monitoring.coreos.com/v1")
            .collect();
        std::fs::write(
            &file,
            json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string(),
        )?;
        plane
            .admin_kubectl(&[
                "apply",
                "--server-side",
                "--dry-run=server",
                "--validate=strict",
                "-f",
                &file.to_string_lossy(),
            ])
            .await
            .with_context(|| name.clone())?;
    }
    Ok(())
}

/// What the guide has people type, as it stands there: the block is not run with the guide's other ones, whose world is installed
/// with kustomize.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_way_with_helm_works_as_typed() -> Result<()> {
    let guide = std::fs::read_to_string(crate::repository().join("docs/install.md"))?;
    let mut blocks = guide
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let block = blocks
        .find(|block| block.starts_with("helm install "))
        .context("a block of helm")?;
    let plane = ControlPlane::start().await?;
    for helm in Helm::both() {
        let programs = tempfile::tempdir()?;
        std::os::unix::fs::symlink(helm.program(), programs.path().join("helm"))?;
        std::os::unix::fs::symlink(plane.assets().join("kubectl"), programs.path().join("kubectl"))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let uninstall = "helm uninstall secure-registry-operator --namespace secure-registry-system";
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &format!("{block}{uninstall}\n")])
            .current_dir(crate::repository())
            .env("PATH", format!("{}:{path}", programs.path().display()))
            .env("HOME", programs.path())
            .env("KUBECONFIG", plane.admin_kubeconfig())
            .env("TENANT_ID", "0a000000-0000-4000-8000-0000000000aa")
            .env("CLIENT_ID", "0a000000-0000-4000-8000-0000000000bb")
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "Helm {}: {said}", helm.major);
        ensure!(
            said.contains("Nothing is served yet") && !said.contains("WARNING: image"),
            "{said}"
        );
    }
    Ok(())
}
