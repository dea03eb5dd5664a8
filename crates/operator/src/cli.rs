//! What can be typed. Flags of one concern are a struct of their own, in `settings` or in the crate `sreg_settings`.

use std::path::PathBuf;

use anyhow::{Error, Result, bail};
use clap::{Args, Parser, Subcommand};
use sreg_domain::BuiltInCloud;
use sreg_settings::{AzureArgs, CloudArgs, LogArgs, built_in_cloud};

use crate::manifests::{Agent, Image, Installation, Part, ServiceAccount};
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
    /// Print or write the manifests: CRDs, admission policies, RBAC, kustomize bases
    ///
    /// To install: `secure-registry-operator crd --image IMAGE | kubectl apply --server-side -f -`, or `kubectl apply -k` on a kustomization of
    /// your own over the base written with --out.
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
    /// An agent; repeat it or separate by commas. The first one gets a kustomize base. The default is for replacing
    /// secure-registry-agents, throughout, by the name of your vantage point
    #[arg(
        long = "agent",
        value_name = "VANTAGEPOINT=NAMESPACE/SERVICEACCOUNT",
        value_delimiter = ',',
        default_value = "secure-registry-agents=secure-registry-agents/secure-registry-agent"
    )]
    pub agents: Vec<Agent>,
    /// Container image of operator and agent, by its whole name: registry host, repository, and a tag (not latest) or digest. Demanded
    /// where Deployments are printed. Default with --out: a name below registry.example, where nothing is, for a kustomization to replace
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<Image>,
    /// The Azure cloud of operator and agent. A cloud of your own is a file, which an overlay mounts: docs/install.md
    #[arg(
        long,
        value_name = "CLOUD",
        default_value_t = BuiltInCloud::AzurePublic,
        ignore_case = true,
        value_parser = built_in_cloud()
    )]
    pub azure_cloud: BuiltInCloud,
}

/// Stands in the committed base. No registry can have a host under `.example`: who forgets to replace it pulls nothing.
const PLACEHOLDER: &str = concat!("registry.example/secure-registry-operator:", env!("CARGO_PKG_VERSION"));

/// As in `sreg_api::names`; a test compares.
const OPERATOR: &str = "secure-registry-system/secure-registry-operator";

impl CrdArgs {
    /// What differs between installations.
    ///
    /// # Errors
    /// Deployments are printed, for applying, and no image is named.
    pub fn installation(&self) -> Result<Installation> {
        let runs = |part: &Part| matches!(part, Part::Base | Part::Agent);
        let image = match &self.image {
            Some(image) => image.clone(),
            None if self.out.is_none() && self.parts().iter().any(runs) => bail!(
                "print Deployments: --image is missing: name the image of operator and agent, such as --image {PLACEHOLDER}, or leave them out (--part crds,policies,rbac)"
            ),
            None => PLACEHOLDER.parse().map_err(Error::msg)?,
        };
        Ok(Installation {
            operator: self.operator_service_account.clone(),
            agents: self.agents.clone(),
            image,
            azure_cloud: self.azure_cloud,
            token_exchange_audience: self.azure_cloud.cloud()?.token_exchange_audience,
        })
    }

    /// What is to be generated, in the order in which it can be applied.
    pub fn parts(&self) -> Vec<Part> {
        let all = [
            Part::Crds,
            Part::Policies,
            Part::Editor,
            Part::Rbac,
            Part::Base,
            Part::Agent,
        ];
        // What one `kubectl apply` can install: an agent's namespace and vantage point are still to be thought of.
        let printed = [Part::Crds, Part::Policies, Part::Rbac, Part::Base];
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
        assert_eq!(parts(&[]), [Part::Crds, Part::Policies, Part::Rbac, Part::Base]);
        assert_eq!(parts(&["--out", "x"]).len(), 6);
        assert_eq!(parts(&["--part", "base,crds", "--out", "x"]), [Part::Crds, Part::Base]);
    }

    #[test]
    fn deployments_are_printed_with_an_image_or_not_at_all() {
        let image = |typed: &[&str]| {
            let Command::Crd(args) = Cli::parse_from([&["operator", "crd"], typed].concat()).command else {
                panic!("crd is another command")
            };
            args.installation()
                .map(|it| it.image.to_string())
                .map_err(|error| error.to_string())
        };
        for typed in [&[][..], &["--part", "agent"], &["--part", "crds,base"]] {
            let said = image(typed).unwrap_err();
            assert!(
                said.contains("--image registry.example/secure-registry-operator:"),
                "{said}"
            );
        }
        let placeholder = Ok(PLACEHOLDER.to_owned());
        assert_eq!(image(&["--part", "crds,policies,rbac"]), placeholder);
        assert_eq!(image(&["--out", "x"]), placeholder);
        assert_eq!(image(&["--image", "r.io/x:1"]), Ok("r.io/x:1".to_owned()));
        for bad in ["operator:1", "r.io/x", "r.io/x:latest"] {
            let refused = Cli::try_parse_from(["operator", "crd", "--image", bad])
                .unwrap_err()
                .to_string();
            assert!(refused.contains("write the registry's host"), "{refused}");
        }
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
