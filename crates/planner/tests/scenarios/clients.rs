//! Who is a client, and which names lead it where: callers that logs tell of, DNS servers of networks, hosts of discovery.

use std::time::Duration;

use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{ArmId, Fact};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::*;
use crate::world::*;

fn looks_for_clients(world: &mut World, policy: RecentPublicClientsPolicy, accept: &[&str]) {
    world.respec(|o| {
        o.spec.verification.recent_public_clients = Some(RecentPublicClientsSpec {
            log_analytics_workspace_resource_id: format!(
                "{SUB}/resourceGroups/ml/providers/Microsoft.OperationalInsights/workspaces/logs"
            ),
            window: "168h".into(),
            policy,
            accept: accept.iter().map(|a| (*a).to_owned()).collect(),
        });
    });
}

fn callers(world: &mut World, target: &ArmId, addresses: &[&str]) {
    let caller = |address: &&str| PublicClient {
        target: target.clone(),
        address: (*address).to_owned(),
    };
    world.seen.azure.recent_public_clients = Fact::Seen(addresses.iter().map(caller).collect());
}

fn network<'a>(world: &'a mut World, name: &str) -> &'a mut VirtualNetworkSeen {
    match world.seen.azure.virtual_networks.get_mut(&vnet(name)) {
        Some(Fact::Seen(seen)) => seen,
        other => panic!("{other:?}"),
    }
}

fn held_by(world: &World, reason: WaitReason) -> Option<String> {
    let plan = world.plan();
    let wait = plan.waits.iter().find(|w| w.reason == reason)?;
    Some(wait.message.clone())
}

fn named(world: &World) -> Vec<&str> {
    let listed = world.seen.object.status.public_clients.iter();
    listed.map(|c| c.address.as_str()).collect()
}

#[test]
fn a_private_address_outside_every_client_network_is_a_client() {
    let mut world = World::everyday();
    looks_for_clients(&mut world, RecentPublicClientsPolicy::Block, &[]);
    callers(
        &mut world,
        &storage("contosostore"),
        &[
            "10.177.3.9",
            "fde4:8dba::7",
            "10.0.1.5",
            "10.200.4.4",
            "::ffff:10.0.1.6",
        ],
    );
    stays_open(&mut world, 40, Duration::from_secs(300));
    assert_eq!(named(&world), ["10.177.3.9", "fde4:8dba::7"]);
    let told = held_by(&world, WaitReason::RecentPublicClients).unwrap();
    assert!(
        told.contains("10.177.3.9 → contosostore (private, of no client network)"),
        "{told}"
    );
    assert!(!told.contains("10.0.1.5") && !told.contains("10.200.4.4"), "{told}");
    looks_for_clients(
        &mut world,
        RecentPublicClientsPolicy::Block,
        &["10.177.0.0/16", "fde4:8dba::/32"],
    );
    world.until("Locked", 60);
    assert!(named(&world).is_empty());
}

#[test]
fn callers_of_a_waived_network_are_clients_too() {
    let mut world = World::everyday();
    looks_for_clients(&mut world, RecentPublicClientsPolicy::Block, &[]);
    world.respec(|o| {
        o.spec.client_networks.retain(|c| c.name != "spoke");
        o.spec.unproven_networks = vec![UnprovenNetworkSpec {
            virtual_network_resource_id: vnet("spoke").to_string(),
            reason: "no clients".into(),
        }];
    });
    let inside = address_space_of(&vnet("spoke")).replace("0.0/16", "7.7");
    callers(&mut world, &storage("contosostore"), &[&inside]);
    stays_open(&mut world, 40, Duration::from_secs(300));
    assert_eq!(named(&world), [inside]);
}

/// Such a subnet has another private way to the public side, and the log does not tell the two apart.
#[test]
fn a_caller_in_a_subnet_with_a_service_endpoint_for_what_it_asked_counts() {
    let mut world = World::everyday();
    looks_for_clients(&mut world, RecentPublicClientsPolicy::Block, &[]);
    let with = |services: &[&str]| {
        vec![ServiceEndpoints {
            subnet: "apps".into(),
            prefixes: vec!["10.0.1.0/24".into()],
            services: services.iter().map(|s| (*s).to_owned()).collect(),
        }]
    };
    for (services, target, caller, counts) in [
        (&["Microsoft.Storage"][..], storage("contosostore"), "10.0.1.5", true),
        (&["Microsoft.Storage.Global"], storage("contosostore"), "10.0.1.5", true),
        (&["Microsoft.Storage"], storage("contosostore"), "10.0.2.5", false),
        (&["Microsoft.KeyVault"], storage("contosostore"), "10.0.1.5", false),
        (&["Microsoft.Storage"], acr(), "10.0.1.5", false),
        (
            &["Microsoft.KeyVault", "microsoft.containerregistry"],
            acr(),
            "10.0.1.5",
            true,
        ),
    ] {
        network(&mut world, "hub").service_endpoints = with(services);
        callers(&mut world, &target, &[caller]);
        let told = held_by(&world, WaitReason::RecentPublicClients);
        assert_eq!(told.is_some(), counts, "{services:?} {target} {caller}: {told:?}");
        if let Some(told) = told {
            assert!(told.contains("subnet apps of hub"), "{told}");
        }
    }
}

#[test]
fn private_callers_are_told_by_nobody_while_a_client_network_cannot_be_read() {
    let mut world = World::everyday();
    looks_for_clients(&mut world, RecentPublicClientsPolicy::Block, &[]);
    callers(&mut world, &storage("contosostore"), &["10.0.1.5"]);
    world.until("Settling", 60);
    let unread = unknown(IgnoranceKind::Throttled);
    world.seen.azure.virtual_networks.insert(vnet("hub"), unread);
    assert_eq!(held_by(&world, WaitReason::RecentPublicClients), None);
    assert!(held_by(&world, WaitReason::NotKnown).is_some());
    callers(&mut world, &storage("contosostore"), &["10.0.1.5", "203.0.113.9"]);
    assert!(
        held_by(&world, WaitReason::RecentPublicClients)
            .unwrap()
            .contains("203.0.113.9")
    );
}

#[test]
fn many_clients_are_named_as_far_as_there_is_room() {
    let mut world = World::everyday();
    looks_for_clients(&mut world, RecentPublicClientsPolicy::Warn, &[]);
    let many: Vec<String> = (0..40).map(|n| format!("203.0.113.{n}")).collect();
    callers(
        &mut world,
        &storage("contosostore"),
        &many.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    world.until("Settling", 60);
    assert_eq!(named(&world).len(), 16);
    let plan = world.plan();
    let finding = plan
        .findings
        .iter()
        .find(|f| f.reason == FindingReason::PublicClient)
        .unwrap();
    assert!(
        finding.message.contains("203.0.113.0") && finding.message.contains("and 35 more"),
        "{}",
        finding.message
    );
}

#[test]
fn every_dns_server_of_a_network_is_asked_and_one_that_answers_publicly_holds_the_lock() {
    let mut world = World::everyday();
    network(&mut world, "spoke").dns_servers = vec!["10.0.0.4".into(), "10.0.0.6".into()];
    world.public_servers.insert("10.0.0.6".into());
    stays_open(&mut world, 60, Duration::from_secs(300));
    let told = held_by(&world, WaitReason::PathFailing).unwrap();
    assert!(
        told.contains("spoke cannot reach") && told.contains("10.0.0.6:53"),
        "{told}"
    );
    world.public_servers.clear();
    world.until("Locked", 60);
}

#[test]
fn dns_servers_that_the_spec_names_for_an_office_are_asked_too() {
    let mut world = World::everyday();
    world.respec(|o| {
        for network in &mut o.spec.client_networks {
            if let Some(office) = &mut network.on_premises {
                office.dns_servers = vec!["10.200.0.10".into(), "10.200.0.11".into()];
            }
        }
    });
    world.public_servers.insert("10.200.0.11".into());
    stays_open(&mut world, 60, Duration::from_secs(300));
    assert!(
        held_by(&world, WaitReason::PathFailing)
            .unwrap()
            .contains("office cannot reach")
    );
}

#[test]
fn a_dns_server_that_says_nothing_holds_the_lock_and_disturbs_no_lock_that_holds() {
    let mut world = World::everyday();
    network(&mut world, "spoke").dns_servers = vec!["10.0.0.4".into(), "10.0.0.6".into()];
    world.mute_servers.insert("10.0.0.6".into());
    stays_open(&mut world, 60, Duration::from_secs(300));
    let told = held_by(&world, WaitReason::PathFailing).unwrap();
    assert!(
        told.contains("10.0.0.6:53") && told.contains("take it out of the network's DNS servers"),
        "{told}"
    );
    world.mute_servers.clear();
    world.until("Locked", 60);
    world.mute_servers.insert("10.0.0.6".into());
    world.answer();
    let before = world.seen.object.status.paths_verified.clone();
    let (_, report) = world.visit();
    assert_eq!(
        (world.state().as_str(), report.status.paths_verified),
        ("Locked", before)
    );
}

#[test]
fn another_dns_server_voids_what_was_proven() {
    let mut world = locked();
    world.suffer(scramble::Blow::OpenStorage);
    network(&mut world, "spoke").dns_servers = vec!["10.0.0.6".into()];
    world.public_servers.insert("10.0.0.6".into());
    stays_open(&mut world, 40, Duration::from_secs(60));
}

#[test]
fn a_network_that_cannot_be_read_holds_the_lock_and_voids_nothing_that_is_proven() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    let unread = || unknown(IgnoranceKind::Throttled);
    let known = world
        .seen
        .azure
        .virtual_networks
        .insert(vnet("spoke"), unread())
        .unwrap();
    stays_open(&mut world, 40, Duration::from_secs(300));
    world.seen.azure.virtual_networks.insert(vnet("spoke"), known);
    world.until("Locked", 60);
    world.seen.azure.virtual_networks.insert(vnet("spoke"), unread());
    world.visit();
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

fn discovery_adds(world: &mut World, host: &str) {
    if let Fact::Seen(hosts) = &mut world.seen.azure.discovery {
        hosts.push(host.parse().unwrap());
    }
}

fn waive(world: &mut World, host: &str) {
    world.respec(|o| {
        o.spec.unproven_hosts = vec![UnprovenHostSpec {
            fqdn: host.into(),
            reason: "jobs run elsewhere (CHG-17)".into(),
        }];
    });
}

#[test]
fn a_host_of_discovery_that_no_endpoint_carries_is_waived_by_name() {
    const HOST: &str = "cert-westeurope.experiments.azureml.net";
    let mut world = World::everyday();
    discovery_adds(&mut world, HOST);
    stays_open(&mut world, 60, Duration::from_secs(300));
    let told = held_by(&world, WaitReason::HostNotCovered).unwrap();
    assert!(told.contains(HOST) && told.contains("spec.unprovenHosts"), "{told}");
    waive(&mut world, "cert-northeurope.experiments.azureml.net");
    stays_open(&mut world, 20, Duration::from_secs(300));
    waive(&mut world, HOST);
    let plan = world.plan();
    let finding = plan
        .findings
        .iter()
        .find(|f| f.reason == FindingReason::HostWaived)
        .unwrap();
    assert!(
        finding.message.contains(HOST) && finding.message.contains("CHG-17"),
        "{}",
        finding.message
    );
    world.until("Locked", 60);
}

#[test]
fn a_waiver_of_a_host_is_part_of_what_is_approved() {
    const HOST: &str = "cert-westeurope.experiments.azureml.net";
    let mut world = World::everyday();
    let digest = |world: &World| world.plan().assessment.lockdown_digest;
    world.until("Settling", 60);
    let before = digest(&world);
    waive(&mut world, HOST);
    assert_ne!(digest(&world), before);
}

/// Only hosts of discovery: what storage and container registry are asked by is always proven.
#[test]
fn the_host_of_a_storage_account_cannot_be_waived() {
    let mut world = World::everyday();
    waive(&mut world, "contosostore.blob.core.windows.net");
    world.until("Settling", 60);
    let endpoint = world
        .seen
        .azure
        .endpoints
        .values_mut()
        .find_map(|e| match e {
            Fact::Seen(e) if e.group_id.as_deref() == Some("blob") => Some(e),
            Fact::Seen(_) | Fact::Absent | Fact::Unknown(_) => None,
        })
        .unwrap();
    if let Fact::Seen(members) = &mut endpoint.members {
        members[0].fqdns = vec!["other.blob.core.windows.net".parse().unwrap()];
    }
    stays_open(&mut world, 40, Duration::from_secs(300));
    let plan = world.plan();
    assert!(!plan.assessment.paths_known, "{}", sreg_planner::render(&plan));
}

/// Azure promises no pattern for an ML registry's names.
#[test]
fn names_of_a_registry_need_not_hold_its_regions() {
    let mut world = World::two_regions(SPEC);
    world.odd_registry_names = true;
    world.seen.azure.discovery = Fact::Seen(vec!["r7.registry.api.azureml.ms".parse().unwrap()]);
    world.settle(80);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}
