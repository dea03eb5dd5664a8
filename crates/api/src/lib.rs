//! The contract with people and GitOps pipelines: the kinds of group `secureregistry.dev`, their validation rules,
//! condition types, reasons and reserved names. Types only; no client, no I/O.

// The derive takes one `printcolumn` per column, which the lint takes for a repetition.
#![allow(clippy::duplicated_attributes)]

pub mod approval;
pub mod conditions;
pub mod crd;
pub mod grant;
pub mod names;
pub mod probe;
pub mod registry;
pub mod rules;
pub mod status;
pub mod vantage_point;

pub use approval::{
    BreakGlass, BreakGlassPhase, BreakGlassSpec, BreakGlassStatus, ChangeApproval, ChangeApprovalPhase,
    ChangeApprovalSpec, ChangeApprovalStatus, ChangeKind,
};
pub use grant::{RegistryGrant, RegistryGrantSpec};
pub use probe::{ConnectivityProbe, ConnectivityProbeSpec, ConnectivityProbeStatus};
pub use registry::{SecureRegistry, SecureRegistrySpec};
pub use status::SecureRegistryStatus;
pub use vantage_point::{VantagePoint, VantagePointSpec};

/// API group of every kind.
pub const GROUP: &str = "secureregistry.dev";
/// The only served version before 1.0.
pub const VERSION: &str = "v1alpha1";
