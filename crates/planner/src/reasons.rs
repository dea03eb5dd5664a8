//! What each reason for waiting means to a person: who can act, and how. `docs/troubleshooting.md` is made of it.

use crate::plan::{Actor, WaitReason};

mod findings;

/// A reason, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// Who can end it.
    pub actor: Actor,
    /// What it says.
    pub meaning: &'static str,
    /// The next thing to do, with a command or a field; begins with `None` where nobody has to do anything.
    pub action: &'static str,
}

impl WaitReason {
    /// Who must act for it to end.
    pub fn actor(self) -> Actor {
        self.explained().actor
    }

    /// What it means, and what to do.
    pub fn explained(self) -> Explained {
        use WaitReason::*;
        match self {
            NotKnown => Explained {
                actor: Actor::Azure,
                meaning: "Something could not be read. Nothing is decided on it.",
                action: "None: it is asked again. If it lasts, the message names the call that fails and its correlation id.",
            },
            OperationInProgress => Explained {
                actor: Actor::Azure,
                meaning: "Azure carries out an operation that takes a while.",
                action: "None. `kubectl get sreg NAME -n NAMESPACE -o yaml` lists it under `status.operations`.",
            },
            RegistryProvisioning => Explained {
                actor: Actor::Azure,
                meaning: "Azure has not named the registry's storage account or container registry yet.",
                action: "None, for fifteen minutes.",
            },
            ResourceBusy => Explained {
                actor: Actor::Azure,
                meaning: "Another operation holds the subnet, the network or the target.",
                action: "None: one follows the other.",
            },
            RetryPending => Explained {
                actor: Actor::Azure,
                meaning: "Azure did not answer, throttles, or is busy.",
                action: "None: it is sent again at the time in the message.",
            },
            EffectPending => Explained {
                actor: Actor::Azure,
                meaning: "Azure accepted a write whose effect is not there, or refused it in passing.",
                action: "None at first. `az monitor activity-log list --resource-id ID --offset 1h` says who undoes it.",
            },
            ConnectionPending => Explained {
                actor: Actor::Approver,
                meaning: "The connection of a private endpoint awaits approval.",
                action: "The owner of the target approves it: `az network private-endpoint-connection approve --id CONNECTION`.",
            },
            EndpointMembersPending => Explained {
                actor: Actor::Azure,
                meaning: "A private endpoint has no names and addresses yet.",
                action: "None.",
            },
            DnsPending => Explained {
                actor: Actor::Azure,
                meaning: "Zone group, records or links are not complete yet.",
                action: "None.",
            },
            DnsByPolicyPending => Explained {
                actor: Actor::DnsOwner,
                meaning: "No Azure Policy has made the zone group, or written its records, yet.",
                action: "None for half an hour. If no policy is assigned, assign one, or change `spec.endpoints[].dns.mode`.",
            },
            DnsExternalPending => Explained {
                actor: Actor::DnsOwner,
                meaning: "Your DNS does not answer the private addresses yet.",
                action: "Make it answer what `status.externalDns` says: `kubectl get sreg NAME -n NAMESPACE -o yaml`.",
            },
            NamesAboutToChange => Explained {
                actor: Actor::Time,
                meaning: "The next write changes a name for somebody; status records that first.",
                action: "None.",
            },
            DnsSettling => Explained {
                actor: Actor::Time,
                meaning: "`spec.verification.dnsSettle` has not passed since the last change of a name.",
                action: "None: the message says until when.",
            },
            VantagePointMissing => Explained {
                actor: Actor::User,
                meaning: "A network has no vantage point that can prove it, or lets clients in without being listed.",
                action: "Create the VantagePoint and its agent, list the network under `spec.clientNetworks` or `spec.unprovenNetworks`, or remove the link or rule that the message names.",
            },
            AgentSilent => Explained {
                actor: Actor::Agent,
                meaning: "The agent of a vantage point does not report.",
                action: "Whoever runs that cluster looks at its pods: `kubectl get pods -n NAMESPACE`.",
            },
            VantagePointBlindStalled => Explained {
                actor: Actor::User,
                meaning: "A vantage point's agent lives, and its own way out is broken: it can judge no path.",
                action: "Repair its proxy or resolver (`kubectl get vantagepoint NAME -o yaml`); `kubectl get connectivityprobes -A -o yaml` shows what it sees.",
            },
            ProofPending => Explained {
                actor: Actor::Agent,
                meaning: "A proof round is open.",
                action: "None: agents are trying every path.",
            },
            PathFailing => Explained {
                actor: Actor::User,
                meaning: "A required path fails, and nothing is closed.",
                action: "Repair the hop that the message names; `kubectl get connectivityprobes -A -o yaml` shows what agents see.",
            },
            PathsUnknown => Explained {
                actor: Actor::Azure,
                meaning: "Which paths are required cannot be told yet.",
                action: "None, where another wait says what is missing; without any path, add `spec.endpoints` and `spec.clientNetworks`.",
            },
            SharedAccountNotAcknowledged => Explained {
                actor: Actor::User,
                meaning: "An account behind the registry is not in its managed resource group, so the lock would close it for others.",
                action: "Ask its owner, then list it under `spec.sharedAccounts`.",
            },
            HostNotCovered => Explained {
                actor: Actor::User,
                meaning: "Discovery or Azure names a host that no private endpoint carries.",
                action: "List it under `spec.unprovenHosts` with a reason, or have the endpoint made again as the message says.",
            },
            RecentPublicClients => Explained {
                actor: Actor::User,
                meaning: "Clients came lately that did not go through the private endpoints.",
                action: "Move them, or list them under `spec.verification.recentPublicClients.accept`.",
            },
            NameChangesApproval => Explained {
                actor: Actor::Approver,
                meaning: "A change of names waits for approval.",
                action: "Create a ChangeApproval with the digest in the message (`kubectl explain changeapproval.spec`).",
            },
            LockdownApproval => Explained {
                actor: Actor::Approver,
                meaning: "The lockdown waits for approval.",
                action: "Create a ChangeApproval with the digest in the message (`kubectl explain changeapproval.spec`).",
            },
            OpeningApproval => Explained {
                actor: Actor::Approver,
                meaning: "Opening waits for approval, because this object did not close the registry.",
                action: "Create a ChangeApproval with the digest in the message (`kubectl explain changeapproval.spec`).",
            },
            WindowClosed => Explained {
                actor: Actor::Time,
                meaning: "The lockdown window is closed.",
                action: "None: the message says when it opens.",
            },
            WindowNeverOpensStalled => Explained {
                actor: Actor::User,
                meaning: "The lockdown window never opens.",
                action: "Correct `spec.publicAccess.lockdown.window`.",
            },
            RolloutPending => Explained {
                actor: Actor::User,
                meaning: "No LockdownRollout has reached the object.",
                action: "Take `Rollout` out of `spec.publicAccess.lockdown.waitFor`.",
            },
            InvalidSpecStalled => Explained {
                actor: Actor::User,
                meaning: "The object breaks a rule; nothing of it is carried out.",
                action: "Write what the message says instead: `kubectl edit sreg NAME -n NAMESPACE`.",
            },
            RegistryAbsentStalled => Explained {
                actor: Actor::User,
                meaning: "The registry does not exist, or is not found though something of it lives.",
                action: "Create it, set `spec.registry.create`, or correct `spec.registry.resourceId`; `az resource list --name REGISTRY --resource-type Microsoft.MachineLearningServices/registries` finds one that was moved.",
            },
            RegistryIncompleteStalled => Explained {
                actor: Actor::User,
                meaning: "Azure has not named the registry's accounts, and will not by itself.",
                action: "Whoever made the registry completes or makes it again; `az resource show --ids REGISTRY --query properties.regionDetails`.",
            },
            TargetAbsentStalled => Explained {
                actor: Actor::User,
                meaning: "A storage account or container registry that the registry names does not exist any more.",
                action: "Restore the storage account within 14 days; for a container registry, create the registry anew. A BreakGlass opens the others.",
            },
            ScopeAbsentStalled => Explained {
                actor: Actor::User,
                meaning: "A subscription or resource group does not exist, or not for the operator.",
                action: "Correct the id in `spec`, or `az group create --name GROUP --location LOCATION --subscription SUBSCRIPTION`.",
            },
            RollbackAboutToOpen => Explained {
                actor: Actor::Time,
                meaning: "A lost path is confirmed; status records that before anything is opened.",
                action: "None.",
            },
            RollbackBackoff => Explained {
                actor: Actor::Time,
                meaning: "The registry was opened again because a path was lost, and is locked again later.",
                action: "Repair the path until then; a change of `spec` tries at once.",
            },
            NotGrantedStalled => Explained {
                actor: Actor::Administrator,
                meaning: "The object names something in Azure that no RegistryGrant lets its namespace name. What is locked stays locked; where it is the registry itself, nothing of Azure is even read.",
                action: "Whoever administers the operator: `kubectl get registrygrants -o yaml` shows what is granted, `kubectl edit registrygrant NAME` adds the entry that the message names. Or take it out of `spec`.",
            },
            EndpointNotGrantedStalled => Explained {
                actor: Actor::Administrator,
                meaning: "A private endpoint that the spec no longer wants stands where no RegistryGrant lets the namespace write any more: it stays.",
                action: "Grant its subnet, resource group and zones again (`kubectl edit registrygrant NAME`), or `az network private-endpoint delete --ids ENDPOINT`.",
            },
            SubnetAbsentStalled => Explained {
                actor: Actor::User,
                meaning: "The subnet of an entry does not exist.",
                action: "Create it, or correct `spec.endpoints[].subnetResourceId`.",
            },
            ZoneAbsentStalled => Explained {
                actor: Actor::User,
                meaning: "A private DNS zone that the spec names does not exist, or none is named.",
                action: "Create it, or correct `spec.endpoints[].dns.privateDnsZoneResourceIds`.",
            },
            DnsByPolicyStalled => Explained {
                actor: Actor::DnsOwner,
                meaning: "No Azure Policy makes the zone group, or its records are missing or wrong, and waiting does not help.",
                action: "Assign and remediate one: `az policy remediation create --name NAME --policy-assignment ASSIGNMENT --resource-group GROUP`; or change `spec.endpoints[].dns.mode`.",
            },
            DnsChangeStalled => Explained {
                actor: Actor::User,
                meaning: "The spec asks for a change of names that cuts clients off while public access is closed.",
                action: "Undo that change, or set `spec.publicAccess.desired: Enabled` first.",
            },
            ClaimedElsewhereStalled => Explained {
                actor: Actor::User,
                meaning: "Another SecureRegistry holds this Azure registry.",
                action: "Delete one of the two: `kubectl delete sreg NAME -n NAMESPACE`.",
            },
            ForeignResourceStalled => Explained {
                actor: Actor::User,
                meaning: "Something has the name that is needed and is not ours.",
                action: "As the message says: another resource group (`spec.endpoints[].resourceGroupResourceId`), another zone, or remove what nobody uses.",
            },
            ZoneLinkedElsewhereStalled => Explained {
                actor: Actor::User,
                meaning: "A network is linked to another zone of the same name.",
                action: "Take it out of `spec.endpoints[].dns.linkVirtualNetworks`, or use that zone with `dns.mode: Existing`.",
            },
            DenyAssignmentStalled => Explained {
                actor: Actor::User,
                meaning: "A deny assignment of Azure's own forbids the write; no role helps.",
                action: "Set `spec.registry.managedResourceGroupAccess: GrantOperator`.",
            },
            PermissionStalled => Explained {
                actor: Actor::User,
                meaning: "The operator's identity lacks a right.",
                action: "Whoever may grant it: `az role assignment create --assignee-object-id PRINCIPAL --assignee-principal-type ServicePrincipal --role ROLE --scope SCOPE`; the message has the values.",
            },
            SignInStalled => Explained {
                actor: Actor::Administrator,
                meaning: "The operator's credential is refused.",
                action: "Renew it: `kubectl get deployment -A -l app.kubernetes.io/name=secure-registry-operator -o yaml` shows which it uses.",
            },
            ConnectionRejectedStalled => Explained {
                actor: Actor::Approver,
                meaning: "The owner of a target rejected the connection.",
                action: "Settle it with that owner (Azure approves none that was rejected), then `az network private-endpoint delete --ids ENDPOINT`: it is requested again.",
            },
            ConnectionRemovedStalled => Explained {
                actor: Actor::User,
                meaning: "A connection was removed on the target's side.",
                action: "`az network private-endpoint delete --ids ENDPOINT`: it is made again and proven. A BreakGlass helps whoever is cut off until then.",
            },
            ResourceLockedStalled => Explained {
                actor: Actor::User,
                meaning: "A resource lock keeps something from being removed.",
                action: "Whoever set it removes it: `az lock delete --ids LOCK`.",
            },
            TargetLockedStalled => Explained {
                actor: Actor::User,
                meaning: "A resource lock keeps a target from being closed, and from being opened again.",
                action: "Whoever set it removes it: `az lock delete --ids LOCK`.",
            },
            RefusedStalled => Explained {
                actor: Actor::User,
                meaning: "Azure refuses a write for good.",
                action: "As the table of codes below says; the message has the values.",
            },
            EndpointFailedStalled => Explained {
                actor: Actor::User,
                meaning: "A private endpoint could not be made.",
                action: "As the table of codes below says; a full subnet: another one in `spec.endpoints[].subnetResourceId`.",
            },
            PathLostStalled => Explained {
                actor: Actor::User,
                meaning: "A path was lost after the lock.",
                action: "Repair the hop that the message names, or open with a BreakGlass; `kubectl get connectivityprobes -A -o yaml` shows what agents see.",
            },
            SettingNotUnderstoodStalled => Explained {
                actor: Actor::User,
                meaning: "A target says of its public access what this version does not know.",
                action: "Set it: `az resource update --ids TARGET --set properties.publicNetworkAccess=Enabled`, or use a version that knows it.",
            },
            SnapshotUnreadableStalled => Explained {
                actor: Actor::Administrator,
                meaning: "The snapshot of what was before the lock holds nonsense.",
                action: "Put the ConfigMap right, or delete it: `kubectl get configmaps -A --field-selector metadata.name=NAME`.",
            },
            BreakGlassStalled => Explained {
                actor: Actor::User,
                meaning: "A break-glass has no effect, or nothing is locked after it.",
                action: "Set `spec.managementPolicy: Enforce`, or put right what is wrong in `spec`.",
            },
            PlanRefusedStalled => Explained {
                actor: Actor::Administrator,
                meaning: "A defect of the operator; nothing is written.",
                action: "Report it, with what `kubectl get sreg NAME -n NAMESPACE -o yaml` says.",
            },
        }
    }
}
