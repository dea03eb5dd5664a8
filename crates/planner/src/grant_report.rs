//! What the status of a grant says: how it is understood, whom it serves, and which others cover the same.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sreg_api::grant::RegistryGrantSpec;

use crate::conditions::{self, Truth};
use crate::validate::{FoundGrant, NamesThere, Violation, grant_violations, overlapping};

/// A condition's status, reason and message.
type Said = (Truth, &'static str, String);

/// The conditions of one grant: its name, and how it was found; all grants; which names are there, `None` while that
/// cannot be read; what its conditions were and of which generation they are to speak.
pub fn grant_conditions(
    (name, grant): (&str, &FoundGrant),
    (all, there): (&[(&str, &FoundGrant)], Option<&NamesThere>),
    (former, generation): (&[Condition], i64),
    now: Timestamp,
) -> Vec<Condition> {
    let spec = match grant {
        FoundGrant::Spec(spec) => Ok(spec.as_ref()),
        FoundGrant::Illegible(error, _) => Err(error.as_str()),
    };
    let ready = ready(spec);
    let nothing = || (Truth::False, "NotUnderstood", format!("it grants nothing: {}", ready.2));
    let effective = spec.map_or_else(|_| nothing(), |spec| effective(spec, there));
    let said = [
        ("Ready", ready),
        ("Overlapping", overlaps((name, spec.ok()), all, there)),
        ("Effective", effective),
    ];
    let condition = |(kind, (truth, reason, message)): (&str, Said)| {
        conditions::one(kind, (truth, reason, &message), (former, generation), now)
    };
    said.into_iter().map(condition).collect()
}

fn ready(spec: Result<&RegistryGrantSpec, &str>) -> Said {
    let wrong = match spec {
        Err(error) => vec![format!("it does not parse, so it grants nothing: {error}")],
        Ok(spec) => grant_violations(spec).iter().map(Violation::to_string).collect(),
    };
    if wrong.is_empty() {
        (Truth::True, "Understood", "every entry is understood".to_owned())
    } else {
        (Truth::False, "NotUnderstood", wrong.join("; "))
    }
}

fn overlaps(
    (name, spec): (&str, Option<&RegistryGrantSpec>),
    all: &[(&str, &FoundGrant)],
    there: Option<&NamesThere>,
) -> Said {
    let others = spec
        .map(|spec| overlapping((name, spec), all, there))
        .unwrap_or_default();
    if others.is_empty() {
        let said = "no other grant covers the same for the same namespaces".to_owned();
        (Truth::False, "Alone", said)
    } else {
        let others = others.join("; ");
        let said = format!("{others}: where two cover the same, what either demands holds");
        (Truth::True, "CoveredTwice", said)
    }
}

/// Names in a message.
const MOST_NAMES: usize = 5;

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(MOST_NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether it serves anybody, and what it names that is not there: often a typing error, sometimes only early.
fn effective(spec: &RegistryGrantSpec, there: Option<&NamesThere>) -> Said {
    let Some(there) = there else {
        let said = "Namespaces and VantagePoints cannot be listed, so whom it serves is not known".to_owned();
        return (Truth::Unknown, "NotRead", said);
    };
    if !grant_violations(spec).is_empty() {
        let said = "some entries grant nothing: see Ready".to_owned();
        return (Truth::False, "NotUnderstood", said);
    }
    let served: Vec<&str> = there.served(spec).collect();
    let gone = |known: &dyn Fn(&str) -> bool, names: &'_ [String]| -> Vec<String> {
        names.iter().filter(|name| !known(name)).cloned().collect()
    };
    let namespaces = gone(&|name| there.namespaces.contains_key(name), &spec.namespaces.names);
    let points = gone(&|name| there.vantage_points.contains(name), &spec.vantage_points);
    let missing = |kind: &str, names: Vec<String>, field: &str| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let said = format!(
            "no {kind} is called {}: create it, or correct spec.{field}",
            listed(&names)
        );
        (!names.is_empty()).then_some(said)
    };
    let missing: Vec<String> = [
        missing("Namespace", namespaces, "namespaces.names"),
        missing("VantagePoint", points, "vantagePoints"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let serves = format!("it serves {}", listed(&served));
    match (served.is_empty(), missing.is_empty()) {
        (true, true) => {
            let said = "no Namespace carries the labels of spec.namespaces.matchLabels: it serves nobody".to_owned();
            (Truth::False, "ServesNobody", said)
        }
        (true, false) => (Truth::False, "ServesNobody", missing.join("; ")),
        (false, false) => (
            Truth::False,
            "NamesMissing",
            format!("{}; {serves}", missing.join("; ")),
        ),
        (false, true) => (Truth::True, "Serves", serves),
    }
}
