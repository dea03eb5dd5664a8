//! What the status of a grant says: how it is understood, and which others cover the same.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sreg_api::grant::RegistryGrantSpec;

use crate::conditions::{truncate, whole_seconds};
use crate::validate::{Violation, grant_violations, overlapping};

/// A condition's message is cut here by the API server's schema.
const LONGEST: usize = 4096;

/// The conditions of one grant: its name, its spec or why that does not parse; all grants; what its conditions were and of which
/// generation they are to speak.
pub fn grant_conditions(
    (name, spec): (&str, Result<&RegistryGrantSpec, &str>),
    all: &[(&str, &RegistryGrantSpec)],
    (former, generation): (&[Condition], i64),
    now: Timestamp,
) -> Vec<Condition> {
    let ready = match spec {
        Err(error) => Err(format!("it does not parse, so it grants nothing: {error}")),
        Ok(spec) => {
            let wrong: Vec<String> = grant_violations(spec).iter().map(Violation::to_string).collect();
            if wrong.is_empty() {
                Ok(())
            } else {
                Err(wrong.join("; "))
            }
        }
    };
    let ready = match ready {
        Ok(()) => ("True", "Understood", "every entry is understood".to_owned()),
        Err(wrong) => ("False", "NotUnderstood", wrong),
    };
    let others = spec.map(|spec| overlapping((name, spec), all)).unwrap_or_default();
    let overlaps = if others.is_empty() {
        (
            "False",
            "Alone",
            "no other grant covers the same for the same namespaces".to_owned(),
        )
    } else {
        let said = format!(
            "{}: where two cover the same, what either demands holds",
            others.join("; ")
        );
        ("True", "CoveredTwice", said)
    };
    [("Ready", ready), ("Overlapping", overlaps)]
        .into_iter()
        .map(|(kind, (status, reason, message))| {
            let before = former.iter().find(|c| c.type_ == kind && c.status == status);
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message: truncate(&message, LONGEST),
                observed_generation: Some(generation),
                last_transition_time: before
                    .map_or_else(|| whole_seconds(now), |before| before.last_transition_time.clone()),
            }
        })
        .collect()
}
