//! The built operator and agents as processes: kubeconfigs of their own ServiceAccounts, a projected-token file for Azure,
//! a cloud whose endpoints are the simulator's.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use sreg_api::names::{OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT};
use sreg_testkit::{Process, Program};

use crate::Testbed;
use crate::objects::AGENT_SERVICE_ACCOUNT;

/// How the operator is started.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    /// Name in printed output.
    pub name: String,
    /// Take part in leader election.
    pub leader_elect: bool,
    /// Further arguments.
    pub args: Vec<String>,
    /// Environment variables, such as a proxy.
    pub env: Vec<(String, String)>,
    /// Log filter.
    pub log: String,
    /// Print its output when it ends: right for a failed test, not for a demo.
    pub printed: bool,
}

impl Default for OperatorOptions {
    fn default() -> Self {
        OperatorOptions {
            name: "operator".into(),
            leader_elect: false,
            args: Vec::new(),
            env: Vec::new(),
            log: "info".into(),
            printed: true,
        }
    }
}

pub(crate) async fn operator(testbed: &Testbed, options: OperatorOptions) -> Result<Process> {
    let kubeconfig = testbed
        .plane
        .kubeconfig_for_service_account(OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT)
        .await?;
    let embedded = testbed.vantages.iter().find(|v| v.embedded);
    let mut program = Program::built("secure-registry-operator")?
        .named(options.name)
        .arg("run")
        .args(["--health-address", "127.0.0.1:0"])
        .args(["--installation", INSTALLATION])
        .args(["--azure-credential", "workload-identity"])
        .arg("--azure-cloud-file")
        .arg(testbed.path(CLOUD_FILE))
        .arg(format!("--leader-elect={}", options.leader_elect))
        .args(["--log-filter", &options.log])
        .env("KUBECONFIG", kubeconfig)
        .env("AZURE_TENANT_ID", testbed.tenant())
        .env("AZURE_CLIENT_ID", testbed.client_id())
        .env("AZURE_FEDERATED_TOKEN_FILE", azure_token(testbed).await?);
    // A testbed shows within seconds what takes minutes elsewhere, unless that is what is to be shown.
    for floor in ["--shortest-drift-interval", "--shortest-probe-interval"] {
        if !options.args.iter().any(|arg| arg.starts_with(floor)) {
            program = program.args([floor, "0s"]);
        }
    }
    program = program
        .arg("--azure-ca-file")
        .arg(testbed.ca_file())
        .arg("--probe-ca-file")
        .arg(testbed.ca_file());
    if let Some(vantage) = embedded {
        program = program.args(["--vantage-point", &vantage.name]);
    }
    if !options.printed {
        program = program.unprinted();
    }
    for (name, value) in &options.env {
        program = program.env(name, value);
    }
    program.args(options.args).spawn()
}

pub(crate) async fn agent(
    testbed: &Testbed,
    vantage: &str,
    printed: bool,
    env: &[(String, String)],
) -> Result<Process> {
    let kubeconfig = testbed
        .plane
        .kubeconfig_for_service_account(vantage, AGENT_SERVICE_ACCOUNT)
        .await?;
    let mut program = Program::built("secure-registry-operator")?
        .named(vantage)
        .args([
            "agent",
            "--name",
            vantage,
            "--health-address",
            "127.0.0.1:0",
            "--log-filter",
            "info",
        ])
        .arg("--azure-cloud-file")
        .arg(testbed.path(CLOUD_FILE))
        .arg("--probe-ca-file")
        .arg(testbed.ca_file())
        .env("KUBECONFIG", kubeconfig);
    for (name, value) in env {
        program = program.env(name, value);
    }
    if printed {
        program.spawn()
    } else {
        program.unprinted().spawn()
    }
}

/// Name of the operator's installation.
pub(crate) const INSTALLATION: &str = "test";

/// The operator's token for Azure, in the testbed's folder.
pub(crate) const TOKEN_FILE: &str = "azure-token";

/// Where the programs find the simulated Azure as a cloud.
pub(crate) const CLOUD_FILE: &str = "cloud.yaml";

/// The simulated Azure as a cloud: the public one's names and audiences, at the simulator's address.
pub fn cloud_document(sim: &str) -> String {
    format!(
        "name: azure-sim
extends: AzurePublic
authorityHost: {sim}
resourceManager: {{endpoint: {sim}, audience: https://management.azure.com}}
logAnalytics: {{endpoint: {sim}, audience: https://api.loganalytics.io, apiVersion: v1}}
machineLearning:
  audience: https://ml.azure.com
  discoveryEndpoint: {sim}
  clientHostSuffixes: [experiments.azureml.net]
"
    )
}

/// How long the operator's token for Azure lives.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// The operator's projected token for Azure, as a kubelet would have written it: with a newline at the end.
pub(crate) async fn azure_token(testbed: &Testbed) -> Result<PathBuf> {
    let token = testbed
        .plane
        .service_account_token(
            OPERATOR_NAMESPACE,
            OPERATOR_SERVICE_ACCOUNT,
            &["api://AzureADTokenExchange"],
            TOKEN_LIFE,
        )
        .await?;
    let path = testbed.path(TOKEN_FILE);
    // Appears whole, as a kubelet's does: the operator may read it at any moment.
    let next = testbed.path("azure-token.next");
    std::fs::write(&next, format!("{token}\n")).context("write the token file")?;
    std::fs::rename(&next, &path).context("put the token file in place")?;
    Ok(path)
}
