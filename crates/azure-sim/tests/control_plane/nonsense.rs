//! Ten thousand mutated requests at every kind of write: bodies, bytes, paths, versions, queries, verbs, headers. Refused or taken,
//! never a panic, and the world can still be read.

use azure_sim::Latencies;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::azure::*;

/// Pieces of a path, a query or a header that are none.
const ODD: &[&str] = &[
    "",
    "%",
    "%00",
    "%2F",
    "%ff%fe",
    "..",
    ".",
    "*",
    "'",
    "$",
    "\u{feff}",
    "ü",
    "a/b",
    "providers",
    "subscriptions",
    "default",
    "-1",
    "99999999999999999999",
    "' or 1 eq 1",
    "W/\"x\"",
];

fn odd(random: &mut StdRng) -> &'static str {
    ODD[random.random_range(0..ODD.len())]
}

/// What is sent.
struct Sent {
    method: String,
    path: String,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// Changes one thing of a request.
fn distort(sent: &mut Sent, body: &Value, random: &mut StdRng) {
    match random.random_range(0..10) {
        0 => {
            let mut segments: Vec<&str> = sent.path.split('/').collect();
            let at = random.random_range(1..segments.len());
            match random.random_range(0..3) {
                0 => segments[at] = odd(random),
                1 => segments.insert(at, odd(random)),
                _ => segments.truncate(at),
            }
            sent.path = format!("/{}", segments.join("/").trim_start_matches('/'));
        }
        1 => sent.query = format!("api-version={}", odd(random)),
        2 => {
            let name = ["$top", "$filter", "$skipToken", "$expand", "x"][random.random_range(0..5)];
            sent.query.push_str(&format!("&{name}={}", odd(random)));
        }
        3 => {
            sent.method =
                ["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS", "BREW"][random.random_range(0..8)].into()
        }
        4 => {
            let name = ["if-match", "if-none-match", "content-type", "host"][random.random_range(0..4)];
            sent.headers.push((name, odd(random).to_owned()));
        }
        5 => sent.body.truncate(random.random_range(0..=sent.body.len())),
        6 => {
            let at = random.random_range(0..sent.body.len().max(1));
            if let Some(byte) = sent.body.get_mut(at) {
                *byte = random.random();
            }
        }
        _ => {
            let mut body = body.clone();
            mutate(&mut body, random);
            sent.body = body.to_string().into_bytes();
        }
    }
}

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
    let standing: Vec<(String, Value)> = azure.sim.with_world(|w| {
        let all = w.resources.values();
        all.map(|r| (r.id.clone(), r.body.clone())).collect()
    });
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
    let bearer = format!("Bearer {}", azure.token);
    let mut asked = 0;
    while asked < 10_000 {
        for (method, id, version, body) in &writes {
            let mut sent = Sent {
                method: (*method).to_owned(),
                path: id.clone(),
                query: format!("api-version={version}"),
                headers: vec![("authorization", bearer.clone())],
                body: body.to_string().into_bytes(),
            };
            distort(&mut sent, body, &mut random);
            let uri = http::Uri::try_from(format!("{}?{}", sent.path, sent.query));
            let legal = sent.headers.iter().all(|(_, v)| http::HeaderValue::from_str(v).is_ok());
            // What HTTP itself does not carry reaches no server.
            let (Ok(uri), true) = (uri, legal) else { continue };
            asked += 1;
            let headers: Vec<(&str, &str)> = sent.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let reply = azure.send(&sent.method, &uri.to_string(), &headers, &sent.body).await;
            let shown = || format!("{} {uri} {}", sent.method, String::from_utf8_lossy(&sent.body));
            let told = reply.status == 501 && reply.code() == "NotModelledByAzureSim";
            assert!(
                reply.status < 500 || told,
                "{}: {} {}",
                shown(),
                reply.status,
                reply.body
            );
            if reply.status >= 400 && sent.method != "HEAD" {
                assert!(
                    !reply.code().is_empty() && !reply.text("/error/message").is_empty(),
                    "{}",
                    shown()
                );
            }
        }
        // A deletion may have been among them.
        for (id, body) in &standing {
            azure.sim.put_by_hand(id, body.clone());
        }
        assert_eq!(azure.get(&registry, REGISTRY).await.status, 200);
        azure.sim.required_paths(&registry, &["hub".into(), "office".into()]);
        azure.sim.with_world(|w| azure_sim::oracle::exposure(w, &registry));
    }
}
