//! `run`: the operator's process. Health is answered first; then the kinds must be served; then the process stands for
//! election; what follows happens only while it leads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use kube::{Client, Config};
use sreg_azure::{AzureClient, AzureSettings};
use sreg_domain::naming;
use sreg_runtime::agent::{AgentHealth, AgentSettings, run_agent};
use sreg_runtime::api_server::{cluster_id, offers_streaming_lists};
use sreg_runtime::health::{Gate, Health, HealthServer};
use sreg_runtime::leadership::{AlwaysHeld, Election, LeadershipFence, LeaseSettings};
use sreg_runtime::metrics::Metrics;
use sreg_runtime::record::{PassRecorder, RecordSettings};
use sreg_runtime::{Context, ControllerSettings, controllers};
use sreg_settings::CLIENT_SECRET_VARIABLE;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cli::RunArgs;
use crate::process;

/// How long fetching the first token may take, and the pause before the next attempt.
const TOKEN_DEADLINE: Duration = Duration::from_secs(20);
const TOKEN_PAUSE: Duration = Duration::from_secs(5);

/// How long the embedded agent may take to give up its lease.
const AGENT_END: Duration = Duration::from_secs(5);

/// What was typed, with the files read.
struct Settings {
    identity: String,
    controller: ControllerSettings,
    record: Option<RecordSettings>,
    azure: AzureSettings,
    lease: Option<LeaseSettings>,
    embedded: Option<AgentSettings>,
}

impl Settings {
    fn resolve(args: &RunArgs) -> Result<Settings> {
        let identity = process::identity();
        let secret = std::env::var(CLIENT_SECRET_VARIABLE).ok();
        let lease = args.leader.lease(&args.serve.operator_namespace, &identity);
        lease.as_ref().map(LeaseSettings::check).transpose()?;
        let cloud = args.azure.connection.cloud.cloud()?;
        let mut controller = args.serve.controller(Arc::clone(&cloud));
        if let Some(lease) = &lease {
            controller.write_deadline = controller.write_deadline.min(lease.longest_write());
        }
        Ok(Settings {
            controller,
            record: args.serve.record(),
            embedded: args
                .vantage_point
                .as_deref()
                .map(|name| args.probe.agent(name, &identity, &cloud))
                .transpose()?,
            azure: args.azure.settings(cloud, secret)?,
            lease,
            identity,
        })
    }
}

/// The parts that are there from the start to the end.
struct Operator {
    settings: Settings,
    config: Config,
    client: Client,
    azure: AzureClient,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
}

/// Runs until `shutdown`.
///
/// # Errors
/// A setting cannot be used, leadership was lost, or a part failed for good.
pub async fn run(args: RunArgs, shutdown: CancellationToken) -> Result<()> {
    let settings = Settings::resolve(&args)?;
    let azure = sreg_azure::connect(settings.azure.clone()).context("set up the client for Azure")?;
    let config = process::kube_config().await?;
    let client = Client::try_from(config.clone()).context("make a client for the API server")?;
    let health = Arc::new(Health::new([Gate::Crds, Gate::AzureCredential]));
    let metrics = Arc::new(Metrics::new());
    let server = HealthServer::bind(args.health.health_address).await?;
    tracing::info!(
        address = %server.address(),
        identity = settings.identity,
        cloud = settings.azure.cloud.name,
        version = env!("CARGO_PKG_VERSION"),
        "operator started"
    );
    let serving = server.serve(Arc::clone(&health), Arc::clone(&metrics), CancellationToken::new());
    let operator = Operator {
        settings,
        config,
        client,
        azure,
        health,
        metrics,
        shutdown,
    };
    tokio::select! {
        () = serving => Ok(()),
        ended = operator.work() => ended,
    }
}

impl Operator {
    async fn work(&self) -> Result<()> {
        let proving = self.prove_credential();
        let working = async {
            if !process::kinds_served(&self.client, &controllers::KINDS, &self.health, &self.shutdown).await {
                return Ok(());
            }
            let Some(cluster) = self.cluster().await else {
                return Ok(());
            };
            match &self.settings.lease {
                Some(lease) => self.campaign(lease.clone(), &cluster).await,
                None => self.lead(Arc::new(AlwaysHeld), &cluster).await,
            }
        };
        tokio::pin!(working);
        tokio::select! {
            ended = &mut working => return ended,
            () = proving => {}
        }
        working.await
    }

    /// Asks for the cluster's id until it is told; `None`: the process is to end.
    async fn cluster(&self) -> Option<String> {
        let asking = async {
            let mut said = None;
            loop {
                match cluster_id(&self.client).await {
                    Ok(uid) => return naming::cluster_id(&uid, &self.settings.controller.operator_namespace),
                    Err(why) if said.as_ref() != Some(&why) => {
                        tracing::warn!(why, "not ready: the cluster's id is not known, trying again");
                        said = Some(why);
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(TOKEN_PAUSE).await;
            }
        };
        tokio::select! {
            id = asking => Some(id),
            () = self.shutdown.cancelled() => None,
        }
    }

    /// Asks for a token until one is given: bad settings show in readiness and in the log, not only in the first object.
    async fn prove_credential(&self) {
        let mut said = None;
        while let Err(error) = self.azure.authenticate(TOKEN_DEADLINE).await {
            self.health.close(Gate::AzureCredential, error.to_string());
            if said.as_ref() != Some(&error) {
                tracing::warn!(%error, "not ready: Azure does not accept the credential");
                said = Some(error);
            }
            tokio::time::sleep(TOKEN_PAUSE).await;
        }
        self.health.open(Gate::AzureCredential);
    }

    /// Stands for election, leads once elected, and gives the lease up only after the last write.
    async fn campaign(&self, lease: LeaseSettings, cluster: &str) -> Result<()> {
        let election = Election::new(self.config.clone(), lease)?;
        let (fence, mut leads, resign) = (election.fence(), election.leads(), CancellationToken::new());
        // A task of its own: no pass can keep it from renewing.
        let mut electing = AbortOnDropHandle::new(tokio::spawn(election.run(resign.clone())));
        tracing::info!("standing by");
        let elected = tokio::select! {
            ended = &mut electing => return lost(ended),
            elected = leads.wait_for(|leads| *leads) => elected.is_ok(),
            () = self.shutdown.cancelled() => false,
        };
        let led = if elected {
            tokio::select! {
                biased;
                ended = &mut electing => return lost(ended),
                led = self.lead(Arc::new(fence), cluster) => led,
            }
        } else {
            Ok(())
        };
        resign.cancel();
        electing.await.context("end the election")??;
        led
    }

    /// What only one process does.
    async fn lead(&self, fence: Arc<dyn LeadershipFence>, cluster: &str) -> Result<()> {
        tracing::info!(identity = self.settings.identity, cluster, "leading");
        self.metrics.leader(true);
        let mut settings = self.settings.controller.clone();
        settings.plan.cluster = cluster.to_owned();
        settings.streaming_lists = offers_streaming_lists(&self.client).await;
        if !settings.streaming_lists {
            tracing::info!(
                "the API server does not stream lists (Kubernetes before 1.34, or switched off): watches begin with plain lists"
            );
        }
        let mut context = Context::new(
            self.client.clone(),
            Arc::new(self.azure.clone()),
            Arc::new(self.azure.clone()),
            fence,
            Arc::clone(&self.metrics),
            settings,
            &self.settings.identity,
        );
        let recorder = self.settings.record.clone().map(PassRecorder::start);
        context.pass_recorder = recorder.transpose().context("start the recorder of passes")?;
        let context = Arc::new(context);
        let stop_agent = CancellationToken::new();
        let mut agent = AbortOnDropHandle::new(self.embedded_agent(&stop_agent));
        let led = tokio::select! {
            led = controllers::run(context, self.shutdown.clone()) => led.context("reconcile"),
            ended = &mut agent => return ended.context("run the embedded vantage point")?,
        };
        self.metrics.leader(false);
        // It proves for us to the last; then it gives its lease up.
        stop_agent.cancel();
        tokio::time::timeout(AGENT_END, agent).await.ok();
        led
    }

    /// Ends by itself only with an error.
    fn embedded_agent(&self, stop: &CancellationToken) -> JoinHandle<Result<()>> {
        let (client, settings, stop) = (self.client.clone(), self.settings.embedded.clone(), stop.clone());
        tokio::spawn(async move {
            let Some(settings) = settings else {
                stop.cancelled().await;
                return Ok(());
            };
            let (tell, _told) = watch::channel(AgentHealth::default());
            run_agent(client, settings, stop, tell)
                .await
                .context("run the embedded vantage point")
        })
    }
}

fn lost(ended: Result<Result<(), sreg_runtime::leadership::LeadershipError>, tokio::task::JoinError>) -> Result<()> {
    ended.context("stand for election")??;
    Err(anyhow!("stand for election: it ended though nobody asked for it"))
}
