//! What can be typed. Flags of one concern are a struct of their own, in `settings` or in the crate `sreg_settings`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sreg_api::names::MANAGED_BY;
use sreg_settings::{AzureArgs, CloudArgs, LogArgs};

use crate::manifests::{Agent, Installation, Part, ServiceAccount};
use crate::settings::{HealthArgs, LeaderArgs, ProbeArgs, ServeArgs};

/// Makes Azure Machine Learning registries private: creates the private endpoints, links the private DNS zones, proves from
/// inside every client network that clients can connect, and only then disables public access.
#[derive(Debug, Parser)]
#[command(name = "secure-registry-operator", version, max_term_width = 120, after_help = EXIT_STATUS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile SecureRegistry objects
    ///
    /// The cluster is that of KUBECONFIG or ~/.kube/config, else the one that the process runs in. Start several for
    /// availability: one leads, the others stand by.
    #[command(after_help = EXIT_STATUS)]
    Run(Box<RunArgs>),
    /// Prove connectivity from where this process stands, as the agent of a VantagePoint
    ///
    /// Talks to the Kubernetes API (KUBECONFIG or ~/.kube/config, else the cluster that it runs in) and to the hosts in its
    /// ConnectivityProbes, never to Azure Resource Manager. Run one per VantagePoint.
    #[command(after_help = EXIT_STATUS)]
    Agent(AgentArgs),
    /// Print or write the manifests that follow from code: CRDs, admission policies, RBAC
    ///
    /// To install operator and agents, use the Helm chart or the kustomize base, which hold these too.
    Crd(CrdArgs),
    /// Make the plans of recorded passes again, and compare them
    ///
    /// Reads what `run --record` wrote, and needs neither a cluster nor Azure. The exit status is 1 if a plan is another one now.
    Replay(ReplayArgs),
}

/// Ends the help of every command that keeps running.
const EXIT_STATUS: &str = "\
Exit status:
  0    ended as asked: on SIGTERM or SIGINT, after the work under way
  1    could not start, or a part failed for good; standard error says which
  2    the command line cannot be understood
  3    leadership was lost: start again to stand by
  130  a second signal ended it at once";

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What is served.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Who leads.
    #[command(flatten)]
    pub leader: LeaderArgs,
    /// Which Azure.
    #[command(flatten)]
    pub azure: AzureArgs,
    /// Also be the agent of this VantagePoint, while leading; its namespace must be the operator's
    #[arg(long, value_name = "NAME", env = "SREG_VANTAGE_POINT", help_heading = "Probes")]
    pub vantage_point: Option<String>,
    /// What probes trust.
    #[command(flatten)]
    pub probe: ProbeArgs,
    /// Where health is asked for.
    #[command(flatten)]
    pub health: HealthArgs,
    /// How it speaks.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Flags of `agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Name of the VantagePoint that this agent is
    #[arg(long, value_name = "NAME", env = "VANTAGE_POINT")]
    pub name: String,
    /// Whose hosts it may contact.
    #[command(flatten)]
    pub cloud: CloudArgs,
    /// What probes trust.
    #[command(flatten)]
    pub probe: ProbeArgs,
    /// Where health is asked for.
    #[command(flatten)]
    pub health: HealthArgs,
    /// How it speaks.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Flags of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Recordings, or a folder of them
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
}

/// Flags of `crd`.
#[derive(Debug, Args)]
pub struct CrdArgs {
    /// Write files below this folder; what an earlier run left there and is no longer generated is removed. Default: print
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only these; repeat it or separate by commas. Default: with --out all, else all but agent and editor
    #[arg(long = "part", value_enum, value_name = "PART", value_delimiter = ',')]
    pub parts: Vec<Part>,
    /// Who the operator is: the only one that policies let write probes and status
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = OPERATOR)]
    pub operator_service_account: ServiceAccount,
    /// Rights on objects in these namespaces only, for `run --namespace`; repeat it or separate by commas. Default: everywhere
    #[arg(long = "served-namespace", value_name = "NAMESPACE", value_delimiter = ',')]
    pub served_namespaces: Vec<String>,
    /// An agent; repeat it or separate by commas. The default is for replacing secure-registry-agents, throughout, by the name of your
    /// vantage point
    #[arg(
        long = "agent",
        value_name = "VANTAGEPOINT=NAMESPACE/SERVICEACCOUNT",
        value_delimiter = ',',
        default_value = "secure-registry-agents=secure-registry-agents/secure-registry-agent"
    )]
    pub agents: Vec<Agent>,
    /// Write the templates of the Helm chart below this folder instead, with names that its values choose
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "parts", "operator_service_account", "served_namespaces", "agents"])]
    pub chart: Option<PathBuf>,
}

/// As in `sreg_api::names`; a test compares.
const OPERATOR: &str = "secure-registry-system/secure-registry-operator";

impl CrdArgs {
    /// What differs between installations.
    pub fn installation(&self) -> Installation {
        Installation {
            operator: self.operator_service_account.clone(),
            operator_roles: MANAGED_BY.to_owned(),
            served_namespaces: self.served_namespaces.clone(),
            agents: self.agents.clone(),
        }
    }

    /// What is to be generated, in the order in which it can be applied.
    pub fn parts(&self) -> Vec<Part> {
        let all = [Part::Crds, Part::Policies, Part::Editor, Part::Rbac, Part::Agent];
        // What one `kubectl apply` can install: an agent's namespace and vantage point are still to be thought of.
        let printed = [Part::Crds, Part::Policies, Part::Rbac];
        let chosen: &[Part] = match (&self.parts[..], &self.out) {
            ([], Some(_)) => &all,
            ([], None) => &printed,
            (named, _) => named,
        };
        all.into_iter().filter(|part| chosen.contains(part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use sreg_api::names::{OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT};

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_operator_is_by_default_who_the_api_says() {
        assert_eq!(OPERATOR, format!("{OPERATOR_NAMESPACE}/{OPERATOR_SERVICE_ACCOUNT}"));
    }

    #[test]
    fn what_is_generated_depends_on_whether_it_is_written_or_printed() {
        let parts = |typed: &[&str]| match Cli::parse_from([&["operator", "crd"], typed].concat()).command {
            Command::Crd(args) => args.parts(),
            Command::Run(_) | Command::Agent(_) | Command::Replay(_) => Vec::new(),
        };
        assert_eq!(parts(&[]), [Part::Crds, Part::Policies, Part::Rbac]);
        assert_eq!(parts(&["--out", "x"]).len(), 5);
        assert_eq!(parts(&["--part", "rbac,crds", "--out", "x"]), [Part::Crds, Part::Rbac]);
    }

    #[test]
    fn help_names_every_exit_status_and_no_secret() {
        let help = Cli::command()
            .find_subcommand_mut("run")
            .unwrap()
            .render_long_help()
            .to_string();
        assert!(help.contains("130") && help.contains("leadership was lost"), "{help}");
        assert!(!help.contains("--azure-client-secret "), "{help}");
    }
}
