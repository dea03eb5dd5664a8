//! The data plane on a world that the control plane has built: what its endpoints, zone groups and accounts look like has
//! to mean here what it means there.

use std::time::Duration;

use crate::data_plane::{Caches, Leg, QuestionType, Reach, reach, resolve};
use crate::seed::{EndpointSeed, Seed};
use crate::targets::{CONTAINER_REGISTRY, REGISTRY, STORAGE, fqdns_of};
use crate::world::{World, key};
use crate::{Simulator, targets};

const SEED: &str = r#"
subscriptions: [{name: s, id: 0a000000-0000-4000-8000-000000000001}]
virtualNetworks:
  - {name: hub, subscription: s, resourceGroup: net, addressSpace: [10.0.0.0/16], peerings: [spoke],
     subnets: [{name: endpoints, prefix: 10.0.1.0/24}]}
  - {name: spoke, subscription: s, resourceGroup: net, addressSpace: [10.1.0.0/16], peerings: [hub]}
  - {name: lonely, subscription: s, resourceGroup: net, addressSpace: [10.9.0.0/16]}
networks:
  - {name: hub, virtualNetwork: hub}
  - {name: spoke, virtualNetwork: spoke}
  - {name: lonely, virtualNetwork: lonely}
  - {name: office, onPremises: {addressPrefixes: [10.200.0.0/16], connectedTo: hub, dnsServer: 10.200.0.53, forwardsTo: hub}}
  - {name: internet, internet: {}}
registries:
  - {name: contosoreg, subscription: s, resourceGroup: ml, additionalLocations: [northeurope], hierarchicalNamespace: true}
privateDnsZones:
  - {name: privatelink.api.azureml.ms, subscription: s, resourceGroup: dns, links: [hub, spoke]}
  - {name: privatelink.blob.core.windows.net, subscription: s, resourceGroup: dns, links: [hub, spoke]}
  - {name: privatelink.dfs.core.windows.net, subscription: s, resourceGroup: dns, links: [hub, spoke]}
  - {name: privatelink.azurecr.io, subscription: s, resourceGroup: dns, links: [hub, spoke]}
"#;

/// Every target of the world with the groups that its names need.
fn groups(world: &World) -> Vec<(String, String)> {
    let ids = [REGISTRY, STORAGE, CONTAINER_REGISTRY]
        .into_iter()
        .flat_map(|kind| world.of_kind(kind))
        .map(|r| r.id.clone());
    let mut all: Vec<(String, String)> = ids
        .flat_map(|id| {
            fqdns_of(world, &id)
                .into_iter()
                .map(move |name| (id.clone(), name.group_id))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

fn secured() -> Simulator {
    let mut seed = Seed::from_yaml(SEED).unwrap();
    let wanted = Simulator::new(seed.clone()).with_world(groups);
    for (number, (target, group_id)) in wanted.into_iter().enumerate() {
        seed.private_endpoints.push(EndpointSeed {
            name: format!("endpoint-{number}"),
            subscription: "s".into(),
            resource_group: "net".into(),
            subnet: "hub/endpoints".into(),
            target,
            group_id,
            zone_resource_group: Some("dns".into()),
        });
    }
    Simulator::new(seed)
}

/// Each public name of the world with the leg and target that a client in this network ends at.
fn ends(world: &World, network: &str) -> Vec<(String, Option<String>, bool)> {
    let owned = groups(world)
        .into_iter()
        .map(|(id, _)| id)
        .collect::<std::collections::BTreeSet<_>>();
    let names = owned.iter().flat_map(|id| fqdns_of(world, id)).map(|name| name.fqdn);
    names
        .map(|name| {
            let answer = resolve(
                world,
                &mut Caches::default(),
                Duration::ZERO,
                network,
                &name,
                QuestionType::A,
            );
            let [address] = answer.addresses[..] else {
                panic!("{name} from {network}: {answer:?}")
            };
            match reach(world, network, address, 443) {
                Reach::Server(served) => {
                    assert!(served.fqdns.contains(&name), "{name} from {network}: {served:?}");
                    let private = matches!(served.leg, Leg::Endpoint { .. });
                    (name, served.target, private)
                }
                other @ (Reach::Dns(_) | Reach::Refused | Reach::Silence(_)) => {
                    panic!("{name} from {network}: {other:?}")
                }
            }
        })
        .collect()
}

#[test]
fn every_name_of_a_seeded_registry_ends_at_its_owner_privately_where_linked_and_publicly_elsewhere() {
    let sim = secured();
    sim.with_world(|world| {
        for (network, private) in [
            ("hub", true),
            ("spoke", true),
            ("office", true),
            ("lonely", false),
            ("internet", false),
        ] {
            let ends = ends(world, network);
            assert!(
                ends.len() >= 2 + 4 + 3,
                "two regions, two accounts with blob and dfs, login and two data: {ends:?}"
            );
            for (name, target, went_private) in ends {
                assert_eq!(went_private, private, "{name} from {network}");
                assert_eq!(target, targets::owner_of_fqdn(world, &name), "{name} from {network}");
            }
        }
    });
}

#[test]
fn rejecting_an_endpoint_silences_it_and_deleting_the_last_one_ends_the_private_view() {
    let sim = secured();
    let (account, fqdn) = sim.with_world(|world| {
        let account = world.of_kind(STORAGE).next().unwrap().id.clone();
        let fqdn = fqdns_of(world, &account)[0].fqdn.clone();
        (account, fqdn)
    });
    let endpoint = sim.with_world(|world| {
        let mut all = targets::endpoints_of(world, &account).into_iter();
        all.find(|view| view.group_id == "blob").unwrap()
    });
    let address = endpoint.members[0].address;
    assert!(sim.reject(&endpoint.id));
    sim.with_world(|world| assert!(matches!(reach(world, "hub", address, 443), Reach::Silence(_))));
    assert!(sim.delete_by_hand(&endpoint.id));
    sim.with_world(|world| {
        let answer = resolve(
            world,
            &mut Caches::default(),
            Duration::ZERO,
            "lonely",
            &fqdn,
            QuestionType::A,
        );
        assert_eq!(answer.chain.len(), 1, "no privatelink alias is left: {answer:?}");
        let reached = reach(world, "lonely", answer.addresses[0], 443);
        assert!(matches!(reached, Reach::Server(served) if served.target == Some(key(&account))));
    });
}
