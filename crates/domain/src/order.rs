//! Lists as the sets that they are. Azure and the API server give them in any order, and some items twice: whoever decides by a list
//! first puts it in order, so that no plan, no digest and no message depends on it.

use crate::seen::{EndpointSeen, Fact, Seen, TargetDetails, TargetSeen, ZoneSeen};

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
        let azure = &mut all.azure;
        let targets = azure.targets.iter_mut().map(|(_, fact)| fact);
        let targets = targets.chain(azure.shared_storage.values_mut());
        targets.filter_map(Fact::seen_mut).for_each(target);
        azure
            .endpoints
            .values_mut()
            .filter_map(Fact::seen_mut)
            .for_each(endpoint);
        azure.zones.values_mut().filter_map(Fact::seen_mut).for_each(zone);
        azure
            .zone_group_policies
            .values_mut()
            .filter_map(Fact::seen_mut)
            .for_each(|all| sort_by(all, |p| (p.assignment.clone(), p.covers, p.zone.clone())));
        azure
            .records_by_policy
            .values_mut()
            .filter_map(Fact::seen_mut)
            .for_each(|records| records.values_mut().for_each(sort));
        if let Some(zones) = azure.zones_elsewhere.seen_mut() {
            zones.iter_mut().for_each(zone);
            sort_by(zones, |zone| zone.id.clone());
        }
        if let Some(hosts) = azure.discovery.seen_mut() {
            sort(hosts);
        }
        if let Some(obstacles) = azure.reopening_obstacles.seen_mut() {
            sort(obstacles);
        }
        let locks = azure.locks.values_mut().filter_map(Fact::seen_mut);
        locks.for_each(|locks| sort_by(locks, |lock| (lock.id.clone(), lock.level.clone())));
        let denials = azure.deny_assignments.values_mut().filter_map(Fact::seen_mut);
        denials.for_each(|denials| sort_by(denials, |denial| format!("{denial:?}")));
        azure.operations.sort_by_key(|o| {
            let operation = &o.operation;
            (
                operation.resource.clone(),
                operation.step.clone(),
                operation.poll_url.clone(),
            )
        });
        sort(&mut azure.odd);
        if let Some(approvals) = all.cluster.approvals.seen_mut() {
            sort_by(approvals, |approval| approval.name.clone());
        }
        if let Some(emergencies) = all.cluster.break_glasses.seen_mut() {
            sort_by(emergencies, |e| (e.created_at, e.name.clone(), e.uid.clone()));
        }
        all
    }
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
