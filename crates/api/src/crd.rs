//! The CustomResourceDefinitions, as generated into `deploy/crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

/// Every kind's definition, in the order in which they are shipped.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    [
        crate::SecureRegistry::crd(),
        crate::VantagePoint::crd(),
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
    serde_json::from_value(value).unwrap_or(crd)
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
