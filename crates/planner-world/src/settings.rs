//! Network settings in Azure's shape, and what edits make of them.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use sreg_domain::seen::*;
use sreg_domain::target::row;
use sreg_domain::{CallFailure, Cause, Digest, Edit, LeftOut, NetworkRule, PublicNetworkAccess, RuleKind};

/// Of whom resource rules let in.
const TENANT: &str = "0a000000-0000-4000-8000-0000000000ff";

/// Network settings and digest follow what was changed.
pub fn touch(seen: &mut TargetSeen) {
    let access = &seen.public_network_access;
    match &seen.details {
        TargetDetails::Registry(registry) => {
            let omitted = PublicNetworkAccess::Enabled;
            seen.network = json!({"publicNetworkAccess": access.as_ref().unwrap_or(&omitted)});
            let RegistryDetails {
                tags,
                regions,
                assigned_identities,
                ..
            } = registry;
            seen.digest =
                Digest::of_parts([format!("{access:?} {tags:?} {regions:?} {assigned_identities:?}").as_str()]);
        }
        TargetDetails::Storage(_) => {
            seen.network = json!({
                "publicNetworkAccess": access,
                "networkAcls": {
                    "defaultAction": seen.default_action,
                    "bypass": seen.bypass,
                    "ipRules": seen.ip_rules.iter().map(|v| json!({"value": v, "action": "Allow"})).collect::<Vec<_>>(),
                    "virtualNetworkRules": seen.virtual_network_rules.iter().map(|v| json!({"id": v})).collect::<Vec<_>>(),
                    "resourceAccessRules": seen.resource_access_rules.iter().map(|v| json!({"tenantId": TENANT, "resourceId": v})).collect::<Vec<_>>(),
                }
            });
            seen.digest = Digest::of_json(&seen.network);
        }
        TargetDetails::ContainerRegistry(registry) => {
            let rules: Vec<Value> = seen.ip_rules.iter().map(|v| json!({"value": v})).collect();
            let mut set = json!({"defaultAction": seen.default_action, "ipRules": rules});
            if !seen.virtual_network_rules.is_empty() {
                let subnet = |v: &String| json!({"action": "Allow", "virtualNetworkSubnetResourceId": v});
                set["virtualNetworkRules"] = seen.virtual_network_rules.iter().map(subnet).collect();
            }
            seen.network = json!({"publicNetworkAccess": access, "networkRuleSet": set});
            seen.digest = Digest::of_parts([
                seen.network.to_string().as_str(),
                &format!("{:?} {:?}", registry.data_endpoints, registry.replicas),
            ]);
        }
    }
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
            rule: NetworkRule {
                kind,
                value,
                tenant: None,
            },
        }
    })
    .collect()
}

/// What an edit makes of a target.
pub fn edit(target: &mut TargetSeen, edit: &Edit) {
    let rule_set = row(target.kind()).rule_set;
    let action = |word: &str| rule_set.map(|_| word.into());
    match edit {
        Edit::Close => {
            if target.resource_access_rules.is_empty() {
                target.public_network_access = Some("Disabled".into());
            }
            target.default_action = action("Deny");
            target.ip_rules.clear();
            target.virtual_network_rules.clear();
        }
        Edit::Open => {
            target.public_network_access = Some("Enabled".into());
            target.default_action = action("Allow");
        }
        Edit::Restore(network) => {
            target.public_network_access = text(network, "/publicNetworkAccess").map(Into::into);
            if let Some(rules) = rule_set.and_then(|name| network.get(name)) {
                target.default_action = text(rules, "/defaultAction").map(Into::into);
                target.ip_rules = texts(rules, "/ipRules", "/value");
                target.virtual_network_rules = texts(rules, "/virtualNetworkRules", "/id");
                let of_container_registry = texts(rules, "/virtualNetworkRules", "/virtualNetworkSubnetResourceId");
                target.virtual_network_rules.extend(of_container_registry);
                let resources = &mut target.resource_access_rules;
                let mut lost = texts(rules, "/resourceAccessRules", "/resourceId");
                lost.retain(|rule| !resources.contains(rule));
                resources.append(&mut lost);
            }
        }
        Edit::AllowResource { resource, .. } => target.resource_access_rules.push(resource.to_string()),
    }
    touch(target);
}
