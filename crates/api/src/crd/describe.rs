//! What `kubectl explain` tells beside the type: each value of an enumeration with its meaning, and each default. Both stand in
//! the Rust types, but a CustomResourceDefinition has no place for them other than the description.

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value};

use crate::approval::{BreakGlassPhase, ChangeApprovalPhase, ChangeKind};
use crate::grant::{AccountUse, NetworkUse, RegistryOperation};
use crate::probe::{Hop, ProbeOutcome, ProbeService};
use crate::registry::{
    ApprovalMode, DeletionPolicy, DnsMode, LockdownGate, ManagedResourceGroupAccess, ManagementPolicy, NameChangesGate,
    PolicyAssignments, PublicAccess, RecentPublicClientsPolicy, ResolutionPolicy, RollbackPolicy,
};
use crate::status::{Access, Actor, TargetKind};
use crate::vantage_point::VantageNetwork;

/// The values of one enumeration, in order, each with what it means.
type Meanings = Vec<(String, String)>;

/// Adds values and defaults to every description below a schema.
pub(super) fn describe(schema: &mut Value) {
    describe_with(schema, &enumerations());
}

/// Every enumeration of the API. A new one that is missing here fails the test that reads the definitions.
fn enumerations() -> Vec<Meanings> {
    vec![
        meanings::<Access>(),
        meanings::<AccountUse>(),
        meanings::<Actor>(),
        meanings::<ApprovalMode>(),
        meanings::<BreakGlassPhase>(),
        meanings::<ChangeApprovalPhase>(),
        meanings::<ChangeKind>(),
        meanings::<DeletionPolicy>(),
        meanings::<DnsMode>(),
        meanings::<Hop>(),
        meanings::<LockdownGate>(),
        meanings::<ManagedResourceGroupAccess>(),
        meanings::<ManagementPolicy>(),
        meanings::<NameChangesGate>(),
        meanings::<NetworkUse>(),
        meanings::<PolicyAssignments>(),
        meanings::<ProbeOutcome>(),
        meanings::<ProbeService>(),
        meanings::<PublicAccess>(),
        meanings::<RecentPublicClientsPolicy>(),
        meanings::<RegistryOperation>(),
        meanings::<ResolutionPolicy>(),
        meanings::<RollbackPolicy>(),
        meanings::<TargetKind>(),
        meanings::<VantageNetwork>(),
    ]
}

fn meanings<T: JsonSchema>() -> Meanings {
    let schema = schema_for!(T).to_value();
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    variants
        .iter()
        .filter_map(|variant| {
            let said = variant["description"].as_str()?.replace('\n', " ");
            Some((variant["const"].as_str()?.to_owned(), said))
        })
        .collect()
}

fn describe_with(value: &mut Value, enumerations: &[Meanings]) {
    let Value::Object(node) = value else {
        if let Value::Array(items) = value {
            items.iter_mut().for_each(|item| describe_with(item, enumerations));
        }
        return;
    };
    // A rule, a default or an example is no schema.
    for (key, below) in node.iter_mut() {
        if !matches!(
            key.as_str(),
            "default" | "enum" | "required" | "x-kubernetes-validations"
        ) {
            describe_with(below, enumerations);
        }
    }
    if !node.get("type").is_some_and(Value::is_string) {
        return;
    }
    let mut more = Vec::new();
    let values = values(node).or_else(|| node.get("items").and_then(Value::as_object).and_then(values));
    if let Some(known) = values.and_then(|values| enumerations.iter().find(|known| names(known) == values)) {
        more.extend(known.iter().map(|(value, meaning)| format!("* `{value}`: {meaning}")));
    }
    match node.get("default") {
        Some(Value::String(default)) => more.push(format!("Default: `{default}`.")),
        Some(default @ (Value::Number(_) | Value::Bool(_))) => more.push(format!("Default: `{default}`.")),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => {}
    }
    if let Some(Value::String(description)) = node.get_mut("description") {
        for line in more {
            description.push('\n');
            description.push_str(&line);
        }
    }
}

fn values(node: &Map<String, Value>) -> Option<Vec<&str>> {
    node.get("enum")?.as_array()?.iter().map(Value::as_str).collect()
}

fn names(meanings: &Meanings) -> Vec<&str> {
    meanings.iter().map(|(value, _)| value.as_str()).collect()
}
