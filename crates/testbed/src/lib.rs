//! A whole world to try the product in, made of real parts: a real kube-apiserver and etcd with RBAC on, `azure-sim` with its
//! networks as SOCKS5 ports, the built operator and agents as processes under their own ServiceAccounts with exactly the
//! committed RBAC. The demo and the whole-binary tests stand on it.
//!
//! ```text
//!   kube-apiserver ◄── operator ──► azure-sim (ARM, tokens, discovery)
//!        ▲    ▲                        │
//!        │    └── agents ── SOCKS5 ────┘ networks: hub, spoke-a, office …
//!      this process: applies, looks, judges
//! ```

pub mod objects;
pub mod oracle;
pub mod people;
mod programs;
pub mod worlds;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use azure_sim::seed::Seed;
use azure_sim::{Running, ServeOptions, Simulator};
use kube::{Api, Client};
use sreg_api::SecureRegistry;
use sreg_testkit::{ControlPlane, Process, eventually};
use tempfile::TempDir;

pub use programs::{OperatorOptions, cloud_document};

/// Namespace of the objects under test.
pub const NAMESPACE: &str = "ml-platform";
/// Namespace and ServiceAccount of the operator, as the committed RBAC and policies have them.
pub const OPERATOR_NAMESPACE: &str = sreg_api::names::OPERATOR_NAMESPACE;

/// The operator's principal in the seeds.
pub const OPERATOR: &str = "secure-registry-operator";

/// A place from which an agent looks: its vantage point, the simulator's network behind it, and the DNS server there.
#[derive(Debug, Clone)]
pub struct Vantage {
    /// Name of the vantage point; its agent's ServiceAccount and namespace are named after it.
    pub name: String,
    /// The simulator's network.
    pub network: String,
    /// ARM id of its virtual network; `None` for on-premises.
    pub virtual_network: Option<String>,
    /// DNS server asked there, `address:port`.
    pub resolver: String,
    /// Carried out by the operator's own process instead of an agent.
    pub embedded: bool,
}

/// What a testbed is made of.
pub struct TestbedOptions {
    /// The simulated Azure.
    pub seed: Seed,
    /// Where is looked from.
    pub vantages: Vec<Vantage>,
}

/// The running world. Dropping it ends every process and removes every file.
pub struct Testbed {
    /// The control plane.
    pub plane: ControlPlane,
    /// The simulator; ask it for its world and journal. Several testbeds may share one.
    pub azure: Arc<Running>,
    /// An administrator's client.
    pub client: Client,
    /// The places looked from.
    pub vantages: Vec<Vantage>,
    folder: TempDir,
    tenant: String,
    client_id: String,
}

impl Testbed {
    /// Starts control plane and simulator, installs CRDs, policies and RBAC, and makes ServiceAccounts and vantage points. No
    /// operator yet.
    pub async fn start(options: TestbedOptions) -> Result<Testbed> {
        let folder = folder()?;
        let tenant = options.seed.tenant_id.clone();
        let client_id = options
            .seed
            .principals
            .iter()
            .find(|p| p.name == OPERATOR)
            .and_then(|p| p.client_id.clone());
        let client_id = client_id.with_context(|| format!("the seed has no principal {OPERATOR} with a client id"))?;
        let simulator = Simulator::new(options.seed);
        let azure = simulator
            .serve(ServeOptions {
                state_dir: Some(folder.path().to_owned()),
                ..ServeOptions::default()
            })
            .await
            .context("start azure-sim")?;
        let cloud = programs::cloud_document(azure.arm_endpoint.as_str());
        std::fs::write(folder.path().join(programs::CLOUD_FILE), cloud).context("write the cloud's document")?;
        Testbed::over(Arc::new(azure), folder, options.vantages, (tenant, client_id)).await
    }

    /// Another cluster, with the same things installed, that sees the same Azure as the same principal.
    pub async fn beside(&self) -> Result<Testbed> {
        let folder = folder()?;
        for file in [CA_FILE, programs::CLOUD_FILE] {
            std::fs::copy(self.path(file), folder.path().join(file)).with_context(|| format!("copy {file}"))?;
        }
        let operator = (self.tenant.clone(), self.client_id.clone());
        Testbed::over(Arc::clone(&self.azure), folder, self.vantages.clone(), operator).await
    }

    /// A new cluster with everything installed, over an Azure whose CA and document lie in the folder.
    async fn over(
        azure: Arc<Running>,
        folder: TempDir,
        vantages: Vec<Vantage>,
        (tenant, client_id): (String, String),
    ) -> Result<Testbed> {
        let plane = ControlPlane::start().await?;
        let client = plane.admin_client().await?;
        let testbed = Testbed {
            plane,
            azure,
            client,
            vantages,
            folder,
            tenant,
            client_id,
        };
        testbed.install().await?;
        Ok(testbed)
    }

    async fn install(&self) -> Result<()> {
        // As the install guide says it.
        let base = repository().join("deploy/base");
        let base = base.to_str().context("the checkout's path is not UTF-8")?;
        self.plane
            .admin_kubectl(&["apply", "--server-side", "-k", base])
            .await
            .context("install the operator's objects")?;
        self.plane
            .install_crds(repository().join("deploy/crds"))
            .await
            .context("wait for the CRDs")?;
        self.plane
            .apply_yaml(&objects::namespaces(&self.vantages))
            .await
            .context("create namespaces")?;
        for vantage in &self.vantages {
            let socks5 = self.socks5(&vantage.network)?;
            self.plane
                .apply_yaml(&objects::vantage(vantage, &socks5)?)
                .await
                .with_context(|| format!("set up {}", vantage.name))?;
        }
        self.await_policies().await
    }

    /// Grants the namespace of the objects what the example's grant says, as an administrator does.
    pub async fn grant(&self) -> Result<()> {
        let grant = repository().join("examples/demo/grant.yaml");
        self.plane.apply_path(grant).await.context("apply the grant")?;
        Ok(())
    }

    /// Admission policies take a moment to come into force; before that a forged write would pass.
    async fn await_policies(&self) -> Result<()> {
        let api: Api<sreg_api::ChangeApproval> = Api::namespaced(self.client.clone(), NAMESPACE);
        eventually(
            Duration::from_secs(30),
            "admission policies to come into force",
            || async {
                let forged = sreg_api::ChangeApproval::new(
                    "policy-check",
                    sreg_api::ChangeApprovalSpec {
                        secure_registry_name: "none".into(),
                        change: sreg_api::ChangeKind::Lockdown,
                        digest: "0000000000000000".into(),
                        approved_by: "somebody-else".into(),
                    },
                );
                let dry = kube::api::PostParams {
                    dry_run: true,
                    ..Default::default()
                };
                match api.create(&dry, &forged).await {
                    Ok(_) => Err("a forged approval was admitted".to_owned()),
                    Err(kube::Error::Api(status)) if status.is_invalid() || status.is_forbidden() => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            },
        )
        .await
    }

    /// SOCKS5 port of one of the simulator's networks.
    pub fn socks5(&self, network: &str) -> Result<String> {
        let ports = self
            .azure
            .networks
            .get(network)
            .ok_or_else(|| anyhow!("the simulator has no network {network}"))?;
        Ok(ports.socks5.to_string())
    }

    /// The simulator.
    pub fn simulator(&self) -> &Simulator {
        &self.azure.simulator
    }

    /// Client of the objects under test.
    pub fn registries(&self) -> Api<SecureRegistry> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Waits until the object is in one of these states (the reason of its `Ready` condition) at its present generation.
    pub async fn await_state(&self, name: &str, states: &[&str], deadline: Duration) -> Result<SecureRegistry> {
        let api = self.registries();
        eventually(deadline, format!("{name} to be {}", states.join(" or ")), || async {
            let object = api.get(name).await.map_err(|e| e.to_string())?;
            let (state, message) = objects::ready(&object);
            let current = object.status.as_ref().and_then(|s| s.observed_generation) == object.metadata.generation;
            if current && states.contains(&state.as_str()) {
                Ok(object)
            } else {
                Err(format!("{state}: {message}"))
            }
        })
        .await
    }

    /// Starts the operator, under its ServiceAccount.
    pub async fn start_operator(&self, options: OperatorOptions) -> Result<Process> {
        programs::operator(self, options).await
    }

    /// Starts the agent of a vantage point, under its ServiceAccount.
    pub async fn start_agent(&self, vantage: &str, printed: bool) -> Result<Process> {
        programs::agent(self, vantage, printed, &[]).await
    }

    /// The same with environment variables, such as a proxy.
    pub async fn start_agent_with(&self, vantage: &str, env: &[(String, String)]) -> Result<Process> {
        programs::agent(self, vantage, true, env).await
    }

    /// The environment of a program that asks the simulated Azure as the operator's principal, by the token that the operator was
    /// started with.
    pub fn azure_environment(&self) -> [(&'static str, PathBuf); 6] {
        [
            ("SREG_INSTALLATION", programs::INSTALLATION.into()),
            ("SREG_AZURE_CLOUD_FILE", self.path(programs::CLOUD_FILE)),
            ("SREG_AZURE_CA_FILE", self.ca_file()),
            ("AZURE_TENANT_ID", self.tenant().into()),
            ("AZURE_CLIENT_ID", self.client_id().into()),
            ("AZURE_FEDERATED_TOKEN_FILE", self.path(programs::TOKEN_FILE)),
        ]
    }

    /// Puts a new token for Azure in the place of the operator's, as a kubelet does.
    pub async fn renew_azure_token(&self) -> Result<PathBuf> {
        programs::azure_token(self).await
    }

    /// Does what a kubelet does for as long as a world lives: renews the operator's token for Azure long before it lapses.
    pub async fn keep_azure_token(&self) -> Result<()> {
        self.renew_azure_token_each(programs::TOKEN_LIFE / 4).await
    }

    /// The same at another pace.
    pub async fn renew_azure_token_each(&self, pause: Duration) -> Result<()> {
        loop {
            tokio::time::sleep(pause).await;
            self.renew_azure_token().await?;
        }
    }

    /// Starts every agent that is not embedded; `printed`: their output is printed when they end.
    pub async fn start_agents(&self, printed: bool) -> Result<Vec<Process>> {
        let mut agents = Vec::new();
        for vantage in self.vantages.iter().filter(|v| !v.embedded) {
            agents.push(self.start_agent(&vantage.name, printed).await?);
        }
        Ok(agents)
    }

    /// A file in the testbed's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The simulator's CA, as a file.
    pub fn ca_file(&self) -> PathBuf {
        self.path(CA_FILE)
    }

    /// The operator's client id in the simulated Azure.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Entra tenant of the simulated Azure.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }
}

/// The simulator's CA in its state folder.
const CA_FILE: &str = "ca.pem";

fn folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("sreg-testbed-").tempdir();
    folder.context("make a folder")
}

/// The checkout's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
