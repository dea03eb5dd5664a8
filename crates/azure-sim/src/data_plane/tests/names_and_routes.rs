//! Tables for what is resolved and what is reached, without sockets.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::data_plane::{
    AZURE_DNS, Caches, Leg, PUBLIC_DNS, QuestionType, Rcode, Reach, Why, front_end_of, public_ttl, reach, resolve,
};

/// Asks once with fresh caches.
fn asked(world: &World, network: &str, name: &str) -> (Rcode, Vec<String>, Vec<Ipv4Addr>) {
    let answer = resolve(
        world,
        &mut Caches::default(),
        Duration::ZERO,
        network,
        name,
        QuestionType::A,
    );
    (
        answer.rcode,
        answer.chain.into_iter().map(|a| a.target).collect(),
        answer.addresses,
    )
}

fn address(world: &World, caches: &mut Caches, now: u64, network: &str, name: &str) -> Option<Ipv4Addr> {
    let answer = resolve(world, caches, Duration::from_secs(now), network, name, QuestionType::A);
    answer.addresses.first().copied()
}

#[test]
fn without_an_endpoint_everybody_gets_the_front_end_and_its_public_address() {
    let world = public_world();
    for network in ["hub", "lonely", "office", "internet"] {
        assert_eq!(
            asked(&world, network, BLOB),
            (Rcode::NoError, vec![front_end_of(BLOB)], vec![public_address(BLOB)])
        );
    }
}

#[test]
fn with_an_endpoint_the_view_decides_between_the_private_and_the_public_address() {
    let world = private_world();
    let alias = "contosost.privatelink.blob.core.windows.net".to_owned();
    for network in ["hub", "spoke", "office"] {
        assert_eq!(
            asked(&world, network, BLOB),
            (Rcode::NoError, vec![alias.clone()], vec![BLOB_PRIVATE]),
            "{network}"
        );
    }
    for network in ["lonely", "far", "internet"] {
        let chain = vec![alias.clone(), front_end_of(BLOB)];
        assert_eq!(
            asked(&world, network, BLOB),
            (Rcode::NoError, chain, vec![public_address(BLOB)]),
            "{network}"
        );
    }
}

#[test]
fn an_endpoint_for_blob_leaves_the_dfs_name_of_the_account_alone() {
    let mut world = private_world();
    world.resources.get_mut(&key(STORAGE)).unwrap().body["properties"]["isHnsEnabled"] = json!(true);
    world.publish(STORAGE);
    let dfs = "contosost.dfs.core.windows.net";
    assert_eq!(asked(&world, "hub", dfs).1, [front_end_of(dfs)]);
    endpoint(
        &mut world,
        "hub",
        STORAGE,
        "dfs",
        &[(dfs, Ipv4Addr::new(10, 0, 1, 8))],
        "Approved",
    );
    assert_eq!(
        asked(&world, "hub", dfs).1[0],
        "contosost.privatelink.dfs.core.windows.net"
    );
}

#[test]
fn data_endpoints_of_a_container_registry_live_in_the_registrys_own_zone() {
    let (rcode, chain, addresses) = asked(&private_world(), "spoke", DATA);
    assert_eq!(rcode, Rcode::NoError);
    assert_eq!(chain, ["contosoacr.westeurope.data.privatelink.azurecr.io"]);
    assert_eq!(addresses, [Ipv4Addr::new(10, 0, 1, 6)]);
}

#[test]
fn two_zones_of_one_name_answer_each_its_own_vnet() {
    let mut world = private_world();
    let elsewhere = zone_id("other-team", BLOB_ZONE);
    zone(&mut world, "other-team", BLOB_ZONE);
    record(&mut world, &elsewhere, "contosost", Ipv4Addr::new(10, 9, 1, 4));
    link(&mut world, &elsewhere, "lonely", "Default");
    assert_eq!(asked(&world, "lonely", BLOB).2, [Ipv4Addr::new(10, 9, 1, 4)]);
    assert_eq!(asked(&world, "hub", BLOB).2, [BLOB_PRIVATE]);
}

#[test]
fn a_linked_zone_without_the_record_says_nxdomain_unless_its_link_redirects() {
    let mut world = private_world();
    let empty = zone_id("other-team", BLOB_ZONE);
    zone(&mut world, "other-team", BLOB_ZONE);
    link(&mut world, &empty, "lonely", "Default");
    let answer = resolve(
        &world,
        &mut Caches::default(),
        Duration::ZERO,
        "lonely",
        BLOB,
        QuestionType::A,
    );
    assert_eq!(
        (answer.rcode, answer.authoritative, answer.ttl),
        (Rcode::NxDomain, true, 10)
    );
    assert_eq!(answer.zone, BLOB_ZONE);
    assert_eq!(answer.chain.len(), 1);
    link(&mut world, &empty, "lonely", "NxDomainRedirect");
    let answer = resolve(
        &world,
        &mut Caches::default(),
        Duration::ZERO,
        "lonely",
        BLOB,
        QuestionType::A,
    );
    assert_eq!((answer.rcode, answer.authoritative), (Rcode::NoError, false));
    assert_eq!(answer.addresses, [public_address(BLOB)]);
}

#[test]
fn a_link_counts_only_once_it_is_completed() {
    let mut world = private_world();
    let id = format!("{}/virtualNetworkLinks/hub", zone_id("dns", BLOB_ZONE));
    change(
        &mut world,
        &id,
        "/properties/virtualNetworkLinkState",
        json!("InProgress"),
    );
    assert_eq!(asked(&world, "hub", BLOB).2, [public_address(BLOB)]);
}

#[test]
fn the_longest_linked_zone_answers() {
    let mut world = private_world();
    zone(&mut world, "dns", "windows.net");
    link(&mut world, &zone_id("dns", "windows.net"), "hub", "Default");
    record(
        &mut world,
        &zone_id("dns", "windows.net"),
        "contosost.privatelink.blob.core",
        Ipv4Addr::new(10, 0, 7, 7),
    );
    // The zone above also holds the public name itself, which it does not know.
    assert_eq!(asked(&world, "hub", BLOB).0, Rcode::NxDomain);
    assert_eq!(
        asked(&world, "hub", "contosost.privatelink.blob.core.windows.net").2,
        [BLOB_PRIVATE]
    );
}

#[test]
fn names_are_asked_in_any_case_and_other_types_exist_without_data() {
    let world = private_world();
    assert_eq!(
        asked(&world, "hub", "ContosoST.Blob.Core.Windows.NET.").2,
        [BLOB_PRIVATE]
    );
    let answer = resolve(
        &world,
        &mut Caches::default(),
        Duration::ZERO,
        "hub",
        BLOB,
        QuestionType::Other,
    );
    assert_eq!(
        (answer.rcode, answer.chain.len(), answer.addresses.len()),
        (Rcode::NoError, 1, 0)
    );
    let answer = resolve(
        &world,
        &mut Caches::default(),
        Duration::ZERO,
        "hub",
        BLOB,
        QuestionType::Cname,
    );
    assert_eq!((answer.rcode, answer.chain.len()), (Rcode::NoError, 1));
    assert_eq!(asked(&world, "hub", "nobody.blob.core.windows.net").0, Rcode::NxDomain);
    assert_eq!(
        asked(&world, "internet", "nobody.privatelink.azurecr.io").0,
        Rcode::NxDomain
    );
    assert_eq!(
        asked(&world, "hub", "westeurope.data.privatelink.azurecr.io").0,
        Rcode::NoError,
        "a name above a record"
    );
    assert_eq!(asked(&world, "no such network", BLOB).0, Rcode::ServFail);
}

#[test]
fn a_public_chain_cached_before_the_first_endpoint_stays_until_its_ttl_in_that_network_only() {
    let mut caches = Caches::default();
    assert_eq!(
        address(&public_world(), &mut caches, 0, "hub", BLOB),
        Some(public_address(BLOB))
    );
    let world = private_world();
    let life = u64::from(public_ttl(BLOB));
    assert_eq!(
        address(&world, &mut caches, life - 1, "hub", BLOB),
        Some(public_address(BLOB))
    );
    assert_eq!(
        address(&world, &mut caches, life - 1, "spoke", BLOB),
        Some(BLOB_PRIVATE)
    );
    assert_eq!(address(&world, &mut caches, life, "hub", BLOB), Some(BLOB_PRIVATE));
}

#[test]
fn after_the_last_endpoint_the_alias_leaves_with_its_ttl_and_meanwhile_the_zone_says_nxdomain() {
    let mut caches = Caches::default();
    let mut world = private_world();
    assert_eq!(address(&world, &mut caches, 0, "hub", BLOB), Some(BLOB_PRIVATE));
    world
        .resources
        .retain(|id, _| !id.contains("/hub-blob-contosost") && !id.contains("/a/contosost"));
    let later = resolve(
        &world,
        &mut caches,
        Duration::from_secs(60),
        "hub",
        BLOB,
        QuestionType::A,
    );
    assert_eq!(later.rcode, Rcode::NxDomain);
    let life = u64::from(public_ttl(BLOB));
    assert_eq!(
        address(&world, &mut caches, life, "hub", BLOB),
        Some(public_address(BLOB))
    );
}

#[test]
fn private_records_and_their_absence_live_ten_seconds() {
    let mut caches = Caches::default();
    let mut world = private_world();
    let id = zone_id("dns", BLOB_ZONE);
    assert_eq!(address(&world, &mut caches, 0, "hub", BLOB), Some(BLOB_PRIVATE));
    record(&mut world, &id, "contosost", Ipv4Addr::new(10, 0, 1, 99));
    assert_eq!(address(&world, &mut caches, 9, "hub", BLOB), Some(BLOB_PRIVATE));
    assert_eq!(
        address(&world, &mut caches, 10, "hub", BLOB),
        Some(Ipv4Addr::new(10, 0, 1, 99))
    );
    world.resources.remove(&key(&format!("{id}/A/contosost")));
    assert_eq!(address(&world, &mut caches, 20, "hub", BLOB), None);
    record(&mut world, &id, "contosost", BLOB_PRIVATE);
    assert_eq!(address(&world, &mut caches, 29, "hub", BLOB), None);
    assert_eq!(address(&world, &mut caches, 30, "hub", BLOB), Some(BLOB_PRIVATE));
}

#[test]
fn a_forwarder_caches_no_longer_than_it_was_told() {
    let mut caches = Caches::default();
    let mut world = private_world();
    assert_eq!(address(&world, &mut caches, 0, "hub", BLOB), Some(BLOB_PRIVATE));
    let through = resolve(
        &world,
        &mut caches,
        Duration::from_secs(7),
        "office",
        BLOB,
        QuestionType::A,
    );
    assert_eq!((through.ttl, through.authoritative), (3, false));
    record(
        &mut world,
        &zone_id("dns", BLOB_ZONE),
        "contosost",
        Ipv4Addr::new(10, 0, 1, 99),
    );
    assert_eq!(address(&world, &mut caches, 9, "office", BLOB), Some(BLOB_PRIVATE));
    assert_eq!(
        address(&world, &mut caches, 10, "office", BLOB),
        Some(Ipv4Addr::new(10, 0, 1, 99))
    );
}

#[test]
fn a_forwarder_that_forwards_to_the_internet_sees_what_the_public_sees() {
    let mut world = private_world();
    let Some(Network {
        place: Place::OnPremises(office),
        ..
    }) = world.networks.get_mut("office")
    else {
        panic!()
    };
    office.forwards_to = None;
    assert_eq!(asked(&world, "office", BLOB).2, [public_address(BLOB)]);
}

#[test]
fn a_vnet_with_dns_servers_of_its_own_gets_their_view() {
    let mut world = private_world();
    for (servers, expected) in [
        (json!(["10.1.0.4"]), BLOB_PRIVATE),        // in the peered spoke, which is linked
        (json!(["1.1.1.1"]), public_address(BLOB)), // out on the internet
        (json!([]), public_address(BLOB)),          // Azure's own, and far is not linked
    ] {
        let id = vnet_id("far");
        world.resources.get_mut(&key(&id)).unwrap().body["properties"]["dhcpOptions"] = json!({"dnsServers": servers});
        assert_eq!(asked(&world, "far", BLOB).2, [expected]);
    }
    world.resources.get_mut(&key(&vnet_id("far"))).unwrap().body["properties"]["dhcpOptions"] =
        json!({"dnsServers": ["10.0.0.4"]});
    assert_eq!(
        asked(&world, "far", BLOB).0,
        Rcode::ServFail,
        "the hub is two peerings away"
    );
    world.resources.get_mut(&key(&vnet_id("hub"))).unwrap().body["properties"]["dhcpOptions"] =
        json!({"dnsServers": ["10.200.0.53"]});
    assert_eq!(
        asked(&world, "hub", BLOB).2,
        [BLOB_PRIVATE],
        "the office's forwarder, behind the hub's gateway"
    );
}

#[test]
fn dns_servers_answer_only_in_their_own_network() {
    let world = private_world();
    let office = Ipv4Addr::new(10, 200, 0, 53);
    for (network, server, answers) in [
        ("hub", AZURE_DNS, true),
        ("hub", PUBLIC_DNS, false),
        ("hub", office, false),
        ("office", office, true),
        ("office", AZURE_DNS, false),
        ("internet", PUBLIC_DNS, true),
        ("internet", AZURE_DNS, false),
    ] {
        let reached = reach(&world, network, server, 53);
        assert_eq!(
            matches!(reached, Reach::Dns(_)),
            answers,
            "{server} from {network}: {reached:?}"
        );
        assert!(
            answers || matches!(reached, Reach::Silence(_)),
            "{server} from {network}: {reached:?}"
        );
    }
}

#[test]
fn an_endpoint_is_reached_where_routes_lead_and_nowhere_else() {
    let world = private_world();
    for (network, expected) in [
        ("hub", None),
        ("spoke", None),                // peered both ways
        ("office", None),               // through the hub's gateway
        ("far", Some(Why::NotRouted)),  // peered with the spoke: not transitive
        ("half", Some(Why::NotRouted)), // peered one way
        ("lonely", Some(Why::NotRouted)),
        ("internet", Some(Why::NotRouted)),
    ] {
        match (reach(&world, network, BLOB_PRIVATE, 443), expected) {
            (Reach::Server(served), None) => {
                assert_eq!(served.fqdns, [BLOB]);
                assert_eq!(served.target, Some(key(STORAGE)));
                assert!(matches!(served.leg, Leg::Endpoint { .. }), "{network}");
            }
            (Reach::Silence(why), Some(expected)) => assert_eq!(why, expected, "{network}"),
            (other, _) => panic!("{network}: {other:?}"),
        }
    }
}

#[test]
fn an_office_behind_the_spoke_reaches_the_spokes_peers_endpoints() {
    let mut world = private_world();
    let Some(Network {
        place: Place::OnPremises(office),
        ..
    }) = world.networks.get_mut("office")
    else {
        panic!()
    };
    office.connected_to = vnet_id("spoke");
    assert!(matches!(reach(&world, "office", BLOB_PRIVATE, 443), Reach::Server(_)));
    let Some(Network {
        place: Place::OnPremises(office),
        ..
    }) = world.networks.get_mut("office")
    else {
        panic!()
    };
    office.connected_to = vnet_id("far");
    assert_eq!(
        reach(&world, "office", BLOB_PRIVATE, 443),
        Reach::Silence(Why::NotRouted)
    );
}

#[test]
fn a_peering_that_is_not_connected_carries_nothing() {
    let mut world = private_world();
    peer(&mut world, "hub", "spoke", "Disconnected");
    assert_eq!(
        reach(&world, "spoke", BLOB_PRIVATE, 443),
        Reach::Silence(Why::NotRouted)
    );
}

#[test]
fn an_endpoint_that_is_not_approved_and_provisioned_is_silent() {
    for status in ["Pending", "Rejected", "Disconnected", "Timeout"] {
        let mut world = public_world();
        endpoint(&mut world, "hub", STORAGE, "blob", &[(BLOB, BLOB_PRIVATE)], status);
        assert_eq!(
            reach(&world, "hub", BLOB_PRIVATE, 443),
            Reach::Silence(Why::NotApproved),
            "{status}"
        );
    }
    let mut world = private_world();
    let id = format!("{ROOT}/Microsoft.Network/privateEndpoints/hub-blob-contosost");
    change(&mut world, &id, "/properties/provisioningState", json!("Failed"));
    assert_eq!(
        reach(&world, "hub", BLOB_PRIVATE, 443),
        Reach::Silence(Why::NotApproved)
    );
}

#[test]
fn rules_of_a_subnet_count_only_where_its_policies_are_enabled() {
    let mut world = private_world();
    world.resources.get_mut(&key(&subnet_id("hub"))).unwrap().body["properties"]["x-blockedFrom"] =
        json!(["10.1.0.0/16"]);
    assert!(matches!(reach(&world, "spoke", BLOB_PRIVATE, 443), Reach::Server(_)));
    for policies in ["Enabled", "NetworkSecurityGroupEnabled"] {
        change(
            &mut world,
            &subnet_id("hub"),
            "/properties/privateEndpointNetworkPolicies",
            json!(policies),
        );
        assert_eq!(reach(&world, "spoke", BLOB_PRIVATE, 443), Reach::Silence(Why::Blocked));
        assert!(matches!(reach(&world, "hub", BLOB_PRIVATE, 443), Reach::Server(_)));
    }
}

#[test]
fn public_addresses_are_reached_from_anywhere_with_that_networks_egress_address() {
    let world = private_world();
    for network in world.networks.values() {
        match reach(&world, &network.name, public_address(BLOB), 443) {
            Reach::Server(served) => {
                assert!(matches!(served.leg, Leg::Public { egress, .. } if egress == network.egress_address));
                assert_eq!(served.target, Some(key(STORAGE)));
            }
            other @ (Reach::Dns(_) | Reach::Refused | Reach::Silence(_)) => panic!("{}: {other:?}", network.name),
        }
    }
}

#[test]
fn what_nobody_serves_is_silent_and_what_no_network_carries_is_refused() {
    let world = private_world();
    for (address, port, expected) in [
        (Ipv4Addr::new(8, 8, 8, 8), 443, Reach::Silence(Why::NobodyThere)),
        (public_address(BLOB), 80, Reach::Silence(Why::NobodyThere)),
        (BLOB_PRIVATE, 80, Reach::Silence(Why::NobodyThere)),
        (Ipv4Addr::new(10, 0, 1, 200), 443, Reach::Silence(Why::NobodyThere)),
        (Ipv4Addr::new(192, 168, 0, 1), 443, Reach::Silence(Why::NotRouted)),
        (AZURE_DNS, 443, Reach::Silence(Why::NobodyThere)),
        (Ipv4Addr::LOCALHOST, 443, Reach::Refused),
        (Ipv4Addr::new(224, 0, 0, 1), 443, Reach::Refused),
        (Ipv4Addr::UNSPECIFIED, 53, Reach::Refused),
    ] {
        assert_eq!(reach(&world, "hub", address, port), expected, "{address}:{port}");
    }
}
