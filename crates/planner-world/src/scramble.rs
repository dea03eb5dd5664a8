//! Things that happen to a world from outside: people, other teams, policies, crashes.

use sreg_domain::seen::*;
use sreg_domain::{Fact, Purpose};

use super::*;

/// Something that happens between two visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    EraseStatus,
    Restart,
    OpenRegistry,
    OpenStorage,
    OpenContainerRegistry,
    CloseRegistry,
    CloseStorage,
    RemoveEndpoint(u8),
    FailEndpoint(u8),
    RemoveZone(u8),
    RemoveLinks(u8),
    RemoveRecords(u8),
    RemoveZoneGroup(u8),
    DropClaim,
    DropFinalizer,
    DropSnapshot,
    DropProbe(u8),
    RoundOfSomebodyElse(u8),
    Retag,
    NewReplica,
    /// Whoever is there next falls silent.
    Silence(u8),
    Lies(u8, people::Lie),
    /// A network loses a name of those that it needs.
    Break(u8, u8),
    /// All agents are back and honest, all paths whole.
    Mend,
    /// For so many minutes.
    BreakGlass(u8),
    EndBreakGlass,
    Approve,
    Withdraw,
    /// The spec wants public access the other way round.
    Turn,
    /// The spec breaks a rule from now on.
    Misspec,
    /// The spec is repaired.
    Repair,
    /// Of the container registry only the switch is turned on.
    SwitchOn,
    /// Another team's endpoint, records and link appear beside ours, in the same zones.
    Strangers,
    TimePasses(u16),
    /// Something cannot be read for one visit.
    Unread(u8),
    /// From now on steps of one kind do not do what they should: a policy, a refusal, a lost answer.
    Thwart(u8, u8),
    /// A tag job takes all tags but its own.
    WipeTags,
    /// An administrator grants everything but this.
    TakeGrant(u8),
    /// An administrator grants everything again.
    GiveGrants,
    /// Somebody lets an address and a subnet in.
    Rules,
    /// Azure takes these rules from nobody any more; whether only because something is being changed.
    RefuseRules(bool),
    /// A lock: against deletion on an endpoint, or above all of them; against every write above the accounts.
    Lock(u8),
    /// Other teams' networks are peered with ours, and DNS servers stand here and there.
    Neighbours,
    /// The spec asks who called lately, and somebody did.
    Callers,
    /// Policies object to whatever comes, and lists hold what is no sense.
    Objections,
}

/// Whom people let in, and what Azure may refuse later.
const LET_IN: &str = "198.51.100.7";

/// A subnet of a client network, so that nothing holds the lock for it.
fn hub_subnet() -> String {
    vnet("hub").child("subnets", "build").to_string()
}

fn nth<K: Clone + Ord, V>(map: &BTreeMap<K, V>, at: u8) -> Option<K> {
    map.keys().nth(usize::from(at) % map.len().max(1)).cloned()
}

impl World {
    /// A job that keeps tags in order takes away all that it does not know.
    pub fn wipe_tags(&mut self) {
        self.wipe_tags_but_of_zones();
        for zone in self.seen.azure.zones.values_mut() {
            if let Fact::Seen(zone) = zone {
                zone.tags.clear();
                zone.owner = None;
            }
        }
    }

    /// A zone has one name for everybody: without its tag nobody can tell who made it, and a person has to.
    fn wipe_tags_but_of_zones(&mut self) {
        let azure = &mut self.seen.azure;
        let ours = |owner: &Option<String>| owner.as_ref() == Some(&self.desired.owner);
        for fact in azure.endpoints.values_mut() {
            if let Fact::Seen(endpoint) = fact
                && ours(&endpoint.owner)
            {
                endpoint.tags = BTreeMap::from([("costCenter".to_owned(), "7".to_owned())]);
                endpoint.owner = None;
            }
        }
        for fact in azure.zones.values_mut() {
            let Fact::Seen(zone) = fact else { continue };
            if let Fact::Seen(links) = &mut zone.links {
                links.iter_mut().for_each(|link| link.tags.clear());
            }
        }
    }

    pub fn suffer(&mut self, blow: Blow) {
        let azure = &mut self.seen.azure;
        let cluster = &mut self.seen.cluster;
        match blow {
            Blow::EraseStatus => self.seen.object.status = Default::default(),
            Blow::Restart => self.restart(),
            Blow::OpenRegistry | Blow::CloseRegistry => {
                for registry in azure.targets.seen_of_mut(TargetKind::Registry) {
                    registry.public_network_access = Some(
                        if blow == Blow::OpenRegistry {
                            "Enabled"
                        } else {
                            "disabled"
                        }
                        .into(),
                    );
                    apply::touch(registry);
                }
            }
            Blow::OpenStorage | Blow::CloseStorage => {
                for storage in azure.targets.seen_of_mut(TargetKind::Storage) {
                    let open = blow == Blow::OpenStorage;
                    storage.public_network_access = Some("Enabled".into());
                    storage.default_action = Some(if open { "Allow" } else { "Deny" }.into());
                    apply::touch(storage);
                }
            }
            Blow::OpenContainerRegistry => {
                for registry in azure.targets.seen_of_mut(TargetKind::ContainerRegistry) {
                    registry.public_network_access = Some("Enabled".into());
                    registry.default_action = Some("Allow".into());
                    apply::touch(registry);
                }
            }
            Blow::RemoveEndpoint(at) => {
                if let Some(id) = nth(&azure.endpoints, at) {
                    self.forget_records(&id);
                    self.seen.azure.endpoints.insert(id, Fact::Absent);
                }
            }
            Blow::FailEndpoint(at) => {
                if let Some(Fact::Seen(endpoint)) =
                    nth(&azure.endpoints, at).and_then(|id| azure.endpoints.get_mut(&id))
                    && endpoint.connection_status.is_none()
                {
                    endpoint.provisioning_state = "Failed".into();
                }
            }
            Blow::RemoveZone(at) => {
                // Somebody who removes a zone has to remove its zone groups first.
                if let Some(id) = nth(&azure.zones, at) {
                    for fact in azure.endpoints.values_mut() {
                        if let Fact::Seen(EndpointSeen {
                            zone_groups: Fact::Seen(groups),
                            ..
                        }) = fact
                        {
                            groups.retain(|g| !g.zones.contains(&id));
                        }
                    }
                    azure.zones.insert(id, Fact::Absent);
                }
            }
            Blow::RemoveLinks(at) => {
                if let Some(Fact::Seen(ZoneSeen {
                    links: Fact::Seen(links),
                    ..
                })) = nth(&azure.zones, at).and_then(|id| azure.zones.get_mut(&id))
                {
                    links.clear();
                }
            }
            Blow::RemoveRecords(at) => {
                if let Some(id) = nth(&azure.endpoints, at) {
                    self.forget_records(&id);
                }
            }
            Blow::RemoveZoneGroup(at) => {
                if let Some(id) = nth(&azure.endpoints, at) {
                    self.forget_records(&id);
                    if let Some(Fact::Seen(endpoint)) = self.seen.azure.endpoints.get_mut(&id) {
                        endpoint.zone_groups = Fact::Seen(Vec::new());
                    }
                }
            }
            Blow::DropClaim => cluster.claim = Fact::Absent,
            Blow::DropFinalizer => self.seen.object.has_finalizer = false,
            Blow::DropSnapshot => cluster.take_in(Fact::Absent),
            Blow::DropProbe(at) => {
                if let Some(point) = nth(&cluster.probes, at) {
                    cluster.probes.insert(point, Fact::Absent);
                }
            }
            Blow::RoundOfSomebodyElse(at) => {
                if let Some(Fact::Seen(probe)) = nth(&cluster.probes, at).and_then(|p| cluster.probes.get_mut(&p)) {
                    probe.spec.round = 99;
                    probe.generation += 1;
                }
            }
            Blow::Retag => {
                for registry in azure.targets.seen_of_mut(TargetKind::Registry) {
                    let tags = &mut registry.as_registry().tags;
                    tags.insert("owner".into(), "somebody".into());
                    apply::touch(registry);
                }
            }
            Blow::NewReplica => self.add_replica(),
            Blow::Silence(at) => {
                if let Some(point) = nth(&cluster.vantage_points, at) {
                    self.silent.insert(point);
                    self.answer();
                }
            }
            Blow::Lies(at, lie) => {
                if let Some(point) = nth(&cluster.vantage_points, at) {
                    self.liars.insert(point, lie);
                    self.answer();
                }
            }
            Blow::Break(network, name) => {
                let networks = &self.desired.client_networks();
                let Some(network) = networks.get(usize::from(network) % networks.len().max(1)) else {
                    return;
                };
                let network = network.name.clone();
                if let Some(name) = nth(&self.needs(&network), name) {
                    self.broken.insert((network, name));
                    self.answer();
                }
            }
            Blow::Mend => {
                self.broken.clear();
                self.silent.clear();
                self.liars.clear();
                self.answer();
            }
            Blow::BreakGlass(minutes) => self.break_glass(u64::from(minutes)),
            Blow::EndBreakGlass => {
                if let Fact::Seen(glasses) = &mut cluster.break_glasses {
                    glasses.pop();
                }
            }
            Blow::Approve => self.approve(),
            Blow::Withdraw => cluster.approvals = Fact::Seen(Vec::new()),
            Blow::Turn => self.turn(),
            Blow::Misspec => self.misspec_drift(),
            Blow::Repair => self.repair(),
            Blow::SwitchOn => {
                for registry in azure.targets.seen_of_mut(TargetKind::ContainerRegistry) {
                    registry.public_network_access = Some("Enabled".into());
                    apply::touch(registry);
                }
            }
            Blow::Strangers => self.add_strangers(),
            Blow::Thwart(step, how) => {
                let how = contrary::all().swap_remove(usize::from(how) % contrary::all().len());
                let step = contrary::STEPS[usize::from(step) % contrary::STEPS.len()];
                self.thwarted(step, how);
            }
            Blow::WipeTags => self.wipe_tags_but_of_zones(),
            Blow::Rules => self.let_in(),
            Blow::RefuseRules(passes) => {
                self.refuses.insert(LET_IN.into(), passes);
                self.refuses.insert(hub_subnet(), passes);
            }
            Blow::TakeGrant(at) => {
                let all: Vec<Purpose> = Purpose::all().collect();
                let taken = all.get(usize::from(at) % all.len()).copied();
                self.take_away(taken.as_slice());
            }
            Blow::GiveGrants => self.regrant(None),
            Blow::Lock(at) => self.lock(at),
            Blow::Neighbours => self.add_neighbours(),
            Blow::Callers => self.add_callers(),
            Blow::Objections => self.add_objections(),
            Blow::Unread(at) => self.unread.push(at),
            Blow::TimePasses(seconds) => self.pass(Duration::from_secs(u64::from(seconds))),
        }
    }

    fn let_in(&mut self) {
        for storage in self.seen.azure.targets.seen_of_mut(TargetKind::Storage) {
            if !storage.ip_rules.iter().any(|rule| rule == LET_IN) {
                storage.ip_rules.push(LET_IN.into());
                storage.virtual_network_rules.push(hub_subnet());
            }
            apply::touch(storage);
        }
    }

    fn lock(&mut self, at: u8) {
        let endpoint = nth(&self.seen.azure.endpoints, at);
        let (scope, level) = match endpoint {
            _ if at.is_multiple_of(3) => (MANAGED.to_owned(), "ReadOnly"),
            Some(id) if at.is_multiple_of(2) => (id.to_string(), "CanNotDelete"),
            _ => (format!("{}/resourceGroups/net-hub", SUB), "CanNotDelete"),
        };
        if at.is_multiple_of(5) {
            return self.denials.push(stack_on(&scope));
        }
        self.locks.push(LockSeen {
            id: format!("{scope}/providers/Microsoft.Authorization/locks/hands-off"),
            level: level.into(),
        });
    }

    /// The container registry gains a region, and its endpoints the address for it.
    fn add_replica(&mut self) {
        let Some(target) = self.seen.azure.targets.seen_mut(&acr()) else {
            return;
        };
        let registry = target.as_acr();
        if registry
            .replicas
            .seen()
            .is_none_or(|r| r.contains(&location("swedencentral")))
        {
            return;
        }
        if let Fact::Seen(replicas) = &mut registry.replicas {
            replicas.push(location("swedencentral"));
        }
        let name: Fqdn = "contosoacr.swedencentral.data.azurecr.io".parse().unwrap();
        let mine: Vec<ArmId> = self
            .seen
            .azure
            .endpoints
            .iter()
            .filter(|(_, f)| f.seen().is_some_and(|e| e.target == Some(acr())))
            .map(|(id, _)| id.clone())
            .collect();
        for id in mine {
            let address = self.next_address();
            let Some(Fact::Seen(endpoint)) = self.seen.azure.endpoints.get_mut(&id) else {
                continue;
            };
            let Fact::Seen(members) = &mut endpoint.members else {
                continue;
            };
            members.push(Member {
                member: "registry_data_swedencentral".into(),
                fqdns: vec![name.clone()],
                address,
            });
            for zone in apply::zones_written(endpoint) {
                if let Some(Fact::Seen(ZoneSeen {
                    records: Fact::Seen(records),
                    ..
                })) = self.seen.azure.zones.get_mut(&zone)
                {
                    records.insert("contosoacr.swedencentral.data".into(), vec![address]);
                }
            }
        }
        change_acr(self, |_| {});
    }

    /// A zone group goes, and its records with it.
    fn forget_records(&mut self, id: &ArmId) {
        let Some(Fact::Seen(endpoint)) = self.seen.azure.endpoints.get_mut(id) else {
            return;
        };
        let addresses: Vec<IpAddr> = endpoint
            .members
            .seen()
            .into_iter()
            .flatten()
            .map(|m| m.address)
            .collect();
        for fact in self.seen.azure.zones.values_mut() {
            if let Fact::Seen(ZoneSeen {
                records: Fact::Seen(records),
                ..
            }) = fact
            {
                records.retain(|_, held| !held.iter().any(|a| addresses.contains(a)));
            }
        }
    }
}
