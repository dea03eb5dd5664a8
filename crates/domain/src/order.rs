//! Lists as the sets that they are. Azure and the API server give them in any order, and some items twice: whoever decides by a list
//! first puts it in order, so that no plan, no digest and no message depends on it.

use std::collections::BTreeMap;

use crate::ids::ArmId;
use crate::seen::{
    AzureSeen, DenyAssignment, EndpointSeen, Fact, Seen, TargetDetails, TargetSeen, VirtualNetworkSeen, ZoneSeen,
};

fn sort<T: Ord>(list: &mut Vec<T>) {
    list.sort();
    list.dedup();
}

fn sort_by<T: PartialEq, K: Ord>(list: &mut Vec<T>, key: impl Fn(&T) -> K) {
    list.sort_by_key(key);
    list.dedup();
}

impl Seen {
    /// The same with every list in order and without doubles.
    pub fn in_order(&self) -> Seen {
        let mut all = self.clone();
        azure(&mut all.azure);
        if let Some(approvals) = all.cluster.approvals.seen_mut() {
            sort_by(approvals, |approval| approval.name.clone());
        }
        if let Some(emergencies) = all.cluster.break_glasses.seen_mut() {
            sort_by(emergencies, |e| (e.created_at, e.name.clone(), e.uid.clone()));
        }
        all
    }
}

/// Every value that was seen of these.
fn each<T>(facts: &mut BTreeMap<ArmId, Fact<T>>, change: impl FnMut(&mut T)) {
    facts.values_mut().filter_map(Fact::seen_mut).for_each(change);
}

fn azure(azure: &mut AzureSeen) {
    // Without `..`: whoever adds a list decides here what its order is.
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
        // Asked only whether any role allows something.
        rights: _,
        operations,
        also_changed,
        odd,
    } = azure;
    let accounts = targets.iter_mut().map(|(_, fact)| fact);
    let accounts = accounts.chain(shared_storage.values_mut());
    accounts.filter_map(Fact::seen_mut).for_each(target);
    each(endpoints, endpoint);
    each(virtual_networks, network);
    each(neighbours, network);
    each(zones, zone);
    each(zone_group_policies, |all| {
        sort_by(all, |p| (p.assignment.clone(), p.covers, p.zone.clone()));
    });
    each(records_by_policy, |records| records.values_mut().for_each(sort));
    if let Some(zones) = zones_elsewhere.seen_mut() {
        zones.iter_mut().for_each(zone);
        sort_by(zones, |zone| zone.id.clone());
    }
    if let Some(hosts) = discovery.seen_mut() {
        sort(hosts);
    }
    if let Some(callers) = recent_public_clients.seen_mut() {
        sort_by(callers, |caller| (caller.address.clone(), caller.target.clone()));
    }
    if let Some(obstacles) = reopening_obstacles.seen_mut() {
        sort(obstacles);
    }
    each(removal_obstacles, sort);
    closing_obstacles.values_mut().for_each(sort);
    each(locks, |locks| {
        sort_by(locks, |lock| (lock.id.clone(), lock.level.clone()))
    });
    each(deny_assignments, |denials| {
        denials.iter_mut().for_each(denial);
        sort_by(denials, |denial| format!("{denial:?}"));
    });
    operations.sort_by_key(|o| {
        let operation = &o.operation;
        (
            operation.resource.clone(),
            operation.step.clone(),
            operation.poll_url.clone(),
        )
    });
    also_changed.iter_mut().for_each(|change| sort(&mut change.fields));
    sort_by(also_changed, |change| {
        (change.resource.clone(), change.step.clone(), change.fields.clone())
    });
    sort(odd);
}

fn network(network: &mut VirtualNetworkSeen) {
    sort(&mut network.dns_servers);
    sort(&mut network.address_space);
    sort(&mut network.peers);
    for subnet in &mut network.service_endpoints {
        sort(&mut subnet.prefixes);
        sort(&mut subnet.services);
    }
    sort_by(&mut network.service_endpoints, |subnet| {
        (subnet.subnet.clone(), subnet.prefixes.clone())
    });
}

fn denial(denial: &mut DenyAssignment) {
    for (actions, not_actions) in &mut denial.permissions {
        sort(actions);
        sort(not_actions);
    }
    sort(&mut denial.permissions);
    sort(&mut denial.excluded_principals);
    sort(&mut denial.principals);
}

fn target(target: &mut TargetSeen) {
    sort(&mut target.ip_rules);
    sort(&mut target.virtual_network_rules);
    sort(&mut target.resource_access_rules);
    sort(&mut target.private_endpoints);
    match &mut target.details {
        TargetDetails::Registry(registry) => {
            for region in &mut registry.regions {
                region.accounts.values_mut().for_each(sort);
            }
            sort_by(&mut registry.regions, |region| region.location.clone());
            sort(&mut registry.assigned_identities);
        }
        TargetDetails::Storage(storage) => sort(&mut storage.secondary_hosts),
        TargetDetails::ContainerRegistry(registry) => {
            sort(&mut registry.data_endpoints);
            sort(&mut registry.replicas_in_passing);
            if let Some(replicas) = registry.replicas.seen_mut() {
                sort(replicas);
            }
        }
    }
}

fn endpoint(endpoint: &mut EndpointSeen) {
    sort(&mut endpoint.network_interfaces);
    if let Some(members) = endpoint.members.seen_mut() {
        members.iter_mut().for_each(|member| sort(&mut member.fqdns));
        sort_by(members, |member| {
            (member.member.clone(), member.address, member.fqdns.clone())
        });
    }
    if let Some(groups) = endpoint.zone_groups.seen_mut() {
        groups.iter_mut().for_each(|group| sort(&mut group.zones));
        sort_by(groups, |group| group.id.clone());
    }
}

fn zone(zone: &mut ZoneSeen) {
    if let Some(links) = zone.links.seen_mut() {
        sort_by(links, |link| link.id.clone());
    }
    for addresses in zone
        .records
        .seen_mut()
        .into_iter()
        .flat_map(|records| records.values_mut())
    {
        sort(addresses);
    }
}
