//! What a step of a plan is called: what kind of step it is, and on what. Two plans that want the same give it the same name, so that
//! what came of it can be remembered. Status keeps names as text; they are read back here, and nowhere else.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// Every kind of step. The text of each is for status and the log; nothing decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum StepKind {
    /// Takes the claim on the registry in the cluster.
    Claim,
    /// Records there that the registry is about to be created.
    RecordCreation,
    /// Gives it back.
    ReleaseClaim,
    /// Writes the claim's tag on the registry.
    ClaimInAzure,
    /// Takes that tag away.
    ReleaseInAzure,
    /// Puts our finalizer on.
    AddFinalizer,
    /// Takes our finalizer off.
    RemoveFinalizer,
    /// Creates the registry.
    CreateRegistry,
    /// Lists the operator in the registry's `assignedIdentities`.
    GrantOperator,
    /// Tags the registry as the spec wants it.
    SetTags,
    /// Tags an endpoint, zone or link as the spec wants it.
    Tag,
    /// Lets the registry in at storage that it shares to.
    AllowRegistry,
    /// Creates a private endpoint.
    CreateEndpoint,
    /// Deletes a private endpoint.
    DeleteEndpoint,
    /// Creates a private DNS zone.
    CreateZone,
    /// Links a network to a zone.
    LinkZone,
    /// Changes the resolution policy of a link.
    SetLinkPolicy,
    /// Has an endpoint's records written.
    PutZoneGroup,
    /// Has them written again below an endpoint that stays after all.
    PutZoneGroupBack,
    /// Has them removed.
    DeleteZoneGroup,
    /// Disables public access of a target.
    Close,
    /// Enables it, because the spec says so.
    Open,
    /// Enables it, because a BreakGlass says so.
    BreakGlass,
    /// Enables it, because a path was lost and the spec chose that.
    RollBack,
    /// Not a step of its own: rules that Azure refused while a target was opened.
    #[strum(serialize = "put-back")]
    RulesLeftOut,
    /// Writes the snapshot of what was before the lock.
    WriteSnapshot,
    /// Deletes it.
    DeleteSnapshot,
    /// Opens a proof round.
    OpenRound,
    /// Has a vantage point try paths outside rounds.
    ApplyProbe,
    /// Says that a vantage point's agent is silent.
    MarkProbe,
    /// Deletes a probe.
    DeleteProbe,
    /// Writes what external DNS must answer.
    PublishDns,
    /// Deletes that.
    DeletePublishedDns,
    /// One of another version: its subject is the whole name, so that what is recorded of it is not lost.
    Other,
}

impl StepKind {
    /// Whether such a step enables public access.
    pub fn opens(self) -> bool {
        matches!(self, StepKind::Open | StepKind::BreakGlass | StepKind::RollBack)
    }

    /// Whether such a step writes a resource that need not exist yet: nobody can exempt it from a policy, only what it stands in.
    pub fn creates(self) -> bool {
        use StepKind::*;
        matches!(
            self,
            CreateRegistry | CreateEndpoint | CreateZone | LinkZone | PutZoneGroup | PutZoneGroupBack
        )
    }

    /// A step of this kind on something.
    pub fn on(self, subject: impl Into<String>) -> StepId {
        StepId {
            kind: self,
            subject: subject.into(),
        }
    }
}

/// Names a step, such as `create-endpoint hub/blob contosostore`. Subjects hold names of resources, which Azure re-cases (azure.md
/// §12): two that differ by case only are the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct StepId {
    /// What kind of step it is.
    pub kind: StepKind,
    /// On what; empty where there is only one.
    pub subject: String,
}

impl From<StepKind> for StepId {
    fn from(kind: StepKind) -> StepId {
        kind.on("")
    }
}

impl StepId {
    fn key(&self) -> (&'static str, String) {
        (self.kind.into(), self.subject.to_ascii_lowercase())
    }
}

impl PartialEq for StepId {
    fn eq(&self, other: &StepId) -> bool {
        self.kind == other.kind && self.subject.eq_ignore_ascii_case(&other.subject)
    }
}

impl Eq for StepId {}

impl PartialOrd for StepId {
    fn partial_cmp(&self, other: &StepId) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StepId {
    fn cmp(&self, other: &StepId) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for StepId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.subject.as_str()) {
            (StepKind::Other, name) => f.write_str(name),
            (kind, "") => write!(f, "{kind}"),
            (kind, subject) => write!(f, "{kind} {subject}"),
        }
    }
}

impl From<StepId> for String {
    fn from(step: StepId) -> String {
        step.to_string()
    }
}

impl From<String> for StepId {
    fn from(text: String) -> StepId {
        StepId::from(text.as_str())
    }
}

impl From<&str> for StepId {
    /// Reads a name back, as a status has it.
    fn from(text: &str) -> StepId {
        let (kind, subject) = text.split_once(' ').unwrap_or((text, ""));
        match kind.parse() {
            Ok(StepKind::Other) | Err(_) => StepKind::Other.on(text),
            Ok(kind) => kind.on(subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn every_name_reads_back_as_what_it_names() {
        for kind in StepKind::iter() {
            for subject in ["", "hub/blob contosostore", " two  blanks "] {
                let step = kind.on(subject);
                let kind_only = kind == StepKind::Other && StepKind::iter().any(|k| k.to_string() == subject);
                assert!(kind_only || StepId::from(step.to_string().as_str()) == step, "{step}");
            }
        }
    }

    #[test]
    fn a_name_of_another_version_is_kept_and_means_nothing() {
        for name in ["seal registry contosoreg", "other", "other close", ""] {
            let step = StepId::from(name);
            assert_eq!((step.kind, step.to_string().as_str()), (StepKind::Other, name));
            assert!(!step.kind.opens());
        }
    }

    #[test]
    fn names_that_azure_spells_differently_are_the_same() {
        let (a, b) = (
            StepKind::Close.on("registry ContosoReg"),
            StepKind::Close.on("registry contosoreg"),
        );
        assert_eq!(a, b);
        assert_eq!(a.cmp(&b), Ordering::Equal);
        assert_ne!(a, StepKind::Open.on("registry contosoreg"));
    }
}
