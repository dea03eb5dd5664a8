//! What other teams have beside ours: it is in our way at most, never ours to touch.

use sreg_domain::Fact;
use sreg_domain::seen::*;

use super::*;

const RECORD: &str = "models-of-others";

fn of_others(id: &ArmId) -> bool {
    id.name() == "endpoint-of-others"
}

impl World {
    /// Another team's endpoint in our endpoints' resource group, and its record and link in every zone that there is.
    pub fn add_strangers(&mut self) {
        let address: IpAddr = "10.99.0.7".parse().unwrap();
        let endpoint = id(&format!(
            "{SUB}/resourceGroups/net-hub/providers/Microsoft.Network/privateEndpoints/endpoint-of-others"
        ));
        let seen = EndpointSeen {
            tags: Default::default(),
            id: endpoint.clone(),
            location: location("westeurope"),
            subnet: Some(vnet("hub").child("subnets", "endpoints")),
            owner: Some("elsewhere/team/models".into()),
            provisioning_state: "Succeeded".into(),
            target: Some(storage("storeofothers")),
            group_id: Some("blob".into()),
            manual: false,
            connection_status: Some("Approved".into()),
            connection_description: None,
            network_interfaces: Vec::new(),
            members: Fact::Seen(vec![Member {
                member: "blob".into(),
                fqdns: vec![format!("{RECORD}.blob.core.windows.net").parse().unwrap()],
                address,
            }]),
            zone_groups: Fact::Seen(Vec::new()),
            digest: Digest::from_text("theirs"),
        };
        self.seen.azure.endpoints.insert(endpoint, Fact::Seen(seen));
        for fact in self.seen.azure.zones.values_mut() {
            let Fact::Seen(zone) = fact else { continue };
            if let Fact::Seen(records) = &mut zone.records {
                records.insert(RECORD.into(), vec![address]);
            }
            if let Fact::Seen(links) = &mut zone.links
                && !links.iter().any(|l| l.virtual_network == vnet("others"))
            {
                links.push(LinkSeen {
                    tags: Default::default(),
                    id: zone.id.child("virtualNetworkLinks", "others"),
                    virtual_network: vnet("others"),
                    completed: true,
                    resolution_policy: Some("Default".into()),
                });
            }
        }
    }

    /// Another team's endpoint with our tag on it: copied with a template, or on purpose.
    pub fn copy_our_tag(&mut self) {
        let others = id(&format!(
            "{SUB}/resourceGroups/net-hub/providers/Microsoft.Network/privateEndpoints/endpoint-of-others"
        ));
        let ours = self.seen.azure.endpoints.values().find_map(Fact::seen).cloned();
        let Some(mut copy) = ours else { return };
        copy.id = others.clone();
        copy.target = Some(storage("storeofothers"));
        copy.members = Fact::Seen(Vec::new());
        copy.zone_groups = Fact::Seen(Vec::new());
        copy.owner = Some(self.desired.owner.clone());
        self.seen.azure.endpoints.insert(others, Fact::Seen(copy));
    }

    /// Everything of theirs, to be compared.
    pub fn strangers(&self) -> Vec<String> {
        let azure = &self.seen.azure;
        let endpoints = azure.endpoints.iter().filter(|(id, _)| of_others(id));
        let mut all: Vec<String> = endpoints.map(|(_, endpoint)| format!("{endpoint:?}")).collect();
        for zone in azure.zones.values().filter_map(Fact::seen) {
            let records = zone.records.seen().and_then(|r| r.get(RECORD));
            all.extend(records.map(|r| format!("{} {r:?}", zone.id)));
            let links = zone.links.seen().into_iter().flatten();
            all.extend(
                links
                    .filter(|l| l.virtual_network == vnet("others"))
                    .map(|l| format!("{l:?}")),
            );
        }
        all
    }
}
