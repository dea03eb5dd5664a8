//! What each step does to the world.

use std::collections::BTreeMap;

use sreg_api::names::{OWNER_TAG, ZONE_GROUP};
use sreg_domain::action::{StepOutcome, StepResult};
use sreg_domain::seen::*;
use sreg_domain::target::kind_of;
use sreg_domain::{
    Action, ArmId, AzureAction, CallFailure, Cause, ClusterAction, Digest, Edit, Effect, EndpointGroup, Fact, RuleKind,
    TargetKind,
};
use sreg_planner::Step;

pub use super::settings::*;
use super::*;

fn with_owner(tags: &BTreeMap<String, String>, owner: &str) -> BTreeMap<String, String> {
    let mut all = tags.clone();
    all.insert(OWNER_TAG.into(), owner.into());
    all
}

/// The zones that an endpoint's zone groups write to.
pub fn zones_written(endpoint: &EndpointSeen) -> Vec<ArmId> {
    let groups = endpoint.zone_groups.seen().into_iter().flatten();
    groups.flat_map(|group| group.zones.clone()).collect()
}

fn refused(step: &Step, why: &str) -> StepResult {
    refused_as(step, "Refused", why)
}

fn refused_as(step: &Step, code: &str, why: &str) -> StepResult {
    StepResult::Failed(CallFailure {
        code: Some(code.into()),
        status: Some(409),
        ..CallFailure::local(step.action.to_string(), Cause::Refused, why)
    })
}

/// The network interface that Azure makes for an endpoint, beside it.
fn network_interface_of(endpoint: &ArmId) -> Option<ArmId> {
    let name = format!("{}.nic", endpoint.name());
    Some(
        endpoint
            .resource_group_id()?
            .provider("Microsoft.Network/networkInterfaces", &name),
    )
}

const JOIN_ZONE: &str = "Microsoft.Network/privateDnsZones/join/action";
const WRITE_RECORDS: &str = "Microsoft.Network/privateDnsZones/A/write";

/// The right that a write takes.
fn action_of(action: &AzureAction) -> String {
    let deletes = matches!(
        action,
        AzureAction::DeleteEndpoint { .. } | AzureAction::DeleteZoneGroup { .. }
    );
    let verb = if deletes { "delete" } else { "write" };
    format!("{}/{verb}", action.resource().kind())
}

impl World {
    /// Carries out one step.
    pub fn apply(&mut self, step: &Step) -> StepOutcome {
        let result = match &step.action {
            Action::Cluster(action) => self.cluster(step, action),
            Action::Azure(action) => {
                self.writes.push((self.now, action.resource().clone()));
                let written = self.written_by(action);
                let read_only =
                    |lock: &&LockSeen| lock.level == "ReadOnly" && written.iter().any(|(id, _)| lock.covers(id));
                let denied = |denial: &&DenyAssignment| {
                    let denies = |(id, action): &(ArmId, String)| {
                        denial.covers(id) && denial.forbids("operator", action) == Some(true)
                    };
                    written.iter().any(denies)
                };
                match self.contrary_to(&step.id.to_string()) {
                    _ if self.denials.iter().any(|denial| denied(&denial)) => {
                        refused_as(step, "DenyAssignmentAuthorizationFailed", "the access is denied")
                    }
                    _ if self.locks.iter().any(|lock| read_only(&lock)) => refused_as(step, "ScopeLocked", "no write"),
                    Some(contrary) => self.thwart(step, action, contrary),
                    None => self.azure(step, action),
                }
            }
        };
        self.journal.push(step.id.to_string());
        StepOutcome {
            step: step.id.clone(),
            action: step.action.clone(),
            result,
        }
    }

    /// What a write needs, and where: a zone group writes records too.
    fn written_by(&self, action: &AzureAction) -> Vec<(ArmId, String)> {
        let mut written = vec![(action.resource().clone(), action_of(action))];
        if let AzureAction::PutZoneGroup { id, zones, .. } = action {
            let endpoint = id.parent().and_then(|id| self.seen.azure.endpoints.get(&id)?.seen());
            let members = endpoint.and_then(|e| e.members.seen()).into_iter().flatten();
            let fqdns: Vec<_> = members.flat_map(|member| &member.fqdns).collect();
            for zone in zones {
                written.push((zone.clone(), JOIN_ZONE.into()));
                let suffix = format!(".{}", zone.name().trim_start_matches("privatelink."));
                let names = fqdns.iter().filter_map(|fqdn| fqdn.as_str().strip_suffix(&suffix));
                written.extend(names.map(|name| (zone.child("A", name), WRITE_RECORDS.into())));
            }
        }
        written
    }

    fn cluster(&mut self, step: &Step, action: &ClusterAction) -> StepResult {
        let me = Claim::of(&self.desired.object, None);
        let cluster = &mut self.seen.cluster;
        match action {
            ClusterAction::Claim { from, .. } if cluster.claim.seen().map(|c| &c.uid) != from.as_ref() => {
                return refused(step, "somebody else holds it");
            }
            ClusterAction::Claim { .. } => cluster.claim = Fact::Seen(me),
            ClusterAction::RecordCreation { mark, .. } => {
                if let Fact::Seen(claim) = &mut cluster.claim
                    && claim.uid == me.uid
                {
                    claim.creates = Some(mark.clone());
                }
            }
            ClusterAction::ReleaseClaim { .. } => {
                if cluster.claim.seen().is_some_and(|c| c.holder == me.holder) {
                    cluster.claim = Fact::Absent;
                }
            }
            ClusterAction::AddFinalizer => self.seen.object.has_finalizer = true,
            ClusterAction::RemoveFinalizer => {
                self.seen.object.has_finalizer = false;
                self.gone = self.seen.object.deleting;
            }
            ClusterAction::WriteSnapshot { snapshot, .. } => cluster.take_in(Fact::Seen(snapshot.clone())),
            ClusterAction::DeleteSnapshot { .. } => cluster.take_in(Fact::Absent),
            ClusterAction::DeletePublishedDns { .. } => cluster.published_dns = Fact::Absent,
            ClusterAction::PublishDns { data, .. } if data.is_empty() => cluster.published_dns = Fact::Absent,
            ClusterAction::PublishDns { data, .. } => cluster.published_dns = Fact::Seen(data.clone()),
            ClusterAction::ApplyProbe(write) => self.write_probe(write),
            ClusterAction::OpenRound {
                number,
                subject,
                probes,
            } => {
                for write in probes {
                    self.write_probe(write);
                }
                self.seen.memory.round = Some(Round {
                    number: *number,
                    subject: subject.clone(),
                    age: std::time::Duration::ZERO,
                });
            }
            ClusterAction::MarkProbe { name, silent_since, .. } => {
                for fact in cluster.probes.values_mut() {
                    if let Fact::Seen(probe) = fact
                        && probe.name == *name
                    {
                        probe.silent_since = *silent_since;
                    }
                }
            }
            ClusterAction::DeleteProbe { name, .. } => {
                for fact in cluster.probes.values_mut() {
                    if fact.seen().is_some_and(|p| p.name == *name) {
                        *fact = Fact::Absent;
                    }
                }
            }
        }
        StepResult::Effect(Effect::done())
    }

    fn write_probe(&mut self, write: &sreg_domain::action::ProbeWrite) {
        let slot = self
            .seen
            .cluster
            .probes
            .entry(write.spec.vantage_point.clone())
            .or_insert(Fact::Absent);
        let (generation, status, silent_since) = slot
            .seen()
            .map_or((0, None, None), |p| (p.generation, p.status.clone(), p.silent_since));
        let probe = ProbeSeen {
            namespace: write.namespace.clone(),
            name: write.name.clone(),
            generation: generation + 1,
            spec: write.spec.clone(),
            status,
            silent_since,
        };
        *slot = Fact::Seen(probe);
    }

    pub(super) fn azure(&mut self, step: &Step, action: &AzureAction) -> StepResult {
        if action.is_opening() {
            self.seen.memory.round = None;
        }
        if action.changes_names() {
            self.seen.memory.since_name_change = Some(std::time::Duration::ZERO);
            self.seen.memory.name_changed = Some(std::time::Duration::ZERO);
        }
        match action {
            AzureAction::CreateRegistry {
                tags,
                locations,
                assigned_identities,
                ..
            } => self.create_registry(tags, locations, assigned_identities),
            AzureAction::SetTags { tags, removed, .. } => {
                change_registry(self, |registry| {
                    registry.tags.extend(tags.clone());
                    registry.tags.retain(|name, _| !removed.contains(name));
                });
            }
            AzureAction::MergeTags { id, tags, owner } => return self.merge_tags(step, id, tags, owner),
            AzureAction::GrantManagedGroupAccess { principal, .. } => {
                change_registry(self, |registry| registry.assigned_identities.push(principal.clone()));
                let managed = self.denials.iter_mut().filter(|denial| denial.scope == MANAGED);
                managed.for_each(|denial| denial.excluded_principals.push(principal.clone()));
            }
            AzureAction::CreateEndpoint {
                id,
                location,
                subnet,
                target,
                group,
                manual_request,
                tags,
                owner,
            } => {
                if !self.seen.azure.endpoints.get(id).is_some_and(Fact::is_absent) {
                    return refused(step, "something is there");
                }
                let endpoint = EndpointSeen {
                    tags: with_owner(tags, owner),
                    id: id.clone(),
                    location: location.clone(),
                    subnet: Some(subnet.clone()),
                    owner: Some(owner.clone()),
                    provisioning_state: "Creating".into(),
                    target: Some(target.clone()),
                    group_id: Some(group.group_id().into()),
                    manual: manual_request.is_some(),
                    connection_status: None,
                    connection_description: None,
                    network_interfaces: network_interface_of(id).into_iter().collect(),
                    members: Fact::Absent,
                    zone_groups: Fact::Seen(Vec::new()),
                    digest: Digest::of_parts([id.key()]),
                };
                self.seen.azure.endpoints.insert(id.clone(), Fact::Seen(endpoint));
                if !self.slow {
                    self.provision(id);
                }
            }
            AzureAction::DeleteEndpoint { id, owner } => {
                let endpoint = self.seen.azure.endpoints.get(id).and_then(Fact::seen);
                if endpoint.is_none_or(|e| e.owner.as_ref() != Some(owner)) {
                    return refused(step, "not ours");
                }
                if self.undeletable.contains(id) {
                    return refused(step, "the scope is locked");
                }
                self.seen.azure.endpoints.insert(id.clone(), Fact::Absent);
            }
            AzureAction::CreateZone { id, tags, owner } => {
                if !self.seen.azure.zones.get(id).is_none_or(Fact::is_absent) {
                    return refused(step, "it exists");
                }
                let zone = ZoneSeen {
                    tags: with_owner(tags, owner),
                    id: id.clone(),
                    owner: Some(owner.clone()),
                    links: Fact::Seen(Vec::new()),
                    records: Fact::Seen(BTreeMap::new()),
                };
                self.seen.azure.zones.insert(id.clone(), Fact::Seen(zone));
            }
            AzureAction::LinkZone {
                id,
                virtual_network,
                tags,
                owner,
                ..
            } => {
                let zone = id.parent().unwrap();
                let name = zone.name().to_owned();
                let elsewhere = self.seen.azure.zones.values().filter_map(Fact::seen).any(|z| {
                    z.id != zone
                        && z.id.name() == name
                        && z.links
                            .seen()
                            .is_some_and(|l| l.iter().any(|l| l.virtual_network == *virtual_network))
                });
                if elsewhere {
                    return refused(step, "overlapping namespaces");
                }
                if let Some(Fact::Seen(zone)) = self.seen.azure.zones.get_mut(&zone)
                    && let Fact::Seen(links) = &mut zone.links
                {
                    links.retain(|link| link.id != *id);
                    links.push(LinkSeen {
                        tags: with_owner(tags, owner),
                        id: id.clone(),
                        virtual_network: virtual_network.clone(),
                        completed: true,
                        resolution_policy: None,
                    });
                }
            }
            AzureAction::PutZoneGroup { id, zones, owner } => {
                if self.zone_groups_owner(id).is_some_and(|tag| tag != *owner) {
                    return refused(step, "not ours");
                }
                self.put_zone_group(id, zones);
            }
            AzureAction::DeleteZoneGroup { id, owner } => {
                let there = id.parent().and_then(|id| self.seen.azure.endpoints.get(&id)?.seen());
                if there.is_some() && self.zone_groups_owner(id).as_ref() != Some(owner) {
                    return refused(step, "not ours");
                }
                self.delete_zone_group(id);
            }
            AzureAction::Edit {
                target,
                id,
                edit,
                expected,
            } => return self.edit(*target, id, edit, expected),
        }
        StepResult::Effect(Effect::done())
    }

    /// The tag of the endpoint that a zone group stands below.
    fn zone_groups_owner(&self, group: &ArmId) -> Option<String> {
        let endpoint = self.seen.azure.endpoints.get(&group.parent()?)?;
        endpoint.seen()?.owner.clone()
    }

    /// Azure's merge; what is not there, or carries another owner's tag, is refused.
    fn merge_tags(&mut self, step: &Step, id: &ArmId, tags: &BTreeMap<String, String>, owner: &str) -> StepResult {
        let azure = &mut self.seen.azure;
        let zone = id.parent().unwrap_or_else(|| id.clone());
        let there = if let Some(Fact::Seen(endpoint)) = azure.endpoints.get_mut(id) {
            Some((&mut endpoint.tags, Some(&mut endpoint.owner)))
        } else if let Some(Fact::Seen(zone)) = azure.zones.get_mut(id) {
            Some((&mut zone.tags, Some(&mut zone.owner)))
        } else if let Some(Fact::Seen(zone)) = azure.zones.get_mut(&zone)
            && let Fact::Seen(links) = &mut zone.links
        {
            let link = links.iter_mut().find(|link| link.id == *id);
            link.map(|link| (&mut link.tags, None))
        } else {
            None
        };
        let Some((there, mark)) = there else {
            return refused(step, "not there");
        };
        let other = naming::owner_in(there).is_some_and(|tag| tag != owner);
        if other
            || mark
                .as_ref()
                .is_some_and(|m| m.as_deref().is_some_and(|tag| tag != owner))
        {
            return refused(step, "not ours");
        }
        for (name, value) in tags {
            there.retain(|known, _| !known.eq_ignore_ascii_case(name));
            there.insert(name.clone(), value.clone());
        }
        if let (Some(mark), Some(tag)) = (mark, tags.get(OWNER_TAG)) {
            *mark = Some(tag.clone());
        }
        StepResult::Effect(Effect::Done {
            also_changed: Vec::new(),
            left_out: Vec::new(),
        })
    }

    fn create_registry(
        &mut self,
        tags: &BTreeMap<String, String>,
        locations: &[sreg_domain::Location],
        identities: &[String],
    ) {
        let mut born = vec![open_registry(), open_acr()];
        let of_location = |l: &sreg_domain::Location| open_storage(&format!("born{l}"), false);
        born.extend(locations.iter().map(of_location));
        for mut target in born {
            target.public_network_access = Some("Disabled".into());
            match &mut target.details {
                TargetDetails::Registry(registry) => {
                    registry.tags = tags.clone();
                    registry.assigned_identities = identities.to_vec();
                    registry.regions = locations
                        .iter()
                        .map(|l| region(l.as_str(), &[storage(&format!("born{l}"))]))
                        .collect();
                }
                TargetDetails::Storage(_) => {}
                TargetDetails::ContainerRegistry(container) => container.replicas = Fact::Seen(locations.to_vec()),
            }
            touch(&mut target);
            self.seen.azure.targets.insert(target.id.clone(), Fact::Seen(target));
        }
        self.seen.azure.discovery = Fact::Seen(locations.iter().map(|l| registry_name(l.as_str())).collect());
        self.look_around();
    }

    /// Azure finishes an endpoint: addresses, names, and its connection.
    pub fn provision(&mut self, id: &ArmId) {
        let Some(endpoint) = self.seen.azure.endpoints.get(id).and_then(Fact::seen).cloned() else {
            return;
        };
        let target = endpoint.target.clone().unwrap();
        let kind = kind_of(&target).unwrap_or(TargetKind::Registry);
        let group = EndpointGroup::all()
            .find(|g| Some(g.group_id()) == endpoint.group_id.as_deref() && g.target() == kind)
            .unwrap();
        let mut members = Vec::new();
        for (member, fqdn) in self.names(group, &target) {
            members.push(Member {
                member,
                fqdns: vec![fqdn],
                address: self.next_address(),
            });
        }
        if let Some(acr) = self.seen.azure.targets.seen_mut(&target)
            && acr.kind() == TargetKind::ContainerRegistry
        {
            acr.as_acr().data_endpoints = members
                .iter()
                .filter(|m| m.member.starts_with("registry_data"))
                .flat_map(|m| m.fqdns.clone())
                .collect();
            touch(acr);
        }
        if let Some(Fact::Seen(endpoint)) = self.seen.azure.endpoints.get_mut(id) {
            endpoint.provisioning_state = "Succeeded".into();
            endpoint.connection_status = Some(if endpoint.manual { "Pending" } else { "Approved" }.into());
            endpoint.members = Fact::Seen(members);
        }
    }

    pub(super) fn put_zone_group(&mut self, id: &ArmId, zones: &[ArmId]) {
        let parent = id.parent().unwrap();
        let Some(Fact::Seen(endpoint)) = self.seen.azure.endpoints.get_mut(&parent) else {
            return;
        };
        let group = ZoneGroupSeen {
            id: id.clone(),
            provisioning_state: "Succeeded".into(),
            zones: zones.to_vec(),
        };
        endpoint.zone_groups = Fact::Seen(vec![group]);
        let members = endpoint.members.seen().cloned().unwrap_or_default();
        for zone in zones {
            let Some(Fact::Seen(zone)) = self.seen.azure.zones.get_mut(zone) else {
                continue;
            };
            let suffix = format!(".{}", zone.id.name().trim_start_matches("privatelink."));
            let Fact::Seen(records) = &mut zone.records else {
                continue;
            };
            for member in &members {
                for fqdn in &member.fqdns {
                    if let Some(record) = fqdn.as_str().strip_suffix(&suffix) {
                        records.insert(record.to_owned(), vec![member.address]);
                    }
                }
            }
        }
    }

    /// Azure goes by the name, whoever wrote over its record meanwhile.
    fn delete_zone_group(&mut self, id: &ArmId) {
        assert_eq!(id.name(), ZONE_GROUP);
        let parent = id.parent().unwrap();
        let Some(Fact::Seen(endpoint)) = self.seen.azure.endpoints.get_mut(&parent) else {
            return;
        };
        let fqdns: Vec<_> = endpoint
            .members
            .seen()
            .into_iter()
            .flatten()
            .flat_map(|m| m.fqdns.clone())
            .collect();
        let zones = zones_written(endpoint);
        endpoint.zone_groups = Fact::Seen(Vec::new());
        for id in zones {
            let Some(Fact::Seen(zone)) = self.seen.azure.zones.get_mut(&id) else {
                continue;
            };
            let Fact::Seen(records) = &mut zone.records else {
                continue;
            };
            let suffix = format!(".{}", id.name().trim_start_matches("privatelink."));
            records.retain(|name, _| {
                !fqdns
                    .iter()
                    .any(|f| f.as_str().strip_suffix(&suffix) == Some(name.as_str()))
            });
        }
    }

    fn edit(&mut self, target: TargetKind, id: &ArmId, edit: &Edit, expected: &Digest) -> StepResult {
        let stale = || StepResult::Effect(Effect::Stale("it changed".into()));
        let (refuses, refuses_what_stands) = (self.refuses.clone(), self.refuses_what_stands);
        let mut left_out = Vec::new();
        let azure = &mut self.seen.azure;
        let shared = azure.shared_storage.get_mut(id).map(Fact::seen_mut);
        let Some(seen) = shared.unwrap_or_else(|| azure.targets.seen_mut(id)) else {
            return stale();
        };
        if seen.digest != *expected || seen.kind() != target {
            return stale();
        }
        let resources = seen.resource_access_rules.clone();
        let mut present = [seen.ip_rules.clone(), seen.virtual_network_rules.clone(), resources].concat();
        present.retain(|_| !refuses_what_stands);
        settings::edit(seen, edit);
        left_out.extend(leave_out(&refuses, RuleKind::Ip, &mut seen.ip_rules, &present));
        let subnets = &mut seen.virtual_network_rules;
        left_out.extend(leave_out(&refuses, RuleKind::Subnet, subnets, &present));
        let resources = &mut seen.resource_access_rules;
        left_out.extend(leave_out(&refuses, RuleKind::Resource, resources, &present));
        touch(seen);
        if self.cascades && target == TargetKind::Registry && *edit == Edit::Close {
            for account in self.seen.azure.targets.seen_of_mut(TargetKind::Storage) {
                account.public_network_access = Some("Disabled".into());
                touch(account);
            }
        }
        StepResult::Effect(Effect::Done {
            also_changed: Vec::new(),
            left_out,
        })
    }
}
