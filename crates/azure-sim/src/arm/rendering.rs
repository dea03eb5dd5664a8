//! A resource as its provider answers it: what the world keeps, with its entity tag, with what is known only by looking at
//! others, in the field names of the version asked for, ids re-cased where the switch says so. Pure.

use serde_json::{Value, json};

use super::path::name_of;
use crate::json::{guid, list, text};
use crate::world::{Resource, World, key};

/// The entity tag of a resource.
pub(crate) fn etag_of(resource: &Resource) -> String {
    format!(
        "W/\"{}\"",
        guid(&["etag", &key(&resource.id), &resource.etag.to_string()])
    )
}

/// The resource as a GET answers it.
pub(crate) fn render(world: &World, resource: &Resource) -> Value {
    let mut body = resource.body.clone();
    if resource.kind.starts_with("microsoft.network/") {
        let etag = etag_of(resource);
        if let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) {
            for child in properties.values_mut().filter_map(Value::as_array_mut).flatten() {
                tag_child(child, &etag);
            }
        }
        body["etag"] = json!(etag);
    }
    match resource.kind.as_str() {
        "microsoft.network/virtualnetworks/subnets" => show_users(world, &mut body),
        "microsoft.network/virtualnetworks" => {
            let subnets = body.pointer_mut("/properties/subnets").and_then(Value::as_array_mut);
            subnets
                .into_iter()
                .flatten()
                .for_each(|subnet| show_users(world, subnet));
        }
        _ => {}
    }
    if world.switches.recase_ids {
        recase(&mut body);
    }
    body
}

/// Children that stand in their parent's body carry its entity tag.
fn tag_child(child: &mut Value, etag: &str) {
    if child.get("id").is_some() && child.get("properties").is_some_and(Value::is_object) {
        child["etag"] = json!(etag);
    }
}

/// A subnet names the endpoints in it and the configurations of their interfaces; nothing of that where there are none.
fn show_users(world: &World, subnet: &mut Value) {
    let own = key(text(subnet, "/id"));
    let mut endpoints = Vec::new();
    let mut configurations = Vec::new();
    for nic in world.of_kind("microsoft.network/networkinterfaces") {
        let inside = list(&nic.body, "/properties/ipConfigurations")
            .iter()
            .filter(|c| key(text(c, "/properties/subnet/id")) == own);
        let ids: Vec<Value> = inside.map(|c| json!({ "id": c["id"] })).collect();
        if !ids.is_empty() {
            endpoints.push(json!({ "id": nic.body["properties"]["privateEndpoint"]["id"] }));
            configurations.extend(ids);
        }
    }
    if !endpoints.is_empty() {
        subnet["properties"]["privateEndpoints"] = Value::Array(endpoints);
        subnet["properties"]["ipConfigurations"] = Value::Array(configurations);
    }
}

/// Re-cases ids the way some resource providers do (azure.md §12, trap 18): names stay, the words around them change.
fn recase(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("/subscriptions/") => {
            let name = name_of(text).to_owned();
            let spelled = text.replace("/resourceGroups/", "/resourcegroups/");
            *text = match spelled.rsplit_once("/providers/") {
                Some((scope, rest)) => {
                    let (front, _) = rest.rsplit_once('/').unwrap_or((rest, ""));
                    format!("{scope}/providers/{}/{name}", lower_types(front))
                }
                None => spelled,
            };
        }
        Value::Array(items) => items.iter_mut().for_each(recase),
        Value::Object(fields) => fields.values_mut().for_each(recase),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Lower-cases namespace and type segments, leaving names.
fn lower_types(front: &str) -> String {
    let lower = |(index, segment): (usize, &str)| match index == 0 || index % 2 == 1 {
        true => segment.to_ascii_lowercase(),
        false => segment.to_owned(),
    };
    front.split('/').enumerate().map(lower).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recasing_changes_the_words_but_not_the_names() {
        let mut body = json!({"id": "/subscriptions/S/resourceGroups/Ml/providers/Microsoft.Network/privateEndpoints/Hub/privateDnsZoneGroups/Default"});
        recase(&mut body);
        assert_eq!(
            body["id"],
            "/subscriptions/S/resourcegroups/Ml/providers/microsoft.network/privateendpoints/Hub/privatednszonegroups/Default"
        );
    }
}
