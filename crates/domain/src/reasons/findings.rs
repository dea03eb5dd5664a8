//! What each finding means to a person.

use super::{Actor, Explained, FindingReason};

impl FindingReason {
    /// What it means, and what to do.
    pub fn explained(self) -> Explained {
        use FindingReason::*;
        match self {
            PrivateRegistryLimits => Explained {
                actor: Actor::User,
                meaning: "What a private registry cannot do.",
                action: "Build environments in a workspace, then share them.",
            },
            BypassKept => Explained {
                actor: Actor::User,
                meaning: "Storage or container registry keeps a bypass or resource rules.",
                action: "None, where they are wanted; else `az storage account update --ids ACCOUNT --bypass None`.",
            },
            ResourceRulesKept => Explained {
                actor: Actor::User,
                meaning: "Resource rules let somebody into the registry's own storage, also while it is closed; this SecureRegistry does not ask for them.",
                action: "The message has the command that removes each; or leave them, where they are wanted.",
            },
            OtherWaysIn => Explained {
                actor: Actor::User,
                meaning: "A way in that closing does not close, or that opens with it again.",
                action: "The message has the command that closes it.",
            },
            OpeningNotGranted => Explained {
                actor: Actor::Administrator,
                meaning: "No RegistryGrant lets anybody of the namespace open the registry again: a BreakGlass has no effect.",
                action: "None, where that is meant; else `kubectl edit registrygrant NAME` and add `Open` to the operations.",
            },
            GrantDemands => Explained {
                actor: Actor::User,
                meaning: "A RegistryGrant demands more than the spec does, and that holds.",
                action: "None; write it into `spec` so that both say the same.",
            },
            IntervalRaised => Explained {
                actor: Actor::User,
                meaning: "The spec asks for a shorter interval than the operator serves; its shortest one holds.",
                action: "None; `kubectl edit sreg NAME` and write the interval that holds.",
            },
            TakenOver => Explained {
                actor: Actor::User,
                meaning: "An object of another name that is gone held this Azure registry; a RegistryGrant lets this one go on with it.",
                action: "None.",
            },
            ClosingForbidden => Explained {
                actor: Actor::User,
                meaning: "A policy may forbid what closing writes.",
                action: "Remove the resource rules, or `az policy exemption create`, as the message says.",
            },
            RulesNotPutBack => Explained {
                actor: Actor::User,
                meaning: "Azure refused rules that were there before the lock.",
                action: "Repair what they name, or put them back with the command in the message.",
            },
            NothingToRestore => Explained {
                actor: Actor::User,
                meaning: "What a BreakGlass does not restore: a target of which nothing is kept (created closed, closed before the object came, its snapshot deleted), or one that was closed before the lock.",
                action: "None; the first is opened fully, from every network, the second stays closed.",
            },
            RulesClose => Explained {
                actor: Actor::User,
                meaning: "The lock takes rules away.",
                action: "Tell whoever comes in by them, or list their network under `spec.clientNetworks`.",
            },
            SubnetRulesNotShown => Explained {
                actor: Actor::User,
                meaning: "A container registry lets in selected networks only, and the API version that this cloud is asked with does not name its subnet rules: the lock may take some away, and could not put them back.",
                action: "The message has the command that lists them; tell whoever comes in by them, and write them down.",
            },
            SecuredByPerimeter => Explained {
                actor: Actor::User,
                meaning: "A network security perimeter decides who comes in, and closing takes that away.",
                action: "Take it out of the perimeter, or approve the lock with a ChangeApproval.",
            },
            SecondaryHosts => Explained {
                actor: Actor::User,
                meaning: "Storage has secondary hosts, which nothing proves.",
                action: "Have clients use the primary hosts.",
            },
            HostWaived => Explained {
                actor: Actor::User,
                meaning: "A host is proven from nowhere, because the spec waives it.",
                action: "Take it out of `spec.unprovenHosts` if a client needs it.",
            },
            ReopeningForbidden => Explained {
                actor: Actor::User,
                meaning: "Something would forbid opening again.",
                action: "Remove it, or acknowledge it by a ChangeApproval for the lockdown.",
            },
            NamesOfOthers => Explained {
                actor: Actor::User,
                meaning: "A zone link hides names of other registries from its network.",
                action: "Set `spec.endpoints[].dns.resolutionPolicy: NxDomainRedirect`.",
            },
            EndpointReleased => Explained {
                actor: Actor::User,
                meaning: "An endpoint that is no longer wanted stays while public access is not open, or while networks that ask its zones would get no answer.",
                action: "None while locked: after opening it is removed. Otherwise delete the links that the message names: `az network private-dns link vnet delete`.",
            },
            Drift => Explained {
                actor: Actor::Time,
                meaning: "Azure differs from what was settled.",
                action: "None: it is repaired. `az monitor activity-log list --resource-id ID --offset 1h` says who changed it.",
            },
            AlsoChanged => Explained {
                actor: Actor::User,
                meaning: "With a write of the operator's, fields changed that the write does not name: a policy with the effect Modify, Azure itself or somebody at the same moment did that.",
                action: "`az monitor activity-log list --resource-id ID --offset 1d` says who; nothing is put back.",
            },
            WouldDo => Explained {
                actor: Actor::User,
                meaning: "Under Observe: what would be done.",
                action: "Set `spec.managementPolicy: Enforce` to have it done.",
            },
            WouldWait => Explained {
                actor: Actor::User,
                meaning: "Under `managementPolicy: Observe`: what the operator would wait for.",
                action: "None.",
            },
            SharedAccount => Explained {
                actor: Actor::User,
                meaning: "The lock closes an account that others use too; this was acknowledged.",
                action: "None.",
            },
            PublicClient => Explained {
                actor: Actor::User,
                meaning: "A client came from a public address.",
                action: "Move it, or list it under `spec.verification.recentPublicClients.accept`.",
            },
            ForeignZoneGroup => Explained {
                actor: Actor::DnsOwner,
                meaning: "A zone group that the operator did not make serves the endpoint.",
                action: "None: it is left alone.",
            },
            NameChangeHeld => Explained {
                actor: Actor::Approver,
                meaning: "A write that changes names waits for approval; whom it touches.",
                action: "Create a ChangeApproval, as `status.waitingFor` says.",
            },
            LinkWithoutEffect => Explained {
                actor: Actor::DnsOwner,
                meaning: "A zone link changes nothing for its machines, because they ask other DNS servers.",
                action: "Have those servers forward to Azure DNS, or link their network.",
            },
            SettingDiffers => Explained {
                actor: Actor::User,
                meaning: "A setting of something that exists differs from the spec, and cannot be changed in place.",
                action: "Name the setting that it has, or delete it while public access is open: `az network private-endpoint delete --ids ENDPOINT`.",
            },
            RightsNotKnown => Explained {
                actor: Actor::User,
                meaning: "Rights could not be looked at beforehand.",
                action: "Give the operator `Microsoft.Authorization/permissions/read` there: without it what is lacking shows at the first write, and no list is believed.",
            },
            ZoneGroupPolicyNotSeen => Explained {
                actor: Actor::DnsOwner,
                meaning: "An endpoint is made though no policy is seen to make its zone group.",
                action: "Give the operator the right to read policy assignments, or see to it that one is assigned.",
            },
            RecordsNotRead => Explained {
                actor: Actor::DnsOwner,
                meaning: "Records that a policy has written cannot be read, so they are not compared.",
                action: "Grant the role Reader on the zone that the message names: `az role assignment create`.",
            },
            SubnetsDiffer => Explained {
                actor: Actor::User,
                meaning: "Endpoints stand in different subnets of one network.",
                action: "Put them into the workspace endpoint's subnet (`spec.endpoints[].subnetResourceId`) if components are used.",
            },
            BreakGlassEnded => Explained {
                actor: Actor::User,
                meaning: "A break-glass has used up the longest time.",
                action: "Repair what it was for; locked again, the time begins anew.",
            },
            RolledBack => Explained {
                actor: Actor::User,
                meaning: "A path was lost after the lock and the registry was opened again.",
                action: "Repair that path: `kubectl get connectivityprobes -A -o yaml`.",
            },
            LeftOut => Explained {
                actor: Actor::User,
                meaning: "An item of a list in Azure makes no sense and is left out.",
                action: "None, or remove it in Azure.",
            },
            TagLost => Explained {
                actor: Actor::User,
                meaning: "Something of ours lost its owner tag.",
                action: "None where it is tagged again; else `az tag update --resource-id ID --operation Merge --tags TAG=OWNER`.",
            },
            OnlyTagged => Explained {
                actor: Actor::User,
                meaning: "Something carries our owner tag, and is not ours.",
                action: "`az tag update --resource-id ID --operation Delete --tags TAG=OWNER`.",
            },
            UpkeepFailing => Explained {
                actor: Actor::User,
                meaning: "A write that nothing waits for does not succeed or does not last.",
                action: "As the message says; `az monitor activity-log list --resource-id ID --offset 1h` says who undoes it.",
            },
            RelockNeedsApproval => Explained {
                actor: Actor::Approver,
                meaning: "After the break-glass the lock will wait for an approval that is not there.",
                action: "Create a ChangeApproval with the digest in the message before it ends.",
            },
            LeftInPlace => Explained {
                actor: Actor::User,
                meaning: "On deletion: something of ours is left in place.",
                action: "Remove it by hand once no client needs it: `az network private-endpoint delete --ids ENDPOINT`.",
            },
            LeftOpen => Explained {
                actor: Actor::User,
                meaning: "On deletion: public access is left open.",
                action: "Close it by hand if it should be closed: `az resource update --ids REGISTRY --set properties.publicNetworkAccess=Disabled`.",
            },
        }
    }
}
