//! What Azure and the API server list is a set: no plan depends on the order of a list, on items that come twice, or on how ids are
//! spelled.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sreg_api::registry::DeletionPolicy;
use sreg_domain::rights::Permissions;
use sreg_domain::seen::*;
use sreg_domain::{Action, ArmId, ClusterAction, Fact, Seen, TargetKind};
use sreg_planner::{plan, render};

use crate::config;
use crate::stories::stories;
use crate::world::OfKnownKind as _;
use crate::world::scramble::Blow;

/// Puts a list into another order: backwards, then begun elsewhere.
fn mix<T>(list: &mut [T], by: usize) {
    list.reverse();
    let at = if list.is_empty() { 0 } else { by % list.len() };
    list.rotate_left(at);
}

fn mix_and_double<T: Clone>(list: &mut Vec<T>, by: usize) {
    mix(list, by);
    list.extend(list.first().cloned());
}

fn mix_json(value: &mut serde_json::Value, by: usize) {
    match value {
        serde_json::Value::Array(items) => {
            items.iter_mut().for_each(|item| mix_json(item, by));
            mix(items, by);
        }
        serde_json::Value::Object(map) => map.values_mut().for_each(|item| mix_json(item, by)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

fn mix_targets<'a>(targets: impl Iterator<Item = &'a mut Fact<TargetSeen>>, by: usize) {
    for target in targets.filter_map(Fact::seen_mut) {
        mix(&mut target.ip_rules, by);
        mix(&mut target.virtual_network_rules, by);
        mix(&mut target.resource_access_rules, by);
        mix_and_double(&mut target.private_endpoints, by);
        mix_json(&mut target.network, by);
        match &mut target.details {
            TargetDetails::Registry(registry) => {
                for accounts in registry.regions.iter_mut().flat_map(|r| r.accounts.values_mut()) {
                    mix_and_double(accounts, by);
                }
                mix(&mut registry.regions, by);
                mix_and_double(&mut registry.assigned_identities, by);
            }
            TargetDetails::Storage(storage) => mix_and_double(&mut storage.secondary_hosts, by),
            TargetDetails::ContainerRegistry(registry) => {
                mix_and_double(&mut registry.data_endpoints, by);
                if let Some(replicas) = registry.replicas.seen_mut() {
                    mix_and_double(replicas, by);
                }
            }
        }
    }
}

fn mix_endpoint(endpoint: &mut EndpointSeen, by: usize) {
    mix_and_double(&mut endpoint.network_interfaces, by);
    for member in endpoint.members.seen_mut().into_iter().flatten() {
        mix_and_double(&mut member.fqdns, by);
    }
    if let Some(members) = endpoint.members.seen_mut() {
        mix_and_double(members, by);
    }
    for group in endpoint.zone_groups.seen_mut().into_iter().flatten() {
        mix_and_double(&mut group.zones, by);
    }
    if let Some(groups) = endpoint.zone_groups.seen_mut() {
        mix(groups, by);
    }
}

fn mix_zone(zone: &mut ZoneSeen, by: usize) {
    if let Some(links) = zone.links.seen_mut() {
        mix_and_double(links, by);
    }
    for addresses in zone.records.seen_mut().into_iter().flat_map(|r| r.values_mut()) {
        mix_and_double(addresses, by);
    }
}

/// DNS servers are not doubled: agents are asked about each, and Azure takes none twice.
fn mix_network(network: &mut VirtualNetworkSeen, by: usize) {
    mix(&mut network.dns_servers, by);
    mix_and_double(&mut network.address_space, by);
    mix_and_double(&mut network.peers, by);
    for subnet in &mut network.service_endpoints {
        mix_and_double(&mut subnet.prefixes, by);
        mix_and_double(&mut subnet.services, by);
    }
    mix_and_double(&mut network.service_endpoints, by);
}

fn mix_denial(denial: &mut DenyAssignment, by: usize) {
    for (actions, not_actions) in &mut denial.permissions {
        mix_and_double(actions, by);
        mix_and_double(not_actions, by);
    }
    mix_and_double(&mut denial.permissions, by);
    mix_and_double(&mut denial.excluded_principals, by);
    mix_and_double(&mut denial.principals, by);
}

fn mix_rights(rights: &mut Permissions, by: usize) {
    for role in &mut rights.0 {
        mix_and_double(&mut role.actions, by);
        mix_and_double(&mut role.not_actions, by);
    }
    mix_and_double(&mut rights.0, by);
}

/// Every value that was seen of these.
fn each<T>(facts: &mut BTreeMap<ArmId, Fact<T>>, mut change: impl FnMut(&mut T)) {
    facts.values_mut().filter_map(Fact::seen_mut).for_each(&mut change);
}

fn mix_azure(azure: &mut AzureSeen, by: usize) {
    // Without `..`: a list that is added is mixed, or somebody says here that it holds none.
    let AzureSeen {
        principal: _,
        targets,
        discovery,
        deny_assignments,
        endpoints,
        accounts_left: _,
        subnets: _,
        virtual_networks,
        neighbours,
        zones,
        zones_elsewhere,
        zone_group_policies,
        records_by_policy,
        shared_storage,
        recent_public_clients,
        reopening_obstacles,
        removal_obstacles,
        closing_obstacles,
        locks,
        rights,
        operations,
        also_changed,
        odd,
    } = azure;
    let accounts = targets.iter_mut().map(|(_, fact)| fact);
    mix_targets(accounts.chain(shared_storage.values_mut()), by);
    each(endpoints, |endpoint| mix_endpoint(endpoint, by));
    each(virtual_networks, |network| mix_network(network, by));
    each(neighbours, |network| mix_network(network, by));
    each(zones, |zone| mix_zone(zone, by));
    for zone in zones_elsewhere.seen_mut().into_iter().flatten() {
        mix_zone(zone, by);
    }
    each(zone_group_policies, |policies| mix_and_double(policies, by));
    each(records_by_policy, |records| {
        records.values_mut().for_each(|addresses| mix_and_double(addresses, by));
    });
    each(deny_assignments, |denials| {
        denials.iter_mut().for_each(|denial| mix_denial(denial, by));
        mix(denials, by);
    });
    each(removal_obstacles, |obstacles| mix_and_double(obstacles, by));
    each(locks, |locks| mix_and_double(locks, by));
    each(rights, |rights| mix_rights(rights, by));
    closing_obstacles
        .values_mut()
        .for_each(|obstacles| mix_and_double(obstacles, by));
    if let Some(zones) = zones_elsewhere.seen_mut() {
        mix(zones, by);
    }
    if let Some(hosts) = discovery.seen_mut() {
        mix_and_double(hosts, by);
    }
    if let Some(callers) = recent_public_clients.seen_mut() {
        mix_and_double(callers, by);
    }
    if let Some(obstacles) = reopening_obstacles.seen_mut() {
        mix_and_double(obstacles, by);
    }
    mix(operations, by);
    for change in &mut *also_changed {
        mix(&mut change.fields, by);
    }
    mix(also_changed, by);
    mix(odd, by);
}

fn mix_cluster(cluster: &mut ClusterSeen, by: usize) {
    let ClusterSeen {
        claim: _,
        vantage_points: _,
        probes,
        snapshot: _,
        restored: _,
        published_dns: _,
        approvals,
        break_glasses,
    } = cluster;
    for probe in probes.values_mut().filter_map(Fact::seen_mut) {
        if let Some(status) = &mut probe.status {
            for result in &mut status.results {
                mix_and_double(&mut result.addresses, by);
                mix_and_double(&mut result.silent_dns_servers, by);
            }
            mix(&mut status.results, by);
        }
    }
    if let Some(approvals) = approvals.seen_mut() {
        mix(approvals, by);
    }
    if let Some(emergencies) = break_glasses.seen_mut() {
        mix(emergencies, by);
    }
}

fn mixed(from: &Seen, by: usize) -> Seen {
    let mut all = from.clone();
    mix_azure(&mut all.azure, by);
    mix_cluster(&mut all.cluster, by);
    all
}

/// Ids as some resource providers spell them back.
fn respelled(from: &Seen) -> Seen {
    let shout = |id: &ArmId| -> ArmId { id.as_str().to_uppercase().parse().unwrap() };
    let mut all = from.clone();
    let azure = &mut all.azure;
    for zone in azure.zones.values_mut().filter_map(Fact::seen_mut) {
        for link in zone.links.seen_mut().into_iter().flatten() {
            link.id = shout(&link.id);
            link.virtual_network = shout(&link.virtual_network);
        }
    }
    for endpoint in azure.endpoints.values_mut().filter_map(Fact::seen_mut) {
        endpoint.id = shout(&endpoint.id);
        endpoint.subnet = endpoint.subnet.as_ref().map(shout);
        endpoint.target = endpoint.target.as_ref().map(shout);
        endpoint.group_id = endpoint.group_id.as_ref().map(|group| group.to_uppercase());
        for group in endpoint.zone_groups.seen_mut().into_iter().flatten() {
            group.id = shout(&group.id);
            group.zones = group.zones.iter().map(shout).collect();
        }
    }
    for registry in azure.targets.seen_of_mut(TargetKind::Registry) {
        registry.private_endpoints = registry.private_endpoints.iter().map(shout).collect();
        let regions = registry.as_registry().regions.iter_mut();
        for id in regions.flat_map(|r| r.accounts.values_mut()).flatten().flatten() {
            *id = shout(id);
        }
    }
    all
}

/// A snapshot keeps ids as Azure spells them, and is found by them however they are spelled.
fn spelled_alike(action: &Action) -> Action {
    let mut action = action.clone();
    if let Action::Cluster(ClusterAction::WriteSnapshot { snapshot, .. }) = &mut action {
        let targets = std::mem::take(&mut snapshot.targets).into_iter();
        snapshot.targets = targets.map(|(id, target)| (id.to_ascii_lowercase(), target)).collect();
    }
    action
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn lists_in_any_order_and_with_items_twice_give_the_same_plan(story in stories(), by in 0usize..7, around in any::<[bool; 3]>(), deleted in prop::bool::weighted(0.3)) {
        let mut world = story.tell();
        let surroundings = [Blow::Neighbours, Blow::Callers, Blow::Objections];
        for (blow, _) in surroundings.into_iter().zip(around).filter(|(_, befalls)| *befalls) {
            world.suffer(blow);
            world.approve();
            let (_, report) = world.visit();
            world.pass(report.requeue);
        }
        if deleted {
            world.turn_ungranted(|o| o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints);
            world.delete();
        }
        let seen = world.seen_now();
        let mixed = mixed(&seen, by);
        let (before, after) = (plan(&world.desired, &seen, world.now), plan(&world.desired, &mixed, world.now));
        prop_assert_eq!(render(&before), render(&after));
        // What is written may hold a list in the order in which Azure gave it.
        prop_assert_eq!(before.assessment.subject, after.assessment.subject);
        prop_assert_eq!(before.assessment.evidence, after.assessment.evidence);
        prop_assert_eq!(before.assessment.lockdown_digest, after.assessment.lockdown_digest);
        prop_assert_eq!(before.assessment.name_changes, after.assessment.name_changes);
    }

    #[test]
    fn ids_spelled_in_any_case_give_the_same_steps(story in stories()) {
        let world = story.tell();
        let seen = world.seen_now();
        let (before, after) = (plan(&world.desired, &seen, world.now), plan(&world.desired, &respelled(&seen), world.now));
        let steps = |plan: &sreg_planner::Plan| plan.waves.iter().map(|wave| wave.iter().map(|s| spelled_alike(&s.action)).collect()).collect::<Vec<Vec<_>>>();
        prop_assert_eq!(steps(&before), steps(&after), "{}\n{}", render(&before), render(&after));
        let reasons = |plan: &sreg_planner::Plan| plan.waits.iter().map(|w| w.reason).collect::<Vec<_>>();
        prop_assert_eq!(reasons(&before), reasons(&after));
        prop_assert_eq!(before.assessment.subject, after.assessment.subject);
        prop_assert_eq!(before.assessment.state, after.assessment.state);
    }
}
