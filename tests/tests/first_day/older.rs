//! An API server that does not stream lists, as those before Kubernetes 1.34: real, with the feature switched off.

use std::time::Duration;

use anyhow::{Result, ensure};
use sreg_api::SecureRegistry;
use sreg_testbed::repository;
use sreg_testkit::{ControlPlane, Program, eventually};

const SOON: Duration = Duration::from_secs(60);

/// An operator under its own account whose Azure is a port that nobody listens at: what it does in the cluster is enough here.
async fn visits_on(plane: &ControlPlane) -> Result<Vec<String>> {
    let base = repository().join("deploy/base");
    plane
        .admin_kubectl(&["apply", "--server-side", "-k", &base.to_string_lossy()])
        .await?;
    plane.install_crds(repository().join("deploy/crds")).await?;
    let kubeconfig = plane
        .kubeconfig_for_service_account("secure-registry-system", "secure-registry-operator")
        .await?;
    let operator = Program::built("secure-registry-operator")?
        .args(["run", "--health-address=127.0.0.1:0", "--leader-elect=false"])
        .args([
            "--azure-credential=client-secret",
            "--azure-tenant-id=tenant",
            "--azure-client-id=client",
        ])
        .arg("--azure-cloud-file")
        .arg(repository().join("crates/operator/tests/nowhere.yaml"))
        .env("AZURE_CLIENT_SECRET", "none")
        .env("KUBECONFIG", kubeconfig)
        .spawn()?;
    operator.line_with("leading", SOON).await?;
    plane
        .admin_kubectl(&["apply", "-f", &repository().join("examples/observe").to_string_lossy()])
        .await?;
    let objects: kube::Api<SecureRegistry> = kube::Api::namespaced(plane.admin_client().await?, "ml-platform");
    eventually(SOON, "the first visit", || async {
        let object = objects
            .get("contoso-observed")
            .await
            .map_err(|error| error.to_string())?;
        let status = object.status.unwrap_or_default();
        if status.observed_generation == Some(1) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await?;
    Ok(operator.lines())
}

#[tokio::test]
async fn without_streaming_lists_it_says_so_and_works_with_plain_ones() -> Result<()> {
    let plane = ControlPlane::start_with(&["--feature-gates=WatchList=false"]).await?;
    let lines = visits_on(&plane).await?;
    let said = |words: &str| lines.iter().any(|line| line.contains(words));
    ensure!(said("watches begin with plain lists"), "{lines:#?}");
    // What a server says to a request for a streaming list that it does not know. (It also interrupts watches of kinds that were
    // defined a moment ago.)
    ensure!(!said("sendInitialEvents"), "{lines:#?}");
    Ok(())
}

#[tokio::test]
async fn with_streaming_lists_it_uses_them() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let lines = visits_on(&plane).await?;
    let said = |words: &str| lines.iter().any(|line| line.contains(words));
    ensure!(!said("watches begin with plain lists"), "{lines:#?}");
    Ok(())
}
