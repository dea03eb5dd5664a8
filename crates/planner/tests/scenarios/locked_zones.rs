//! Zones that take no records from us, by a resource lock or a deny assignment: known before an endpoint moves its target's names there.

use sreg_domain::Fact;
use sreg_domain::seen::{DenyAssignment, EndpointSeen, IgnoranceKind, LockSeen};
use sreg_planner::plan::WaitReason;

use super::*;
use crate::world::*;

fn lock_on(scope: &str, level: &str) -> LockSeen {
    LockSeen {
        id: format!("{scope}/providers/Microsoft.Authorization/locks/hands-off"),
        level: level.into(),
    }
}

fn everyday() -> World {
    let mut world = World::everyday();
    hub_zones(&mut world);
    world
}

fn dns_group() -> String {
    format!("{SUB}/resourceGroups/dns")
}

fn blob_zone(world: &World) -> String {
    let mut zones = world.seen.azure.zones.keys();
    zones.find(|zone| zone.name().contains("blob")).unwrap().to_string()
}

/// As a blueprint sets it: everything but reading.
fn blueprint_on(scope: &str) -> DenyAssignment {
    DenyAssignment {
        id: format!("{scope}/providers/Microsoft.Authorization/denyAssignments/blueprint"),
        name: "Deny assignment of a blueprint".into(),
        scope: scope.to_owned(),
        permissions: vec![(vec!["*".into()], vec!["*/read".into()])],
        principals: vec![DenyAssignment::EVERYONE.into()],
        ..DenyAssignment::default()
    }
}

fn made(world: &World) -> Vec<&String> {
    let steps = world.journal.iter();
    steps.filter(|step| step.starts_with("create-endpoint")).collect()
}

#[test]
fn no_names_move_to_a_zone_that_is_locked_read_only_and_the_lock_is_named() {
    for level in ["ReadOnly", "SomethingNew"] {
        let mut world = everyday();
        world.locks = vec![lock_on(&dns_group(), level)];
        world.settle_anyhow(40);
        assert_eq!(made(&world), [""; 0], "{level}");
        assert_eq!(world.state(), "Stalled", "{level}: {}", world.message());
        let command = format!("az lock delete --ids {}", world.locks[0].id);
        assert!(world.message().contains(&command), "{}", world.message());
        let waits = world.plan().waits;
        assert!(
            waits.iter().any(|w| w.reason == WaitReason::ZoneLockedStalled),
            "{waits:#?}"
        );
        world.locks.clear();
        world.until("Locked", 80);
    }
}

#[test]
fn a_lock_on_one_zone_holds_up_the_endpoints_of_no_other_zone() {
    let mut world = everyday();
    world.locks = vec![lock_on(&blob_zone(&world), "ReadOnly")];
    world.settle_anyhow(40);
    assert_eq!(made(&world).len(), 2, "{:#?}", world.journal);
    assert!(
        made(&world).iter().all(|step| !step.contains("/blob ")),
        "{:#?}",
        world.journal
    );
}

/// It forbids deletions: records are written, and one that is there is changed.
#[test]
fn a_lock_that_forbids_deletions_only_and_those_of_others_records_hold_nothing_up() {
    for (below, level) in [
        ("", "CanNotDelete"),
        ("", "NotSpecified"),
        ("/SOA/@", "CanNotDelete"),
        ("/A/otherteamsaccount", "ReadOnly"),
        ("/virtualNetworkLinks/theirs", "ReadOnly"),
    ] {
        let mut world = everyday();
        world.locks = vec![lock_on(&format!("{}{below}", blob_zone(&world)), level)];
        world.settle(60);
        assert_eq!(world.state(), "Locked", "{below} {level}: {}", world.message());
    }
}

#[test]
fn no_names_move_to_a_record_that_is_locked_read_only() {
    let mut world = everyday();
    world.locks = vec![lock_on(&format!("{}/A/ContosoStore", blob_zone(&world)), "ReadOnly")];
    world.settle_anyhow(40);
    assert!(
        made(&world).iter().all(|step| !step.contains("/blob ")),
        "{:#?}",
        world.journal
    );
    let command = format!("az lock delete --ids {}", world.locks[0].id);
    assert!(world.message().contains(&command), "{}", world.message());
    world.locks.clear();
    world.until("Locked", 80);
}

#[test]
fn no_names_move_to_a_zone_that_a_deny_assignment_keeps_from_us() {
    let mut world = everyday();
    world.denials = vec![blueprint_on(&dns_group())];
    world.settle_anyhow(40);
    assert_eq!(made(&world), [""; 0]);
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    let message = world.message();
    assert!(
        message.contains("Deny assignment of a blueprint") && message.contains("exempts principal operator"),
        "{message}"
    );
    world.denials.clear();
    world.until("Locked", 80);
}

/// A deny assignment may leave the endpoint to us, and not its zone group.
#[test]
fn no_names_move_where_a_deny_assignment_keeps_the_zone_group_from_us() {
    let mut world = everyday();
    let group = world.desired.endpoints()[0].resource_group.to_string();
    let zone_groups = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/*";
    world.denials = vec![DenyAssignment {
        permissions: vec![(vec![zone_groups.into()], Vec::new())],
        ..blueprint_on(&group)
    }];
    world.settle_anyhow(40);
    assert_eq!(made(&world), [""; 0]);
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    world.denials.clear();
    world.until("Locked", 80);
}

#[test]
fn no_names_move_while_nobody_knows_what_keeps_their_zone_from_us() {
    let forbidden = || unknown::<Vec<LockSeen>>(IgnoranceKind::Forbidden);
    for locks in [true, false] {
        let mut world = everyday();
        let hide = |world: &mut World, hidden: bool| match (locks, hidden) {
            (true, hidden) => world.locks_answer = hidden.then(forbidden),
            (false, hidden) => {
                world.unread_denials = forbidden().ignorance().filter(|_| hidden).cloned();
            }
        };
        hide(&mut world, true);
        world.settle_anyhow(20);
        assert_eq!(made(&world), [""; 0], "locks: {locks}");
        hide(&mut world, false);
        world.until("Locked", 80);
    }
}

/// What keeps the zone from us may be known, and what keeps the zone group from us not.
#[test]
fn no_names_move_while_nobody_knows_what_keeps_the_zone_group_from_us() {
    let mut world = everyday();
    let why = unknown::<()>(IgnoranceKind::Forbidden).ignorance().unwrap().clone();
    let group = world.desired.endpoints()[0].resource_group.clone();
    world.unread_denials_at.insert(group, why);
    world.settle_anyhow(20);
    assert_eq!(made(&world), [""; 0]);
    let waits = world.plan().waits;
    assert!(
        waits.iter().any(|w| w.reason == WaitReason::PermissionStalled),
        "{waits:#?}"
    );
    world.unread_denials_at.clear();
    world.until("Locked", 80);
}

/// A zone group writes the records of the data endpoints too, one a region.
#[test]
fn no_names_move_where_the_record_of_a_data_endpoint_is_locked_read_only() {
    let mut world = everyday();
    let zones = world.seen.azure.zones.keys();
    let zone = zones.clone().find(|zone| zone.name().contains("azurecr")).unwrap();
    let of_others = format!("{zone}/A/contosoacrother.westeurope.data");
    let ours = format!("{zone}/A/ContosoACR.westeurope.data");
    world.locks = vec![lock_on(&ours, "ReadOnly")];
    world.settle_anyhow(40);
    assert!(
        made(&world).iter().all(|step| !step.contains("/registry ")),
        "{:#?}",
        world.journal
    );
    let command = format!("az lock delete --ids {}", world.locks[0].id);
    assert!(world.message().contains(&command), "{}", world.message());
    world.locks = vec![lock_on(&of_others, "ReadOnly")];
    world.until("Locked", 80);
}

/// Which records an endpoint will have is not known where discovery lists no host: any of the zone may be one.
#[test]
fn no_names_move_to_a_zone_with_a_locked_record_where_its_own_are_not_known() {
    let mut world = everyday();
    let zones = world.seen.azure.zones.keys();
    let zone = zones.clone().find(|zone| zone.name().contains("azureml")).unwrap();
    world.locks = vec![lock_on(&format!("{zone}/A/contosoreg.westeurope"), "ReadOnly")];
    let listed = std::mem::replace(&mut world.seen.azure.discovery, Fact::Seen(Vec::new()));
    world.settle_anyhow(40);
    assert!(
        made(&world).iter().all(|step| !step.contains("/amlregistry ")),
        "{:#?}",
        world.journal
    );
    world.locks.clear();
    world.seen.azure.discovery = listed;
    world.until("Locked", 80);
}

#[test]
fn a_zone_that_is_locked_while_the_registry_is_makes_the_lock_no_worse() {
    let mut world = everyday();
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    world.locks = vec![lock_on(&dns_group(), "ReadOnly")];
    world.settle_anyhow(10);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    let lost = world.seen.azure.endpoints.keys().next().unwrap().clone();
    world.seen.azure.endpoints.insert(lost.clone(), Fact::Absent);
    world.settle_anyhow(10);
    assert!(
        world
            .seen
            .azure
            .endpoints
            .get(&lost)
            .is_some_and(|e| e.seen().is_some()),
        "clients depend on it: {:#?}",
        world.journal
    );
}

/// One that never came to addresses has no members that name its records: its target's names and its zone group tell them.
#[test]
fn an_endpoint_that_failed_is_made_again_though_a_record_of_others_may_not_be_deleted() {
    for (record, goes) in [("otherteamsaccount", true), ("ContosoStore", false)] {
        let mut world = everyday();
        world.until("Settling", 60);
        let zone = blob_zone(&world);
        let failed = |e: &EndpointSeen| e.group_id.as_deref() == Some("blob");
        let mut endpoints = world.seen.azure.endpoints.values_mut();
        let endpoint = endpoints.find_map(|fact| match fact {
            Fact::Seen(endpoint) if failed(endpoint) => Some(endpoint),
            Fact::Seen(_) | Fact::Absent | Fact::Unknown(_) => None,
        });
        let endpoint = endpoint.unwrap();
        endpoint.provisioning_state = "Failed".into();
        endpoint.connection_status = Some("Pending".into());
        endpoint.members = unknown(IgnoranceKind::Unreachable);
        if let Some(Fact::Seen(zone)) = world.seen.azure.zones.get_mut(&id(&zone)) {
            zone.records = Fact::Seen(Default::default());
        }
        world.locks = vec![lock_on(&format!("{zone}/A/{record}"), "CanNotDelete")];
        let before = world.journal.len();
        world.settle_anyhow(60);
        let deleted = world.journal[before..].iter().any(|s| s.starts_with("delete-endpoint"));
        assert_eq!(deleted, goes, "{record}: {:#?}", &world.journal[before..]);
        if goes {
            assert_eq!(world.state(), "Locked", "{}", world.message());
        }
    }
}
