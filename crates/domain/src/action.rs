//! What can be done, and what came of it. A step is complete: executing it leaves nothing to decide. The JSON bodies are the
//! Azure client's business; here is what goes into them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sreg_api::probe::ConnectivityProbeSpec;
use sreg_api::registry::ResolutionPolicy;

use crate::call_failure::CallFailure;
use crate::digest::Digest;
use crate::ids::{ArmId, Location};
use crate::network_rules::NetworkRule;
use crate::step::StepId;
use crate::target::{EndpointGroup, TargetKind, kind_of};
use crate::withheld::Withheld;

/// One effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// In the cluster.
    Cluster(ClusterAction),
    /// In Azure.
    Azure(AzureAction),
}

impl Action {
    fn is_azure(&self, which: impl Fn(&AzureAction) -> bool) -> bool {
        matches!(self, Action::Azure(azure) if which(azure))
    }

    /// Whether it closes public access.
    pub fn closes(&self) -> bool {
        self.is_azure(AzureAction::is_closing)
    }

    /// Whether it opens public access.
    pub fn opens(&self) -> bool {
        self.is_azure(AzureAction::is_opening)
    }

    /// Whether nothing waits for it and nobody depends on it.
    pub fn is_upkeep(&self) -> bool {
        self.is_azure(AzureAction::is_upkeep)
    }

    /// Whether names may answer differently for somebody after it.
    pub fn changes_names(&self) -> bool {
        self.is_azure(AzureAction::changes_names)
    }

    /// What it does, in metrics: a closed set. An edit is called what it changes.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Cluster(action) => action.into(),
            Action::Azure(AzureAction::Edit { edit, .. }) => edit.into(),
            Action::Azure(action) => action.into(),
        }
    }

    /// All that [`Action::name`] can say.
    pub fn names() -> impl Iterator<Item = &'static str> {
        use strum::VariantNames;
        let azure = AzureAction::VARIANTS.iter().filter(|name| **name != "edit");
        ClusterAction::VARIANTS
            .iter()
            .chain(azure)
            .chain(Edit::VARIANTS)
            .copied()
    }

    /// Whether it only tells people something. Such a step holds nothing up, whatever comes of it.
    pub fn only_tells(&self) -> bool {
        matches!(
            self,
            Action::Cluster(ClusterAction::MarkProbe { .. } | ClusterAction::PublishDns { .. })
        )
    }
}

/// One effect in the cluster.
#[derive(Debug, Clone, PartialEq, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ClusterAction {
    /// Take the Lease that says who owns the Azure registry, by create.
    Claim {
        /// Name of the Lease in the operator's namespace.
        lease: String,
        /// Uid of the holder, gone by now, that it is taken over from; `None`: nobody holds it.
        from: Option<String>,
    },
    /// Record in that Lease, if it is still ours, that this object is about to create the registry.
    RecordCreation {
        /// Name of the Lease.
        lease: String,
        /// What the registry is to carry as its tag `secureregistry-created`.
        mark: String,
    },
    /// Delete that Lease, if it is still ours.
    ReleaseClaim {
        /// Name of the Lease.
        lease: String,
    },
    /// Put our finalizer on the object.
    AddFinalizer,
    /// Take our finalizer off; the last step of a teardown.
    RemoveFinalizer,
    /// Write what will be changed by the lock, and what was proven, to the ConfigMap.
    WriteSnapshot {
        /// Name of the ConfigMap in the operator's namespace.
        config_map: String,
        /// Its content.
        snapshot: Snapshot,
    },
    /// Delete that ConfigMap (after the registry was opened again, or on deletion).
    DeleteSnapshot {
        /// Name of the ConfigMap.
        config_map: String,
    },
    /// Make or change one probe, outside rounds.
    ApplyProbe(ProbeWrite),
    /// Open a proof round: the same number and subject into all probes. Its age counts from before the first write.
    OpenRound {
        /// Random number.
        number: i64,
        /// What is being proven.
        subject: Digest,
        /// All probes of the object.
        probes: Vec<ProbeWrite>,
    },
    /// Write what external DNS must answer into a ConfigMap: it tells people, and nothing depends on it.
    PublishDns {
        /// Name of the ConfigMap in the operator's namespace.
        config_map: String,
        /// Everything that it holds. Empty: the ConfigMap goes.
        data: BTreeMap<String, String>,
    },
    /// Delete that ConfigMap, because its object is going: it must not outlive the claim, since only who holds that may delete it.
    DeletePublishedDns {
        /// Name of the ConfigMap.
        config_map: String,
    },
    /// Mark a probe whose agent does not report, or take that mark away: it tells people, and nothing depends on it.
    MarkProbe {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Since when; `None`: its agent reports.
        silent_since: Option<Timestamp>,
    },
    /// Delete a probe whose vantage point is no longer named.
    DeleteProbe {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
}

/// A probe's wanted spec.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeWrite {
    /// Namespace of the vantage point.
    pub namespace: String,
    /// Deterministic name.
    pub name: String,
    /// The whole spec.
    pub spec: ConnectivityProbeSpec,
}

/// One effect in Azure.
#[derive(Debug, Clone, PartialEq, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum AzureAction {
    /// Create the registry, closed from birth.
    CreateRegistry {
        /// Its id.
        id: ArmId,
        /// Regions, primary first.
        locations: Vec<Location>,
        /// Our tags and the owner mark.
        tags: BTreeMap<String, String>,
        /// Principals for `managedResourceGroupSettings.assignedIdentities`.
        assigned_identities: Vec<String>,
    },
    /// Set these tags on the registry, keeping all others (PATCH after a fresh read).
    SetTags {
        /// The registry.
        id: ArmId,
        /// Tags that are missing or differ.
        tags: BTreeMap<String, String>,
        /// Names of tags to take away.
        removed: Vec<String>,
        /// What the plan saw.
        expected: Digest,
    },
    /// Add tags to something that we made, or put back our owner tag, keeping all others (a merge by Azure).
    MergeTags {
        /// A private endpoint, zone or link.
        id: ArmId,
        /// Tags that are missing or differ.
        tags: BTreeMap<String, String>,
        /// The owner mark: nothing that carries another one is touched.
        owner: String,
    },
    /// Add our principal to `assignedIdentities` (full read–modify–write PUT).
    GrantManagedGroupAccess {
        /// The registry.
        id: ArmId,
        /// Object id to add.
        principal: String,
        /// What the plan saw.
        expected: Digest,
    },
    /// Create a private endpoint (never over an existing resource).
    CreateEndpoint {
        /// Deterministic id.
        id: ArmId,
        /// The virtual network's region.
        location: Location,
        /// Subnet.
        subnet: ArmId,
        /// Target.
        target: ArmId,
        /// Group.
        group: EndpointGroup,
        /// `Some(message)`: a request that somebody else approves.
        manual_request: Option<String>,
        /// Tags, besides the owner mark.
        tags: BTreeMap<String, String>,
        /// The owner mark.
        owner: String,
    },
    /// Delete a private endpoint that carries our mark.
    DeleteEndpoint {
        /// Its id.
        id: ArmId,
        /// The mark it must carry when it is read just before.
        owner: String,
    },
    /// Create a zone if it is absent (`If-None-Match: *`).
    CreateZone {
        /// Its id.
        id: ArmId,
        /// Tags, besides the owner mark.
        tags: BTreeMap<String, String>,
        /// The owner mark.
        owner: String,
    },
    /// Link a virtual network to a zone if it is not linked (`If-None-Match: *`); a link of that id gets this resolution policy.
    LinkZone {
        /// Id of the link.
        id: ArmId,
        /// The network.
        virtual_network: ArmId,
        /// What the link does with other names.
        resolution_policy: ResolutionPolicy,
        /// Tags, besides the owner mark.
        tags: BTreeMap<String, String>,
        /// The owner mark.
        owner: String,
    },
    /// Create our zone group below our endpoint.
    PutZoneGroup {
        /// Its id.
        id: ArmId,
        /// Zones to write records into.
        zones: Vec<ArmId>,
        /// The mark: below an endpoint that carries another one nothing is written.
        owner: String,
    },
    /// Delete our zone group below our endpoint.
    DeleteZoneGroup {
        /// Its id.
        id: ArmId,
        /// The mark that its endpoint must carry when it is read just before.
        owner: String,
    },
    /// Read, compare with what the plan saw, apply the edit, write at once, read again.
    Edit {
        /// Which of the three.
        target: TargetKind,
        /// Its id.
        id: ArmId,
        /// What changes.
        edit: Edit,
        /// What the plan saw: another digest means that the plan is stale and nothing is written.
        expected: Digest,
    },
}

/// A change of network settings. Fields that are `None` stay as they are; everything else in the body is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "snake_case")]
pub enum Edit {
    /// `publicNetworkAccess: Disabled`; on storage and ACR also `defaultAction: Deny` and no ip or VNet rules; `bypass` and
    /// resource rules are kept. On storage with resource rules `publicNetworkAccess` stays `Enabled`, because `Disabled`
    /// would stop those rules too (azure.md §1.7).
    Close,
    /// Put back exactly these settings (the shape of `network` in the target's `Seen`; for the registry
    /// `{"publicNetworkAccess": …}`): first the switch and the default action, then the rules. Rules that Azure refuses are left
    /// out, one by one, and named in the effect.
    Restore(serde_json::Value),
    /// `publicNetworkAccess: Enabled`, and on storage and ACR `defaultAction: Allow`: where no snapshot tells what was.
    Open,
    /// Add a resource-instance rule for this registry to a workspace's storage.
    AllowResource {
        /// The registry.
        resource: ArmId,
        /// Its tenant.
        tenant: String,
    },
}

impl Edit {
    /// Whether it opens public access.
    pub fn opens(&self) -> bool {
        matches!(self, Edit::Restore(_) | Edit::Open)
    }
}

impl AzureAction {
    /// The private endpoint on whose end it works: itself, or its zone group. `None`: it removes nothing of one.
    pub fn removed_endpoint(&self) -> Option<ArmId> {
        if let AzureAction::DeleteZoneGroup { id, .. } = self {
            return id.parent();
        }
        self.removes().cloned()
    }

    /// The resource that it changes.
    pub fn resource(&self) -> &ArmId {
        match self {
            AzureAction::CreateRegistry { id, .. }
            | AzureAction::SetTags { id, .. }
            | AzureAction::MergeTags { id, .. }
            | AzureAction::GrantManagedGroupAccess { id, .. }
            | AzureAction::CreateEndpoint { id, .. }
            | AzureAction::DeleteEndpoint { id, .. }
            | AzureAction::CreateZone { id, .. }
            | AzureAction::LinkZone { id, .. }
            | AzureAction::PutZoneGroup { id, .. }
            | AzureAction::DeleteZoneGroup { id, .. }
            | AzureAction::Edit { id, .. } => id,
        }
    }

    /// Whether nothing waits for it and nobody depends on it: tags, sharing, our exemption.
    pub fn is_upkeep(&self) -> bool {
        matches!(
            self,
            AzureAction::SetTags { .. }
                | AzureAction::MergeTags { .. }
                | AzureAction::GrantManagedGroupAccess { .. }
                | AzureAction::Edit {
                    edit: Edit::AllowResource { .. },
                    ..
                }
        )
    }

    /// Whether it closes public access on something that may have clients: the write that the fence stands before.
    pub fn is_closing(&self) -> bool {
        matches!(self, AzureAction::Edit { edit: Edit::Close, .. })
    }

    /// Whether it opens public access.
    pub fn is_opening(&self) -> bool {
        matches!(
            self,
            AzureAction::Edit {
                edit,
                ..
            } if edit.opens()
        )
    }

    /// The resource that it deletes.
    pub fn removes(&self) -> Option<&ArmId> {
        match self {
            AzureAction::DeleteEndpoint { id, .. } | AzureAction::DeleteZoneGroup { id, .. } => Some(id),
            AzureAction::CreateRegistry { .. }
            | AzureAction::SetTags { .. }
            | AzureAction::MergeTags { .. }
            | AzureAction::GrantManagedGroupAccess { .. }
            | AzureAction::CreateEndpoint { .. }
            | AzureAction::CreateZone { .. }
            | AzureAction::LinkZone { .. }
            | AzureAction::PutZoneGroup { .. }
            | AzureAction::Edit { .. } => None,
        }
    }

    /// Whether names may answer differently for somebody after it (design: name-changing writes).
    pub fn changes_names(&self) -> bool {
        matches!(
            self,
            AzureAction::CreateEndpoint { .. }
                | AzureAction::DeleteEndpoint { .. }
                | AzureAction::LinkZone { .. }
                | AzureAction::PutZoneGroup { .. }
                | AzureAction::DeleteZoneGroup { .. }
        )
    }
}

/// What was before the lock, and what was proven for it. Survives in a ConfigMap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The object that wrote it: `namespace/name`.
    pub holder: String,
    /// Per target id (as Azure spells it): its kind and network settings before the first closing write.
    pub targets: BTreeMap<String, SnapshotTarget>,
    /// Digest of the evidence that the lock was based on.
    pub evidence_digest: Digest,
    /// The registry's managed resource group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_resource_group: Option<ArmId>,
    /// An opening restored it but for rules that Azure refused. What it holds was there before a lock, whatever status remembers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored_in_part: bool,
    /// When an opening had put back all that it holds, while a closing write might still be on its way. From then on it is of no lock; it
    /// tells only what such a write has taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Timestamp>,
}

impl Snapshot {
    /// The accounts that this object (`namespace/name`) holds and that stand in the registry's managed resource group: the registry's
    /// own, whatever it names now. Accounts elsewhere are somebody else's too, and only the registry tells whether it still shares them.
    pub fn own_accounts(&self, holder: &str) -> impl Iterator<Item = (TargetKind, ArmId)> {
        let ours = self.holder == holder;
        let accounts = self.targets.iter().filter(move |_| ours);
        accounts.filter_map(|(id, target)| {
            let id = id.parse::<ArmId>().ok()?;
            let is_account = target.kind != TargetKind::Registry && kind_of(&id) == Some(target.kind);
            let is_own = id
                .resource_group_id()
                .is_some_and(|group| self.managed_resource_group == Some(group));
            (is_account && is_own).then_some((target.kind, id))
        })
    }

    /// Whether it is about the registry that is there now, and not about one of the same name that is gone: some account that it holds stands
    /// behind this one too. Azure names the accounts of a new registry anew. Where accounts are not known on either side it is.
    pub fn is_about<'a>(&self, accounts: impl Iterator<Item = &'a ArmId>) -> bool {
        let held: Vec<&String> = self
            .targets
            .iter()
            .filter(|(_, target)| target.kind != TargetKind::Registry)
            .map(|(id, _)| id)
            .collect();
        let mut accounts = accounts.peekable();
        let known = !held.is_empty() && accounts.peek().is_some();
        !known || accounts.any(|account| held.iter().any(|id| account.key().eq_ignore_ascii_case(id)))
    }
}

/// Network settings of one target before the lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotTarget {
    /// Which of the three.
    pub kind: TargetKind,
    /// The settings, in Azure's shape.
    pub network: serde_json::Value,
}

/// A long-running operation that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The step that started it.
    pub step: StepId,
    /// The resource that it changes.
    pub resource: ArmId,
    /// Where its state can be read.
    pub poll_url: String,
    /// When it was started.
    pub started_at: Timestamp,
}

/// What came of a step that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Done, and read back. Names every changed field that was not ours.
    Done {
        /// JSON pointers of fields that changed besides the edit.
        also_changed: Vec<String>,
        /// Rules that Azure refused: the rest was written without them.
        left_out: Vec<LeftOut>,
    },
    /// Started; Azure goes on by itself.
    Started(Operation),
    /// The world was not as the plan saw it: nothing was written.
    Stale(String),
}

/// What was attempted where there was not even a token to call with.
pub const SIGN_IN: &str = "sign in to Azure";

/// A rule of a target's firewall without which a write went out, because Azure refused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The rule.
    pub rule: NetworkRule,
    /// Why, in Azure's words.
    pub failure: CallFailure,
}

impl Effect {
    /// Done, with nothing to tell.
    pub const fn done() -> Effect {
        Effect::Done {
            also_changed: Vec::new(),
            left_out: Vec::new(),
        }
    }
}

/// What came of one step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOutcome {
    /// Which step.
    pub step: StepId,
    /// What it was to do.
    pub action: Action,
    /// What came of it.
    pub result: StepResult,
}

/// What came of one step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepResult {
    /// Carried out.
    Effect(Effect),
    /// Failed.
    Failed(CallFailure),
    /// Not attempted: the fence, the leadership or an earlier step said no.
    Withheld(Withheld),
}

/// What came of a whole plan: only from this a status can be built.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// In the order in which they ended.
    pub steps: Vec<StepOutcome>,
    /// The last closing write of this visit passed its fence with this evidence.
    pub locked_with: Option<Digest>,
}
