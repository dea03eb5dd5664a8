//! Removal leaves no half: an endpoint goes with its zone group, or stays with it.

use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{Fact, TargetKind};
use sreg_planner::plan::{Finding, WaitReason};

use super::*;
use crate::world::*;

fn lock_on(scope: &str, level: &str) -> LockSeen {
    LockSeen {
        id: format!("{scope}/providers/Microsoft.Authorization/locks/hands-off"),
        level: level.into(),
    }
}

fn open() -> World {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.public_access.desired = PublicAccess::Enabled;
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
    });
    world.settle(40);
    world
}

/// Endpoints with their zone groups, and endpoints without.
fn whole_and_half(world: &World) -> (usize, usize) {
    let standing = world.seen.azure.endpoints.values().filter_map(Fact::seen);
    let (whole, half): (Vec<_>, Vec<_>) =
        standing.partition(|e| e.zone_groups.seen().is_some_and(|groups| !groups.is_empty()));
    (whole.len(), half.len())
}

/// Scopes from which a lock reaches the endpoints or their records.
fn scopes(world: &World) -> Vec<String> {
    let endpoint = world.seen.azure.endpoints.values().find_map(Fact::seen).unwrap();
    let interface = endpoint.network_interfaces[0].to_string();
    let endpoint = endpoint.id.to_string();
    let zone = world.seen.azure.zones.keys().next().unwrap();
    vec![
        SUB.to_owned(),
        zone.resource_group_id().unwrap().to_string(),
        zone.to_string(),
        endpoint,
        interface,
    ]
}

fn ends(world: &mut World) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..80 {
        let (plan, report) = world.visit();
        told.extend(plan.findings.into_iter().map(|f| f.message));
        if world.gone {
            return told;
        }
        world.pass(report.requeue);
    }
    panic!("it does not end: {}", sreg_planner::render(&world.plan()));
}

#[test]
fn what_a_lock_keeps_is_left_whole_and_the_lock_is_named_with_the_command() {
    for scope in scopes(&open()) {
        for level in ["CanNotDelete", "ReadOnly", "SomethingNew"] {
            let mut world = open();
            world.locks = vec![lock_on(&scope, level)];
            world.delete();
            let told = ends(&mut world);
            assert_eq!(whole_and_half(&world).1, 0, "{scope} {level}: {:#?}", world.journal);
            assert!(whole_and_half(&world).0 >= 1);
            let command = format!("az lock delete --ids {}", world.locks[0].id);
            assert!(told.iter().any(|m| m.contains(&command)), "{told:#?}");
        }
    }
}

/// Azure deletes the connection on the target's side with the endpoint, and a lock there keeps both (azurerm#17478).
#[test]
fn a_lock_on_what_it_is_connected_to_keeps_an_endpoint_whole() {
    let target = storage("contosostore");
    for (level, scope) in [
        ("CanNotDelete", target.to_string()),
        ("ReadOnly", target.to_string()),
        ("CanNotDelete", target.resource_group_id().unwrap().to_string()),
    ] {
        let mut world = open();
        world.locks = vec![lock_on(&scope, level)];
        world.undeletable = leading_to(&world, &target);
        world.delete();
        let told = ends(&mut world);
        assert_eq!(whole_and_half(&world).1, 0, "{scope} {level}: {:#?}", world.journal);
        let id = leading_to(&world, &target).into_iter().next().unwrap();
        let touched = world.journal.iter().any(|step| step.contains(id.name()));
        assert!(!touched, "nothing of it is tried: {:#?}", world.journal);
        let command = format!("az lock delete --ids {}", world.locks[0].id);
        assert!(told.iter().any(|m| m.contains(&command)), "{told:#?}");
    }
    let mut world = open();
    world.locks = vec![lock_on(&format!("{target}/blobServices/default"), "CanNotDelete")];
    world.delete();
    ends(&mut world);
    assert_eq!(
        whole_and_half(&world),
        (0, 0),
        "what is locked below it is something else"
    );
}

/// People lock a zone's SOA so that nobody deletes the zone while records come and go, and records of their own (azure.md §4.1).
#[test]
fn locks_on_a_zones_soa_on_other_peoples_records_and_on_links_keep_no_endpoint() {
    let zone = |world: &World, name: &str| {
        let mut zones = world.seen.azure.zones.keys();
        zones.find(|zone| zone.name().contains(name)).unwrap().clone()
    };
    let blob = |world: &World| zone(world, "blob");
    for below in [
        "SOA/@",
        "A/otherteamsaccount",
        "A/contosostore-other",
        "virtualNetworkLinks/theirs",
    ] {
        for level in ["CanNotDelete", "ReadOnly"] {
            let mut world = open();
            world.locks = vec![lock_on(&format!("{}/{below}", blob(&world)), level)];
            world.delete();
            ends(&mut world);
            assert_eq!(whole_and_half(&world), (0, 0), "{below} {level}: {:#?}", world.journal);
        }
    }
    // Its own record goes with it, whatever of it is known. Which those of a registry's endpoint are, only its members tell.
    for (known, name, record) in [
        (true, "blob", "A/ContosoStore"),
        (false, "blob", "A/ContosoStore"),
        (false, "azurecr", "A/ContosoACR"),
        (false, "azurecr", "A/ContosoACR.westeurope.data"),
        (false, "azureml", "A/anything"),
    ] {
        let mut world = open();
        world.locks = vec![lock_on(&format!("{}/{record}", zone(&world, name)), "CanNotDelete")];
        for fact in world.seen.azure.endpoints.values_mut() {
            if let (Fact::Seen(endpoint), false) = (fact, known) {
                endpoint.members = unknown(IgnoranceKind::Unreachable);
            }
        }
        world.delete();
        let told = ends(&mut world);
        assert_eq!(whole_and_half(&world), (1, 0), "{record}: {:#?}", world.journal);
        let command = format!("az lock delete --ids {}", world.locks[0].id);
        assert!(told.iter().any(|m| m.contains(&command)), "{told:#?}");
    }
}

/// Azure answers "not found" now and then for what is there: a lock may be there as well.
#[test]
fn nothing_is_removed_while_the_locks_of_what_is_there_are_said_not_to_be_found() {
    let mut world = open();
    let endpoint = world.seen.azure.endpoints.keys().next().unwrap().to_string();
    world.locks = vec![lock_on(&endpoint, "CanNotDelete")];
    world.locks_answer = Some(Fact::Absent);
    world.delete();
    for _ in 0..12 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert_eq!(whole_and_half(&world), whole_and_half(&open()), "{:#?}", world.journal);
    world.locks_answer = None;
    let told = ends(&mut world);
    assert_eq!(whole_and_half(&world), (1, 0), "{:#?}", world.journal);
    let command = format!("az lock delete --ids {}", world.locks[0].id);
    assert!(told.iter().any(|m| m.contains(&command)), "{told:#?}");
}

/// What is gone has no locks, and keeps nothing from being removed.
#[test]
fn endpoints_go_although_a_zone_of_theirs_is_gone() {
    let mut world = open();
    let zone = world.seen.azure.zones.keys().next().unwrap().clone();
    world.seen.azure.zones.insert(zone, Fact::Absent);
    world.delete();
    ends(&mut world);
    assert_eq!(whole_and_half(&world), (0, 0), "{:#?}", world.journal);
}

fn leading_to(world: &World, target: &sreg_domain::ArmId) -> std::collections::BTreeSet<sreg_domain::ArmId> {
    let standing = world.seen.azure.endpoints.iter();
    let there = standing.filter(|(_, fact)| fact.seen().is_some_and(|e| e.target.as_ref() == Some(target)));
    there.map(|(id, _)| id.clone()).collect()
}

#[test]
fn an_endpoint_that_cannot_be_deleted_gets_its_zone_group_back_and_deletion_ends() {
    let mut world = open();
    world.undeletable = world.seen.azure.endpoints.keys().cloned().collect();
    let records = |world: &World| -> usize {
        let zones = world.seen.azure.zones.values().filter_map(Fact::seen);
        zones.filter_map(|z| z.records.seen()).map(|r| r.len()).sum()
    };
    let before = records(&world);
    world.delete();
    let told = ends(&mut world);
    assert_eq!(whole_and_half(&world), (3, 0), "{:#?}", world.journal);
    assert_eq!(records(&world), before);
    assert!(told.iter().any(|m| m.contains("az lock list")), "{told:#?}");
    let tried = world
        .journal
        .iter()
        .filter(|s| s.starts_with("delete-endpoint"))
        .count();
    assert_eq!(tried, 3, "each is tried once: {:#?}", world.journal);
}

/// Open, with endpoints in two networks that have zones of their own.
fn open_in_two_places() -> World {
    let mut world = open();
    world.respec(|o| {
        let mut other = o.spec.endpoints[0].clone();
        other.name = "far".into();
        other.subnet_resource_id = format!("{}/subnets/endpoints", vnet("far"));
        other.dns.as_mut().unwrap().link_virtual_networks = Some(vec![vnet("far").to_string()]);
        o.spec.endpoints.push(other);
        let mut client = o.spec.client_networks[0].clone();
        client.name = "far".into();
        client.virtual_network_resource_id = Some(vnet("far").to_string());
        client.vantage_point = "far-agent".into();
        o.spec.client_networks.push(client);
        o.spec.client_networks[2].endpoint = Some("hub".into());
    });
    world.settle(80);
    assert_eq!(whole_and_half(&world), (6, 0), "{}", world.message());
    world
}

fn drop_far(world: &mut World, approval: bool) {
    world.respec(|o| {
        o.spec.endpoints.truncate(1);
        o.spec.client_networks.retain(|c| c.name != "far");
        if approval {
            o.spec.name_changes = Some(NameChangesSpec {
                wait_for: vec![NameChangesGate::Approval],
            });
        }
    });
}

/// Zones of the entry that is dropped.
fn far_zones(world: &mut World) -> impl Iterator<Item = &mut ZoneSeen> {
    let far = vnet("far").resource_group_id();
    let zones = world.seen.azure.zones.iter_mut();
    let zones = zones.filter(move |(id, _)| id.resource_group_id() == far);
    zones.filter_map(|(_, fact)| match fact {
        Fact::Seen(zone) => Some(zone),
        Fact::Absent | Fact::Unknown(_) => None,
    })
}

/// Nobody asks its zones any more.
fn unlink_far(world: &mut World) {
    far_zones(world).for_each(|zone| zone.links = Fact::Seen(Vec::new()));
}

#[test]
fn a_dropped_entry_leaves_no_network_without_an_answer_that_still_asks_its_zones() {
    for falls_back in [false, true] {
        let mut world = open_in_two_places();
        drop_far(&mut world, false);
        world.settle_anyhow(30);
        assert_eq!(whole_and_half(&world), (6, 0), "{:#?}", world.journal);
        let plan = world.plan();
        let told = |f: &&Finding| {
            let links = far_zones(&mut world.clone()).any(|z| {
                let mut links = z.links.seen().into_iter().flatten();
                links.any(|link| f.message.contains(link.id.as_str()))
            });
            links
                && f.message
                    .contains("az network private-dns link vnet delete --yes --ids")
        };
        assert_eq!(plan.findings.iter().filter(told).count(), 3, "{:#?}", plan.findings);
        if falls_back {
            far_zones(&mut world).for_each(|zone| {
                if let Fact::Seen(links) = &mut zone.links {
                    links
                        .iter_mut()
                        .for_each(|l| l.resolution_policy = Some("NxDomainRedirect".into()));
                }
            });
        } else {
            unlink_far(&mut world);
        }
        world.settle_anyhow(40);
        assert_eq!(whole_and_half(&world), (3, 0), "{falls_back}: {:#?}", world.journal);
    }
}

#[test]
fn a_network_whose_entry_moves_to_other_zones_keeps_its_answers_until_it_asks_them_no_more() {
    let mut world = open();
    world.respec(|o| {
        let far = &mut o.spec.endpoints[0];
        far.name = "far".into();
        far.subnet_resource_id = format!("{}/subnets/endpoints", vnet("far"));
        far.dns.as_mut().unwrap().link_virtual_networks = Some(vec![vnet("far").to_string()]);
        o.spec.client_networks.truncate(1);
        let client = &mut o.spec.client_networks[0];
        client.virtual_network_resource_id = Some(vnet("far").to_string());
        client.vantage_point = "far-agent".into();
        o.spec.client_networks[0].endpoint = Some("far".into());
    });
    world.settle_anyhow(60);
    assert_eq!(whole_and_half(&world), (6, 0), "{:#?}", world.journal);
    let hub = vnet("hub").resource_group_id();
    for (id, zone) in &mut world.seen.azure.zones {
        if let (Fact::Seen(zone), true) = (zone, id.resource_group_id() == hub) {
            zone.links = Fact::Seen(Vec::new());
        }
    }
    world.settle_anyhow(60);
    assert_eq!(whole_and_half(&world), (3, 0), "{:#?}", world.journal);
}

#[test]
fn the_last_entry_that_is_dropped_costs_no_network_its_answers_either() {
    let mut world = open();
    world.respec(|o| {
        o.spec.endpoints.clear();
        o.spec.client_networks.clear();
    });
    world.settle_anyhow(30);
    assert_eq!(whole_and_half(&world), (3, 0), "{:#?}", world.journal);
    let plan = world.plan();
    let says = |f: &&Finding| f.message.contains("up to an hour") && f.message.contains("link vnet delete --yes --ids");
    assert_eq!(plan.findings.iter().filter(says).count(), 3, "{:#?}", plan.findings);
    for zone in world.seen.azure.zones.values_mut() {
        if let Fact::Seen(zone) = zone {
            zone.links = Fact::Seen(Vec::new());
        }
    }
    world.settle_anyhow(30);
    assert_eq!(whole_and_half(&world), (0, 0), "{:#?}", world.journal);
}

#[test]
fn nobody_is_told_to_delete_links_that_somebody_else_made() {
    let mut world = open_in_two_places();
    drop_far(&mut world, false);
    far_zones(&mut world).for_each(|zone| {
        if let Fact::Seen(links) = &mut zone.links {
            links.iter_mut().for_each(|link| link.tags.clear());
        }
    });
    world.settle_anyhow(30);
    let plan = world.plan();
    let left = plan.findings.iter().filter(|f| f.message.contains("no longer wanted"));
    let left: Vec<_> = left.map(|f| f.message.as_str()).collect();
    assert_eq!(left.len(), 3, "{:#?}", plan.findings);
    for message in left {
        assert!(!message.contains("link vnet delete"), "{message}");
        assert!(message.contains("far would get no answer"), "{message}");
        assert!(
            message.contains("az network private-endpoint delete --ids"),
            "{message}"
        );
    }
}

#[test]
fn an_endpoint_of_a_dropped_entry_that_cannot_be_deleted_gets_its_zone_group_back_and_is_left_alone() {
    for approval in [false, true] {
        let mut world = open_in_two_places();
        world.undeletable = world.seen.azure.endpoints.keys().cloned().collect();
        drop_far(&mut world, approval);
        unlink_far(&mut world);
        for _ in 0..60 {
            let (_, report) = world.visit();
            world.approve();
            world.pass(report.requeue);
        }
        assert_eq!(whole_and_half(&world), (6, 0), "{approval}: {:#?}", world.journal);
        let tried = world
            .journal
            .iter()
            .filter(|s| s.starts_with("delete-endpoint"))
            .count();
        assert_eq!(tried, 3, "not again and again: {:#?}", world.journal);
        let waits = &world.plan().waits;
        assert!(waits.iter().any(|w| w.message.contains("az lock list")), "{waits:#?}");
    }
}

#[test]
fn a_lock_on_what_nobody_wants_any_more_is_told_and_nothing_of_it_is_removed() {
    let mut world = open_in_two_places();
    world.locks = vec![lock_on(&format!("{SUB}/resourceGroups/net-far"), "CanNotDelete")];
    drop_far(&mut world, false);
    let before = world.journal.len();
    for _ in 0..30 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert_eq!(whole_and_half(&world), (6, 0), "{:#?}", world.journal);
    assert!(
        world.journal[before..]
            .iter()
            .all(|step| !step.starts_with("delete-zone-group") && !step.starts_with("delete-endpoint")),
        "{:#?}",
        world.journal
    );
    let plan = world.plan();
    let told = plan
        .waits
        .iter()
        .find(|w| w.reason == WaitReason::ResourceLockedStalled)
        .unwrap();
    assert!(told.message.contains("az lock delete --ids"), "{told:?}");
}

#[test]
fn nothing_is_removed_while_nobody_knows_whether_it_is_locked() {
    let mut world = open();
    world.delete();
    let mut seen = world.seen_now();
    seen.azure
        .locks
        .values_mut()
        .for_each(|fact| *fact = unknown(IgnoranceKind::Unreachable));
    let plan = sreg_planner::plan(&world.desired, &seen, world.now);
    assert_eq!(azure_steps(&plan), 0, "{}", sreg_planner::render(&plan));
}

#[test]
fn what_a_policy_keeps_is_left_whole_and_the_exemption_is_named() {
    for known in [true, false] {
        let mut world = open();
        let keeps = match known {
            true => Fact::Seen(vec![obstacle(
                "policy assignment \"keep\" denies deleting pe by \"keep\"; to exempt: az policy exemption create --name secure-registry --exemption-category Waiver --policy-assignment /a --scope /s",
            )]),
            false => unknown(IgnoranceKind::Forbidden),
        };
        let endpoints = world.seen.azure.endpoints.keys().cloned();
        world.seen.azure.removal_obstacles = endpoints.map(|id| (id, keeps.clone())).collect();
        world.delete();
        let told = ends(&mut world);
        assert_eq!(whole_and_half(&world), (3, 0), "{:#?}", world.journal);
        let says = |m: &String| m.contains("cannot be removed") && m.contains("az policy exemption create");
        assert!(!known || told.iter().any(says), "{told:#?}");
    }
}

const DELETIONS: [&str; 2] = [
    "Microsoft.Network/privateEndpoints/delete",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/delete",
];

#[test]
fn nothing_of_an_endpoint_is_removed_without_the_right_to_delete_all_of_it() {
    for missing in DELETIONS {
        let mut world = open();
        world.allowed_all_but(&[missing]);
        world.delete();
        let told = ends(&mut world);
        assert_eq!(whole_and_half(&world), (3, 0), "{missing}: {:#?}", world.journal);
        let group = &world.desired.endpoints()[0].resource_group;
        let says = |m: &String| {
            m.contains(&format!("--scope {group} (lacks {missing})")) && m.contains("az role assignment create")
        };
        assert!(told.iter().any(says), "{told:#?}");
    }
}

#[test]
fn what_nobody_wants_any_more_goes_once_the_right_to_delete_it_is_there() {
    let mut world = open_in_two_places();
    drop_far(&mut world, false);
    unlink_far(&mut world);
    world.allowed_all_but(&DELETIONS);
    // The spec no longer names its resource group; it is asked all the same.
    let far = id(&format!("{SUB}/resourceGroups/net-far"));
    let rights = world.seen.azure.rights.values().next().unwrap().clone();
    world.seen.azure.rights.insert(far, rights);
    let before = world.journal.len();
    for _ in 0..30 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert_eq!(whole_and_half(&world), (6, 0), "{:#?}", &world.journal[before..]);
    let plan = world.plan();
    let told = plan.waits.iter().find(|w| w.reason == WaitReason::PermissionStalled);
    assert!(
        told.is_some_and(|w| DELETIONS.iter().all(|action| w.message.contains(action))),
        "{:#?}",
        plan.waits
    );
    // Rights that nobody knows of hold up nothing.
    world
        .seen
        .azure
        .rights
        .values_mut()
        .for_each(|fact| *fact = unknown(IgnoranceKind::Unreachable));
    world.settle(40);
    assert_eq!(whole_and_half(&world), (3, 0), "{:#?}", &world.journal[before..]);
}

/// A record goes by its name with the zone group, whoever writes it next: without the next endpoint nobody would answer meanwhile.
#[test]
fn an_endpoint_that_is_replaced_while_open_keeps_its_records_until_the_next_one_is_ready() {
    let mut world = open();
    world.slow = true;
    let other = vnet("hub").child("subnets", "other");
    world.respec(|o| o.spec.endpoints[0].subnet_resource_id = other.to_string());
    for _ in 0..60 {
        let (_, report) = world.visit();
        let zones = world.seen.azure.zones.values().filter_map(Fact::seen);
        let answered = zones
            .filter_map(|z| z.records.seen())
            .any(|r| r.contains_key("contosoacr"));
        let mut standing = world.seen.azure.endpoints.values().filter_map(Fact::seen);
        let next = standing
            .any(|e| e.subnet.as_ref() == Some(&other) && e.group_id.as_deref() == Some("registry") && e.is_ready());
        assert!(answered || next, "nobody answers for contosoacr: {:#?}", world.journal);
        world.pass(report.requeue);
    }
    assert_eq!(
        whole_and_half(&world),
        (3, 0),
        "the former ones are gone: {:#?}",
        world.journal
    );
    let subnets = world.seen.azure.endpoints.values().filter_map(Fact::seen);
    assert!(subnets.map(|e| e.subnet.as_ref()).all(|s| s == Some(&other)));
}

#[test]
fn an_endpoint_stays_while_the_one_that_takes_its_place_cannot_be_made() {
    let mut world = open();
    let other = vnet("hub").child("subnets", "other");
    world.respec(|o| o.spec.endpoints[0].subnet_resource_id = other.to_string());
    if let Some(Fact::Seen(subnet)) = world.seen.azure.subnets.get_mut(&other) {
        subnet.free_addresses = Some(0);
    }
    world.settle_anyhow(30);
    assert_eq!(whole_and_half(&world), (3, 0), "{:#?}", world.journal);
    let keeps = |w: &sreg_planner::Wait| w.message.contains("keeps its records until");
    assert!(world.plan().waits.iter().any(keeps), "{:#?}", world.plan().waits);
}

#[test]
fn an_endpoint_that_finds_no_room_beside_the_one_it_replaces_says_how_to_make_some() {
    let mut world = open();
    let former = world.seen.azure.endpoints.keys().next().unwrap().clone();
    let subnet = world.desired.endpoints()[0].subnet.clone();
    world.respec(|o| {
        o.spec.endpoints[0].resource_group_resource_id = Some(format!("{SUB}/resourceGroups/net-other"));
    });
    if let Some(Fact::Seen(subnet)) = world.seen.azure.subnets.get_mut(&subnet) {
        subnet.free_addresses = Some(0);
    }
    world.settle_anyhow(30);
    assert_eq!(whole_and_half(&world), (3, 0), "{:#?}", world.journal);
    let waits = world.plan().waits;
    let says = |w: &sreg_planner::Wait| {
        w.reason == WaitReason::EndpointFailedStalled
            && w.message
                .contains(&format!("az network private-endpoint delete --ids {former}"))
    };
    assert!(waits.iter().any(says), "{waits:#?}");
}

#[test]
fn endpoints_that_a_list_of_connections_still_names_are_not_taken_for_somebody_elses() {
    let mut world = World::two_regions(SPEC);
    world.respec(|o| {
        o.spec.public_access.desired = PublicAccess::Enabled;
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
    });
    world.settle(60);
    let ours: Vec<_> = world.seen.azure.endpoints.keys().cloned().collect();
    for account in world.seen.azure.targets.seen_of_mut(TargetKind::Storage) {
        account.private_endpoints.clone_from(&ours);
    }
    world.delete();
    ends(&mut world);
    assert_eq!(whole_and_half(&world), (0, 0), "{:#?}", world.journal);
}

#[test]
fn an_endpoint_without_a_zone_group_goes_without_the_right_to_delete_one() {
    let mut world = open();
    for fact in world.seen.azure.endpoints.values_mut() {
        if let Fact::Seen(endpoint) = fact {
            endpoint.zone_groups = Fact::Seen(Vec::new());
        }
    }
    world.allowed_all_but(&[DELETIONS[1]]);
    world.delete();
    ends(&mut world);
    assert_eq!(whole_and_half(&world), (0, 0), "{:#?}", world.journal);
}

/// Of them the one for blobs.
fn far_blob(world: &mut World) -> &mut ZoneSeen {
    let mut zones = far_zones(world);
    zones
        .find(|zone| zone.id.name() == "privatelink.blob.core.windows.net")
        .unwrap()
}

#[test]
fn a_dropped_entry_takes_no_record_that_somebody_elses_endpoint_lives_by() {
    let mut world = open_in_two_places();
    drop_far(&mut world, false);
    let linked = far_blob(&mut world).links.clone();
    unlink_far(&mut world);
    far_blob(&mut world).links = linked;
    let theirs = id(&format!(
        "{SUB}/resourceGroups/team-x/providers/Microsoft.Network/privateEndpoints/theirs"
    ));
    change_storage(&mut world, |account| account.private_endpoints = vec![theirs]);
    let address = "10.77.0.9".parse().unwrap();
    far_blob(&mut world).records = Fact::Seen([("contosostore".to_owned(), vec![address])].into());
    world.settle_anyhow(30);
    let records = far_blob(&mut world).records.clone();
    assert_eq!(
        records.seen().and_then(|r| r.get("contosostore")),
        Some(&vec![address]),
        "{:#?}",
        world.journal
    );
    assert_eq!(whole_and_half(&world), (4, 0), "the others go: {:#?}", world.journal);
    let plan = world.plan();
    let told = plan
        .findings
        .iter()
        .find(|f| f.message.contains("no answer for the names of contosostore"));
    let told = told.unwrap();
    assert!(
        told.message.contains("az network private-endpoint delete --ids"),
        "{told:?}"
    );
    // Nobody asks that zone any more.
    far_blob(&mut world).links = Fact::Seen(Vec::new());
    world.settle_anyhow(30);
    assert_eq!(whole_and_half(&world), (3, 0), "{:#?}", world.journal);
}
