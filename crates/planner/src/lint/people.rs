//! What people must have said before a closing write, worked out from desired and seen alone: approval, window, rollout, and the
//! clients that still come by another way than our endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sreg_api::ChangeKind;
use sreg_api::registry::{LockdownGate, RecentPublicClientsPolicy};
use sreg_domain::desired::NetworkPlace;
use sreg_domain::seen::PublicClient;
use sreg_domain::{ArmId, Desired, Digest, Fact, Seen};

use super::proof::{Names, closedness};
use crate::facts::relocks;
use crate::prefix::{Prefix, is_public};
use crate::window::{self, Standing};

/// Everything that people have yet to say.
pub(super) fn missing<'a>(
    desired: &Desired,
    seen: &Seen,
    targets: impl Iterator<Item = (&'a ArmId, &'a Option<bool>)>,
    places: &BTreeMap<String, Names>,
) -> Vec<String> {
    let wanted = |gate: LockdownGate| desired.gates.contains(&gate);
    let digest = approval_digest(desired, seen, targets.map(|(id, _)| id), places);
    let rollout = !wanted(LockdownGate::Rollout) || seen.cluster.rollout == Fact::Seen(true);
    let in_window = || {
        let window = desired.window.as_ref();
        window.is_some_and(|w| matches!(window::standing(w, seen.at), Standing::Open(_)))
    };
    let demands = [
        (approved(desired, seen, &digest), "the lockdown is not approved"),
        (rollout, "no rollout has reached the object"),
        (
            !wanted(LockdownGate::Window) || goes_on(seen) || in_window(),
            "the lockdown window is closed",
        ),
        (
            nobody_is_cut_off(desired, seen),
            "clients came, or may have come, by another way than our endpoints",
        ),
    ];
    let broken = demands.into_iter().filter(|(holds, _)| !holds);
    broken.map(|(_, what)| what.to_owned()).collect()
}

/// What an approval must name: every target, every path, whatever forbids the way back.
fn approval_digest<'a>(
    desired: &Desired,
    seen: &Seen,
    targets: impl Iterator<Item = &'a ArmId>,
    places: &BTreeMap<String, Names>,
) -> Digest {
    let mut parts = vec![format!("object {}", desired.object.uid)];
    parts.extend(targets.map(|id| format!("close {}", id.key())));
    for network in &desired.client_networks {
        let names = places.get(&network.endpoint).into_iter().flatten();
        parts.extend(names.map(|(name, _)| format!("path {} {name}", network.name)));
    }
    parts.extend(desired.client_networks.iter().map(|n| format!("network {n:?}")));
    parts.extend(desired.waived.keys().map(|id| format!("unproven {}", id.key())));
    parts.extend(
        super::proof::shared(seen)
            .iter()
            .map(|id| format!("shared {}", id.key())),
    );
    parts.extend(desired.waived_hosts.keys().map(|host| format!("unproven host {host}")));
    let obstacles = seen.azure.reopening_obstacles.seen().into_iter().flatten();
    parts.extend(obstacles.map(|obstacle| format!("obstacle {obstacle}")));
    parts.sort();
    Digest::of_parts(parts.iter().map(String::as_str))
}

fn approved(desired: &Desired, seen: &Seen, digest: &Digest) -> bool {
    let obstacles = match &seen.azure.reopening_obstacles {
        Fact::Seen(obstacles) => !obstacles.is_empty(),
        Fact::Absent => false,
        Fact::Unknown(_) => return false,
    };
    let needed = obstacles || desired.gates.contains(&LockdownGate::Approval);
    let given = |a: &sreg_domain::seen::ApprovalSeen| a.change == ChangeKind::Lockdown && a.digest == *digest;
    !needed || seen.cluster.approvals.seen().is_some_and(|all| all.iter().any(given))
}

/// The lock brings back one that held, or finishes one that has begun.
fn goes_on(seen: &Seen) -> bool {
    let any_closed = closedness(seen).is_some_and(|all| all.values().any(|closed| *closed == Some(true)));
    relocks(&seen.object.status, any_closed)
}

fn nobody_is_cut_off(desired: &Desired, seen: &Seen) -> bool {
    let Some(asked) = &desired.verification.recent_public_clients else {
        return true;
    };
    let holds = |prefixes: &[String], client: &PublicClient| {
        let address: Option<IpAddr> = client.address.parse().ok();
        let mut prefixes = prefixes.iter().filter_map(|text| Prefix::parse(text));
        address.is_some_and(|address| prefixes.any(|prefix| prefix.holds(address)))
    };
    let is_private = |c: &PublicClient| c.address.parse().is_ok_and(|address| !is_public(address));
    // Through an endpoint of ours: from a client network, and not from a subnet that has another private way.
    let through_ours = |client: &PublicClient| {
        let networks = desired.client_networks.iter().map(|n| &n.place);
        let mut homes = networks.filter_map(|place| match place {
            NetworkPlace::OnPremises(prefixes) => holds(prefixes, client).then_some(false),
            NetworkPlace::VirtualNetwork(id) => {
                let network = seen.azure.virtual_networks.get(id)?.seen()?;
                let kind = client.target.kind();
                let provider = kind.split('/').next().unwrap_or_default();
                let mut other_ways = network.service_endpoints.iter().filter(|s| holds(&s.prefixes, client));
                let serves = |s: &String| s.to_ascii_lowercase().starts_with(provider);
                let other_way = other_ways.any(|s| s.services.iter().any(serves));
                holds(&network.address_space, client).then_some(other_way)
            }
        });
        let first = homes.next();
        first == Some(false) && homes.all(|other_way| !other_way)
    };
    let cleared = |client: &PublicClient| holds(&asked.accept, client) || (is_private(client) && through_ours(client));
    match &seen.azure.recent_public_clients {
        _ if asked.policy != RecentPublicClientsPolicy::Block || goes_on(seen) => true,
        Fact::Seen(clients) => clients.iter().all(cleared),
        Fact::Absent | Fact::Unknown(_) => false,
    }
}
