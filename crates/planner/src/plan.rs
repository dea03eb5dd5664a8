//! What a plan is: immutable data, detailed enough that carrying it out involves no choice. It lists what to do, what it
//! waits for and why, and what it thinks of the world; status, events and the command line print it.

use std::time::Duration;

use sreg_api::conditions::State;
use sreg_api::probe::{Hop, ProbePath};
pub use sreg_domain::reasons::{Actor, FindingReason, WaitReason};
use sreg_domain::{Action, ArmId, ClusterAction, Digest, EndpointGroup, Grants, StepId, TargetKind};

/// One effect to bring about.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Stable name.
    pub id: StepId,
    /// Complete: id, edit or body, precondition.
    pub action: Action,
    /// Whom it can cut off before any lock: sentences for people, empty for most steps.
    pub touches: Vec<String>,
}

/// What to do about one registry now.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Steps of one wave may run at once; a wave begins only when every step of the one before is done (a started
    /// long-running operation is not). Closing writes always stand alone in the first wave.
    pub waves: Vec<Vec<Step>>,
    /// Why nothing more is done. Empty exactly when settled or when steps remain.
    pub waits: Vec<Wait>,
    /// Worth knowing, holding nothing up.
    pub findings: Vec<Finding>,
    /// When to look again if nothing happens, before jitter.
    pub next_look: Duration,
    /// When something is due apart from the steps: a window opens, a break-glass ends, a wait is looked at again. What came of the
    /// steps never puts off the next look beyond that.
    pub due: Duration,
    /// What the plan thinks of the world.
    pub assessment: Assessment,
}

impl Plan {
    /// All steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.waves.iter().flatten()
    }

    /// Whether it takes the claim on the registry: whatever else it holds is planned for after that.
    pub fn takes_claim(&self) -> bool {
        self.steps()
            .any(|step| matches!(step.action, Action::Cluster(ClusterAction::Claim { .. })))
    }
}

/// One reason for not going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// From a closed set.
    pub reason: WaitReason,
    /// What exactly is waited for, and the next thing a person can do.
    pub message: String,
    /// The steps that are held back for it, of those that were tried before.
    pub about: Vec<StepId>,
}

impl Wait {
    /// A wait for nothing that was tried before.
    pub fn new(reason: WaitReason, message: impl Into<String>) -> Wait {
        Wait {
            reason,
            message: message.into(),
            about: Vec::new(),
        }
    }
}

/// Something worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// From a closed set.
    pub reason: FindingReason,
    /// What was found.
    pub message: String,
    /// The steps that it tells of, of those that were tried before.
    pub about: Vec<StepId>,
}

/// What the plan thinks of the world: what report needs beside the steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Assessment {
    /// The state (reason of `Ready`), before the outcome is known.
    pub state: Option<State>,
    /// One line per wanted endpoint.
    pub endpoints: Vec<EndpointAssessment>,
    /// Public access of each target.
    pub access: Vec<AccessAssessment>,
    /// Every required path and how it stands.
    pub paths: Vec<PathAssessment>,
    /// These are all the paths that are required.
    pub paths_known: bool,
    /// Digest of endpoint ids, addresses and FQDNs; `None` while any of them is not known.
    pub subject: Option<Digest>,
    /// Digest of the evidence, once complete and fresh.
    pub evidence: Option<Digest>,
    /// A path is lost in a round from after the lock: whoever remembers since when goes on counting.
    pub path_is_lost: bool,
    /// Digest that a `ChangeApproval` of kind `Lockdown` must name.
    pub lockdown_digest: Option<Digest>,
    /// Changes of names that a `ChangeApproval` of kind `NameChanges` must name by digest.
    pub name_changes: Vec<NameChange>,
    /// Digests of changes of names that are to be made now and are approved.
    pub approved_changes: Vec<Digest>,
    /// Name-changing steps that come next: status is to record that before the first of them.
    pub names_about_to_change: Vec<Action>,
    /// Dns is complete for every endpoint.
    pub dns_ready: Option<bool>,
    /// Tags owned by the spec are on the registry.
    pub tags_compliant: Option<bool>,
    /// Something that was settled differs now.
    pub drift: Vec<String>,
    /// The grants that the plan was made by: it is carried out only while they are the same.
    pub grants: Grants,
}

impl Assessment {
    /// Whether any target is closed to the public; `None`: not all of them could be read.
    pub fn is_any_closed(&self) -> Option<bool> {
        let closed = self.access.iter().any(|access| access.closed == Some(true));
        let all_read = !self.access.is_empty() && self.access.iter().all(|access| access.closed.is_some());
        (closed || all_read).then_some(closed)
    }
}

/// A change of names that waits for its approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameChange {
    /// What the approval must name.
    pub digest: Digest,
    /// What it does, which names it touches, and for which networks.
    pub summary: String,
}

/// How a wanted endpoint stands.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointAssessment {
    /// Entry of the spec.
    pub place: String,
    /// Group.
    pub group: EndpointGroup,
    /// Id of the endpoint.
    pub id: ArmId,
    /// Its target.
    pub target: ArmId,
    /// Provisioned and approved. `None` when not known.
    pub ready: Option<bool>,
}

/// Public access of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessAssessment {
    /// Which of the three.
    pub target: TargetKind,
    /// Its id.
    pub id: ArmId,
    /// `Some(true)` closed, `Some(false)` open, `None` not known.
    pub closed: Option<bool>,
    /// What makes it so, in Azure's words.
    pub detail: String,
}

/// One required path: (client network, FQDN).
#[derive(Debug, Clone, PartialEq)]
pub struct PathAssessment {
    /// Entry of `clientNetworks`.
    pub network: String,
    /// Who proves it.
    pub vantage_point: String,
    /// Id of the endpoint that it leads to.
    pub endpoint: ArmId,
    /// What is asked.
    pub path: ProbePath,
    /// How it stands.
    pub standing: PathStanding,
}

/// How a required path stands.
#[derive(Debug, Clone, PartialEq)]
pub enum PathStanding {
    /// Proven in the open round, or passing since the lock.
    Passing,
    /// Its agent reports that it passes, outside a round that counts: for people, never for the lock.
    Reported,
    /// Fails at this hop.
    Failing(Hop, String),
    /// Not (yet) told.
    Unknown(String),
}
