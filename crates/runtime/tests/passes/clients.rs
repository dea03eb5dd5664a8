//! Who is a client, and which DNS server leads it where, with the real client of Azure and the simulator's own DNS.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_sim::Caller;
use azure_sim::seed::WorkspaceSeed;
use serde_json::{Value, json};

use super::testbed::{NAME, NAMESPACE, OPERATOR_NAMESPACE, Testbed};

const MINUTE: Duration = Duration::from_secs(60);
const PLATFORM: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups";
const MAX_AGE: Duration = Duration::from_secs(600);

fn vnet(name: &str) -> String {
    format!("{PLATFORM}/network/providers/Microsoft.Network/virtualNetworks/{name}")
}

fn waits(testbed: &Testbed) -> String {
    testbed.status()["waitingFor"].to_string()
}

async fn locks(testbed: &Testbed) {
    testbed
        .until("locked", 120 * MINUTE, |testbed| testbed.state() == "Locked")
        .await;
    assert!(testbed.open_targets().is_empty());
    testbed.assert_never_closed_without_proof(MAX_AGE);
}

#[tokio::test(start_paused = true)]
async fn callers_with_private_addresses_of_no_client_network_hold_the_lock() {
    let testbed = Testbed::with(|seed| {
        seed.latencies = azure_sim::Latencies::Scaled(0.05);
        seed.log_analytics_workspaces.push(WorkspaceSeed {
            name: "logs".into(),
            subscription: "platform".into(),
            resource_group: "network".into(),
        });
        // The log of each account has somebody in it.
        let caller = |address: &str| Caller {
            target: "contosoreg".into(),
            address: address.into(),
            requests: 3,
            seconds_ago: 60,
        };
        seed.callers = ["10.177.3.9:4711", "[fde4:8dba::7]:443", "10.0.1.5"].map(caller).into();
    });
    let logs = format!("{PLATFORM}/network/providers/Microsoft.OperationalInsights/workspaces/logs");
    let looks = move |accept: &[&str]| json!({"logAnalyticsWorkspaceResourceId": logs, "window": "168h", "policy": "Block", "accept": accept});
    testbed.apply_quick(|object| object["spec"]["verification"]["recentPublicClients"] = looks(&[]));
    let operator = testbed.start();
    testbed
        .until("told", 60 * MINUTE, |testbed| {
            waits(testbed).contains("RecentPublicClients")
        })
        .await;
    tokio::time::sleep(30 * MINUTE).await;
    assert!(testbed.closings().is_empty());
    let listed = testbed.status()["publicClients"].to_string();
    assert!(
        listed.contains("10.177.3.9") && listed.contains("fde4:8dba::7"),
        "{listed}"
    );
    assert!(!listed.contains("10.0.1.5"), "{listed}");
    testbed.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
        object["spec"]["verification"]["recentPublicClients"] = looks(&["10.177.0.0/16", "fde4:8dba::/32"]);
        object["metadata"]["generation"] = (object["metadata"]["generation"].as_i64().unwrap() + 1).into();
    });
    locks(&testbed).await;
    operator.stop().await;
}

/// The spoke's second DNS server is a public one.
#[tokio::test(start_paused = true)]
async fn the_second_dns_server_of_a_network_is_asked_too() {
    let testbed = Testbed::quick();
    let servers = |second: &str| json!({"dnsServers": ["10.0.0.4", second]});
    let set = |second: &str| {
        testbed.sim.change_by_hand(&vnet("spoke-a"), |body| {
            body["properties"]["dhcpOptions"] = servers(second);
        })
    };
    assert!(set("8.8.8.8"));
    let operator = testbed.start();
    testbed
        .until("told", 60 * MINUTE, |testbed| waits(testbed).contains("8.8.8.8"))
        .await;
    tokio::time::sleep(60 * MINUTE).await;
    assert!(testbed.closings().is_empty());
    assert!(waits(&testbed).contains("spoke-a cannot reach"), "{}", waits(&testbed));
    // A link to a network that never asks in its own view is told to have no effect.
    let findings = testbed.status()["findings"].to_string();
    assert!(
        findings.contains("LinkWithoutEffect") && findings.contains("hub, whose links count for it"),
        "{findings}"
    );
    set("10.0.0.5");
    locks(&testbed).await;
    operator.stop().await;
}

/// Whoever runs DNS reads the ConfigMap and does exactly what it says.
#[tokio::test(start_paused = true)]
async fn external_dns_that_does_exactly_what_is_published_satisfies_the_proof() {
    let testbed = Testbed::quick_with(|object| {
        object["spec"]["endpoints"][0]["dns"] = json!({"mode": "External"});
    });
    let operator = testbed.start();
    testbed
        .until("told", 60 * MINUTE, |testbed| {
            waits(testbed).contains("DnsExternalPending")
        })
        .await;
    let name = testbed.status()["externalDns"]["configMap"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(waits(&testbed).contains(&name), "{}", waits(&testbed));
    let map = testbed.api.get("configmaps", OPERATOR_NAMESPACE, &name).unwrap();
    keep_zones(&testbed, map["data"]["hub.zone"].as_str().unwrap());
    locks(&testbed).await;
    let records = testbed.status()["externalDns"]["records"].as_array().cloned().unwrap();
    assert!(
        records.iter().all(|r| r["privateLinkName"]
            .as_str()
            .is_some_and(|n| n.contains(".privatelink."))),
        "{records:?}"
    );
    operator.stop().await;
}

/// Zone lines into zones by hand, linked to the networks whose clients ask.
pub fn keep_zones(testbed: &Testbed, text: &str) {
    let mut zone = String::new();
    let mut records: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with(';')) {
        if let Some(origin) = line.strip_prefix("$ORIGIN ") {
            let name = origin.trim_end_matches('.');
            zone = format!("{PLATFORM}/dns/providers/Microsoft.Network/privateDnsZones/{name}");
            testbed.sim.put_by_hand(
                &zone,
                json!({"id": zone, "name": name, "type": "Microsoft.Network/privateDnsZones",
                "location": "global", "properties": {"provisioningState": "Succeeded"}}),
            );
            for network in ["hub", "spoke-a"] {
                let id = format!("{zone}/virtualNetworkLinks/{network}");
                testbed.sim.put_by_hand(&id, json!({"id": id, "name": network, "type": "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
                    "location": "global", "properties": {"virtualNetwork": {"id": vnet(network)}, "registrationEnabled": false,
                    "virtualNetworkLinkState": "Completed", "provisioningState": "Succeeded"}}));
            }
            continue;
        }
        let [name, ttl, "IN", "A", address] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("no zone line: {line}")
        };
        assert!(ttl.parse::<u32>().is_ok());
        let id = format!("{zone}/A/{name}");
        let addresses = records.entry(id.clone()).or_default();
        addresses.push(json!({"ipv4Address": address}));
        testbed.sim.put_by_hand(
            &id,
            json!({"id": id, "name": name, "type": "Microsoft.Network/privateDnsZones/A",
            "properties": {"ttl": 10, "aRecords": addresses.clone()}}),
        );
    }
    assert!(!records.is_empty());
}
