//! Network settings in Azure's shape, and what edits make of them.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use sreg_domain::seen::*;
use sreg_domain::{CallFailure, Cause, Digest, Edit, LeftOut, NetworkRule, RuleKind};

pub fn touch_registry(seen: &mut RegistrySeen) {
    seen.digest = Digest::of_parts([format!(
        "{:?} {:?} {:?} {:?}",
        seen.public_network_access, seen.tags, seen.regions, seen.assigned_identities
    )
    .as_str()]);
}

pub fn touch_storage(seen: &mut StorageSeen) {
    seen.network = json!({
        "publicNetworkAccess": seen.public_network_access,
        "networkAcls": {
            "defaultAction": seen.default_action,
            "bypass": seen.bypass,
            "ipRules": seen.ip_rules.iter().map(|v| json!({"value": v, "action": "Allow"})).collect::<Vec<_>>(),
            "virtualNetworkRules": seen.virtual_network_rules.iter().map(|v| json!({"id": v})).collect::<Vec<_>>(),
            "resourceAccessRules": seen.resource_access_rules.iter().map(|v| json!({"resourceId": v})).collect::<Vec<_>>(),
        }
    });
    seen.digest = Digest::of_json(&seen.network);
}

pub fn touch_acr(seen: &mut ContainerRegistrySeen) {
    seen.network = json!({
        "publicNetworkAccess": seen.public_network_access,
        "networkRuleSet": {"defaultAction": seen.default_action, "ipRules": seen.ip_rules.iter().map(|v| json!({"value": v})).collect::<Vec<_>>()},
    });
    seen.digest = Digest::of_parts([
        seen.network.to_string().as_str(),
        &format!("{:?} {:?}", seen.data_endpoints, seen.replicas),
    ]);
}

pub fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn texts(value: &Value, list: &str, field: &str) -> Vec<String> {
    value
        .pointer(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|v| text(v, field))
        .collect()
}

/// Takes rules that Azure refuses out of a target's firewall, and says why.
pub fn leave_out(
    refuses: &BTreeMap<String, bool>,
    kind: RuleKind,
    rules: &mut Vec<String>,
    present: &[String],
) -> Vec<LeftOut> {
    let refused = |value: &String| refuses.contains_key(value) && !present.contains(value);
    let out = rules.extract_if(.., |value| refused(value));
    out.map(|value| {
        let cause = if refuses[&value] {
            Cause::Conflict
        } else {
            Cause::Refused
        };
        let message = format!("Validation of network acls failure: {value} does not do");
        LeftOut {
            failure: CallFailure {
                code: Some("NetworkAclsValidationFailure".into()),
                status: Some(400),
                correlation_id: Some("c-1".into()),
                ..CallFailure::local("restore public access of the account", cause, message)
            },
            rule: NetworkRule { kind, value },
        }
    })
    .collect()
}

pub fn edit_storage(storage: &mut StorageSeen, edit: &Edit) {
    match edit {
        Edit::Close => {
            if storage.resource_access_rules.is_empty() {
                storage.public_network_access = Some("Disabled".into());
            }
            storage.default_action = Some("Deny".into());
            storage.ip_rules.clear();
            storage.virtual_network_rules.clear();
        }
        Edit::Open => {
            storage.public_network_access = Some("Enabled".into());
            storage.default_action = Some("Allow".into());
        }
        Edit::Restore(network) => {
            storage.public_network_access = text(network, "/publicNetworkAccess").map(Into::into);
            storage.default_action = text(network, "/networkAcls/defaultAction").map(Into::into);
            storage.ip_rules = texts(network, "/networkAcls/ipRules", "/value");
            storage.virtual_network_rules = texts(network, "/networkAcls/virtualNetworkRules", "/id");
            let resources = &mut storage.resource_access_rules;
            let mut lost = texts(network, "/networkAcls/resourceAccessRules", "/resourceId");
            lost.retain(|rule| !resources.contains(rule));
            resources.append(&mut lost);
        }
        Edit::AllowResource { resource, .. } => storage.resource_access_rules.push(resource.to_string()),
    }
    touch_storage(storage);
}

pub fn edit_acr(acr: &mut ContainerRegistrySeen, edit: &Edit) {
    match edit {
        Edit::Close => {
            acr.public_network_access = Some("Disabled".into());
            acr.default_action = Some("Deny".into());
            acr.ip_rules.clear();
        }
        Edit::Open | Edit::AllowResource { .. } => {
            acr.public_network_access = Some("Enabled".into());
            acr.default_action = Some("Allow".into());
        }
        Edit::Restore(network) => {
            acr.public_network_access = text(network, "/publicNetworkAccess").map(Into::into);
            acr.default_action = text(network, "/networkRuleSet/defaultAction").map(Into::into);
            acr.ip_rules = texts(network, "/networkRuleSet/ipRules", "/value");
        }
    }
    touch_acr(acr);
}
