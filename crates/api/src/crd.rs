//! The CustomResourceDefinitions, as generated into `deploy/crds/`.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

mod describe;

/// `status.observedGeneration` of an object that nobody has looked at yet. The API server fills it in, so that a pipeline
/// which judges by kstatus waits for the operator also where none is running; without it an object without status is `Current`.
pub const NEVER_OBSERVED: i64 = -1;

/// Every field of a `SecureRegistry`'s spec by its path without indices, such as `spec.endpoints.dns.mode`.
pub fn fields_of_spec() -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    collect_fields("spec", &schema_of_spec(), &mut fields);
    fields
}

/// Fields of a `SecureRegistry`'s spec that the API server fills in where nobody writes them: every stored object has them.
pub fn fields_always_set() -> BTreeSet<String> {
    let spec = schema_of_spec();
    let fields = spec["properties"].as_object().into_iter().flatten();
    let filled_in = fields.filter(|(_, schema)| schema.get("default").is_some_and(|default| !default.is_null()));
    filled_in.map(|(name, _)| format!("spec.{name}")).collect()
}

fn schema_of_spec() -> Value {
    let crd = serde_json::to_value(crate::SecureRegistry::crd()).unwrap_or_default();
    let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    spec.cloned().unwrap_or_default()
}

fn collect_fields(path: &str, schema: &Value, fields: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        collect_fields(&path, field, fields);
        fields.insert(path);
    }
    if schema["items"].is_object() {
        collect_fields(path, &schema["items"], fields);
    }
}

/// Every kind's definition, in the order in which they are shipped.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    [
        crate::SecureRegistry::crd(),
        crate::VantagePoint::crd(),
        crate::RegistryGrant::crd(),
        crate::ConnectivityProbe::crd(),
        crate::BreakGlass::crd(),
        crate::ChangeApproval::crd(),
    ]
    .into_iter()
    .map(tidied)
    .collect()
}

/// Optional enums come out of schemars as `nullable` with a `null` member, which GitOps tools then show as a difference;
/// in this API absence is how nothing is said.
fn tidied(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let Ok(mut value) = serde_json::to_value(&crd) else {
        return crd;
    };
    tidy(&mut value);
    default_status(&mut value);
    describe::describe(&mut value);
    serde_json::from_value(value).unwrap_or(crd)
}

/// A status is written whole, by the operator or an agent: nothing is to be filled in, least of all an empty word where a closed set
/// of words is expected. But for where `Ready` is computed from: probes and break-glasses are awaited by nobody.
fn default_status(crd: &mut Value) {
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let Some(status) = version.pointer_mut("/schema/openAPIV3Schema/properties/status") else {
            continue;
        };
        without_defaults(status);
        if status.pointer("/properties/observedGeneration").is_some()
            && status.pointer("/properties/conditions").is_some()
        {
            status["default"] = json!({"observedGeneration": NEVER_OBSERVED});
        }
    }
}

fn without_defaults(schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("default");
    }
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    fields
        .into_iter()
        .flat_map(|all| all.values_mut())
        .for_each(without_defaults);
    schema.get_mut("items").into_iter().for_each(without_defaults);
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("nullable");
            if let Some(Value::Array(members)) = map.get_mut("enum") {
                members.retain(|m| !m.is_null());
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
