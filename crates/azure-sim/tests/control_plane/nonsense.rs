//! Mutated bodies and paths at every kind of write: refused or taken, never a panic, and the world can still be read.

use azure_sim::Latencies;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::azure::*;

/// Replaces one random node of the body.
fn mutate(body: &mut Value, random: &mut StdRng) {
    let odd = [
        json!(null),
        json!([]),
        json!({}),
        json!(-1),
        json!(true),
        json!(""),
        json!("é\u{0}/…"),
        json!([[{}]]),
        json!("/subscriptions/"),
    ];
    let inner: Vec<&mut Value> = match body {
        Value::Object(fields) if random.random_bool(0.8) => fields.values_mut().collect(),
        Value::Array(items) if random.random_bool(0.8) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    let chosen = random.random_range(0..inner.len().max(1));
    match inner.into_iter().nth(chosen) {
        Some(deeper) => mutate(deeper, random),
        None => *body = odd[random.random_range(0..odd.len())].clone(),
    }
}

#[tokio::test(start_paused = true)]
async fn mutated_writes_never_break_the_simulator() {
    let azure = Azure::with(|seed| {
        seed.latencies = Latencies::None;
        seed.throttling.enabled = false;
    })
    .await;
    let (storage, acr) = azure.accounts();
    let registry = azure.registry();
    let zone_id = azure.make_zone("privatelink.azurecr.io", &["hub"]).await;
    azure.make_endpoint("acr", &acr, "registry").await;
    let link = json!({"location": "global", "properties": {"virtualNetwork": {"id": vnet("spoke-a")}, "registrationEnabled": false, "resolutionPolicy": "Default"}});
    let approve =
        json!({"properties": {"privateLinkServiceConnectionState": {"status": "Approved", "description": "x"}}});
    let connection = azure
        .get(&format!("{acr}/privateEndpointConnections"), ACR)
        .await
        .text("/value/0/id")
        .to_owned();
    let writes = [
        ("PUT", registry.clone(), REGISTRY, azure.world(&registry)),
        (
            "PUT",
            registry.replace("contosoreg", "other"),
            REGISTRY,
            azure.world(&registry),
        ),
        (
            "PATCH",
            registry.clone(),
            REGISTRY,
            json!({"tags": {"a": "b"}, "properties": {"publicNetworkAccess": "Enabled"}}),
        ),
        (
            "POST",
            format!("{registry}/removeRegions"),
            REGISTRY,
            azure.world(&registry),
        ),
        ("PUT", endpoint("x"), NETWORK, endpoint_body(&storage, "blob")),
        ("PUT", endpoint("y"), NETWORK, manual_body(&acr, "registry")),
        (
            "PUT",
            format!("{}/privateDnsZoneGroups/default", endpoint("acr")),
            NETWORK,
            group_body(&zone_id),
        ),
        (
            "PUT",
            zone("z.example"),
            DNS,
            json!({"location": "global", "tags": {"a": "b"}}),
        ),
        ("PUT", format!("{zone_id}/virtualNetworkLinks/l"), DNS, link),
        (
            "PUT",
            format!("{zone_id}/A/r"),
            DNS,
            json!({"properties": {"ttl": 10, "aRecords": [{"ipv4Address": "10.0.0.1"}]}}),
        ),
        ("PUT", vnet("hub"), NETWORK, azure.world(&vnet("hub"))),
        (
            "PUT",
            format!("{}/subnets/s", vnet("hub")),
            NETWORK,
            json!({"properties": {"addressPrefix": "10.0.7.0/24"}}),
        ),
        (
            "PATCH",
            storage.clone(),
            STORAGE,
            json!({"properties": {"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4"}]}}, "tags": {}}),
        ),
        (
            "PATCH",
            acr.clone(),
            ACR,
            json!({"properties": {"publicNetworkAccess": "Enabled", "networkRuleSet": {"defaultAction": "Deny", "ipRules": []}, "policies": {"exportPolicy": {"status": "enabled"}}}}),
        ),
        ("PUT", connection, ACR, approve),
    ];
    let mut random = StdRng::seed_from_u64(20_261_123);
    for round in 0..40 {
        for (method, id, version, body) in &writes {
            let mut body = body.clone();
            mutate(&mut body, &mut random);
            let reply = azure.arm(method, id, version, Some(body.clone())).await;
            assert!(
                reply.status < 500,
                "round {round}: {method} {id} {body}: {} {}",
                reply.status,
                reply.body
            );
            if reply.status >= 400 {
                assert!(
                    !reply.code().is_empty() && !reply.text("/error/message").is_empty(),
                    "{method} {id} {body}"
                );
            }
        }
        assert_eq!(azure.get(&registry, REGISTRY).await.status, 200);
        azure.sim.required_paths(&registry, &["hub".into(), "office".into()]);
        azure.sim.with_world(|w| azure_sim::oracle::exposure(w, &registry));
    }
}
