//! The registry itself: created closed (azure.md §1.7), tagged without touching other tags.

use std::collections::BTreeMap;

use azure_core::http::Method;
use serde_json::{Map, Value, json};
use sreg_domain::{ArmId, Digest, Location};

use super::settings::rewrite;
use super::{Carried, Work, stale};
use crate::edit::Edited;

/// Creates the registry, closed from birth. Never over an existing one.
pub(super) async fn create(
    work: &Work<'_>,
    id: &ArmId,
    locations: &[Location],
    tags: &BTreeMap<String, String>,
    assigned_identities: &[String],
) -> Carried {
    if work.find(id).await?.is_some() {
        return stale(format!("{id} exists already"));
    }
    let answer = work
        .put(id, body(locations, tags, assigned_identities), format!("create {id}"))
        .await?;
    Ok(work.effect(id, &answer))
}

/// The body of a new registry: accounts are Azure's to name, so no `armResourceId` (§1.5).
fn body(locations: &[Location], tags: &BTreeMap<String, String>, assigned_identities: &[String]) -> Value {
    let regions: Vec<Value> = locations
        .iter()
        .map(|location| {
            json!({
                "location": location.as_str(),
                "storageAccountDetails": [{ "systemCreatedStorageAccount": {
                    "storageAccountType": "Standard_LRS",
                    "storageAccountHnsEnabled": false,
                    "allowBlobPublicAccess": false,
                } }],
                "acrDetails": [{ "systemCreatedAcrAccount": { "acrAccountSku": "Premium" } }],
            })
        })
        .collect();
    let mut properties = json!({ "publicNetworkAccess": "Disabled", "regionDetails": regions });
    if !assigned_identities.is_empty() {
        let identities: Vec<Value> = assigned_identities
            .iter()
            .map(|id| json!({ "principalId": id }))
            .collect();
        properties["managedResourceGroupSettings"] = json!({ "assignedIdentities": identities });
    }
    json!({
        "location": locations.first().map(Location::as_str),
        "identity": { "type": "SystemAssigned" },
        "tags": tags,
        "properties": properties,
    })
}

/// Sets our tags, takes some away, and sends all others back as they are: a PATCH replaces the whole set.
pub(super) async fn set_tags(
    work: &Work<'_>,
    id: &ArmId,
    (tags, removed): (&BTreeMap<String, String>, &[String]),
    expected: &Digest,
) -> Carried {
    let change = |current: &Value| {
        Ok(Edited {
            body: json!({ "tags": merged(current, tags, removed) }),
            named: vec!["/tags"],
        })
    };
    rewrite(work, id, expected, Method::Patch, format!("tag {id}"), change).await
}

/// All tags with ours set, and without what is taken away. Tag names ignore case: one that is there keeps its spelling.
fn merged(current: &Value, tags: &BTreeMap<String, String>, removed: &[String]) -> Map<String, Value> {
    let mut all = current
        .get("tags")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for (name, value) in tags {
        let spelled = all
            .keys()
            .find(|k| k.eq_ignore_ascii_case(name))
            .unwrap_or(name)
            .clone();
        all.insert(spelled, json!(value));
    }
    all.retain(|name, _| !removed.iter().any(|gone| gone.eq_ignore_ascii_case(name)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_born_closed_and_names_no_account() {
        let locations = [Location::from("West Europe"), Location::from("northeurope")];
        let body = body(&locations, &BTreeMap::from([("a".into(), "b".into())]), &["me".into()]);
        assert_eq!(body["location"], "westeurope");
        assert_eq!(body["properties"]["publicNetworkAccess"], "Disabled");
        assert_eq!(body["properties"]["regionDetails"][1]["location"], "northeurope");
        assert_eq!(
            body["properties"]["managedResourceGroupSettings"]["assignedIdentities"],
            json!([{"principalId": "me"}])
        );
        assert!(!body.to_string().contains("armResourceId"));
    }

    #[test]
    fn other_tags_are_kept_and_ours_keep_their_spelling() {
        let current = json!({"tags": {"Owner": "x", "theirs": "kept"}});
        let ours = BTreeMap::from([
            ("owner".to_owned(), "me".to_owned()),
            ("new".to_owned(), "n".to_owned()),
        ]);
        assert_eq!(
            Value::Object(merged(&current, &ours, &[])),
            json!({"Owner": "me", "theirs": "kept", "new": "n"})
        );
    }
}
