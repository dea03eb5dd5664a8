//! The DNS servers that clients of a network ask: those of a virtual network as Azure shows them, those of another network as the
//! spec names them. Each of them is asked in each attempt, because some client asks it.

use std::net::IpAddr;

use sreg_domain::desired::{ClientNetwork, NetworkPlace};
use sreg_domain::{Fact, Seen};

/// Probes hold no more.
const MOST: usize = 16;

/// Addresses of the DNS servers of a client network, in order, beside those that its vantage point asks of itself. `None`: not
/// known. An empty list: Azure's own, or none is named.
pub(crate) fn of(seen: &Seen, network: &ClientNetwork) -> Option<Vec<String>> {
    let servers: Vec<IpAddr> = match &network.place {
        NetworkPlace::OnPremises(_) => network.dns_servers.clone(),
        NetworkPlace::VirtualNetwork(id) => {
            let found = seen.azure.virtual_networks.get(id).and_then(Fact::seen)?;
            let parsed: Result<Vec<IpAddr>, _> = found.dns_servers.iter().map(|text| text.trim().parse()).collect();
            parsed.ok()?
        }
    };
    let mut told: Vec<String> = Vec::new();
    for server in servers.iter().map(IpAddr::to_string) {
        if !told.contains(&server) {
            told.push(server);
        }
    }
    (told.len() <= MOST).then_some(told)
}
