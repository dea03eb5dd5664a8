//! What we talk about: ARM ids, names, targets; what is desired, what was seen, what can be done. Values only; no I/O, no
//! clock. The planner turns [`Desired`] and [`Seen`] into steps made of [`Action`]s; the Azure client and the cluster
//! client carry those out.

pub mod action;
pub mod action_text;
pub mod attempt;
pub mod azure_text;
pub mod call_failure;
pub mod claim_mark;
pub mod cloud;
pub mod cloud_documents;
pub mod desired;
pub mod digest;
pub mod duration;
pub mod fact;
pub mod grants;
pub mod ids;
pub mod ignorance;
pub mod known;
pub mod last_report;
pub mod naming;
pub mod network_rules;
pub mod objections;
mod order;
pub mod outside;
pub mod preimage;
pub mod reasons;
pub mod rights;
pub mod seen;
pub mod step;
pub mod target;
pub mod target_seen;
pub mod withheld;

pub use action::{Action, AzureAction, ClusterAction, Edit, Effect, LeftOut, Operation, Outcome, StepOutcome};
pub use azure_text::{ConnectionStatus, DefaultAction, ExportPolicy, ProvisioningState, PublicNetworkAccess};
pub use call_failure::{CallFailure, Cause, Disposition};
pub use cloud::Cloud;
pub use cloud_documents::BuiltInCloud;
pub use desired::Desired;
pub use digest::Digest;
pub use fact::Fact;
pub use grants::{Grant, Grants, Purpose};
pub use ids::{ArmId, Fqdn, Location};
pub use known::Known;
pub use last_report::LastReport;
pub use network_rules::{NetworkRule, RuleKind};
pub use seen::{Ignorance, Seen};
pub use step::{StepId, StepKind};
pub use target::{EndpointGroup, TargetKind};
pub use target_seen::{TargetDetails, TargetSeen, Targets, needed_endpoints};
pub use withheld::Withheld;
