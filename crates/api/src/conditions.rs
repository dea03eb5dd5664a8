//! Condition types, their order and what each means; and the reasons that a state or a wait can have. Conditions
//! themselves are `metav1.Condition`; the planner computes them.

use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// Every condition type of a `SecureRegistry`, in the order in which they are written. All are present from the first
/// visit, `Unknown` when not yet known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, EnumString, IntoStaticStr, Display)]
pub enum ConditionType {
    /// Summary: locked and proven, or what the spec asks for is settled. Its reason is the `STATE` column.
    Ready,
    /// Work is under way (kstatus). Negative polarity.
    Reconciling,
    /// Cannot go on without a change of spec or rights (kstatus). Negative polarity.
    Stalled,
    /// The registry exists in Azure.
    RegistryFound,
    /// Every private endpoint is provisioned and approved.
    EndpointsReady,
    /// Every required name has its private records and links.
    DnsReady,
    /// Every required path was proven from its own network.
    ConnectivityVerified,
    /// Registry, storage and ACR are all closed to the public.
    PublicAccessDisabled,
    /// The tags owned by the spec are on the registry.
    TagsCompliant,
    /// Azure differs from what was settled before. Negative polarity.
    DriftDetected,
    /// A break-glass is open. Negative polarity.
    BreakGlass,
}

/// What the object is in, as one word: the reason of `Ready` and the `STATE` column. Rows of the state table in
/// `docs/architecture.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, EnumString, IntoStaticStr, Display)]
pub enum State {
    /// Not yet observed, or not to be told now.
    Unknown,
    /// Azure does not answer: what is shown is what was known last.
    AzureUnreachable,
    /// Steps are being carried out or Azure is busy.
    Progressing,
    /// Endpoints are being made or approved.
    CreatingEndpoints,
    /// Zones, links or records are not complete.
    ConfiguringDns,
    /// Waiting until names have settled in caches.
    Settling,
    /// A proof round is open.
    Proving,
    /// The closing writes are under way.
    Locking,
    /// The opening writes are under way.
    Opening,
    /// Somebody must approve an endpoint connection.
    AwaitingConnectionApproval,
    /// A `ChangeApproval` is needed.
    AwaitingApproval,
    /// The lockdown window is not open.
    AwaitingWindow,
    /// Somebody must act outside (DNS by policy or external DNS, clients still public).
    AwaitingAction,
    /// Locked and proven.
    Locked,
    /// `desired: Enabled` and settled.
    Open,
    /// `Observe` and observed.
    Observed,
    /// Cannot go on without a change of spec or rights.
    Stalled,
    /// Closed to the public, and something that clients need is missing while it is being put back.
    Degraded,
    /// A path was lost after the lock.
    PathLost,
    /// A break-glass holds the registry open.
    BreakGlass,
    /// The object is being deleted.
    Deleting,
}
