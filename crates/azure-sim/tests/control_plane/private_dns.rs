//! Zones, links, records, zone groups.

use std::time::Duration;

use serde_json::{Value, json};

use crate::azure::*;

const BLOB: &str = "privatelink.blob.core.windows.net";

fn link_body(network: &str) -> Value {
    json!({"location": "global", "properties": {"virtualNetwork": {"id": vnet(network)}, "registrationEnabled": false}})
}

#[tokio::test(start_paused = true)]
async fn zones_and_links_are_polled_by_either_header_and_answer_an_empty_object() {
    let azure = Azure::new().await;
    let id = zone(BLOB);
    let started = azure.put(&id, DNS, json!({"location": "global"})).await;
    assert_eq!((started.status, started.body.clone()), (202, json!({})));
    let (status, result) = (
        started.header("azure-asyncoperation").unwrap(),
        started.header("location").unwrap(),
    );
    let below = "/resourceGroups/dns/providers/Microsoft.Network/privateDnsOperation";
    assert!(status.contains(&format!("{below}Statuses/")), "{status}");
    assert!(result.contains(&format!("{below}Results/")), "{result}");
    let polled = azure.poll(result).await;
    assert_eq!((polled.status, polled.bytes.len()), (202, 0));
    assert_eq!(azure.poll(status).await.text("/status"), "InProgress");
    assert_eq!(azure.finish(&started).await.text("/status"), "Succeeded");
    assert_eq!(azure.poll(result).await.text("/name"), BLOB);
    let link = format!("{id}/virtualNetworkLinks/hub");
    let started = azure.put(&link, DNS, link_body("hub")).await;
    assert_eq!(
        azure.world(&link)["properties"]["virtualNetworkLinkState"],
        "InProgress"
    );
    azure.finish(&started).await;
    assert_eq!(azure.world(&link)["properties"]["virtualNetworkLinkState"], "Completed");
    assert_eq!(azure.world(&id)["properties"]["numberOfVirtualNetworkLinks"], 1);
}

#[tokio::test(start_paused = true)]
async fn creating_with_if_none_match_loses_to_whoever_was_first_and_a_bare_put_wipes_tags() {
    let azure = Azure::new().await;
    let id = zone(BLOB);
    let body = json!({"location": "global", "tags": {"owner": "hub-team"}});
    azure.done("PUT", &id, DNS, Some(body.clone())).await;
    let lost = azure
        .arm_with("PUT", &id, DNS, Some(body), &[("if-none-match", "*")])
        .await;
    assert_eq!((lost.status, lost.code()), (412, "PreconditionFailed"));
    azure.done("PUT", &id, DNS, Some(json!({"location": "global"}))).await;
    assert_eq!(azure.world(&id)["tags"], json!({}));
    let etag = azure.get(&id, DNS).await.text("/etag").to_owned();
    let stale = azure
        .arm_with("DELETE", &id, DNS, None, &[("if-match", "W/\"other\"")])
        .await;
    assert_eq!(stale.status, 412);
    assert_eq!(
        azure
            .arm_with("DELETE", &id, DNS, None, &[("if-match", &etag)])
            .await
            .status,
        202
    );
}

#[tokio::test(start_paused = true)]
async fn linking_a_network_to_a_second_zone_of_the_same_name_fails_late_with_bad_request() {
    let azure = Azure::new().await;
    let id = azure.make_zone(BLOB, &["hub"]).await;
    let started = azure
        .put(&format!("{id}/virtualNetworkLinks/sandbox"), DNS, link_body("sandbox"))
        .await;
    assert_eq!(started.status, 202);
    let ended = azure.finish(&started).await;
    assert_eq!(
        (ended.status, ended.text("/status"), ended.code()),
        (200, "Failed", "BadRequest")
    );
    let result = azure.poll(started.header("location").unwrap()).await;
    assert_eq!((result.status, result.code()), (400, "BadRequest"));
    assert!(ended.text("/error/message").contains("overlapping namespaces"));
    assert_eq!(azure.world(&format!("{id}/virtualNetworkLinks/sandbox")), Value::Null);
    let again = azure
        .put(&format!("{id}/virtualNetworkLinks/other"), DNS, link_body("hub"))
        .await;
    assert_eq!(
        (again.status, again.code()),
        (409, "Conflict"),
        "one link per zone and network"
    );
    let absent = azure
        .put(&format!("{id}/virtualNetworkLinks/none"), DNS, link_body("none"))
        .await;
    assert_eq!(absent.status, 400);
}

#[tokio::test(start_paused = true)]
async fn redirection_is_for_privatelink_zones_only() {
    let azure = Azure::new().await;
    azure
        .done(
            "PUT",
            &zone("contoso.internal"),
            DNS,
            Some(json!({"location": "global"})),
        )
        .await;
    azure
        .done("PUT", &zone(BLOB), DNS, Some(json!({"location": "global"})))
        .await;
    let mut body = link_body("hub");
    body["properties"]["resolutionPolicy"] = json!("NxDomainRedirect");
    assert_eq!(
        azure
            .put(
                &format!("{}/virtualNetworkLinks/hub", zone("contoso.internal")),
                DNS,
                body.clone()
            )
            .await
            .status,
        400
    );
    let link = format!("{}/virtualNetworkLinks/hub", zone(BLOB));
    azure.done("PUT", &link, DNS, Some(body)).await;
    assert_eq!(azure.world(&link)["properties"]["resolutionPolicy"], "NxDomainRedirect");
    azure
        .done(
            "PATCH",
            &link,
            DNS,
            Some(json!({"properties": {"resolutionPolicy": "Default"}})),
        )
        .await;
    assert_eq!(azure.world(&link)["properties"]["resolutionPolicy"], "Default");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_link_can_outlive_its_operation() {
    let azure = Azure::with(|seed| seed.switches.link_deletion_lag_seconds = 40).await;
    let id = azure.make_zone(BLOB, &["hub"]).await;
    let link = format!("{id}/virtualNetworkLinks/hub");
    let busy = azure.delete(&id, DNS).await;
    assert_eq!((busy.status, busy.code()), (409, "CannotDeleteResource"));
    let started = azure.delete(&link, DNS).await;
    assert_eq!(azure.finish(&started).await.text("/status"), "Succeeded");
    assert_eq!(azure.get(&link, DNS).await.status, 200);
    azure.sim.advance(Duration::from_secs(41));
    assert_eq!(azure.get(&link, DNS).await.status, 404);
    assert_eq!(
        azure.finish(&azure.delete(&id, DNS).await).await.text("/status"),
        "Succeeded"
    );
}

#[tokio::test(start_paused = true)]
async fn record_sets_are_synchronous_and_checked() {
    let azure = Azure::new().await;
    let id = azure.make_zone(BLOB, &[]).await;
    let record = format!("{id}/A/acct");
    let body = |address: &str, ttl: Value| json!({"properties": {"ttl": ttl, "aRecords": [{"ipv4Address": address}], "metadata": {"mark": "ours"}}});
    let made = azure.put(&record, DNS, body("10.0.1.4", json!(300))).await;
    assert_eq!(made.status, 201);
    assert!(made.header("location").is_none());
    assert_eq!(made.text("/properties/fqdn"), format!("acct.{BLOB}."));
    assert_eq!(made.text("/properties/metadata/mark"), "ours");
    assert_eq!(azure.put(&record, DNS, body("10.0.1.5", json!(300))).await.status, 200);
    for bad in [
        body("10.0.1", json!(300)),
        body("10.0.1.4", json!(0)),
        json!({"properties": {"ttl": 10, "aRecords": []}}),
    ] {
        assert_eq!(azure.put(&record, DNS, bad).await.status, 400);
    }
    assert_eq!(azure.delete(&record, DNS).await.status, 200);
    assert_eq!(azure.delete(&record, DNS).await.status, 204);
    let orphan = azure
        .put(
            &format!("{}/A/x", zone("none.example")),
            DNS,
            body("10.0.1.4", json!(300)),
        )
        .await;
    assert_eq!((orphan.status, orphan.code()), (404, "ParentResourceNotFound"));
}

#[tokio::test(start_paused = true)]
async fn a_zone_group_writes_short_records_and_empties_the_dns_configs() {
    for (empties, left) in [(true, 0), (false, 2)] {
        let azure = Azure::with(|seed| seed.switches.custom_dns_configs_emptied = empties).await;
        let (_, acr) = azure.accounts();
        let zone_id = azure.make_zone("privatelink.azurecr.io", &["hub"]).await;
        let id = azure.make_endpoint("acr", &acr, "registry").await;
        let group = format!("{id}/privateDnsZoneGroups/default");
        let started = azure.put(&group, NETWORK, group_body(&zone_id)).await;
        assert_eq!(started.status, 201);
        assert!(started.header("azure-asyncoperation").is_some());
        assert_eq!(
            azure.get(&format!("{zone_id}/A"), DNS).await.list("/value").len(),
            0,
            "not before the operation ends"
        );
        azure.finish(&started).await;
        let sets = azure
            .get(&group, NETWORK)
            .await
            .list("/properties/privateDnsZoneConfigs/0/properties/recordSets");
        assert_eq!(sets.len(), 2);
        let name = acr.rsplit('/').next().unwrap();
        assert!(
            sets.iter()
                .any(|s| s["recordSetName"] == format!("{name}.westeurope.data")),
            "{sets:?}"
        );
        assert!(
            sets.iter()
                .any(|s| s["fqdn"] == format!("{name}.privatelink.azurecr.io")),
            "{sets:?}"
        );
        let record = azure.get(&format!("{zone_id}/A/{name}"), DNS).await;
        assert_eq!(
            (
                record.body["properties"]["ttl"].clone(),
                record.text("/properties/aRecords/0/ipv4Address")
            ),
            (json!(10), "10.0.1.4")
        );
        assert_eq!(
            azure.get(&id, NETWORK).await.list("/properties/customDnsConfigs").len(),
            left,
            "U14: {empties}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_endpoint_overwrites_a_shared_record_and_its_deletion_removes_it_for_both() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let zone_id = azure.make_zone(BLOB, &["hub"]).await;
    let record = format!("{zone_id}/A/{}", storage.rsplit('/').next().unwrap());
    let address = |azure: &Azure| {
        azure.world(&record)["properties"]["aRecords"][0]["ipv4Address"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    };
    for (name, expected) in [("one", "10.0.1.4"), ("two", "10.0.1.5")] {
        let id = azure.make_endpoint(name, &storage, "blob").await;
        azure
            .done(
                "PUT",
                &format!("{id}/privateDnsZoneGroups/default"),
                NETWORK,
                Some(group_body(&zone_id)),
            )
            .await;
        assert_eq!(address(&azure), expected);
    }
    azure
        .done(
            "DELETE",
            &format!("{}/privateDnsZoneGroups/default", endpoint("one")),
            NETWORK,
            None,
        )
        .await;
    assert_eq!(address(&azure), "none", "the survivor's record is gone too");
}

#[tokio::test(start_paused = true)]
async fn the_records_of_a_manual_connection_appear_only_after_approval() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let zone_id = azure.make_zone(BLOB, &["hub"]).await;
    let id = endpoint("blob");
    azure
        .done("PUT", &id, NETWORK, Some(manual_body(&storage, "blob")))
        .await;
    azure
        .done(
            "PUT",
            &format!("{id}/privateDnsZoneGroups/default"),
            NETWORK,
            Some(group_body(&zone_id)),
        )
        .await;
    assert_eq!(azure.get(&format!("{zone_id}/A"), DNS).await.list("/value").len(), 0);
    assert!(azure.sim.approve(&id));
    assert_eq!(azure.get(&format!("{zone_id}/A"), DNS).await.list("/value").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn zone_groups_refuse_what_azure_refuses() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let zone_id = azure.make_zone(BLOB, &["hub"]).await;
    let orphan = azure
        .put(
            &format!("{}/privateDnsZoneGroups/default", endpoint("none")),
            NETWORK,
            group_body(&zone_id),
        )
        .await;
    assert_eq!((orphan.status, orphan.code()), (404, "ParentResourceNotFound"));
    let started = azure
        .put(&endpoint("blob"), NETWORK, endpoint_body(&storage, "blob"))
        .await;
    let group = format!("{}/privateDnsZoneGroups/default", endpoint("blob"));
    let early = azure.put(&group, NETWORK, group_body(&zone_id)).await;
    assert_eq!(
        (early.status, early.code(), early.nested()),
        (429, "RetryableError", "ReferencedResourceNotProvisioned")
    );
    azure.finish(&started).await;
    assert_eq!(
        azure
            .put(&group, NETWORK, group_body(&zone("none.example")))
            .await
            .code(),
        "InvalidResourceReference"
    );
    azure.done("PUT", &group, NETWORK, Some(group_body(&zone_id))).await;
    let second = azure
        .put(
            &group.replace("default", "deployedByPolicy"),
            NETWORK,
            group_body(&zone_id),
        )
        .await;
    assert_eq!(second.status, 400, "one group per endpoint");
    let other = zone("privatelink.dfs.core.windows.net");
    azure
        .done("PUT", &other, DNS, Some(json!({"location": "global"})))
        .await;
    let moved = azure.put(&group, NETWORK, group_body(&other)).await;
    assert_eq!(moved.code(), "PrivateDnsZoneIdCannotBeChanged");
}

#[tokio::test(start_paused = true)]
async fn record_sets_of_every_type_stand_beside_the_soa_and_are_patched_in_parts() {
    let azure = Azure::new().await;
    let id = azure.make_zone("contoso.internal", &[]).await;
    for (kind, name, properties, fqdn) in [
        (
            "A",
            "@",
            json!({"aRecords": [{"ipv4Address": "10.0.0.4"}]}),
            "contoso.internal.",
        ),
        (
            "CNAME",
            "www",
            json!({"cnameRecord": {"cname": "x.y"}}),
            "www.contoso.internal.",
        ),
        (
            "TXT",
            "note",
            json!({"txtRecords": [{"value": ["a"]}]}),
            "note.contoso.internal.",
        ),
    ] {
        let mut body = json!({ "properties": properties });
        body["properties"]["ttl"] = json!(60);
        let made = azure.put(&format!("{id}/{kind}/{name}"), DNS, body).await;
        assert_eq!((made.status, made.text("/properties/fqdn")), (201, fqdn));
    }
    let patched = azure
        .patch(&format!("{id}/A/@"), DNS, json!({"properties": {"ttl": 90}}))
        .await;
    assert_eq!(patched.body["properties"]["ttl"], 90);
    assert_eq!(patched.text("/properties/aRecords/0/ipv4Address"), "10.0.0.4");
    let body = json!({"properties": {"ttl": 1, "aRecords": [{"ipv4Address": "10.0.0.4"}]}});
    let beside = azure.put(&format!("{id}/A/www"), DNS, body).await;
    assert_eq!(beside.status, 400, "a CNAME stands alone with its name");
    let all = azure.get(&format!("{id}/ALL"), DNS).await;
    assert_eq!(all.list("/value").len(), 4);
    let suffixed = azure
        .get(&format!("{id}/ALL"), &format!("{DNS}&$recordsetnamesuffix=te"))
        .await;
    assert_eq!(suffixed.list("/value").len(), 1);
    assert_eq!(azure.delete(&format!("{id}/SOA/@"), DNS).await.status, 400);
    assert_eq!(azure.world(&id)["properties"]["numberOfRecordSets"], 4);
    let gone = azure.get(&format!("{}/ALL", zone("nowhere.internal")), DNS).await;
    assert_eq!((gone.status, gone.code()), (404, "ParentResourceNotFound"));
}
