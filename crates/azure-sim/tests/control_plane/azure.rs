//! A caller of the simulated ARM, signed in as the seed's operator.

use std::time::Duration;

use azure_sim::{Seed, Simulator};
use bytes::Bytes;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

pub(crate) const TENANT: &str = "0a000000-0000-4000-8000-0000000000ff";
pub(crate) const OPERATOR: &str = "0b000000-0000-4000-8000-000000000001";
pub(crate) const CLIENT: &str = "0c000000-0000-4000-8000-000000000001";
pub(crate) const SECRET: &str = "demo-secret-of-no-worth";
pub(crate) const PLATFORM: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001";
pub(crate) const ML: &str = "/subscriptions/0a000000-0000-4000-8000-000000000002";
pub(crate) const NETWORK: &str = "2024-05-01";
pub(crate) const DNS: &str = "2024-06-01";
pub(crate) const STORAGE: &str = "2025-01-01";
pub(crate) const ACR: &str = "2025-11-01";
pub(crate) const REGISTRY: &str = "2025-12-01";

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) body: Value,
    pub(crate) dropped: bool,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    /// The top-level error code.
    pub(crate) fn code(&self) -> &str {
        self.body.pointer("/error/code").and_then(Value::as_str).unwrap_or("")
    }

    /// The first nested error code.
    pub(crate) fn nested(&self) -> &str {
        self.body
            .pointer("/error/details/0/code")
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or("")
    }

    pub(crate) fn list(&self, pointer: &str) -> Vec<Value> {
        self.body
            .pointer(pointer)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    }
}

/// The simulator with a token for it.
pub(crate) struct Azure {
    pub(crate) sim: Simulator,
    pub(crate) token: String,
}

/// The demo's world, changed; operations take their real time.
pub(crate) fn seed(change: impl FnOnce(&mut Seed)) -> Seed {
    let mut seed = Seed::from_yaml(include_str!("../../../../examples/azure/demo.yaml")).unwrap();
    seed.latencies = azure_sim::Latencies::Realistic;
    change(&mut seed);
    seed
}

impl Azure {
    pub(crate) async fn new() -> Azure {
        Azure::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Seed)) -> Azure {
        Azure::of(seed(change)).await
    }

    pub(crate) async fn of(seed: Seed) -> Azure {
        let mut azure = Azure {
            sim: Simulator::new(seed),
            token: String::new(),
        };
        azure.token = azure.sign_in(CLIENT, SECRET).await;
        azure
    }

    pub(crate) async fn sign_in(&self, client: &str, secret: &str) -> String {
        self.sign_in_for(client, secret, "https://management.azure.com").await
    }

    /// A token for another service than ARM.
    pub(crate) async fn sign_in_for(&self, client: &str, secret: &str, audience: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret={secret}&scope={audience}/.default"
        );
        let reply = self
            .send("POST", &format!("/{TENANT}/oauth2/v2.0/token"), &[], form.as_bytes())
            .await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.text("/access_token").to_owned()
    }

    /// Any request, as it is.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "management.azure.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .sim
            .handle(request.body(Bytes::copy_from_slice(body)).unwrap())
            .await;
        let dropped = response.extensions().get::<azure_sim::ConnectionDropped>().is_some();
        let (parts, bytes) = response.into_parts();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            bytes,
            body,
            dropped,
        }
    }

    /// A request to ARM with the operator's token.
    pub(crate) async fn arm(&self, method: &str, id: &str, version: &str, body: Option<Value>) -> Reply {
        self.arm_with(method, id, version, body, &[]).await
    }

    pub(crate) async fn arm_with(
        &self,
        method: &str,
        id: &str,
        version: &str,
        body: Option<Value>,
        more: &[(&str, &str)],
    ) -> Reply {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(more);
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        self.send(
            method,
            &format!("{id}?api-version={version}"),
            &headers,
            body.as_bytes(),
        )
        .await
    }

    pub(crate) async fn get(&self, id: &str, version: &str) -> Reply {
        self.arm("GET", id, version, None).await
    }

    pub(crate) async fn put(&self, id: &str, version: &str, body: Value) -> Reply {
        self.arm("PUT", id, version, Some(body)).await
    }

    pub(crate) async fn patch(&self, id: &str, version: &str, body: Value) -> Reply {
        self.arm("PATCH", id, version, Some(body)).await
    }

    pub(crate) async fn delete(&self, id: &str, version: &str) -> Reply {
        self.arm("DELETE", id, version, None).await
    }

    /// Follows a poll URL.
    pub(crate) async fn poll(&self, url: &str) -> Reply {
        let path = url
            .strip_prefix("https://management.azure.com")
            .expect("poll URLs lead to the host that was asked");
        let bearer = format!("Bearer {}", self.token);
        self.send("GET", path, &[("authorization", &bearer)], b"").await
    }

    /// The end of the operation that a reply started, whichever header it has.
    pub(crate) async fn finish(&self, started: &Reply) -> Reply {
        let url = started
            .header("azure-asyncoperation")
            .or(started.header("location"))
            .expect("a poll header")
            .to_owned();
        for _ in 0..200 {
            let reply = self.poll(&url).await;
            let running = reply.status == 202 || reply.text("/status") == "InProgress";
            if !running {
                return reply;
            }
            self.sim.advance(Duration::from_secs(10));
        }
        panic!("{url} did not end");
    }

    /// A write that has to succeed, to its end.
    pub(crate) async fn done(&self, method: &str, id: &str, version: &str, body: Option<Value>) -> Reply {
        let started = self.arm(method, id, version, body).await;
        assert!(
            started.status < 300,
            "{method} {id}: {} {}",
            started.status,
            started.body
        );
        if started.header("azure-asyncoperation").is_none() && started.header("location").is_none() {
            return started;
        }
        let ended = self.finish(&started).await;
        let failed = ended.status >= 400 || ended.text("/status") == "Failed";
        assert!(!failed, "{method} {id}: {}", ended.body);
        ended
    }

    /// The body that the world holds.
    pub(crate) fn world(&self, id: &str) -> Value {
        self.sim
            .with_world(|w| w.get(id).map_or(Value::Null, |r| r.body.clone()))
    }

    pub(crate) fn registry(&self) -> String {
        format!("{ML}/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contosoreg")
    }

    /// Ids of the registry's storage account and container registry.
    pub(crate) fn accounts(&self) -> (String, String) {
        let detail = &self.world(&self.registry())["properties"]["regionDetails"][0];
        let id = |v: &Value| v["armResourceId"]["resourceId"].as_str().unwrap().to_owned();
        (
            id(&detail["storageAccountDetails"][0]["systemCreatedStorageAccount"]),
            id(&detail["acrDetails"][0]["systemCreatedAcrAccount"]),
        )
    }
}

/// Id of an endpoint in the hub's resource group.
pub(crate) fn endpoint(name: &str) -> String {
    format!("{PLATFORM}/resourceGroups/network/providers/Microsoft.Network/privateEndpoints/{name}")
}

/// Id of a zone in the platform's DNS resource group.
pub(crate) fn zone(name: &str) -> String {
    format!("{PLATFORM}/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/{name}")
}

pub(crate) fn vnet(name: &str) -> String {
    let group = if name == "sandbox" { "sandbox" } else { "network" };
    format!("{PLATFORM}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{name}")
}

/// The body of an endpoint in the hub.
pub(crate) fn endpoint_body(target: &str, group: &str) -> Value {
    json!({
        "location": "westeurope", "tags": {"secureregistry-owner": "test"},
        "properties": {
            "subnet": {"id": format!("{}/subnets/endpoints", vnet("hub"))},
            "privateLinkServiceConnections": [{"name": "c", "properties": {"privateLinkServiceId": target, "groupIds": [group]}}],
        },
    })
}

/// The same as a request that waits for approval.
pub(crate) fn manual_body(target: &str, group: &str) -> Value {
    let mut body = endpoint_body(target, group);
    let connections = body["properties"]["privateLinkServiceConnections"].take();
    body["properties"]
        .as_object_mut()
        .unwrap()
        .remove("privateLinkServiceConnections");
    body["properties"]["manualPrivateLinkServiceConnections"] = connections;
    body
}

/// The body of a zone group with one zone.
pub(crate) fn group_body(zone_id: &str) -> Value {
    json!({ "properties": {"privateDnsZoneConfigs": [{"name": "zone", "properties": {"privateDnsZoneId": zone_id}}]} })
}

impl Azure {
    /// Makes a zone and links it to VNets.
    pub(crate) async fn make_zone(&self, name: &str, networks: &[&str]) -> String {
        let id = zone(name);
        self.done("PUT", &id, DNS, Some(json!({"location": "global"}))).await;
        for network in networks {
            let link = format!("{id}/virtualNetworkLinks/{network}");
            let body = json!({"location": "global", "properties": {"virtualNetwork": {"id": vnet(network)}, "registrationEnabled": false}});
            self.done("PUT", &link, DNS, Some(body)).await;
        }
        id
    }

    /// Makes an approved endpoint in the hub.
    pub(crate) async fn make_endpoint(&self, name: &str, target: &str, group: &str) -> String {
        let id = endpoint(name);
        self.done("PUT", &id, NETWORK, Some(endpoint_body(target, group))).await;
        id
    }
}

/// Connection status in the world, from whichever list of the endpoint.
pub(crate) fn status(azure: &Azure, id: &str) -> String {
    let body = azure.world(id);
    let lists = ["privateLinkServiceConnections", "manualPrivateLinkServiceConnections"];
    let found = lists
        .iter()
        .find_map(|l| body["properties"][l].get(0).cloned())
        .unwrap_or(Value::Null);
    found["properties"]["privateLinkServiceConnectionState"]["status"]
        .as_str()
        .unwrap_or("")
        .to_owned()
}
