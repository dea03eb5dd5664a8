//! A plan as a document: what every way of writing it shows, and what `-o json` is. Azure and other people speak in it (tags, names,
//! policies): whatever a field holds passes the border for words from outside here, once for all ways.

use serde::Serialize;
use serde_json::Value;
use sreg_domain::desired::NetworkPlace;
use sreg_domain::outside;
use sreg_domain::{Action, Desired};
use sreg_offline::changes::{FieldChange, changes, rules_taken};
use sreg_offline::{Declared, Prospect, ProspectWait};
use sreg_planner::plan::{AccessAssessment, Actor, FindingReason};
use sreg_planner::{Step, Violation};

use crate::Ended;

/// The plans for all objects.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plans {
    /// In the order of the files.
    pub(super) objects: Vec<ObjectPlan>,
}

/// What comes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Comes {
    /// Nothing.
    Nothing,
    /// Writes.
    Changes,
    /// Somebody has to act first, or something could not be read.
    Incomplete,
    /// It breaks rules: nothing of it is carried out.
    Invalid,
}

/// The plan for one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectPlan {
    pub(super) file: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) registry: String,
    /// Object id of whoever read Azure.
    pub(super) principal: Option<String>,
    pub(super) comes: Comes,
    pub(super) violations: Vec<Wrong>,
    pub(super) access: Vec<Access>,
    pub(super) waves: Vec<Vec<PlannedStep>>,
    pub(super) once_proven: Vec<PlannedStep>,
    pub(super) proven_from: Vec<ProvenFrom>,
    pub(super) waits: Vec<PlannedWait>,
    pub(super) findings: Vec<Found>,
    pub(super) not_asked: Vec<String>,
}

/// What is wrong with an object.
#[derive(Debug, Serialize)]
pub(super) struct Wrong {
    pub(super) path: String,
    pub(super) message: String,
}

/// Public access of one target.
#[derive(Debug, Serialize)]
pub(super) struct Access {
    pub(super) target: String,
    pub(super) name: String,
    /// `None`: not known.
    pub(super) closed: Option<bool>,
    pub(super) detail: String,
}

/// One write.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlannedStep {
    pub(super) does: String,
    pub(super) resource: String,
    pub(super) changes: Vec<FieldChange>,
    /// Names may answer differently for somebody after it.
    pub(super) changes_names: bool,
    /// Whom that can cut off before any lock.
    pub(super) cuts_off: Vec<String>,
    /// Rules that go, and with them whoever comes in by them.
    pub(super) rules_taken: Vec<String>,
}

/// A network whose paths are proven before anything is closed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProvenFrom {
    pub(super) network: String,
    /// Its virtual network, or its prefixes.
    pub(super) place: String,
    pub(super) vantage_point: String,
}

/// One wait.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlannedWait {
    pub(super) reason: String,
    pub(super) actor: String,
    pub(super) message: String,
    /// What to do.
    pub(super) action: String,
    pub(super) only_a_cluster_can_tell: bool,
}

/// Something worth knowing.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) reason: String,
    pub(super) message: String,
}

impl Plans {
    /// What a pipeline is told: a mistake outweighs changes, changes outweigh what cannot be told yet.
    pub(super) fn ended(&self) -> Ended {
        let any = |comes: Comes| self.objects.iter().any(|object| object.comes == comes);
        if any(Comes::Invalid) {
            Ended::Failed
        } else if any(Comes::Changes) {
            Ended::Changes
        } else if any(Comes::Incomplete) {
            Ended::Failed
        } else {
            Ended::Nothing
        }
    }
}

impl ObjectPlan {
    /// One that does not even say which registry it is about.
    pub(super) fn invalid(declared: &Declared, violations: &[Violation]) -> ObjectPlan {
        ObjectPlan {
            comes: Comes::Invalid,
            violations: wrong(violations),
            ..ObjectPlan::of(declared)
        }
    }

    pub(super) fn new(declared: &Declared, prospect: &Prospect) -> ObjectPlan {
        let Prospect { desired, seen, .. } = prospect;
        let step = |step: &Step| planned(step, prospect);
        ObjectPlan {
            principal: seen.azure.principal.seen().map(|principal| principal.object_id.clone()),
            comes: comes(prospect),
            violations: wrong(desired.violations()),
            access: prospect.access.iter().map(access).collect(),
            waves: prospect
                .waves
                .iter()
                .map(|wave| wave.iter().map(step).collect())
                .collect(),
            once_proven: prospect.closing.iter().map(step).collect(),
            proven_from: proven_from(desired),
            waits: prospect.waits.iter().map(waiting).collect(),
            findings: prospect
                .findings
                .iter()
                .map(|finding| found(finding.reason, &finding.message))
                .collect(),
            not_asked: prospect.unasked.iter().map(ToString::to_string).collect(),
            ..ObjectPlan::of(declared)
        }
    }

    fn of(declared: &Declared) -> ObjectPlan {
        let metadata = &declared.object.metadata;
        ObjectPlan {
            file: said(&declared.path.display().to_string()),
            namespace: said(metadata.namespace.as_deref().unwrap_or_default()),
            name: said(metadata.name.as_deref().unwrap_or_default()),
            registry: said(&declared.object.spec.registry.resource_id),
            principal: None,
            comes: Comes::Nothing,
            violations: Vec::new(),
            access: Vec::new(),
            waves: Vec::new(),
            once_proven: Vec::new(),
            proven_from: Vec::new(),
            waits: Vec::new(),
            findings: Vec::new(),
            not_asked: Vec::new(),
        }
    }
}

fn comes(prospect: &Prospect) -> Comes {
    if !prospect.desired.violations().is_empty() {
        Comes::Invalid
    } else if prospect.has_changes() {
        Comes::Changes
    } else if prospect.unanswered().next().is_some() {
        Comes::Incomplete
    } else {
        Comes::Nothing
    }
}

fn wrong(violations: &[Violation]) -> Vec<Wrong> {
    let wrong = |violation: &Violation| Wrong {
        path: said(&violation.path),
        message: said(&violation.message),
    };
    violations.iter().map(wrong).collect()
}

fn access(access: &AccessAssessment) -> Access {
    Access {
        target: access.target.to_string(),
        name: said(access.id.name()),
        closed: access.closed,
        detail: said(&access.detail),
    }
}

fn planned(step: &Step, prospect: &Prospect) -> PlannedStep {
    let resource = match &step.action {
        Action::Azure(action) => action.resource().to_string(),
        Action::Cluster(_) => String::new(),
    };
    PlannedStep {
        does: said(&step.action.to_string()),
        resource: said(&resource),
        changes: changes(&step.action, &prospect.seen).into_iter().map(shown).collect(),
        changes_names: step.action.changes_names(),
        cuts_off: step.touches.iter().map(|touched| said(touched)).collect(),
        rules_taken: rules_taken(&step.action, &prospect.seen)
            .iter()
            .map(|rule| said(&rule.to_string()))
            .collect(),
    }
}

fn proven_from(desired: &Desired) -> Vec<ProvenFrom> {
    let networks = desired.client_networks().iter();
    let proven = networks.map(|network| ProvenFrom {
        network: said(&network.name),
        place: said(&match &network.place {
            NetworkPlace::VirtualNetwork(id) => id.to_string(),
            NetworkPlace::OnPremises(prefixes) => prefixes.join(", "),
        }),
        vantage_point: said(&network.vantage_point),
    });
    proven.collect()
}

/// What is approved goes by a digest of the cluster's object, so the planner's own sentence would name one that counts nowhere.
fn waiting(wait: &ProspectWait) -> PlannedWait {
    let reason = wait.wait.reason;
    let explained = reason.explained();
    let message = if reason.actor() == Actor::Approver && wait.only_a_cluster_can_tell {
        explained.meaning.to_owned()
    } else {
        wait.wait.message.clone()
    };
    PlannedWait {
        reason: reason.to_string(),
        actor: reason.actor().to_string(),
        message: said(&message),
        action: explained.action.to_owned(),
        only_a_cluster_can_tell: wait.only_a_cluster_can_tell,
    }
}

fn found(reason: FindingReason, message: &str) -> Found {
    Found {
        reason: reason.to_string(),
        message: said(message),
    }
}

/// A text that may hold somebody else's words.
fn said(text: &str) -> String {
    outside::harmless(text).into_owned()
}

/// Values stay as Azure has them, but for what does something to a terminal or cannot be seen.
fn shown(change: FieldChange) -> FieldChange {
    FieldChange {
        field: outside::safe(&change.field).into_owned(),
        old: change.old.map(safe),
        new: change.new.map(safe),
    }
}

fn safe(value: Value) -> Value {
    match value {
        Value::String(text) => outside::safe(&text).into_owned().into(),
        Value::Array(items) => items.into_iter().map(safe).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let shown = fields.map(|(name, value)| (outside::safe(&name).into_owned(), safe(value)));
            Value::Object(shown.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use sreg_planner::plan::{Wait, WaitReason};

    use super::*;

    /// Clears the screen, turns what follows around, begins a line of its own, and links to somewhere.
    const FORGED: &str = "team-b\u{1b}[2J \u{202e}detsurt\u{2066}\u{200b}\n- closed [here](https://example.org) <b>";

    fn is_shown_as_it_is(text: &str) -> bool {
        outside::is_harmless(text) && text.contains("team-b")
    }

    #[test]
    fn other_peoples_words_do_nothing_to_whoever_reads_a_plan() {
        let violation = Violation {
            path: FORGED.into(),
            message: FORGED.into(),
        };
        let wait = ProspectWait {
            wait: Wait::new(WaitReason::ForeignResourceStalled, FORGED.to_owned()),
            only_a_cluster_can_tell: false,
        };
        let told = [
            wrong(&[violation]).remove(0).message,
            waiting(&wait).message,
            found(FindingReason::BypassKept, FORGED).message,
        ];
        for text in told {
            assert!(is_shown_as_it_is(&text), "{text:?}");
        }
        let value = serde_json::json!({"tags": {FORGED: [FORGED, 1, null]}});
        let text = safe(value).to_string();
        assert!(
            !text.contains(['\u{1b}', '\u{202e}', '\u{2066}', '\u{200b}']) && !text.contains("u001b"),
            "{text}"
        );
    }
}
