//! Private endpoints and their zone groups (azure.md §3, §4.2). Bodies are azure_mgmt_network's typed models. Nothing without our
//! mark is written over or deleted; the mark is read just before.

use std::collections::BTreeMap;

use azure_mgmt_network::package_2024_03::models;
use serde_json::Value;
use sreg_domain::{ArmId, EndpointGroup, Location};

use super::tags::with_owner;
use super::{Carried, Refusal, Work, done, stale};
use crate::json;

/// An endpoint as it is wanted.
pub(super) struct NewEndpoint<'a> {
    pub(super) id: &'a ArmId,
    pub(super) location: &'a Location,
    pub(super) subnet: &'a ArmId,
    pub(super) target: &'a ArmId,
    pub(super) group: EndpointGroup,
    pub(super) manual_request: &'a Option<String>,
    pub(super) tags: &'a BTreeMap<String, String>,
    pub(super) owner: &'a str,
}

/// Creates an endpoint, or completes one of ours that failed (a failed create leaves it behind, §3.4).
pub(super) async fn create(work: &Work<'_>, wanted: &NewEndpoint<'_>) -> Carried {
    if let Some(present) = work.find(wanted.id).await? {
        match wanted.compare(&present) {
            Present::AsWanted => return Ok(done()),
            Present::Failed => {}
            Present::Other(why) => return stale(why),
        }
    }
    let attempt = format!("create private endpoint {}", wanted.id);
    let body = wanted.body().map_err(|message| Refusal::Ours {
        attempt: attempt.clone(),
        message,
    })?;
    let answer = work.put(wanted.id, body, attempt).await?;
    Ok(work.effect(wanted.id, &answer))
}

/// Deletes an endpoint that carries our tag and has the name that we give to what leads where it leads: a tag alone may be a copy.
pub(super) async fn delete(work: &Work<'_>, id: &ArmId, owner: &str) -> Carried {
    let Some(present) = work.find(id).await? else {
        return Ok(done());
    };
    if json::owner(&present).as_deref() != Some(owner) {
        return stale(format!("{id} does not carry our tag"));
    }
    if !json::is_named_by_us(id, &present) {
        return stale(format!(
            "{id} carries our tag, and its name is not the one for its target, subnet and group"
        ));
    }
    work.delete(id).await
}

/// Creates our zone group below an endpoint of ours. One that is there with other zones is not changed: that would be a deletion
/// and a creation, with a gap between.
pub(super) async fn put_zone_group(work: &Work<'_>, id: &ArmId, zones: &[ArmId], owner: &str) -> Carried {
    let (endpoint, present) = below_ours(work, id, (owner, false)).await?;
    if let Err(why) = endpoint {
        return stale(why);
    }
    if let Some(present) = present {
        let configs = json::list(&present, "/properties/privateDnsZoneConfigs");
        let mut there: Vec<Option<ArmId>> = configs
            .iter()
            .map(|c| json::id(c, "/properties/privateDnsZoneId"))
            .collect();
        let mut wanted: Vec<Option<ArmId>> = zones.iter().cloned().map(Some).collect();
        there.sort();
        wanted.sort();
        if there != wanted {
            return stale(format!("{id} exists with other zones"));
        }
        // Written again even if it succeeded once: only that brings back records which somebody deleted.
    }
    let attempt = format!("create DNS zone group {id}");
    let body = zone_group_body(zones).map_err(|message| Refusal::Ours {
        attempt: attempt.clone(),
        message,
    })?;
    let answer = work.put(id, body, attempt).await?;
    Ok(work.effect(id, &answer))
}

/// Deletes our zone group below an endpoint of ours.
pub(super) async fn delete_zone_group(work: &Work<'_>, id: &ArmId, owner: &str) -> Carried {
    match below_ours(work, id, (owner, true)).await? {
        (_, None) => Ok(done()),
        (Err(why), Some(_)) => stale(why),
        (Ok(()), Some(_)) => work.delete(id).await,
    }
}

/// Whether the group's endpoint is one that we made, by its name and its tag; only where something is removed the tag has to be there.
/// And the group itself.
async fn below_ours(
    work: &Work<'_>,
    id: &ArmId,
    (owner, removes): (&str, bool),
) -> Result<(Result<(), String>, Option<Value>), Refusal> {
    let Some(endpoint) = id.parent() else {
        return Ok((Err(format!("{id} is no child of an endpoint")), None));
    };
    let (parent, group) = futures::join!(work.find(&endpoint), work.find(id));
    let owned = match parent? {
        None => Err(format!("{endpoint} does not exist")),
        Some(body) if json::owner(&body).map_or(removes, |tag| tag != owner) => {
            Err(format!("{endpoint} does not carry our tag"))
        }
        Some(body) if !json::is_named_by_us(&endpoint, &body) => Err(format!(
            "{endpoint} has another name than what we make for its target, subnet and group"
        )),
        Some(_) => Ok(()),
    };
    Ok((owned, group?))
}

enum Present {
    AsWanted,
    Failed,
    Other(String),
}

impl NewEndpoint<'_> {
    fn compare(&self, present: &Value) -> Present {
        let id = self.id;
        // Without anybody's tag it is ours if all else is as we make it.
        if json::owner(present).is_some_and(|owner| owner != self.owner) {
            return Present::Other(format!("{id} exists and carries the tag of another owner"));
        }
        let automatic = json::list(present, "/properties/privateLinkServiceConnections");
        let manual = json::list(present, "/properties/manualPrivateLinkServiceConnections");
        let connections = if self.manual_request.is_some() {
            manual
        } else {
            automatic
        };
        let [connection] = connections else {
            return Present::Other(format!("{id} exists with another kind of connection"));
        };
        let same = automatic.len() + manual.len() == 1
            && json::id(present, "/properties/subnet/id").as_ref() == Some(self.subnet)
            && json::id(connection, "/properties/privateLinkServiceId").as_ref() == Some(self.target)
            && json::text(connection, "/properties/groupIds/0") == Some(self.group.group_id());
        if !same {
            return Present::Other(format!("{id} exists with another subnet, target or group"));
        }
        let state = json::text(present, "/properties/provisioningState").unwrap_or("Succeeded");
        if state.eq_ignore_ascii_case("Failed") || state.eq_ignore_ascii_case("Canceled") {
            Present::Failed
        } else {
            Present::AsWanted
        }
    }

    fn body(&self) -> Result<Value, String> {
        let connection = models::PrivateLinkServiceConnection {
            name: Some(self.id.name().to_owned()),
            properties: Some(models::PrivateLinkServiceConnectionProperties {
                private_link_service_id: Some(self.target.to_string()),
                group_ids: vec![self.group.group_id().to_owned()],
                request_message: self.manual_request.clone(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let (automatic, manual) = if self.manual_request.is_some() {
            (vec![], vec![connection])
        } else {
            (vec![connection], vec![])
        };
        let subnet = models::Subnet {
            sub_resource: models::SubResource {
                id: Some(self.subnet.to_string()),
            },
            ..Default::default()
        };
        let endpoint = models::PrivateEndpoint {
            resource: models::Resource {
                location: Some(self.location.as_str().to_owned()),
                tags: Some(with_owner(self.tags, self.owner)),
                ..Default::default()
            },
            properties: Some(models::PrivateEndpointProperties {
                subnet: Some(subnet),
                private_link_service_connections: automatic,
                manual_private_link_service_connections: manual,
                ..Default::default()
            }),
            ..Default::default()
        };
        serde_json::to_value(endpoint).map_err(|error| error.to_string())
    }
}

/// Config names are the zones' names with dots replaced, as convention has it (§4.2).
fn zone_group_body(zones: &[ArmId]) -> Result<Value, String> {
    let configs = zones
        .iter()
        .map(|zone| models::PrivateDnsZoneConfig {
            name: Some(zone.name().to_ascii_lowercase().replace('.', "-")),
            properties: Some(models::PrivateDnsZonePropertiesFormat {
                private_dns_zone_id: Some(zone.to_string()),
                ..Default::default()
            }),
        })
        .collect();
    let group = models::PrivateDnsZoneGroup {
        properties: Some(models::PrivateDnsZoneGroupPropertiesFormat {
            private_dns_zone_configs: configs,
            ..Default::default()
        }),
        ..Default::default()
    };
    serde_json::to_value(group).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GROUP: &str = "/subscriptions/s/resourceGroups/g/providers";

    fn with_wanted<T>(manual: Option<&str>, then: impl FnOnce(NewEndpoint<'_>) -> T) -> T {
        let id = format!("{GROUP}/Microsoft.Network/privateEndpoints/p").parse().unwrap();
        let subnet = format!("{GROUP}/Microsoft.Network/virtualNetworks/v/subnets/s")
            .parse()
            .unwrap();
        let target = format!("{GROUP}/Microsoft.Storage/storageAccounts/a").parse().unwrap();
        let manual = manual.map(str::to_owned);
        then(NewEndpoint {
            id: &id,
            location: &Location::from("westeurope"),
            subnet: &subnet,
            target: &target,
            group: EndpointGroup::Blob,
            manual_request: &manual,
            tags: &BTreeMap::from([("costCenter".to_owned(), "7".to_owned())]),
            owner: "i/n/r",
        })
    }

    #[test]
    fn the_typed_body_says_exactly_what_is_wanted() {
        let body = with_wanted(None, |w| w.body().unwrap());
        let connection = json!([{"name": "p", "properties": {"privateLinkServiceId": format!("{GROUP}/Microsoft.Storage/storageAccounts/a"), "groupIds": ["blob"]}}]);
        let subnet = json!({"id": format!("{GROUP}/Microsoft.Network/virtualNetworks/v/subnets/s")});
        assert_eq!(
            body,
            json!({"location": "westeurope", "tags": {"secureregistry-owner": "i/n/r", "costCenter": "7"},
            "properties": {"subnet": subnet, "privateLinkServiceConnections": connection}})
        );
        let manual = with_wanted(Some("please"), |w| w.body().unwrap());
        assert_eq!(
            manual["properties"]["manualPrivateLinkServiceConnections"][0]["properties"]["requestMessage"],
            "please"
        );
        assert_eq!(manual["properties"].get("privateLinkServiceConnections"), None);
    }

    #[test]
    fn an_endpoint_that_is_there_is_done_completed_or_left_alone() {
        with_wanted(None, |wanted| {
            let mut ours = wanted.body().unwrap();
            assert!(matches!(wanted.compare(&ours), Present::AsWanted));
            ours["properties"]["provisioningState"] = json!("Failed");
            assert!(matches!(wanted.compare(&ours), Present::Failed));
            let mut without_tags = wanted.body().unwrap();
            without_tags["tags"] = json!({});
            assert!(matches!(wanted.compare(&without_tags), Present::AsWanted));
            for (pointer, value) in [
                ("/tags/secureregistry-owner", json!("other/n/r")),
                ("/properties/subnet/id", json!(GROUP)),
                (
                    "/properties/privateLinkServiceConnections/0/properties/groupIds/0",
                    json!("dfs"),
                ),
                ("/properties/privateLinkServiceConnections", json!([])),
            ] {
                let mut other = ours.clone();
                *other.pointer_mut(pointer).unwrap() = value;
                assert!(matches!(wanted.compare(&other), Present::Other(_)), "{pointer}");
            }
        });
    }

    #[test]
    fn a_zone_groups_configs_are_named_after_their_zones() {
        let zone: ArmId = format!("{GROUP}/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net")
            .parse()
            .unwrap();
        assert_eq!(
            zone_group_body(std::slice::from_ref(&zone)).unwrap(),
            json!({"properties": {"privateDnsZoneConfigs": [
            {"name": "privatelink-blob-core-windows-net", "properties": {"privateDnsZoneId": zone.to_string()}}]}})
        );
    }
}
