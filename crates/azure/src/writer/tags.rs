//! Tags on what we made: merged by Azure itself, so that nothing which others put there meanwhile is lost.

use std::collections::BTreeMap;

use azure_core::http::Method;
use serde_json::{Value, json};
use sreg_api::names::OWNER_TAG;
use sreg_domain::{ArmId, naming};

use super::{Carried, Work, done, stale};
use crate::json;

/// The tags of something that we make: those that are wished, and the owner tag.
pub(super) fn with_owner(tags: &BTreeMap<String, String>, owner: &str) -> Value {
    let mut all = tags.clone();
    all.insert(OWNER_TAG.to_owned(), owner.to_owned());
    json!(all)
}

/// Merges tags into those of a resource, if it is ours: an endpoint or link by its name, a zone by its tag; none that carries the tag of
/// another owner.
pub(super) async fn merge(work: &Work<'_>, id: &ArmId, tags: &BTreeMap<String, String>, owner: &str) -> Carried {
    let Some(present) = work.find(id).await? else {
        return stale(format!("{id} does not exist any more"));
    };
    if !is_ours(id, &present, owner) {
        return stale(format!(
            "{id} is not what the operator made, or carries the tag of another owner"
        ));
    }
    if naming::tags_to_set(tags, &json::tags(&present)).is_empty() {
        return Ok(done());
    }
    let body = json!({ "operation": "Merge", "properties": { "tags": tags } });
    let scope = id.provider("Microsoft.Resources/tags", "default");
    let answer = work.send(Method::Patch, &scope, body, format!("tag {id}")).await?;
    Ok(work.effect(id, &answer))
}

fn is_ours(id: &ArmId, present: &Value, owner: &str) -> bool {
    let tag = json::owner(present);
    let by_name = match id.kind().as_str() {
        "microsoft.network/privateendpoints" => json::is_named_by_us(id, present),
        "microsoft.network/privatednszones/virtualnetworklinks" => json::id(present, "/properties/virtualNetwork/id")
            .is_some_and(|network| naming::is_link_name(id.name(), &network)),
        _ => tag.is_some(),
    };
    by_name && tag.is_none_or(|tag| tag == owner)
}
