//! What stands around a registry: networks that resolve through the hub, DNS servers, callers that logs tell of, policies that object,
//! odd items of lists.

use sreg_api::registry::{RecentPublicClientsPolicy, RecentPublicClientsSpec};
use sreg_domain::seen::*;
use sreg_domain::{ArmId, Fact, StepKind};

use super::*;

/// Callers that the spec accepts cutting off.
const ACCEPTED: &str = "198.51.100.0/24";

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|s| (*s).to_owned()).collect()
}

/// Two of a kind, so that their order may matter.
fn two(words: &str) -> Vec<Obstacle> {
    ["first", "second"]
        .map(|which| obstacle(&format!("the {which} policy {words}")))
        .into()
}

impl World {
    /// Two networks of other teams are peered with the hub and with each other, and ask servers here and there; client networks get two
    /// DNS servers of their own and subnets with service endpoints.
    pub(super) fn add_neighbours(&mut self) {
        let hub = vnet("hub");
        let azure = &mut self.seen.azure;
        for (name, prefix, servers, other) in [
            ("lab", "10.150.0.0/16", ["10.150.0.4", "10.0.0.4"], "plant"),
            ("plant", "10.160.0.0/16", ["192.0.2.53", "10.150.0.4"], "lab"),
        ] {
            let network = VirtualNetworkSeen {
                id: vnet(name),
                location: "westeurope".into(),
                dns_servers: strings(&servers),
                address_space: strings(&[prefix, "10.170.0.0/24"]),
                service_endpoints: Vec::new(),
                peers: vec![hub.clone(), vnet(other)],
            };
            azure.neighbours.insert(vnet(name), Fact::Seen(network));
        }
        for (id, network) in &mut azure.virtual_networks {
            let Fact::Seen(network) = network else { continue };
            if *id == hub {
                network.peers = vec![vnet("lab"), vnet("plant")];
            }
            let first = network.address_space.first().cloned().unwrap_or_default();
            let inside = first.split('.').take(2).collect::<Vec<_>>().join(".");
            network.dns_servers = strings(&[&format!("{inside}.0.5"), &format!("{inside}.0.4")]);
            network.service_endpoints = ["build", "apps"]
                .map(|subnet| ServiceEndpoints {
                    subnet: subnet.into(),
                    prefixes: strings(&["172.16.9.0/24", &format!("{inside}.7.0/24")]),
                    services: strings(&["Microsoft.Storage", "Microsoft.ContainerRegistry"]),
                })
                .into();
        }
    }

    /// The spec asks who called lately, and logs tell of callers: some that are accepted, one without a public address, and two that the
    /// lock cuts off.
    pub(super) fn add_callers(&mut self) {
        self.turn_ungranted(|o| {
            o.spec.verification.recent_public_clients = Some(RecentPublicClientsSpec {
                log_analytics_workspace_resource_id: format!(
                    "{SUB}/resourceGroups/ml/providers/Microsoft.OperationalInsights/workspaces/logs"
                ),
                window: "168h".into(),
                policy: RecentPublicClientsPolicy::Block,
                accept: vec![ACCEPTED.into()],
            });
        });
        let targets: Vec<ArmId> = self.seen.azure.targets.accounts().map(|(id, _)| id.clone()).collect();
        let addresses = ["203.0.113.9", "198.51.100.8", "10.0.7.9", "203.0.113.4"];
        let of = |target: &ArmId| {
            addresses.map(|address| PublicClient {
                address: address.into(),
                target: target.clone(),
            })
        };
        self.seen.azure.recent_public_clients = Fact::Seen(targets.iter().flat_map(of).collect());
    }

    /// Policies object to opening again, to the form in which accounts are closed, and to removing endpoints; lists hold items that are
    /// no sense; a write changed more than it names.
    pub(super) fn add_objections(&mut self) {
        let azure = &mut self.seen.azure;
        azure.reopening_obstacles = Fact::Seen(two("forbids public access"));
        let accounts = azure.targets.accounts().map(|(id, _)| id.clone());
        azure.closing_obstacles = accounts.map(|id| (id, two("forbids closing"))).collect();
        let endpoints = azure.endpoints.keys().cloned();
        azure.removal_obstacles = endpoints.map(|id| (id, Fact::Seen(two("forbids deletions")))).collect();
        let changed = |resource: &ArmId| AlsoChanged {
            resource: resource.clone(),
            step: StepKind::Close.on(resource.name()),
            fields: strings(&["/properties/minimumTlsVersion", "/properties/allowBlobPublicAccess"]),
        };
        azure.also_changed = azure.targets.accounts().map(|(id, _)| changed(id)).collect();
        azure.odd = strings(&["an endpoint in rg has no name", "a link in rg has no name"]);
    }

    /// Nobody called any more, and nobody objects to a removal.
    pub(super) fn quiet_surroundings(&mut self) {
        let azure = &mut self.seen.azure;
        azure.removal_obstacles.clear();
        if let Fact::Seen(callers) = &mut azure.recent_public_clients {
            callers.clear();
        }
    }
}
