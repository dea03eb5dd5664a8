//! What the status of a grant says: how it is understood, and which others cover the same.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sreg_api::grant::RegistryGrantSpec;

use crate::conditions::{self, Truth};
use crate::validate::{Violation, grant_violations, overlapping};

/// The conditions of one grant: its name, its spec or why that does not parse; all grants; what its conditions were and of which
/// generation they are to speak.
pub fn grant_conditions(
    (name, spec): (&str, Result<&RegistryGrantSpec, &str>),
    all: &[(&str, &RegistryGrantSpec)],
    (former, generation): (&[Condition], i64),
    now: Timestamp,
) -> Vec<Condition> {
    let wrong = match spec {
        Err(error) => vec![format!("it does not parse, so it grants nothing: {error}")],
        Ok(spec) => grant_violations(spec).iter().map(Violation::to_string).collect(),
    };
    let ready = if wrong.is_empty() {
        (Truth::True, "Understood", "every entry is understood".to_owned())
    } else {
        (Truth::False, "NotUnderstood", wrong.join("; "))
    };
    let others = spec.map(|spec| overlapping((name, spec), all)).unwrap_or_default();
    let overlaps = if others.is_empty() {
        let said = "no other grant covers the same for the same namespaces".to_owned();
        (Truth::False, "Alone", said)
    } else {
        let others = others.join("; ");
        let said = format!("{others}: where two cover the same, what either demands holds");
        (Truth::True, "CoveredTwice", said)
    };
    [("Ready", ready), ("Overlapping", overlaps)]
        .into_iter()
        .map(|(kind, (truth, reason, message))| {
            conditions::one(kind, (truth, reason, &message), (former, generation), now)
        })
        .collect()
}
