//! Closed sets of reasons: why the operator waits, what it finds worth knowing, and who can act.

mod findings;
mod waits;

use serde::{Deserialize, Serialize};
pub use sreg_api::status::Actor;
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
pub use waits::{LookAgain, Shown, WaitRow};

/// A finding, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// Who can end it.
    pub actor: Actor,
    /// What it says.
    pub meaning: &'static str,
    /// The next thing to do, with a command or a field; begins with `None` where nobody has to do anything.
    pub action: &'static str,
}

/// Every reason for waiting. `*Stalled` reasons end only by a change of spec, rights or environment.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    EnumString,
    IntoStaticStr,
    Display,
    Serialize,
    Deserialize,
)]
pub enum WaitReason {
    /// Something could not be read; nothing that depends on it is done.
    NotKnown,
    /// A long-running operation is under way.
    OperationInProgress,
    /// The registry's regions are not complete yet.
    RegistryProvisioning,
    /// Another operation holds the subnet, the virtual network or the target.
    ResourceBusy,
    /// Azure did not answer a write, throttles it, or is busy: it is sent again at the time that the message names.
    RetryPending,
    /// Azure accepted a write whose effect is not there, or refused it in passing: it is sent again at the time that the message names.
    EffectPending,
    /// A connection awaits approval.
    ConnectionPending,
    /// Names or addresses of an endpoint are not there yet.
    EndpointMembersPending,
    /// Zone group, records or links are not complete yet.
    DnsPending,
    /// An Azure Policy has not made the zone group yet.
    DnsByPolicyPending,
    /// External DNS must answer the addresses listed.
    DnsExternalPending,
    /// Names are about to change by a write of ours: status records that first, for whoever comes after a crash.
    NamesAboutToChange,
    /// `dnsSettle` has not passed since the last name change.
    DnsSettling,
    /// A vantage point does not exist or stands in another network than declared.
    VantagePointMissing,
    /// A vantage point's agent does not report.
    AgentSilent,
    /// A vantage point's agent lives and can judge no path, for so long that it will not pass.
    VantagePointBlindStalled,
    /// Azure shows DNS servers for a network that no agent can ask.
    DnsServersNotUnderstoodStalled,
    /// A proof round is open.
    ProofPending,
    /// A required path fails.
    PathFailing,
    /// Required paths cannot be told.
    PathsUnknown,
    /// An account behind the registry is used by others too, and nobody has acknowledged that.
    SharedAccountNotAcknowledged,
    /// A host from discovery is not carried by any endpoint.
    HostNotCovered,
    /// Clients still come from public addresses.
    RecentPublicClients,
    /// A `ChangeApproval` for name changes is needed.
    NameChangesApproval,
    /// A `ChangeApproval` for the lockdown is needed.
    LockdownApproval,
    /// A `ChangeApproval` for opening what this object never locked is needed.
    OpeningApproval,
    /// The window is closed.
    WindowClosed,
    /// The window will never open.
    WindowNeverOpensStalled,
    /// The object breaks a rule: nothing of it is carried out.
    InvalidSpecStalled,
    /// The object names what no grant lets its namespace name: nothing of it is carried out.
    NotGrantedStalled,
    /// An endpoint that nobody wants any more stands where no grant lets the namespace write: it stays.
    EndpointNotGrantedStalled,
    /// The registry does not exist and `create` is absent, or it is not found and something of it lives.
    RegistryAbsentStalled,
    /// Azure has not named the registry's accounts for so long that it will not do so by itself.
    RegistryIncompleteStalled,
    /// A storage account or container registry that the registry names does not exist.
    TargetAbsentStalled,
    /// A subscription or resource group does not exist, or not for us.
    ScopeAbsentStalled,
    /// A lost path is confirmed: status records the rollback first, for whoever comes after a crash.
    RollbackAboutToOpen,
    /// Reopened by rollback: locking again waits, longer each time.
    RollbackBackoff,
    /// A subnet or network does not exist.
    SubnetAbsentStalled,
    /// A zone that the spec names does not exist, or none is named where one is needed.
    ZoneAbsentStalled,
    /// No Azure Policy makes the zone group, and waiting will not help.
    DnsByPolicyStalled,
    /// DNS would have to change in a way that cuts clients off while public access is closed.
    DnsChangeStalled,
    /// Another object owns this registry.
    ClaimedElsewhereStalled,
    /// Something of that name exists and does not carry our mark.
    ForeignResourceStalled,
    /// A network is linked to another zone of the same name.
    ZoneLinkedElsewhereStalled,
    /// A deny assignment forbids what is needed.
    DenyAssignmentStalled,
    /// Rights are missing.
    PermissionStalled,
    /// The operator cannot sign in to Azure: its credential is refused.
    SignInStalled,
    /// A connection was rejected by the target's owner.
    ConnectionRejectedStalled,
    /// A connection is gone from the target's side (`Disconnected`): the endpoint has to be made again.
    ConnectionRemovedStalled,
    /// A resource lock keeps what nobody wants any more from being removed, or what is open from being closed.
    ResourceLockedStalled,
    /// A resource lock forbids closing a target.
    TargetLockedStalled,
    /// A resource lock keeps a private DNS zone from taking an endpoint's records.
    ZoneLockedStalled,
    /// Azure refuses the write for good (policy, lock, configuration).
    RefusedStalled,
    /// An endpoint failed to provision.
    EndpointFailedStalled,
    /// A path was lost after the lock.
    PathLostStalled,
    /// A target says of its public access what this version does not know.
    SettingNotUnderstoodStalled,
    /// The snapshot of what was before the lock holds nonsense.
    SnapshotUnreadableStalled,
    /// A break-glass ended or was asked for under Observe.
    BreakGlassStalled,
    /// The plan would have broken a rule of the lint: a defect of the planner. Nothing is written.
    PlanRefusedStalled,
}

/// Every kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, Display)]
pub enum FindingReason {
    /// Known limits of private registries.
    PrivateRegistryLimits,
    /// Storage or ACR keeps a bypass or resource rules.
    BypassKept,
    /// Resource rules that let somebody into the registry's own storage, also once it is closed.
    ResourceRulesKept,
    /// Ways in that closing does not close, or that open with it again: account keys, pulls without signing in, the admin user, rules
    /// that people add to what is closed.
    OtherWaysIn,
    /// No grant lets anybody of the namespace open the registry again.
    OpeningNotGranted,
    /// A grant demands more than the spec does, and that holds.
    GrantDemands,
    /// The operator looks or asks more seldom than the spec wants.
    IntervalRaised,
    /// The registry is taken over from an object that is gone.
    TakenOver,
    /// A policy may forbid what closing writes: storage that stays enabled for its resource rules.
    ClosingForbidden,
    /// Rules that were there before the lock and that Azure refuses to have back.
    RulesNotPutBack,
    /// What an emergency does not restore: targets of which nothing is kept, and those that were closed before the lock.
    NothingToRestore,
    /// Rules that the lock takes away, and whom they let in.
    RulesClose,
    /// A container registry may have subnet rules that Azure does not show.
    SubnetRulesNotShown,
    /// A network security perimeter decides who comes in.
    SecuredByPerimeter,
    /// Storage has secondary hosts, which no path proves and which close with it.
    SecondaryHosts,
    /// A host that discovery returns is proven from nowhere, because the spec waives it.
    HostWaived,
    /// Something would forbid opening again.
    ReopeningForbidden,
    /// A zone link is made that turns names of other registries into NXDOMAIN.
    NamesOfOthers,
    /// An endpoint dropped from the spec is left in place while locked, or because networks would get no answer any more.
    EndpointReleased,
    /// Azure differs from what was settled.
    Drift,
    /// Fields changed with a write of the operator's that the write does not name.
    AlsoChanged,
    /// Under Observe: what would be done.
    WouldDo,
    /// Under Observe: what would be waited for.
    WouldWait,
    /// An account behind the registry is used by others too; the lock closes it for them.
    SharedAccount,
    /// A client came from a public address (policy Warn).
    PublicClient,
    /// A foreign zone group serves the endpoint.
    ForeignZoneGroup,
    /// A write that changes names is held until it is approved, and whom it touches.
    NameChangeHeld,
    /// A zone link has no effect for the machines of its network.
    LinkWithoutEffect,
    /// A setting of something that exists differs from the spec, and is not ours to change.
    SettingDiffers,
    /// Rights in Azure could not be looked at before the first change of names.
    RightsNotKnown,
    /// An endpoint is made though no policy is seen to make its zone group.
    ZoneGroupPolicyNotSeen,
    /// Records that a policy has written cannot be read.
    RecordsNotRead,
    /// Endpoints stand in another subnet than the others.
    SubnetsDiffer,
    /// A break-glass asked for more than the operator's longest time, or ended.
    BreakGlassEnded,
    /// A path was lost after the lock and the registry was opened again.
    RolledBack,
    /// An item of a list in Azure is no sense and none of ours: it is left out.
    LeftOut,
    /// Something that we made has lost our owner tag.
    TagLost,
    /// Something carries our owner tag, and we did not make it.
    OnlyTagged,
    /// A write that nothing waits for (tags, sharing, the operator's exemption) does not succeed or does not last.
    UpkeepFailing,
    /// The lock after a break-glass will wait for an approval that is not there.
    RelockNeedsApproval,
    /// On deletion: something that carries our mark is left in place, and why.
    LeftInPlace,
    /// On deletion: public access is left open, and what held it open.
    LeftOpen,
}
