//! Edits: from what was just read to the body that is written. Pure. Every field that an edit does not name is kept: the
//! registry is sent whole (azure.md §1.5), storage and ACR as the network settings only, their rule sets whole (§5).

use serde_json::{Map, Value, json};
use sreg_domain::action::Edit;
use sreg_domain::network_rules::rules_of;
use sreg_domain::target::row;
use sreg_domain::{ArmId, NetworkRule, PublicNetworkAccess, RuleKind, TargetKind};

use crate::json::{self, id, list, text, with_object};

/// What the server owns in a registry; sent back it is refused or ignored.
const SERVER_OWNED: [&str; 5] = ["id", "name", "type", "systemData", "etag"];
const SERVER_OWNED_PROPERTIES: [&str; 3] = [
    "registryPrivateEndpointConnections",
    "privateEndpointConnections",
    "provisioningState",
];

/// Why an edit makes no sense for a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    /// Resource rules are a storage account's.
    #[error("a resource rule can only be added to a storage account")]
    NotForThisTarget,
    /// A snapshot that is no object.
    #[error("what is to be restored is no set of network settings")]
    NoSettings,
}

/// What will be written, and which fields the edit names (as JSON pointers; what lies below them is named too).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edited {
    pub(crate) body: Value,
    pub(crate) named: Vec<&'static str>,
}

impl Edited {
    /// The same without these rules.
    pub(crate) fn without(&self, kind: TargetKind, rules: &[NetworkRule]) -> Edited {
        let mut edited = self.clone();
        let out: Vec<String> = rules.iter().map(NetworkRule::key).collect();
        let properties = edited.body.get_mut("properties");
        let set = row(kind)
            .rule_set
            .and_then(|name| properties?.get_mut(name)?.as_object_mut());
        for (list, value) in set.into_iter().flatten() {
            let known = RuleKind::LISTS.into_iter().find(|(_, name)| name == list);
            if let (Some((kind, _)), Value::Array(entries)) = (known, value) {
                entries.retain(|entry| !out.contains(&NetworkRule::of_entry(kind, entry).key()));
            }
        }
        edited
    }

    /// The same without identities, those that Azure made among them.
    pub(crate) fn without_identity(mut self) -> Edited {
        if let Value::Object(body) = &mut self.body {
            body.remove("identity");
        }
        self
    }

    /// The same without what is there already: what is not sent cannot be refused.
    pub(crate) fn minimal(mut self, current: &Value) -> Edited {
        let now = &current["properties"];
        if let Some(Value::Object(properties)) = self.body.get_mut("properties") {
            properties.retain(|name, value| !json::differences(&now[name.as_str()], value).is_empty());
        }
        self
    }

    /// Nothing is left to write.
    pub(crate) fn is_empty(&self) -> bool {
        let properties = self.body.get("properties").and_then(Value::as_object);
        properties.is_none_or(Map::is_empty)
    }
}

/// Every rule in a body.
pub(crate) fn rules(kind: TargetKind, body: &Value) -> Vec<NetworkRule> {
    rules_of(kind, &body["properties"])
}

/// The body that carries out `edit` on a target that reads as `current`.
pub(crate) fn apply_edit(kind: TargetKind, current: &Value, edit: &Edit) -> Result<Edited, EditError> {
    if matches!(edit, Edit::Restore(settings) if !settings.is_object()) {
        return Err(EditError::NoSettings);
    }
    match kind {
        TargetKind::Registry => registry(current, edit),
        TargetKind::Storage => Ok(storage(current, edit)),
        TargetKind::ContainerRegistry => container_registry(current, edit),
    }
}

/// A target's network settings after an edit, as far as the edit is told: in the shape of `settings`, which is that of what was seen.
/// `None`: the edit makes no sense for the target.
pub fn settings_after(kind: TargetKind, settings: &Value, edit: &Edit) -> Option<Value> {
    let current = json!({ "properties": settings });
    let mut edited = apply_edit(kind, &current, edit).ok()?;
    edited.body.get_mut("properties").map(Value::take)
}

fn registry(current: &Value, edit: &Edit) -> Result<Edited, EditError> {
    let access = match edit {
        Edit::Close => "Disabled",
        Edit::Open => "Enabled",
        Edit::Restore(settings) => access_of(settings),
        Edit::AllowResource { .. } => return Err(EditError::NotForThisTarget),
    };
    let mut body = registry_body(current);
    with_object(&mut body, "properties", |properties| {
        properties.insert("publicNetworkAccess".to_owned(), json!(access));
    });
    Ok(Edited {
        body: Value::Object(body),
        named: vec!["/properties/publicNetworkAccess"],
    })
}

/// The whole registry, with the principal listed in `managedResourceGroupSettings.assignedIdentities`.
pub(crate) fn grant(current: &Value, principal: &str) -> Edited {
    let mut body = registry_body(current);
    with_object(&mut body, "properties", |properties| {
        with_object(properties, "managedResourceGroupSettings", |settings| {
            let listed = settings
                .entry("assignedIdentities".to_owned())
                .or_insert_with(|| json!([]));
            if !listed.is_array() {
                *listed = json!([]);
            }
            let is_ours = |i: &Value| {
                i["principalId"]
                    .as_str()
                    .is_some_and(|p| p.eq_ignore_ascii_case(principal))
            };
            if let Value::Array(listed) = listed
                && !listed.iter().any(is_ours)
            {
                listed.push(json!({ "principalId": principal }));
            }
        });
    });
    Edited {
        body: Value::Object(body),
        named: vec!["/properties/managedResourceGroupSettings"],
    }
}

/// What a registry's PUT sends back: everything that was read, except what the server owns, and never an empty
/// `armResourceId` (§1.5).
pub(crate) fn registry_body(current: &Value) -> Map<String, Value> {
    let mut body = current.as_object().cloned().unwrap_or_default();
    body.retain(|name, _| !SERVER_OWNED.contains(&name.as_str()));
    if let Some(Value::Object(identity)) = body.get_mut("identity") {
        identity.retain(|name, _| name != "principalId" && name != "tenantId");
        if let Some(Value::Object(assigned)) = identity.get_mut("userAssignedIdentities") {
            assigned.values_mut().for_each(|v| *v = json!({}));
        }
    }
    if let Some(Value::Object(properties)) = body.get_mut("properties") {
        properties.retain(|name, _| !SERVER_OWNED_PROPERTIES.contains(&name.as_str()));
        properties.values_mut().for_each(drop_empty_account_ids);
    }
    body
}

fn drop_empty_account_ids(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let empty = |v: &Value| v.is_null() || v["resourceId"].as_str().is_none_or(str::is_empty);
            map.retain(|name, v| name != "armResourceId" || !empty(v));
            map.values_mut().for_each(drop_empty_account_ids);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty_account_ids),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn storage(current: &Value, edit: &Edit) -> Edited {
    let access = current
        .pointer("/properties/publicNetworkAccess")
        .cloned()
        .unwrap_or(Value::Null);
    let mut rules = rule_set(current, "/properties/networkAcls");
    let (access, named) = match edit {
        Edit::Close => {
            rules.insert("defaultAction".to_owned(), json!("Deny"));
            rules.insert("ipRules".to_owned(), json!([]));
            rules.insert("virtualNetworkRules".to_owned(), json!([]));
            if rules.contains_key("ipv6Rules") {
                rules.insert("ipv6Rules".to_owned(), json!([]));
            }
            // `Disabled` would stop resource rules too (§1.7).
            let in_perimeter = text(current, ACCESS).is_some_and(|access| {
                matches!(
                    PublicNetworkAccess::from(access),
                    PublicNetworkAccess::SecuredByPerimeter
                )
            });
            // In a perimeter they do not count, and its own rules would go on letting people in.
            let keeps_rules = !list(current, RESOURCE_RULES).is_empty() && !in_perimeter;
            let access = if keeps_rules { access } else { json!("Disabled") };
            (
                access,
                vec![
                    ACCESS,
                    "/properties/networkAcls/defaultAction",
                    IP_RULES,
                    IPV6_RULES,
                    NETWORK_RULES,
                ],
            )
        }
        Edit::Open => {
            rules.insert("defaultAction".to_owned(), json!("Allow"));
            (json!("Enabled"), vec![ACCESS, "/properties/networkAcls/defaultAction"])
        }
        Edit::Restore(settings) => {
            let lists = ["ipRules", "ipv6Rules", "virtualNetworkRules"];
            rules = restored(settings, "networkAcls", rules, &lists);
            add_lost_resources(settings, &mut rules);
            (
                json!(access_of(settings)),
                vec![
                    ACCESS,
                    "/properties/networkAcls/defaultAction",
                    IP_RULES,
                    IPV6_RULES,
                    NETWORK_RULES,
                    RESOURCE_RULES,
                ],
            )
        }
        Edit::AllowResource { resource, tenant } => {
            allow(&mut rules, resource, tenant);
            (access, vec![RESOURCE_RULES])
        }
    };
    rules
        .entry("defaultAction".to_owned())
        .or_insert_with(|| json!("Allow"));
    let mut properties = Map::new();
    if !access.is_null() && !matches!(edit, Edit::AllowResource { .. }) {
        properties.insert("publicNetworkAccess".to_owned(), access);
    }
    properties.insert("networkAcls".to_owned(), Value::Object(rules));
    Edited {
        body: json!({ "properties": properties }),
        named,
    }
}

const ACCESS: &str = "/properties/publicNetworkAccess";
const IP_RULES: &str = "/properties/networkAcls/ipRules";
const IPV6_RULES: &str = "/properties/networkAcls/ipv6Rules";
const NETWORK_RULES: &str = "/properties/networkAcls/virtualNetworkRules";
const RESOURCE_RULES: &str = "/properties/networkAcls/resourceAccessRules";

fn container_registry(current: &Value, edit: &Edit) -> Result<Edited, EditError> {
    let mut rules = rule_set(current, "/properties/networkRuleSet");
    let (access, named) = match edit {
        Edit::Close => {
            rules.insert("defaultAction".to_owned(), json!("Deny"));
            rules.insert("ipRules".to_owned(), json!([]));
            if rules.contains_key("virtualNetworkRules") {
                rules.insert("virtualNetworkRules".to_owned(), json!([]));
            }
            ("Disabled", vec![ACCESS, "/properties/networkRuleSet"])
        }
        Edit::Open => {
            rules.insert("defaultAction".to_owned(), json!("Allow"));
            ("Enabled", vec![ACCESS, "/properties/networkRuleSet/defaultAction"])
        }
        Edit::Restore(settings) => {
            rules = restored(settings, "networkRuleSet", rules, &["ipRules", "virtualNetworkRules"]);
            (access_of(settings), vec![ACCESS, "/properties/networkRuleSet"])
        }
        Edit::AllowResource { .. } => return Err(EditError::NotForThisTarget),
    };
    let body = json!({ "properties": { "publicNetworkAccess": access, "networkRuleSet": rules } });
    Ok(Edited { body, named })
}

/// The rule set as it is; it is replaced as a whole (U16).
fn rule_set(current: &Value, pointer: &str) -> Map<String, Value> {
    current
        .pointer(pointer)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

/// The present rule set with what closing changes put back from a snapshot; whatever else somebody set since stays. Lists that the
/// snapshot lacks are emptied explicitly, because Azure may merge (U16).
fn restored(settings: &Value, name: &str, mut rules: Map<String, Value>, lists: &[&str]) -> Map<String, Value> {
    let before = |key: &str| settings.get(name).and_then(|r| r.get(key)).cloned();
    let action = before("defaultAction").unwrap_or_else(|| json!("Allow"));
    rules.insert("defaultAction".to_owned(), action);
    for list in lists {
        match before(list) {
            Some(kept) => drop(rules.insert((*list).to_owned(), as_sent(kept))),
            None if rules.contains_key(*list) => drop(rules.insert((*list).to_owned(), json!([]))),
            None => {}
        }
    }
    rules
}

/// Rules for resources that closing could not keep. Those that came since stay.
fn add_lost_resources(settings: &Value, rules: &mut Map<String, Value>) {
    let there = rules_of(TargetKind::Storage, &json!({ "networkAcls": rules.clone() }));
    let before = list(settings, "/networkAcls/resourceAccessRules");
    let lost = before.iter().filter(|entry| {
        let rule = NetworkRule::of_entry(RuleKind::Resource, entry);
        !there.iter().any(|other| other.key() == rule.key())
    });
    let lost: Vec<Value> = lost.cloned().collect();
    if lost.is_empty() {
        return;
    }
    let entries = rules
        .entry("resourceAccessRules".to_owned())
        .or_insert_with(|| json!([]));
    if !entries.is_array() {
        *entries = json!([]);
    }
    if let Value::Array(entries) = entries {
        entries.extend(lost);
    }
}

/// A list of rules as it is written: `state` is Azure's to say.
fn as_sent(mut list: Value) -> Value {
    for rule in list.as_array_mut().into_iter().flatten() {
        if let Value::Object(rule) = rule {
            rule.remove("state");
        }
    }
    list
}

/// What `publicNetworkAccess` was; Azure omits it on old accounts, which means `Enabled`.
fn access_of(settings: &Value) -> &str {
    settings
        .get("publicNetworkAccess")
        .and_then(Value::as_str)
        .filter(|a| !a.is_empty())
        .unwrap_or("Enabled")
}

fn allow(rules: &mut Map<String, Value>, resource: &ArmId, tenant: &str) {
    let listed = rules
        .entry("resourceAccessRules".to_owned())
        .or_insert_with(|| json!([]));
    if !listed.is_array() {
        *listed = json!([]);
    }
    if let Value::Array(listed) = listed
        && !listed
            .iter()
            .any(|rule| id(rule, "/resourceId").as_ref() == Some(resource))
    {
        listed.push(json!({ "tenantId": tenant, "resourceId": resource.as_str() }));
    }
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
