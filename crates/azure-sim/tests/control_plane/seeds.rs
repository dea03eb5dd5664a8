//! Seeds: the shipped ones, and what is wrong with bad ones.

use azure_sim::{Seed, Simulator};

use crate::azure::*;

#[test]
fn the_shipped_seeds_load() {
    for text in [
        include_str!("../../../../examples/azure/demo.yaml"),
        include_str!("../../../../examples/azure/two-regions.yaml"),
    ] {
        let seed = Seed::from_yaml(text).unwrap();
        let networks = Simulator::new(seed).with_world(|w| w.networks.keys().cloned().collect::<Vec<_>>());
        assert_eq!(networks, ["hub", "internet", "office", "sandbox", "spoke-a"]);
    }
}

#[test]
fn a_seed_survives_yaml_and_json() {
    let seed = Seed::from_yaml(include_str!("../../../../examples/azure/demo.yaml")).unwrap();
    let text = serde_json::to_string(&seed).unwrap();
    assert_eq!(serde_json::from_str::<Seed>(&text).unwrap(), seed);
}

#[test]
fn bad_seeds_say_where() {
    let said = |text: &str| {
        let error: anyhow::Error = Seed::from_yaml(text).unwrap_err().into();
        format!("{error:#}")
    };
    let unknown = said("subscriptions:\n  - name: a\n    colour: blue\n");
    assert!(unknown.contains("colour") && unknown.contains('3'), "{unknown}");
    let subscriptions = "subscriptions: [{name: a}]\n";
    for (text, field) in [
        (
            "virtualNetworks: [{name: v, subscription: b, resourceGroup: g, addressSpace: [10.0.0.0/16]}]",
            "virtualNetworks[v]",
        ),
        (
            "virtualNetworks: [{name: v, subscription: a, resourceGroup: g, addressSpace: [10.0.0.0/33]}]",
            "virtualNetworks[v]",
        ),
        (
            "virtualNetworks: [{name: v, subscription: a, resourceGroup: g, addressSpace: [10.0.0.0/8], peerings: [w]}]",
            "virtualNetworks[v].peerings",
        ),
        ("networks: [{name: n, virtualNetwork: v}]", "networks[n]"),
        ("networks: [{name: n}]", "networks[n]"),
        (
            "privateEndpoints: [{name: e, subscription: a, resourceGroup: g, subnet: v/s, target: t, groupId: blob}]",
            "privateEndpoints[e]",
        ),
        ("principals: [{name: p, roles: [{role: King}]}]", "principals[p].roles"),
        (
            "registries: [{name: r, subscription: a, resourceGroup: g}, {name: R, subscription: a, resourceGroup: h}]",
            "registries[R]",
        ),
    ] {
        let message = said(&format!("{subscriptions}{text}"));
        assert!(message.contains(field), "{text}: {message}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_regions_have_two_storage_accounts_one_container_registry_and_seven_names() {
    let seed = Seed::from_yaml(include_str!("../../../../examples/azure/two-regions.yaml")).unwrap();
    let azure = Azure::of(seed).await;
    let paths = azure.sim.required_paths(&azure.registry(), &["hub".into()]);
    let names: Vec<&str> = paths.iter().map(|p| p.fqdn.as_str()).collect();
    assert_eq!(
        names.iter().filter(|n| n.ends_with(".api.azureml.ms")).count(),
        2,
        "{names:?}"
    );
    assert_eq!(
        names.iter().filter(|n| n.ends_with(".blob.core.windows.net")).count(),
        2
    );
    assert_eq!(names.iter().filter(|n| n.ends_with(".dfs.core.windows.net")).count(), 2);
    assert_eq!(names.iter().filter(|n| n.ends_with(".azurecr.io")).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn another_teams_endpoint_of_the_seed_stands_with_its_record() {
    let azure = Azure::new().await;
    let zone = format!(
        "{PLATFORM}/resourceGroups/sandbox/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    );
    let record = azure.get(&format!("{zone}/A/sandboxdata"), DNS).await;
    assert_eq!(record.text("/properties/aRecords/0/ipv4Address"), "10.9.1.4");
    assert!(
        azure
            .sim
            .records_since(0)
            .iter()
            .all(|r| !matches!(r.entry, azure_sim::journal::Entry::Change(_))),
        "the beginning is no change"
    );
}
