//! Private DNS zones and their links (azure.md §4.1), created with `If-None-Match: *` so that nobody's is overwritten and two
//! operators cannot both create one. Never deleted: others may use them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sreg_api::registry::ResolutionPolicy;
use sreg_domain::ArmId;

use super::tags::with_owner;
use super::{Carried, Work, done, stale};
use crate::json;

/// Creates a zone if it is absent. One that is there serves as well, whoever made it.
pub(super) async fn create(work: &Work<'_>, id: &ArmId, tags: &BTreeMap<String, String>, owner: &str) -> Carried {
    let body = json!({ "location": "global", "tags": with_owner(tags, owner) });
    match work
        .create_only(id, body, format!("create private DNS zone {id}"))
        .await?
    {
        Some(answer) => Ok(work.effect(id, &answer)),
        None => match work.find(id).await? {
            Some(_) => Ok(done()),
            None => stale(format!("{id} existed a moment ago and does not now")),
        },
    }
}

/// Links a network if the link is absent; a link that is there gets the resolution policy.
pub(super) async fn link(
    work: &Work<'_>,
    id: &ArmId,
    virtual_network: &ArmId,
    resolution_policy: ResolutionPolicy,
    (tags, owner): (&BTreeMap<String, String>, &str),
) -> Carried {
    let policy = resolution_policy.as_str();
    let body = json!({
        "location": "global",
        "tags": with_owner(tags, owner),
        "properties": {
            "virtualNetwork": { "id": virtual_network.as_str() },
            "registrationEnabled": false,
            "resolutionPolicy": policy,
        },
    });
    match work
        .create_only(id, body, format!("create link {id} of {virtual_network}"))
        .await?
    {
        Some(answer) => Ok(work.effect(id, &answer)),
        None => match work.find(id).await? {
            Some(present) if json::id(&present, "/properties/virtualNetwork/id").as_ref() == Some(virtual_network) => {
                set_policy(work, id, present, policy).await
            }
            Some(_) => stale(format!("{id} exists and links another network")),
            None => stale(format!("{id} existed a moment ago and does not now")),
        },
    }
}

/// Gives a link this resolution policy and leaves the rest of it as it was read (`If-Match`).
async fn set_policy(work: &Work<'_>, id: &ArmId, present: Value, policy: &str) -> Carried {
    let now = json::text(&present, "/properties/resolutionPolicy").unwrap_or("Default");
    if now.eq_ignore_ascii_case(policy) {
        return Ok(done());
    }
    let Some(etag) = json::string(&present, "/etag") else {
        return stale(format!("{id} has no etag: it is not changed without one"));
    };
    let body = json!({
        "location": present.get("location").cloned().unwrap_or(json!("global")),
        "tags": present.get("tags").cloned().unwrap_or(json!({})),
        "properties": {
            "virtualNetwork": { "id": present.pointer("/properties/virtualNetwork/id") },
            "registrationEnabled": present.pointer("/properties/registrationEnabled").cloned().unwrap_or(json!(false)),
            "resolutionPolicy": policy,
        },
    });
    match work
        .replace(id, body, &etag, format!("set resolutionPolicy of {id}"))
        .await?
    {
        Some(answer) => Ok(work.effect(id, &answer)),
        None => stale(format!("{id} changed a moment ago")),
    }
}
