//! What the operator will do about an object once it is applied, as far as can be told without a cluster. Pure.

use std::fmt;

use sreg_api::vantage_point::VantageNetwork;
use sreg_domain::desired::NetworkPlace;
use sreg_domain::seen::{Claim, Fact, VantagePointSeen};
use sreg_domain::{Action, AzureAction, ClusterAction, Desired, Seen, StepKind, TargetKind, TargetSeen};
use sreg_planner::plan::{AccessAssessment, Finding, PathAssessment, Plan, Step, Wait, WaitReason};
use sreg_planner::{closing_ahead, plan};

use crate::documents::Documents;

/// What will come of one object.
#[derive(Debug, Clone)]
pub struct Prospect {
    /// What is desired.
    pub desired: Desired,
    /// What was seen when the plan was made; of the cluster, what a new object finds.
    pub seen: Seen,
    /// What is written to Azure now, in order; the steps of one wave at once. What else will be written before the lock is waited for.
    pub waves: Vec<Vec<Step>>,
    /// What closes public access, once every path is proven and nothing is waited for.
    pub closing: Vec<Step>,
    /// What is waited for.
    pub waits: Vec<ProspectWait>,
    /// Worth knowing.
    pub findings: Vec<Finding>,
    /// How public access stands.
    pub access: Vec<AccessAssessment>,
    /// Every path that will be proven, with what it must lead to; none while endpoints lack names or addresses.
    pub paths: Vec<PathAssessment>,
    /// What nobody was asked, and what was taken for the answer.
    pub unasked: Vec<Unasked>,
}

/// A wait of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProspectWait {
    /// The wait.
    pub wait: Wait,
    /// Whether only a cluster can tell how it stands: it may be over there, or never have begun.
    pub only_a_cluster_can_tell: bool,
}

/// What a plan without a cluster goes without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unasked {
    /// No grant is in the files.
    Grants {
        /// Whose.
        namespace: String,
    },
    /// The registry's claim tag names an object of this name, in some cluster.
    ClaimTag {
        /// Id of that cluster.
        cluster: String,
    },
    /// Nothing says who holds the claim in the cluster.
    Claim,
    /// Approvals, emergencies, and what was before a lock.
    People,
    /// What agents see.
    Proof,
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unasked::Grants { namespace } => write!(
                f,
                "no RegistryGrant is among the files: whatever the object names counts as granted to namespace {namespace}"
            ),
            Unasked::ClaimTag { cluster } => write!(
                f,
                "the registry's claim tag names an object of this namespace and name, of cluster {cluster}: it is taken for this one"
            ),
            Unasked::Claim => f.write_str("no other object of the cluster is taken to hold the registry"),
            Unasked::People => f.write_str(
                "ChangeApprovals, BreakGlasses and what the cluster keeps of an earlier lock count for nothing here",
            ),
            Unasked::Proof => f.write_str("whether agents report, and which paths pass, is not known here"),
        }
    }
}

impl Prospect {
    /// Whether anything will be written to Azure.
    pub fn has_changes(&self) -> bool {
        !self.waves.is_empty() || !self.closing.is_empty()
    }

    /// Waits that say that the plan is not all there is to say: what was to be read of Azure could not be, or somebody has to change the
    /// spec, rights or Azure first.
    pub fn unanswered(&self) -> impl Iterator<Item = &Wait> {
        let answered_elsewhere = |wait: &&ProspectWait| !wait.only_a_cluster_can_tell;
        let waits = self.waits.iter().filter(answered_elsewhere).map(|wait| &wait.wait);
        waits.filter(|wait| wait.reason.is_stalled() || wait.reason == WaitReason::NotKnown)
    }
}

/// Plans for what was seen.
pub fn prospect(documents: &Documents, desired: Desired, seen: Seen) -> Prospect {
    let mut waves = Vec::new();
    let mut then = seen.clone();
    let mut planned = plan(&desired, &seen, seen.at);
    // Before a registry is created the claim records that, in a visit of its own. Here nothing stands in its way.
    if let Some(claim) = claim_that_creates(&desired, &planned) {
        then.cluster.claim = Fact::Seen(claim);
        planned = plan(&desired, &then, then.at);
    }
    // The claim tag stands alone in the plan of a new object, for whoever wrote another one at the same moment. Here nobody does.
    let claiming = in_azure(&planned);
    let only_claims = |step: &Step| step.id.kind == StepKind::ClaimInAzure;
    if !claiming.is_empty() && claiming.iter().flatten().all(only_claims) {
        claiming
            .iter()
            .flatten()
            .for_each(|step| set_tags(&mut then, &step.action));
        waves.extend(claiming);
        planned = plan(&desired, &then, then.at);
    }
    waves.extend(in_azure(&planned));
    Prospect {
        waves,
        closing: closing_ahead(&desired, &seen),
        waits: waits(&desired, &then, &planned),
        findings: planned.findings,
        access: planned.assessment.access,
        paths: planned.assessment.paths,
        unasked: unasked(documents, &desired, &seen),
        desired,
        seen,
    }
}

/// What is written in the cluster is the operator's own business: claim, finalizer, probes, what it tells people.
fn in_azure(plan: &Plan) -> Vec<Vec<Step>> {
    let waves = plan.waves.iter().map(|wave| {
        let steps = wave.iter().filter(|step| matches!(step.action, Action::Azure(_)));
        steps.cloned().collect::<Vec<Step>>()
    });
    waves.filter(|wave| !wave.is_empty()).collect()
}

/// The claim as it will be once it has recorded that this object sets about to create its registry.
fn claim_that_creates(desired: &Desired, plan: &Plan) -> Option<Claim> {
    let mut marks = plan.steps().filter_map(|step| match &step.action {
        Action::Cluster(ClusterAction::RecordCreation { mark, .. }) => Some(mark.clone()),
        Action::Cluster(_) | Action::Azure(_) => None,
    });
    Some(Claim::of(&desired.object, Some(marks.next()?)))
}

fn set_tags(seen: &mut Seen, action: &Action) {
    let Action::Azure(AzureAction::SetTags { tags, .. }) = action else {
        return;
    };
    let registries = seen.azure.targets.seen_of_mut(TargetKind::Registry);
    for registry in registries.filter_map(TargetSeen::registry_mut) {
        registry.tags.extend(tags.clone());
    }
}

fn unasked(documents: &Documents, desired: &Desired, seen: &Seen) -> Vec<Unasked> {
    let grants = documents.grants.is_empty().then(|| Unasked::Grants {
        namespace: desired.object.namespace.clone(),
    });
    let claim = match &seen.cluster.claim {
        Fact::Seen(_) => Unasked::ClaimTag {
            cluster: desired.cluster.clone(),
        },
        Fact::Absent | Fact::Unknown(_) => Unasked::Claim,
    };
    let mut unasked: Vec<Unasked> = grants.into_iter().collect();
    unasked.extend([claim, Unasked::People]);
    unasked.extend((!desired.client_networks().is_empty()).then_some(Unasked::Proof));
    unasked
}

/// A wait that goes once every vantage point is there and reports, and the snapshot is read, is one for the cluster; so is every approval.
fn waits(desired: &Desired, seen: &Seen, planned: &Plan) -> Vec<ProspectWait> {
    let mut settled = seen.clone();
    settled.cluster.vantage_points = vantage_points_at_work(desired);
    settled.cluster.snapshot = Fact::Absent;
    let remaining = plan(desired, &settled, seen.at).waits;
    let waits = planned.waits.iter().map(|wait| {
        let only_a_cluster_can_tell = is_approval(wait.reason) || !remaining.contains(wait);
        ProspectWait {
            wait: wait.clone(),
            only_a_cluster_can_tell,
        }
    });
    waits.collect()
}

/// What is approved is named by a digest that only the cluster's object has.
fn is_approval(reason: WaitReason) -> bool {
    matches!(
        reason,
        WaitReason::NameChangesApproval | WaitReason::LockdownApproval | WaitReason::OpeningApproval
    )
}

fn vantage_points_at_work(desired: &Desired) -> std::collections::BTreeMap<String, Fact<VantagePointSeen>> {
    let networks = desired.client_networks().iter();
    let points = networks.map(|network| {
        let (kind, virtual_network) = match &network.place {
            NetworkPlace::VirtualNetwork(id) => (VantageNetwork::VirtualNetwork, Some(id.clone())),
            NetworkPlace::OnPremises(_) => (VantageNetwork::OnPremises, None),
        };
        let point = VantagePointSeen {
            uid: String::new(),
            generation: 1,
            network: kind,
            virtual_network,
            namespace: network.vantage_point.clone(),
            service_account: String::new(),
            alive: Fact::Seen(true),
            renewed: None,
        };
        (network.vantage_point.clone(), Fact::Seen(point))
    });
    points.collect()
}
