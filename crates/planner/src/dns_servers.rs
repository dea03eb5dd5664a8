//! The DNS servers that clients of a network ask: those of a virtual network as Azure shows them, those of another network as the
//! spec names them. Each of them is asked in each attempt, because some client asks it.

use std::net::IpAddr;

use sreg_domain::desired::{ClientNetwork, NetworkPlace};
use sreg_domain::outside::{LONGEST_NAME, word, words};
use sreg_domain::seen::VirtualNetworkSeen;
use sreg_domain::{Fact, Seen};

/// Probes hold no more, and Azure gives a virtual network no more (azure.md §4.1).
const MOST: usize = 20;

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

/// What makes no sense of the DNS servers that Azure shows for a network, and what its owner can do. `None`: nothing.
pub(crate) fn nonsense(network: &VirtualNetworkSeen) -> Option<String> {
    let is_address = |text: &&String| text.trim().parse::<IpAddr>().is_ok();
    let name = network.id.name();
    let change = format!(
        "az network vnet update --ids {} --dns-servers ADDRESS",
        word(&network.id)
    );
    if let Some(odd) = network.dns_servers.iter().find(|text| !is_address(text)) {
        let odd = words(odd, LONGEST_NAME);
        return Some(format!(
            "{name} names the DNS server {odd}, which is no address: {change}"
        ));
    }
    let count = network.dns_servers.len();
    (count > MOST).then(|| format!("{name} names {count} DNS servers, and agents ask {MOST} at most: {change}"))
}
