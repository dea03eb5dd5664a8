//! Flags of what only the operator's process has: controller, election, health and agents. What other programs may take too
//! is in `sreg_settings`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args};
use sreg_api::names::{MANAGED_BY, OPERATOR_NAMESPACE, is_object_name};
use sreg_domain::Cloud;
use sreg_runtime::ControllerSettings;
use sreg_runtime::agent::AgentSettings;
use sreg_runtime::leadership::LeaseSettings;
use sreg_runtime::memory::ObjectKey;
use sreg_runtime::record::RecordSettings;
use sreg_settings::{PlanArgs, SettingsError, duration, read_if_named};

/// What is served, and how much at once.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scope")]
pub struct ServeArgs {
    /// Serve SecureRegistry objects of these namespaces only; repeat it or separate by commas. Default: all namespaces
    #[arg(
        long = "namespace",
        value_name = "NAMESPACE",
        env = "SREG_NAMESPACES",
        value_delimiter = ','
    )]
    pub namespaces: Vec<String>,
    /// Where the operator keeps claims, snapshots and the leader's lease
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = OPERATOR_NAMESPACE)]
    pub operator_namespace: String,
    /// For whom is planned.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Objects worked on at once
    #[arg(long, value_name = "COUNT", env = "SREG_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// Write down, in this folder, what each pass over the object of --record-object saw and planned: the last 200 passes, for `replay` and for
    /// support. Without credentials, but with the tags, ids, addresses and names that it saw
    #[arg(long, value_name = "DIR", env = "SREG_RECORD", requires = "record_object")]
    pub record: Option<PathBuf>,
    /// The SecureRegistry whose passes are recorded
    #[arg(long, value_name = "NAMESPACE/NAME", env = "SREG_RECORD_OBJECT", requires = "record", value_parser = object_key)]
    pub record_object: Option<ObjectKey>,
}

fn object_key(text: &str) -> Result<ObjectKey, String> {
    let is_name = |name: &&str| is_object_name(name);
    match text.split_once('/') {
        Some((namespace, name)) if [namespace, name].iter().all(is_name) => Ok(ObjectKey {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
        Some(_) | None => Err("write namespace and name of the object, such as ml-platform/contoso-models".to_owned()),
    }
}

impl ServeArgs {
    /// What the controller is told.
    pub fn controller(&self, cloud: Arc<Cloud>) -> ControllerSettings {
        let mut settings = ControllerSettings::new(&self.operator_namespace, self.plan.plan(cloud));
        settings.namespaces = (!self.namespaces.is_empty()).then(|| self.namespaces.clone());
        settings.concurrency = usize::from(self.concurrency);
        settings
    }

    /// Whose passes are recorded, and where.
    pub fn record(&self) -> Option<RecordSettings> {
        let record = self.record.clone().zip(self.record_object.clone());
        record.map(|(folder, object)| RecordSettings { folder, object })
    }
}

/// Who leads.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Leader election")]
pub struct LeaderArgs {
    /// Stand for election, so that several replicas can run. Without it exactly one may run
    #[arg(
        long,
        value_name = "BOOL",
        env = "SREG_LEADER_ELECT",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    pub leader_elect: bool,
    /// Name of the Lease
    #[arg(long, value_name = "NAME", env = "SREG_LEASE_NAME", default_value = MANAGED_BY)]
    pub lease_name: String,
    /// How long the lease holds after a renewal, in whole seconds: a crashed leader is replaced after it
    #[arg(long, value_name = "DURATION", env = "SREG_LEASE_DURATION", default_value = "30s", value_parser = duration)]
    pub lease_duration: Duration,
    /// How long before its end the lease is renewed, in whole seconds
    #[arg(long, value_name = "DURATION", env = "SREG_LEASE_GRACE", default_value = "20s", value_parser = duration)]
    pub lease_grace: Duration,
    /// How long before its end the lease is no longer relied on: covers clock skew between replicas and one write
    #[arg(long, value_name = "DURATION", env = "SREG_LEASE_MARGIN", default_value = "5s", value_parser = duration)]
    pub lease_margin: Duration,
    /// Pause between two looks at the lease
    #[arg(long, value_name = "DURATION", env = "SREG_LEASE_READ_INTERVAL", default_value = "1s", value_parser = duration)]
    pub lease_read_interval: Duration,
}

impl LeaderArgs {
    /// What the election is told; `None` without one. `identity` is unlike any other process's.
    pub fn lease(&self, namespace: &str, identity: impl Into<String>) -> Option<LeaseSettings> {
        self.leader_elect.then(|| LeaseSettings {
            namespace: namespace.to_owned(),
            name: self.lease_name.clone(),
            identity: identity.into(),
            duration: self.lease_duration,
            grace: self.lease_grace,
            margin: self.lease_margin,
            read_every: self.lease_read_interval,
        })
    }
}

/// Where `/livez`, `/readyz` and `/metrics` are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Health")]
pub struct HealthArgs {
    /// Address of /livez, /readyz and /metrics; port 0 takes a free one and logs it. In a pod: 0.0.0.0:8080
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "SREG_HEALTH_ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub health_address: SocketAddr,
}

/// What probes trust.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Probes")]
pub struct ProbeArgs {
    /// Certificate authorities (PEM) that probes trust beside the system's
    #[arg(long, value_name = "FILE", env = "SREG_PROBE_CA_FILE")]
    pub probe_ca_file: Option<PathBuf>,
}

impl ProbeArgs {
    /// What the agent of a vantage point is told; `identity` is unlike any other process's.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn agent(
        &self,
        vantage_point: &str,
        identity: impl Into<String>,
        cloud: &Cloud,
    ) -> Result<AgentSettings, SettingsError> {
        let mut settings = AgentSettings::new(vantage_point, identity, cloud);
        settings.extra_roots_pem = read_if_named("--probe-ca-file", self.probe_ca_file.as_deref())?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests;
