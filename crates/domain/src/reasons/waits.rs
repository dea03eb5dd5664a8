//! What each reason for waiting means: to people, and to the plan. All that depends on a reason stands in one table; `docs/troubleshooting.md`
//! is made of it.

use sreg_api::conditions::State;

use super::{Actor, Explained, WaitReason};

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitRow {
    /// Who must act for it to end.
    pub actor: Actor,
    /// Which wait speaks for the object when there are several: the lowest.
    pub rank: u8,
    /// What the object's state is when it speaks.
    pub state: Shown,
    /// When to look again.
    pub look: LookAgain,
    /// Only a change of spec, rights or environment ends it.
    pub stalled: bool,
    /// A person may end it while other things are still under way: it is told early.
    pub early: bool,
    /// What it says.
    pub meaning: &'static str,
    /// The next thing to do, with a command or a field; begins with `None` where nobody has to do anything.
    pub action: &'static str,
}

/// The state that a wait stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Always this one.
    As(State),
    /// That of what is under way.
    UnderWay,
    /// `Unknown` where clients depend on what was not read.
    Unread,
}

/// When a wait is looked at again, if nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookAgain {
    /// After so many seconds.
    After(u64),
    /// When Azure asks for it; else the more seldom the longer nothing has moved.
    AsAzureAsks,
    /// At `verification.interval`.
    ProbeInterval,
    /// The same, but not sooner than after so many seconds.
    ProbeIntervalAtLeast(u64),
    /// At `drift.interval`: a change of the spec is seen at once.
    DriftInterval,
    /// The gate that waits says when; at `drift.interval` at the latest.
    ByItself,
}

const fn row(
    (actor, rank, state, look): (Actor, u8, Shown, LookAgain),
    meaning: &'static str,
    action: &'static str,
) -> WaitRow {
    WaitRow {
        actor,
        rank,
        state,
        look,
        stalled: false,
        early: false,
        meaning,
        action,
    }
}

impl WaitRow {
    const fn stalled(self) -> WaitRow {
        WaitRow { stalled: true, ..self }
    }

    const fn early(self) -> WaitRow {
        WaitRow { early: true, ..self }
    }
}

impl WaitReason {
    /// Who must act for it to end.
    pub fn actor(self) -> Actor {
        self.row().actor
    }

    /// Whether only a change of spec, rights or environment ends it.
    pub fn is_stalled(self) -> bool {
        self.row().stalled
    }

    /// What it means to a person, and what to do.
    pub fn explained(self) -> Explained {
        let WaitRow {
            actor, meaning, action, ..
        } = self.row();
        Explained { actor, meaning, action }
    }

    /// Its row.
    pub fn row(self) -> WaitRow {
        use LookAgain::*;
        use Shown::*;
        use WaitReason::*;
        match self {
            NotKnown => row(
                (Actor::Azure, 9, Unread, After(15)),
                "Something could not be read. Nothing is decided on it.",
                "None: it is asked again. If it lasts, the message names the call that fails and its correlation id.",
            ),
            OperationInProgress => row(
                (Actor::Azure, 3, UnderWay, AsAzureAsks),
                "Azure carries out an operation that takes a while.",
                "None. `kubectl get sreg NAME -n NAMESPACE -o yaml` lists it under `status.operations`.",
            ),
            RegistryProvisioning => row(
                (Actor::Azure, 2, As(State::Progressing), AsAzureAsks),
                "Azure has not named the registry's storage account or container registry yet.",
                "None, for fifteen minutes.",
            ),
            ResourceBusy => row(
                (Actor::Azure, 8, UnderWay, AsAzureAsks),
                "Another operation holds the subnet, the network or the target.",
                "None: one follows the other.",
            ),
            RetryPending => row(
                (Actor::Azure, 8, UnderWay, ByItself),
                "Azure did not answer, throttles, or is busy.",
                "None: it is sent again at the time in the message.",
            ),
            EffectPending => row(
                (Actor::Azure, 8, UnderWay, ByItself),
                "Azure accepted a write whose effect is not there, or refused it in passing.",
                "None at first. `az monitor activity-log list --resource-id ID --offset 1h` says who undoes it.",
            ),
            ConnectionPending => row(
                (Actor::Approver, 7, As(State::AwaitingConnectionApproval), After(30)),
                "The connection of a private endpoint awaits approval.",
                "The owner of the target approves it: `az network private-endpoint-connection approve --id CONNECTION`.",
            ),
            EndpointMembersPending => row(
                (Actor::Azure, 10, As(State::CreatingEndpoints), AsAzureAsks),
                "A private endpoint has no names and addresses yet.",
                "None.",
            ),
            DnsPending => row(
                (Actor::Azure, 12, As(State::ConfiguringDns), AsAzureAsks),
                "Zone group, records or links are not complete yet.",
                "None.",
            ),
            DnsByPolicyPending => row(
                (Actor::DnsOwner, 11, As(State::AwaitingAction), After(30)),
                "No Azure Policy has made the zone group, or written its records, yet.",
                "None for half an hour. If no policy is assigned, assign one, or change `spec.endpoints[].dns.mode`.",
            ),
            DnsExternalPending => row(
                (Actor::DnsOwner, 11, As(State::AwaitingAction), ProbeInterval),
                "Your DNS does not answer the private addresses yet.",
                "Make it answer what `status.externalDns` says: `kubectl get sreg NAME -n NAMESPACE -o yaml`.",
            ),
            NamesAboutToChange => row(
                (Actor::Time, 12, As(State::ConfiguringDns), After(1)),
                "The next write changes a name for somebody; status records that first.",
                "None.",
            ),
            DnsSettling => row(
                (Actor::Time, 22, As(State::Settling), ByItself),
                "`spec.verification.dnsSettle` has not passed since the last change of a name.",
                "None: the message says until when.",
            ),
            VantagePointMissing => row(
                (Actor::User, 14, As(State::AwaitingAction), After(30)),
                "A network has no vantage point that can prove it, or lets clients in without being listed.",
                "Create the VantagePoint and its agent, list the network under `spec.clientNetworks` or `spec.unprovenNetworks`, or remove the link or rule that the message names.",
            ).early(),
            AgentSilent => row(
                (Actor::Agent, 14, As(State::AwaitingAction), After(30)),
                "The agent of a vantage point does not report.",
                "Whoever runs that cluster looks at its pods: `kubectl get pods -n NAMESPACE`.",
            ).early(),
            VantagePointBlindStalled => row(
                (Actor::User, 14, As(State::Stalled), After(30)),
                "A vantage point's agent lives, and its own way out is broken: it can judge no path.",
                "Repair its proxy or resolver (`kubectl get vantagepoint NAME -o yaml`); `kubectl get connectivityprobes -A -o yaml` shows what it sees.",
            ).stalled().early(),
            DnsServersNotUnderstoodStalled => row(
                (Actor::User, 14, As(State::Stalled), After(60)),
                "Azure shows DNS servers for a client network that no agent can ask: one that is no address, or more than twenty.",
                "Correct them: `az network vnet update --ids ID --dns-servers ADDRESS …`.",
            ).stalled().early(),
            ProofPending => row(
                (Actor::Agent, 23, As(State::Proving), ProbeInterval),
                "A proof round is open.",
                "None: agents are trying every path.",
            ),
            PathFailing => row(
                (Actor::User, 18, As(State::Proving), ProbeInterval),
                "A required path fails, and nothing is closed.",
                "Repair the hop that the message names; `kubectl get connectivityprobes -A -o yaml` shows what agents see.",
            ),
            PathsUnknown => row(
                (Actor::Azure, 16, As(State::Progressing), After(30)),
                "Which paths are required cannot be told yet.",
                "None, where another wait says what is missing; without any path, add `spec.endpoints` and `spec.clientNetworks`.",
            ),
            SharedAccountNotAcknowledged => row(
                (Actor::User, 15, As(State::AwaitingAction), After(60)),
                "An account behind the registry is not in its managed resource group, so the lock would close it for others.",
                "Ask its owner, then list it under `spec.sharedAccounts`.",
            ).early(),
            HostNotCovered => row(
                (Actor::User, 15, As(State::AwaitingAction), After(30)),
                "Discovery or Azure names a host that no private endpoint carries.",
                "List it under `spec.unprovenHosts` with a reason, or have the endpoint made again as the message says.",
            ),
            RecentPublicClients => row(
                (Actor::User, 17, As(State::AwaitingAction), After(60)),
                "Clients came lately that did not go through the private endpoints.",
                "Move them, or list them under `spec.verification.recentPublicClients.accept`.",
            ).early(),
            NameChangesApproval => row(
                (Actor::Approver, 6, As(State::AwaitingApproval), After(60)),
                "A change of names waits for approval.",
                "Create a ChangeApproval with the digest in the message (`kubectl explain changeapproval.spec`).",
            ),
            LockdownApproval => row(
                (Actor::Approver, 19, As(State::AwaitingApproval), After(60)),
                "The lockdown waits for approval.",
                "Create a ChangeApproval with the digest in the message (`kubectl explain changeapproval.spec`).",
            ).early(),
            OpeningApproval => row(
                (Actor::Approver, 19, As(State::AwaitingApproval), After(60)),
                "Opening waits for approval, because this object did not close the registry.",
                "Create a ChangeApproval with the digest in the message (`kubectl explain changeapproval.spec`).",
            ),
            WindowClosed => row(
                (Actor::Time, 20, As(State::AwaitingWindow), ByItself),
                "The lockdown window is closed.",
                "None: the message says when it opens.",
            ),
            WindowNeverOpensStalled => row(
                (Actor::User, 20, As(State::Stalled), After(120)),
                "The lockdown window never opens.",
                "Correct `spec.publicAccess.lockdown.window`.",
            ).stalled(),
            InvalidSpecStalled => row(
                (Actor::User, 0, As(State::Stalled), DriftInterval),
                "The object breaks a rule; nothing of it is carried out.",
                "Write what the message says instead: `kubectl edit sreg NAME -n NAMESPACE`.",
            ).stalled(),
            NotGrantedStalled => row(
                (Actor::Administrator, 0, As(State::Stalled), After(120)),
                "The object names something in Azure that no RegistryGrant lets its namespace name. What is locked stays locked; where it is the registry itself, nothing of Azure is even read.",
                "Whoever administers the operator: `kubectl get registrygrants -o yaml` shows what is granted, `kubectl edit registrygrant NAME` adds the entry that the message names. Or take it out of `spec`.",
            ).stalled(),
            EndpointNotGrantedStalled => row(
                (Actor::Administrator, 21, As(State::Stalled), After(120)),
                "A private endpoint that the spec no longer wants stands where no RegistryGrant lets the namespace write any more: it stays.",
                "Grant its subnet, resource group and zones again (`kubectl edit registrygrant NAME`), or `az network private-endpoint delete --ids ENDPOINT`.",
            ).stalled(),
            RegistryAbsentStalled => row(
                (Actor::User, 1, As(State::Stalled), After(120)),
                "The registry does not exist, or is not found though something of it lives.",
                "Create it, set `spec.registry.create`, or correct `spec.registry.resourceId`; `az resource list --name REGISTRY --resource-type Microsoft.MachineLearningServices/registries` finds one that was moved.",
            ).stalled(),
            RegistryIncompleteStalled => row(
                (Actor::User, 2, As(State::Stalled), After(120)),
                "Azure has not named the registry's accounts, and will not by itself.",
                "Whoever made the registry completes or makes it again; `az resource show --ids REGISTRY --query properties.regionDetails`.",
            ).stalled(),
            TargetAbsentStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "A storage account or container registry that the registry names does not exist any more.",
                "Restore the storage account within 14 days; for a container registry, create the registry anew. A BreakGlass opens the others.",
            ).stalled(),
            ScopeAbsentStalled => row(
                (Actor::User, 1, As(State::Stalled), After(120)),
                "A subscription or resource group does not exist, or not for the operator.",
                "Correct the id in `spec`, or `az group create --name GROUP --location LOCATION --subscription SUBSCRIPTION`.",
            ).stalled(),
            RollbackAboutToOpen => row(
                (Actor::Time, 6, As(State::Opening), After(1)),
                "A lost path is confirmed; status records that before anything is opened.",
                "None.",
            ),
            RollbackBackoff => row(
                (Actor::Time, 6, As(State::AwaitingAction), ByItself),
                "The registry was opened again because a path was lost, and is locked again later.",
                "Repair the path until then; a change of `spec` tries at once.",
            ),
            SubnetAbsentStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "The subnet of an entry does not exist.",
                "Create it, or correct `spec.endpoints[].subnetResourceId`.",
            ).stalled(),
            ZoneAbsentStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "A private DNS zone that the spec names does not exist, or none is named.",
                "Create it, or correct `spec.endpoints[].dns.privateDnsZoneResourceIds`.",
            ).stalled(),
            DnsByPolicyStalled => row(
                (Actor::DnsOwner, 5, As(State::Stalled), After(120)),
                "No Azure Policy makes the zone group, or its records are missing or wrong, and waiting does not help.",
                "Assign and remediate one: `az policy remediation create --name NAME --policy-assignment ASSIGNMENT --resource-group GROUP`; or change `spec.endpoints[].dns.mode`.",
            ).stalled(),
            DnsChangeStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "The spec asks for a change of names that cuts clients off while public access is closed.",
                "Undo that change, or set `spec.publicAccess.desired: Enabled` first.",
            ).stalled(),
            ClaimedElsewhereStalled => row(
                (Actor::User, 0, As(State::Stalled), After(120)),
                "Another SecureRegistry holds this Azure registry.",
                "Delete one of the two: `kubectl delete sreg NAME -n NAMESPACE`.",
            ).stalled(),
            ForeignResourceStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "Something has the name that is needed and is not ours.",
                "As the message says: another resource group (`spec.endpoints[].resourceGroupResourceId`), another zone, or remove what nobody uses.",
            ).stalled(),
            ZoneLinkedElsewhereStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "A network is linked to another zone of the same name.",
                "Take it out of `spec.endpoints[].dns.linkVirtualNetworks`, or use that zone with `dns.mode: Existing`.",
            ).stalled(),
            DenyAssignmentStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "A deny assignment forbids the write, now or when it is undone; no role helps.",
                "Azure's own, on the managed resource group: set `spec.registry.managedResourceGroupAccess: GrantOperator`. A deployment stack's: whoever owns the stack excludes the operator's principal; the message names both.",
            ).stalled(),
            PermissionStalled => row(
                (Actor::User, 1, As(State::Stalled), After(120)),
                "The operator's identity lacks a right.",
                "Whoever may grant it: `az role assignment create --assignee-object-id PRINCIPAL --assignee-principal-type ServicePrincipal --role ROLE --scope SCOPE`; the message has the values.",
            ).stalled(),
            SignInStalled => row(
                (Actor::Administrator, 1, As(State::Stalled), After(120)),
                "The operator's credential is refused.",
                "Renew it: `kubectl get deployment -A -l app.kubernetes.io/name=secure-registry-operator -o yaml` shows which it uses.",
            ).stalled(),
            ConnectionRejectedStalled => row(
                (Actor::Approver, 5, As(State::Stalled), After(30)),
                "The owner of a target rejected the connection.",
                "Settle it with that owner (Azure approves none that was rejected), then `az network private-endpoint delete --ids ENDPOINT`: it is requested again.",
            ).stalled(),
            ConnectionRemovedStalled => row(
                (Actor::User, 5, As(State::Stalled), After(30)),
                "A connection was removed on the target's side.",
                "`az network private-endpoint delete --ids ENDPOINT`: it is made again and proven. A BreakGlass helps whoever is cut off until then.",
            ).stalled(),
            ResourceLockedStalled => row(
                (Actor::User, 21, As(State::Stalled), After(120)),
                "A resource lock keeps something from being removed.",
                "Whoever set it removes it: `az lock delete --ids LOCK`.",
            ).stalled(),
            TargetLockedStalled => row(
                (Actor::User, 21, As(State::Stalled), After(120)),
                "A resource lock keeps a target from being closed, and from being opened again.",
                "Whoever set it removes it: `az lock delete --ids LOCK`.",
            ).stalled().early(),
            ZoneLockedStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "A resource lock keeps a private DNS zone from taking an endpoint's records: the endpoint is not made, because its names would have no answer.",
                "Whoever set it removes it: `az lock delete --ids LOCK`.",
            ).stalled(),
            RefusedStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "Azure refuses a write for good.",
                "What the message says, in Azure's words; the table of codes in docs/troubleshooting.md says more.",
            ).stalled(),
            EndpointFailedStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "A private endpoint could not be made.",
                "What the message says (the table of codes in docs/troubleshooting.md says more); a full subnet: another one in `spec.endpoints[].subnetResourceId`.",
            ).stalled(),
            PathLostStalled => row(
                (Actor::User, 5, As(State::PathLost), ProbeIntervalAtLeast(5)),
                "A path was lost after the lock.",
                "Repair the hop that the message names, or open with a BreakGlass; `kubectl get connectivityprobes -A -o yaml` shows what agents see.",
            ).stalled(),
            SettingNotUnderstoodStalled => row(
                (Actor::User, 5, As(State::Stalled), After(120)),
                "A target says of its public access what this version does not know.",
                "Set it: `az resource update --ids TARGET --set properties.publicNetworkAccess=Enabled`, or use a version that knows it.",
            ).stalled(),
            SnapshotUnreadableStalled => row(
                (Actor::Administrator, 5, As(State::Stalled), After(120)),
                "The snapshot of what was before the lock holds nonsense.",
                "Put the ConfigMap right, or delete it: `kubectl get configmaps -A --field-selector metadata.name=NAME`.",
            ).stalled(),
            BreakGlassStalled => row(
                (Actor::User, 4, As(State::Stalled), After(120)),
                "A break-glass has no effect, or nothing is locked after it.",
                "Set `spec.managementPolicy: Enforce`, or put right what is wrong in `spec`.",
            ).stalled(),
            PlanRefusedStalled => row(
                (Actor::Administrator, 0, As(State::Stalled), After(120)),
                "A defect of the operator; nothing is written.",
                "Report it, with what `kubectl get sreg NAME -n NAMESPACE -o yaml` says.",
            ).stalled(),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn who_reads_a_reason_knows_whether_it_ends_by_itself() {
        for reason in WaitReason::iter() {
            let name = reason.to_string();
            assert_eq!(reason.is_stalled(), name.ends_with("Stalled"), "{name}");
        }
    }
}
