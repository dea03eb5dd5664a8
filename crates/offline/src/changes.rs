//! What a step changes, field by field: what was seen there, and what stands there afterwards. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use sreg_api::names::OWNER_TAG;
use sreg_azure::settings_after;
use sreg_domain::network_rules::rules_of;
use sreg_domain::seen::{EndpointSeen, Fact, LinkSeen, ZoneGroupSeen, ZoneSeen};
use sreg_domain::{Action, ArmId, AzureAction, Edit, NetworkRule, Seen, TargetKind};
use sreg_planner::seen_network;

/// One field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// Its name, with dots, as Azure calls it.
    pub field: String,
    /// What stands there; `None`: nothing, or there is no such resource yet.
    pub old: Option<Value>,
    /// What will stand there; `None`: nothing.
    pub new: Option<Value>,
}

/// Every field that a step changes. What Azure fills in by itself is not known before.
pub fn changes(action: &Action, seen: &Seen) -> Vec<FieldChange> {
    match action {
        Action::Cluster(_) => Vec::new(),
        Action::Azure(action) => in_azure(action, seen),
    }
}

/// Rules that closing takes from a target: whoever comes in by them loses access.
pub fn rules_taken(action: &Action, seen: &Seen) -> Vec<NetworkRule> {
    let Action::Azure(AzureAction::Edit {
        target,
        id,
        edit: Edit::Close,
        ..
    }) = action
    else {
        return Vec::new();
    };
    let network = seen_network(seen, id).unwrap_or_default();
    let mut rules = rules_of(*target, &network);
    rules.retain(NetworkRule::goes_when_closed);
    rules
}

fn in_azure(action: &AzureAction, seen: &Seen) -> Vec<FieldChange> {
    match action {
        AzureAction::CreateRegistry {
            locations,
            tags,
            assigned_identities,
            ..
        } => made(json!({
            "regions": locations,
            "publicNetworkAccess": "Disabled",
            "managedResourceGroupSettings": {"assignedIdentities": assigned_identities},
            "tags": tags,
        })),
        AzureAction::SetTags { tags, removed, .. } => {
            let there = seen.azure.registry_details().map(|registry| registry.tags.clone());
            tagged(there.unwrap_or_default(), tags, removed)
        }
        AzureAction::MergeTags { id, tags, .. } => tagged(tags_of(seen, id), tags, &[]),
        AzureAction::GrantManagedGroupAccess { principal, .. } => {
            let there = seen
                .azure
                .registry_details()
                .map(|registry| registry.assigned_identities.clone());
            let old = there.unwrap_or_default();
            let new: Vec<String> = old.iter().cloned().chain([principal.clone()]).collect();
            between(
                "managedResourceGroupSettings.assignedIdentities",
                &json!(old),
                &json!(new),
            )
        }
        AzureAction::CreateEndpoint {
            location,
            subnet,
            target,
            group,
            manual_request,
            tags,
            owner,
            ..
        } => {
            let connection = match manual_request {
                Some(message) => json!({"approval": "by the owner of the target", "requestMessage": message}),
                None => json!({"approval": "automatic"}),
            };
            made(json!({
                "location": location, "subnet": subnet, "target": target, "groupId": group.group_id(),
                "connection": connection, "tags": owned(tags, owner),
            }))
        }
        AzureAction::CreateZone { tags, owner, .. } => made(json!({"tags": owned(tags, owner)})),
        AzureAction::LinkZone {
            id,
            virtual_network,
            resolution_policy,
            tags,
            owner,
        } => match link(seen, id) {
            Some(there) => between(
                "resolutionPolicy",
                &json!(there.resolution_policy),
                &json!(resolution_policy),
            ),
            None => made(json!({
                "virtualNetwork": virtual_network, "resolutionPolicy": resolution_policy, "tags": owned(tags, owner),
            })),
        },
        AzureAction::PutZoneGroup { id, zones, .. } => {
            let old = json!(zone_group(seen, id).map(|group| &group.zones));
            between("privateDnsZones", &old, &json!(zones))
        }
        AzureAction::DeleteZoneGroup { id, .. } => {
            let zones = json!(zone_group(seen, id).map(|group| &group.zones));
            between("privateDnsZones", &zones, &Value::Null)
        }
        AzureAction::DeleteEndpoint { id, .. } => {
            let subnet = endpoint(seen, id).and_then(|endpoint| endpoint.subnet.as_ref());
            between("subnet", &json!(subnet), &Value::Null)
        }
        AzureAction::Edit { target, id, edit, .. } => edited(seen, *target, id, edit),
    }
}

fn edited(seen: &Seen, target: TargetKind, id: &ArmId, edit: &Edit) -> Vec<FieldChange> {
    let shared = || Some(seen.azure.shared_storage.get(id)?.seen()?.network.clone());
    let Some(before) = seen_network(seen, id).or_else(shared) else {
        return Vec::new();
    };
    match settings_after(target, &before, edit) {
        Some(after) => between("", &before, &after),
        None => Vec::new(),
    }
}

/// A resource that is not there yet: every field is new.
fn made(fields: Value) -> Vec<FieldChange> {
    between("", &Value::Null, &fields)
}

/// Fields of the second that differ from those of the first: objects field by field, lists as a whole. A field that the second does not
/// speak of stays as it is.
fn between(at: &str, old: &Value, new: &Value) -> Vec<FieldChange> {
    if let Value::Object(fields) = new {
        let path = |name: &str| {
            if at.is_empty() {
                name.to_owned()
            } else {
                format!("{at}.{name}")
            }
        };
        let fields = fields.iter();
        return fields
            .flat_map(|(name, new)| between(&path(name), old.get(name).unwrap_or(&Value::Null), new))
            .collect();
    }
    if old == new || (says_nothing(old) && says_nothing(new)) {
        return Vec::new();
    }
    let some = |value: &Value| (!value.is_null()).then(|| value.clone());
    vec![FieldChange {
        field: at.to_owned(),
        old: some(old),
        new: some(new),
    }]
}

fn says_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn owned(tags: &BTreeMap<String, String>, owner: &str) -> BTreeMap<String, String> {
    let mut tags = tags.clone();
    tags.insert(OWNER_TAG.to_owned(), owner.to_owned());
    tags
}

fn tagged(there: BTreeMap<String, String>, tags: &BTreeMap<String, String>, removed: &[String]) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = tags.keys().chain(removed).collect();
    let value = |tags: &BTreeMap<String, String>, name: &str| {
        let mut found = tags.iter().filter(|(tag, _)| tag.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| json!(value))
    };
    let change = |name: &String| FieldChange {
        field: format!("tags.{name}"),
        old: value(&there, name),
        new: value(tags, name),
    };
    names.into_iter().map(change).collect()
}

fn endpoint<'a>(seen: &'a Seen, id: &ArmId) -> Option<&'a EndpointSeen> {
    seen.azure.endpoints.get(id)?.seen()
}

fn zone_group<'a>(seen: &'a Seen, id: &ArmId) -> Option<&'a ZoneGroupSeen> {
    let groups = endpoint(seen, &id.parent()?)?.zone_groups.seen()?;
    groups.iter().find(|group| group.id == *id)
}

fn zones(seen: &Seen) -> impl Iterator<Item = &ZoneSeen> {
    seen.azure.zones.values().filter_map(Fact::seen)
}

fn link<'a>(seen: &'a Seen, id: &ArmId) -> Option<&'a LinkSeen> {
    let links = zones(seen).filter_map(|zone| zone.links.seen()).flatten();
    let mut found = links.filter(|link| link.id == *id);
    found.next()
}

fn tags_of(seen: &Seen, id: &ArmId) -> BTreeMap<String, String> {
    let zone = zones(seen).find(|zone| zone.id == *id).map(|zone| &zone.tags);
    let tags = endpoint(seen, id).map(|endpoint| &endpoint.tags);
    let tags = tags.or(zone).or_else(|| link(seen, id).map(|link| &link.tags));
    tags.cloned().unwrap_or_default()
}
