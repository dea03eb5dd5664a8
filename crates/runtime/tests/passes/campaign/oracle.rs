//! What a run leaves behind, in Azure and in the cluster, without what may differ between runs that went well: times, uids,
//! round numbers, and which of a subnet's addresses an endpoint was given.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use sreg_api::names::CLAIM_TAG;

use crate::testbed::{OPERATOR_NAMESPACE, PLACES, REGISTRY, Testbed};

/// Name to normalised body.
#[derive(Debug, Clone, PartialEq)]
pub struct End(BTreeMap<String, Value>);

/// Not part of the end: drawn at random, or a matter of when.
const PASSING: [&str; 26] = [
    "etag",
    "resourceGuid",
    "systemData",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "lastTransitionTime",
    "managedFields",
    "generation",
    "digest",
    "evidenceDigest",
    "history",
    "correlationId",
    // The mark of a creation, in the registry's tag and in the claim.
    "secureregistry-created",
    "secureregistry.dev/creates-registry",
    "lastNameChangeTime",
    "sourceVersion",
    "firstSeenPublic",
    "timeToRemediateSeconds",
    // For people: a visit that did not live to report it told nobody, and what was erased is not known any more.
    "lastProof",
    "approvalsUsed",
    "usedAt",
    "staleSince",
    "unsettledSince",
    // What Azure remarks beside an approval: a create that arrives late, over the same endpoint, takes it off.
    "description",
    // Since when it is locked is not known any more once status was erased.
    "exposure",
];

impl End {
    pub fn of(testbed: &Testbed) -> End {
        let networks: Vec<String> = PLACES.iter().map(|place| place.network.to_owned()).collect();
        let mut addresses = BTreeMap::new();
        for path in testbed.sim.required_paths(REGISTRY, &networks) {
            for address in path.addresses {
                addresses
                    .entry(address.to_string())
                    .or_insert_with(|| format!("<{}>", path.fqdn));
            }
        }
        let mut all: BTreeMap<String, Value> = testbed.sim.with_world(|world| {
            let resources = world.resources.values();
            let end = |body| closed_in_one_form(plain(body, &addresses));
            resources.map(|r| (r.id.clone(), end(&r.body))).collect()
        });
        let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        for plural in ["secureregistries", "configmaps", "breakglasses", "changeapprovals"] {
            for object in testbed.api.all(plural) {
                all.insert(
                    format!("{plural} {}", text(&object, "name")),
                    told_closed_in_one_form(plain(&object, &addresses)),
                );
            }
        }
        for lease in testbed.api.all("leases") {
            if text(&lease, "namespace") == OPERATOR_NAMESPACE {
                all.insert(format!("lease {}", text(&lease, "name")), Value::Null);
            }
        }
        // A probe's name follows from the uid of its object; its status is its agent's.
        for probe in testbed.api.all("connectivityprobes") {
            let mut spec = plain(&probe["spec"], &addresses);
            let passing: BTreeSet<&str> = ["round", "subject", "roundNumber"].into();
            if let Some(fields) = spec.as_object_mut() {
                fields.retain(|name, _| !passing.contains(name.as_str()));
            }
            all.insert(
                format!("probe {} {}", text(&probe, "namespace"), text(&probe, "name")),
                spec,
            );
        }
        End(all)
    }

    /// The registry carries a claim tag.
    pub fn holds_claim(&self) -> bool {
        let registry = self.0.iter().find(|(id, _)| id.eq_ignore_ascii_case(REGISTRY));
        registry.is_some_and(|(_, body)| body["tags"][CLAIM_TAG].is_string())
    }

    /// Without the claim tag, where no object is left that could take it off.
    pub fn without_claim_of_nobody(mut self, testbed: &Testbed) -> End {
        let registry = self.0.iter_mut().find(|(id, _)| id.eq_ignore_ascii_case(REGISTRY));
        let tags = registry.and_then(|(_, body)| body["tags"].as_object_mut());
        if let Some(tags) = tags.filter(|_| testbed.api.all("secureregistries").is_empty()) {
            tags.remove(CLAIM_TAG);
        }
        self
    }

    /// What of `other` is not so here, in a few lines.
    pub fn difference(&self, other: &End) -> Vec<String> {
        let mut lines = Vec::new();
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        for name in names {
            match (self.0.get(name), other.0.get(name)) {
                (Some(_), None) => lines.push(format!("{name} is missing")),
                (None, Some(_)) => lines.push(format!("{name} is left over")),
                (Some(mine), Some(theirs)) => differences(name, mine, theirs, &mut lines),
                (None, None) => {}
            }
        }
        lines
    }
}

fn differences(name: &str, mine: &Value, theirs: &Value, lines: &mut Vec<String>) {
    match (mine, theirs) {
        (Value::Object(mine), Value::Object(theirs)) => {
            let fields: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
            for field in fields {
                let (mine, theirs) = (mine.get(field), theirs.get(field));
                let path = format!("{name}.{field}");
                differences(
                    &path,
                    mine.unwrap_or(&Value::Null),
                    theirs.unwrap_or(&Value::Null),
                    lines,
                );
            }
        }
        _ if mine == theirs => {}
        _ => lines.push(format!("{name}: {mine} became {theirs}")),
    }
}

/// Storage is closed in two forms, `Disabled` or `Deny` without rules, and each counts as closed when it is read (decision 0003): which
/// of them stays, where a former leader's write arrives late, is no difference.
fn closed_in_one_form(mut body: Value) -> Value {
    let properties = &body["properties"];
    let rules = &properties["networkAcls"];
    let none = |kind: &str| rules[kind].as_array().is_none_or(Vec::is_empty);
    if rules["defaultAction"] == "Deny" && none("ipRules") && none("virtualNetworkRules") {
        body["properties"]["publicNetworkAccess"] = "<closed>".into();
    }
    body
}

/// The same as a status tells it: which fields close it is for people.
fn told_closed_in_one_form(mut object: Value) -> Value {
    let Some(Value::Array(targets)) = object.pointer_mut("/status/publicAccess/targets") else {
        return object;
    };
    for target in targets.iter_mut().filter(|target| target["access"] == "Closed") {
        target["detail"] = "<closed>".into();
    }
    targets.sort_by_key(ToString::to_string);
    object
}

fn plain(value: &Value, addresses: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields
                .iter()
                .filter(|(name, value)| !value.is_null() && !PASSING.contains(&name.as_str()));
            let kept: Map<String, Value> = kept
                .map(|(name, value)| (name.clone(), plain(value, addresses)))
                .collect();
            Value::Object(kept)
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| plain(item, addresses)).collect();
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        Value::String(text) => Value::String(plain_text(text, addresses)),
        other => other.clone(),
    }
}

/// Times and addresses within words, too.
fn plain_text(text: &str, addresses: &BTreeMap<String, String>) -> String {
    if let Ok(inner) = serde_json::from_str::<Value>(text)
        && inner.is_object()
    {
        return plain(&inner, addresses).to_string();
    }
    let word = |word: &str| -> String {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let time = bare.len() >= 19 && bare.as_bytes()[4] == b'-' && bare.as_bytes()[10] == b'T';
        match addresses.get(bare) {
            _ if time => "<time>".to_owned(),
            Some(known) => word.replace(bare, known),
            None => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
