//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sreg_api::ChangeKind;
use sreg_settings::{PlanArgs, duration};

use crate::account::AccountArgs;
use crate::kubeconfig::ClusterArgs;

/// Looks at Azure Machine Learning registries that are to be private: what the secure-registry-operator would do about them, and why.
#[derive(Debug, Parser)]
#[command(name = "kubectl-secureregistry", version, max_term_width = 120, after_help = EXIT_STATUS)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what the operator will do about SecureRegistry objects of files, without a cluster
    ///
    /// Reads the files and Azure, writes nothing. RegistryGrants, VantagePoints and Namespaces among the files count as if they were
    /// applied; what only a cluster can tell is told as such.
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(Box<PlanFlags>),
    /// Try every path from where you stand, as an agent would, beside what it must lead to
    ///
    /// Each name is resolved without a cache, connected to, and asked as the operator's agents do: DNS, TCP, TLS, HTTP. It works once the
    /// private endpoints have addresses, and proves nothing to the operator, who asks its agents.
    #[command(after_help = VERIFY_STATUS)]
    Verify(Box<VerifyFlags>),
    /// Print the names of private endpoints with their addresses, for hosts files and DNS servers
    Hosts(Box<HostsFlags>),
    /// Print the names that clients of a registry ask for, as its discovery lists them, with the endpoint that carries each
    ///
    /// This is the call that clients make first. A name that no endpoint carries cannot be reached privately.
    #[command(after_help = FQDNS_EXAMPLES)]
    Fqdns(Box<FqdnsFlags>),
    /// Show how objects of a cluster stand: one as a tree, all of a namespace as a table
    Status(StatusFlags),
    /// Say what an object of a cluster waits for, since when, and who must do what
    Why(WhyFlags),
    /// Approve the change that an object asks approval for, by a ChangeApproval
    ///
    /// Shows what it is and asks first. The approval names you, as the cluster knows you, and counts only for what its digest says.
    Approve(ApproveFlags),
    /// Open a registry for a while, by a BreakGlass, or end that early
    #[command(after_help = BREAK_GLASS_EXAMPLES)]
    BreakGlass(BreakGlassFlags),
    /// Have the operator look at an object now
    Reconcile(ChangeFlags),
    /// Have the operator write nothing to Azure for an object any more, and report what it would do
    ///
    /// Sets spec.managementPolicy to Observe. Where a pipeline declares that field, it is changed in the pipeline's source instead.
    Observe(ChangeFlags),
    /// Have the operator make it so again
    ///
    /// Sets spec.managementPolicy to Enforce. Where a pipeline declares that field, it is changed in the pipeline's source instead.
    Enforce(ChangeFlags),
    /// Print a shell's completions
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsFlags),
    /// Write manual pages
    Manual(ManualFlags),
}

/// What the exit status of a plan says.
macro_rules! exit_status {
    () => {
        "\
Exit status:
  0    nothing to do
  1    an error, or the plan is not whole: something could not be read, or somebody has to act first
  2    there is something to do
  130  ended by Ctrl-C"
    };
}

/// Ends the help.
const EXIT_STATUS: &str = exit_status!();

/// Ends the help of `plan`.
const PLAN_EXAMPLES: &str = concat!(
    "\
Examples:
  # Before a pull request is merged: what will it do to Azure? Standard output is markdown.
  sreg plan -f registries/ -o markdown

  # One object of several, as whoever is logged in to the Azure CLI.
  sreg plan -f registries/ ml-platform/contoso-models

  # In a pipeline: go on only if nothing changes.
  sreg plan -f registries/ -o json > plan.json

",
    exit_status!()
);

/// Ends the help of `verify`.
const VERIFY_STATUS: &str = "\
Exit status:
  0    every path passes
  1    an error, or some path does not pass
  130  ended by Ctrl-C";

/// Which objects, of which files, and who reads Azure for them.
#[derive(Debug, Args)]
pub struct FromFiles {
    /// Only these: NAME, NAMESPACE/NAME, or the ARM id of a registry. Default: every object in the files
    #[arg(value_name = "OBJECT")]
    pub objects: Vec<String>,
    /// Files, folders, or - for standard input; repeat it for several
    #[arg(
        short,
        long = "filename",
        value_name = "FILE",
        required_unless_present = "registries"
    )]
    pub files: Vec<PathBuf>,
    /// ARM id of a registry that no file declares: it is looked at as it stands, as under Observe; repeat it for several
    #[arg(long = "registry", value_name = "ID", conflicts_with_all = ["files", "objects"])]
    pub registries: Vec<String>,
    /// Namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Longest that Azure is read for one object
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub timeout: Duration,
    /// Whose plan it is.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Which Azure, and as whom.
    #[command(flatten)]
    pub account: AccountArgs,
}

/// Flags of `plan`.
#[derive(Debug, Args)]
pub struct PlanFlags {
    /// For what.
    #[command(flatten)]
    pub from: FromFiles,
    /// How it is written
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub output: Format,
}

/// Flags of `hosts`.
#[derive(Debug, Args)]
pub struct HostsFlags {
    /// For what.
    #[command(flatten)]
    pub from: FromFiles,
    /// For whom it is written
    #[arg(long = "as", value_enum, value_name = "FORM", default_value_t = Form::Hosts)]
    pub form: Form,
    /// Only for this entry of spec.endpoints. Default: for each
    #[arg(long, value_name = "ENTRY")]
    pub endpoint: Option<String>,
}

/// Ends the help of `fqdns`.
const FQDNS_EXAMPLES: &str = "\
Examples:
  sreg fqdns --registry /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.MachineLearningServices/registries/NAME
  sreg fqdns -f registries/";

/// Flags of `fqdns`.
#[derive(Debug, Args)]
pub struct FqdnsFlags {
    /// Of what.
    #[command(flatten)]
    pub from: FromFiles,
    /// Names alone, one a line
    #[arg(short, long)]
    pub quiet: bool,
}

/// For whom names and addresses are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines of a hosts file, for single machines.
    Hosts,
    /// Records of the privatelink zones, as BIND reads them.
    Zone,
    /// CNAMEs of the public names, for servers that do not ask public DNS.
    Names,
    /// BIND's forwarding of the public suffixes to a server that answers from the zones.
    Forwarders,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyFlags {
    /// For what.
    #[command(flatten)]
    pub from: FromFiles,
    /// Only the paths of this entry of spec.clientNetworks. Default: each name once
    #[arg(long, value_name = "ENTRY")]
    pub network: Option<String>,
    /// Only this name
    #[arg(long, value_name = "HOST")]
    pub fqdn: Option<String>,
    /// Look through this SOCKS5 proxy, such as ssh -D, instead of from this machine
    #[arg(long, value_name = "HOST:PORT")]
    pub socks5_address: Option<String>,
    /// Ask this DNS server instead of the machine's
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub resolver_address: Option<String>,
    /// Certificate authorities (PEM) to trust beside the system's
    #[arg(long, value_name = "FILE", env = "SREG_PROBE_CA_FILE")]
    pub probe_ca_file: Option<PathBuf>,
}

/// Ends the help of `break-glass`.
const BREAK_GLASS_EXAMPLES: &str = "\
Examples:
  sreg break-glass contoso-models --for 2h --reason 'incident 4711: builds cannot pull since 09:40'
  sreg break-glass contoso-models --end";

/// Flags of `status`.
#[derive(Debug, Args)]
pub struct StatusFlags {
    /// NAME, NAMESPACE/NAME, or the ARM id of its registry. Default: all of the namespace
    #[arg(value_name = "OBJECT")]
    pub object: Option<String>,
    /// Those of every namespace
    #[arg(short = 'A', long, conflicts_with_all = ["object", "namespace"])]
    pub all_namespaces: bool,
    /// Where.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Flags of `why`.
#[derive(Debug, Args)]
pub struct WhyFlags {
    /// NAME, NAMESPACE/NAME, or the ARM id of its registry
    #[arg(value_name = "OBJECT")]
    pub object: String,
    /// Where.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Flags of `approve`.
#[derive(Debug, Args)]
pub struct ApproveFlags {
    /// NAME, NAMESPACE/NAME, or the ARM id of its registry
    #[arg(value_name = "OBJECT")]
    pub object: String,
    /// What is approved: NameChanges, Lockdown or Opening. Needed where several are asked for
    #[arg(long, value_name = "CHANGE")]
    pub change: Option<ChangeKind>,
    /// Do not ask: what is approved was read before
    #[arg(long)]
    pub yes: bool,
    /// Where.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Flags of `break-glass`.
#[derive(Debug, Args)]
pub struct BreakGlassFlags {
    /// NAME, NAMESPACE/NAME, or the ARM id of its registry
    #[arg(value_name = "OBJECT")]
    pub object: String,
    /// How long, from now
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, required_unless_present = "end", conflicts_with = "end")]
    pub lasts: Option<Duration>,
    /// Why, for the record: at least ten characters
    #[arg(long, value_name = "TEXT", required_unless_present = "end", conflicts_with = "end")]
    pub reason: Option<String>,
    /// End those that are under way
    #[arg(long)]
    pub end: bool,
    /// Where.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Flags of `reconcile`, `observe` and `enforce`.
#[derive(Debug, Args)]
pub struct ChangeFlags {
    /// NAME, NAMESPACE/NAME, or the ARM id of its registry
    #[arg(value_name = "OBJECT")]
    pub object: String,
    /// Where.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Ends the help of `completions`.
const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(sreg completions bash)
  sreg completions fish > ~/.config/fish/completions/sreg.fish";

/// Flags of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsFlags {
    /// Whose
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Flags of `manual`.
#[derive(Debug, Args)]
pub struct ManualFlags {
    /// Where they are written: sreg.1, and one for each command
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// How a command writes what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people at a terminal.
    Text,
    /// For programs.
    Json,
    /// For a pull request.
    Markdown,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn files_and_objects_are_told_apart() {
        let typed = ["sreg", "plan", "ml/a", "-f", "x.yaml", "-f", "y.yaml"];
        let Command::Plan(plan) = Arguments::parse_from(typed).command else {
            panic!("plan is another command")
        };
        assert_eq!((plan.from.objects.len(), plan.from.files.len()), (1, 2));
        assert!(Arguments::try_parse_from(["sreg", "plan", "ml/a"]).is_err());
    }
}
