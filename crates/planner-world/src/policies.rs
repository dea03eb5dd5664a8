//! Azure Policies that make zone groups (`dns.mode: Policy`), what a look would tell of them, and what they do.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sreg_api::registry::{DnsMode, DnsSpec};
use sreg_domain::desired::EndpointPlace;
use sreg_domain::seen::{Coverage, EndpointSeen, LinkSeen, ZoneGroupPolicy, ZoneGroupSeen, ZoneSeen};
use sreg_domain::{ArmId, EndpointGroup, Fact};

use super::{SUB, World, id, vnet};

pub const ASSIGNMENT: &str =
    "/providers/microsoft.management/managementgroups/corp/providers/microsoft.authorization/policyassignments/dns";

/// An assigned policy.
#[derive(Debug, Clone)]
pub struct DnsPolicy {
    pub groups: Vec<EndpointGroup>,
    /// It looks at manual connections too.
    pub manual: bool,
    /// Its condition can be told.
    pub understood: bool,
    /// The group whose zone it is handed, if not each its own.
    pub zone_of: Option<EndpointGroup>,
}

impl DnsPolicy {
    /// As the built-in ones: automatic connections only.
    pub fn of(groups: &[EndpointGroup]) -> DnsPolicy {
        DnsPolicy {
            groups: groups.to_vec(),
            manual: false,
            understood: true,
            zone_of: None,
        }
    }

    pub fn of_all() -> DnsPolicy {
        use EndpointGroup::{AmlRegistry, Blob, ContainerRegistry, Dfs};
        DnsPolicy::of(&[AmlRegistry, Blob, Dfs, ContainerRegistry])
    }
}

type Records = BTreeMap<ArmId, Fact<BTreeMap<String, Vec<IpAddr>>>>;

impl World {
    /// The everyday world, in which a policy is to write into the hub team's zones, linked long ago.
    pub fn by_policy() -> World {
        let mut world = World::everyday();
        world.respec(|o| {
            o.spec.endpoints[0].dns = Some(DnsSpec {
                mode: Some(DnsMode::Policy),
                ..DnsSpec::default()
            });
        });
        for group in DnsPolicy::of_all().groups {
            let id = world.zone_of_hub_team(group);
            let link = |network: &str| LinkSeen {
                tags: Default::default(),
                id: id.child("virtualNetworkLinks", network),
                virtual_network: vnet(network),
                completed: true,
                resolution_policy: None,
            };
            let zone = ZoneSeen {
                tags: Default::default(),
                id: id.clone(),
                owner: None,
                links: Fact::Seen(vec![link("hub"), link("spoke")]),
                records: Fact::Seen(Default::default()),
            };
            world.seen.azure.zones.insert(id, Fact::Seen(zone));
        }
        world
    }

    pub fn zone_of_hub_team(&self, group: EndpointGroup) -> ArmId {
        let zone = self.desired.cloud.zone(group);
        id(&format!(
            "{SUB}/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/{zone}"
        ))
    }

    /// What a look would tell of assignments, for each endpoint that has no zone group.
    pub(super) fn zone_group_policies(&self) -> BTreeMap<ArmId, Fact<Vec<ZoneGroupPolicy>>> {
        let mut all = BTreeMap::new();
        let places = self
            .desired
            .endpoints()
            .iter()
            .filter(|p| p.dns.mode == DnsMode::Policy);
        for place in places {
            for (group, target) in self.groups() {
                let id = self.endpoint_id(place, group, &target);
                let there = self.seen.azure.endpoints.get(&id).and_then(Fact::seen);
                if there.is_none_or(|e| e.zone_groups.seen().is_none_or(Vec::is_empty)) {
                    all.insert(id, self.concerning(place, group, there));
                }
            }
        }
        all
    }

    fn concerning(
        &self,
        place: &EndpointPlace,
        group: EndpointGroup,
        there: Option<&EndpointSeen>,
    ) -> Fact<Vec<ZoneGroupPolicy>> {
        let manual = there.map_or(place.manual_request.is_some(), |e| e.manual);
        self.dns_policies.clone().map(|policies| {
            let of_group = policies.iter().filter(|p| p.groups.contains(&group));
            let concerning = |policy: &DnsPolicy| ZoneGroupPolicy {
                assignment: ASSIGNMENT.into(),
                covers: match (policy.understood, manual && !policy.manual) {
                    (false, _) => Coverage::Perhaps,
                    (true, true) => Coverage::OtherKind,
                    (true, false) => Coverage::Yes,
                },
                zone: Some(self.zone_of_hub_team(policy.zone_of.unwrap_or(group))),
            };
            of_group.map(concerning).collect()
        })
    }

    /// What a look would tell of the records below zone groups that policies made.
    pub(super) fn records_by_policy(&self) -> Records {
        let endpoints = self.seen.azure.endpoints.values().filter_map(Fact::seen);
        let by_policy = endpoints.filter(|e| {
            let mut places = self
                .desired
                .endpoints()
                .iter()
                .filter(|p| p.dns.mode == DnsMode::Policy);
            places.any(|p| e.subnet.as_ref() == Some(&p.subnet))
        });
        let groups = by_policy.flat_map(|e| e.zone_groups.seen().into_iter().flatten());
        let zones = groups.flat_map(|g| &g.zones);
        let records = |zone: &ArmId| match self.seen.azure.zones.get(zone) {
            Some(Fact::Seen(zone)) => zone.records.clone(),
            Some(Fact::Unknown(why)) => Fact::Unknown(why.clone()),
            Some(Fact::Absent) | None => Fact::Absent,
        };
        zones.map(|zone| (zone.clone(), records(zone))).collect()
    }

    /// Each endpoint that is up gets its zone group, with records, from a policy that covers it.
    pub fn policies_act(&mut self) {
        let policies = self.zone_group_policies();
        let bare = policies.into_iter().filter_map(|(id, policies)| {
            let covers = |p: &&ZoneGroupPolicy| p.covers == Coverage::Yes;
            let zone = policies.seen()?.iter().find(covers)?.zone.clone()?;
            let up = self.seen.azure.endpoints.get(&id)?.seen()?.is_ready();
            up.then_some((id, zone))
        });
        for (id, zone) in bare.collect::<Vec<_>>() {
            self.put_zone_group(&id.child("privateDnsZoneGroups", "deployedByPolicy"), &[zone]);
        }
    }

    /// The targets' owners approve whatever is pending.
    pub fn approve_connections(&mut self) {
        for fact in self.seen.azure.endpoints.values_mut() {
            if let Fact::Seen(endpoint) = fact {
                endpoint.connection_status = Some("Approved".into());
            }
        }
    }

    /// The zone group of the endpoint for this group.
    pub fn group_by_policy(&mut self, group: EndpointGroup) -> &mut ZoneGroupSeen {
        let endpoints = self.seen.azure.endpoints.values_mut();
        let mut seen = endpoints.filter_map(Fact::seen_mut);
        let endpoint = seen.find(|e| e.group_id.as_deref() == Some(group.group_id())).unwrap();
        match &mut endpoint.zone_groups {
            Fact::Seen(groups) => &mut groups[0],
            Fact::Absent | Fact::Unknown(_) => panic!("no zone groups"),
        }
    }

    /// The records of the hub team's zone for this group.
    pub fn records_of_hub_team(&mut self, group: EndpointGroup) -> &mut Fact<BTreeMap<String, Vec<IpAddr>>> {
        let id = self.zone_of_hub_team(group);
        match self.seen.azure.zones.get_mut(&id) {
            Some(Fact::Seen(zone)) => &mut zone.records,
            Some(Fact::Absent | Fact::Unknown(_)) | None => panic!("no zone"),
        }
    }
}
