//! What clients need, and whether they really get it: worked out from what Azure holds, so that the planner can be judged by it.

use std::collections::{BTreeMap, BTreeSet};

use sreg_domain::Fact;
use sreg_domain::desired::EndpointPlace;

use super::*;

/// Names that clients ask for, each with the addresses that they must lead to; none where no endpoint carries the name.
pub type Needs = BTreeMap<String, BTreeSet<String>>;

impl World {
    /// What the clients of a network need.
    pub fn needs(&self, network: &str) -> Needs {
        let client = self
            .desired
            .client_networks()
            .iter()
            .find(|n| n.name == network)
            .unwrap();
        let place = self
            .desired
            .endpoints()
            .iter()
            .find(|e| e.name == client.endpoint)
            .unwrap();
        let names = self.names_in_use();
        names
            .into_iter()
            .map(|name| (name.clone(), self.carried(place, &name)))
            .collect()
    }

    /// Every public name of the registry and of what stands behind it.
    fn names_in_use(&self) -> BTreeSet<String> {
        let azure = &self.seen.azure;
        let mut names: BTreeSet<String> = azure
            .discovery
            .seen()
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let regions = azure.registry_details().into_iter().flat_map(|r| &r.regions);
        let by_region = regions.filter(|_| !self.odd_registry_names);
        names.extend(by_region.map(|r| registry_name(r.location.as_str()).to_string()));
        for target in azure.targets.seen() {
            let name = target.id.name();
            match &target.details {
                TargetDetails::Registry(_) => {}
                TargetDetails::Storage(account) => {
                    names.insert(format!("{name}.blob.core.windows.net"));
                    let dfs = account.hierarchical_namespace;
                    names.extend(dfs.then(|| format!("{name}.dfs.core.windows.net")));
                }
                TargetDetails::ContainerRegistry(registry) => {
                    names.insert(format!("{name}.azurecr.io"));
                    let replicas = registry.replicas.seen().into_iter().flatten();
                    names.extend(replicas.map(|r| format!("{name}.{r}.data.azurecr.io")));
                }
            }
        }
        names
    }

    /// Addresses by which the endpoints of a place carry a name.
    fn carried(&self, place: &EndpointPlace, name: &str) -> BTreeSet<String> {
        let up = |e: &&EndpointSeen| {
            e.subnet.as_ref() == Some(&place.subnet) && e.connection_status.as_deref() == Some("Approved")
        };
        let endpoints = self.seen.azure.endpoints.values().filter_map(Fact::seen).filter(up);
        let members = endpoints.flat_map(|e| e.members.seen().into_iter().flatten());
        members
            .filter(|m| m.fqdns.iter().any(|f| f.as_str() == name))
            .map(|m| m.address.to_string())
            .collect()
    }

    /// What a client in this network finds out by trying everything that it needs: the first name that fails it.
    pub fn try_all(&self, network: &str) -> Result<Needs, String> {
        let needs = self.needs(network);
        for (name, addresses) in &needs {
            let addresses: Vec<String> = addresses.iter().cloned().collect();
            if addresses.is_empty() {
                return Err(format!("no endpoint carries {name} for {network}"));
            }
            if let Err((hop, why)) = self.reaches(network, name, &addresses) {
                return Err(format!("{network} cannot reach {name}: {hop}: {why}"));
            }
        }
        Ok(needs)
    }
}
