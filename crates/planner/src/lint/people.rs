//! What people must have said before a closing write, worked out from desired and seen alone: approval, window, and the
//! clients that still come by another way than our endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sreg_api::ChangeKind;
use sreg_api::names::CREATED_TAG;
use sreg_api::registry::{LockdownGate, RecentPublicClientsPolicy};
use sreg_domain::desired::{NetworkPlace, Spec};
use sreg_domain::network_rules::rules_of;
use sreg_domain::preimage::{DigestKind, DigestLine, Preimage};
use sreg_domain::seen::{DenyAssignment, LockSeen, PublicClient, RegistryDetails};
use sreg_domain::{ArmId, Desired, Digest, Fact, RuleKind, Seen};

use super::proof::{Names, closedness};
use super::way_back::{
    self, Before, before, before_opened_by_hand, in_perimeter, is_closed, lets_in_nobody, network_now,
};
use crate::prefix::{Prefix, is_public};
use crate::window::{self, WindowState};

/// Everything that people have yet to say.
pub(super) fn missing<'a>(
    desired: &Desired,
    spec: &Spec,
    seen: &Seen,
    targets: impl Iterator<Item = (&'a ArmId, &'a Option<bool>)>,
    places: &BTreeMap<String, Names>,
) -> Vec<String> {
    let wanted = |gate: LockdownGate| spec.gates.contains(&gate);
    let targets: Vec<&ArmId> = targets.map(|(id, _)| id).collect();
    let digest = approval_digest(desired, spec, seen, &targets, places);
    let in_window = || {
        let window = spec.window.as_ref();
        window.is_some_and(|w| matches!(window::state(w, seen.at), WindowState::Open(_)))
    };
    let demands = [
        (
            approved(desired, spec, seen, &targets, &digest),
            "the lockdown is not approved",
        ),
        (
            subnets_are_known(spec, seen, &targets),
            "an account lets in a subnet of a network that is neither client nor waived",
        ),
        (
            !wanted(LockdownGate::Window) || goes_on(seen) || in_window(),
            "the lockdown window is closed",
        ),
        (
            nobody_is_cut_off(spec, seen),
            "clients came, or may have come, by another way than our endpoints",
        ),
    ];
    let broken = demands.into_iter().filter(|(holds, _)| !holds);
    broken.map(|(_, what)| what.to_owned()).collect()
}

/// What an approval must name: every target, every path, whatever forbids the way back.
fn approval_digest(
    desired: &Desired,
    spec: &Spec,
    seen: &Seen,
    targets: &[&ArmId],
    places: &BTreeMap<String, Names>,
) -> Digest {
    let mut preimage = Preimage::of(DigestKind::Lockdown);
    preimage.add(DigestLine::Object(&desired.object.uid));
    preimage.extend(edition(desired));
    preimage.extend(targets.iter().map(|id| DigestLine::Closes(id)));
    for network in &spec.client_networks {
        let names = places.get(&network.endpoint).into_iter().flatten();
        preimage.extend(names.map(|(name, _)| DigestLine::Path {
            network: &network.name,
            fqdn: name,
        }));
    }
    preimage.extend(spec.client_networks.iter().map(DigestLine::Network));
    preimage.extend(spec.waived.keys().map(DigestLine::UnprovenNetwork));
    preimage.extend(super::proof::shared(seen).iter().map(DigestLine::SharedAccount));
    preimage.extend(
        spec.waived_hosts
            .keys()
            .map(|host| DigestLine::UnprovenHost(host.as_str())),
    );
    let obstacles = seen.azure.reopening_obstacles.seen().into_iter().flatten();
    preimage.extend(obstacles.map(|obstacle| DigestLine::Obstacle(&obstacle.key)));
    for id in targets {
        let locks = locks_over(seen, id).unwrap_or_default();
        preimage.extend(
            locks
                .iter()
                .map(|lock| DigestLine::ResourceLock(id, &lock.id, &lock.level)),
        );
        let denials = denials_over(seen, id).unwrap_or_default();
        preimage.extend(denials.iter().map(|denial| DigestLine::DenyAssignment(id, &denial.id)));
        let Before {
            rules,
            perimeter,
            hidden,
        } = before(desired, seen, id);
        preimage.extend(hidden.then_some(DigestLine::LetsIn(id, "subnets that are not shown")));
        rules
            .iter()
            .for_each(|rule| preimage.add(DigestLine::LetsIn(id, &rule.key())));
        preimage.extend(perimeter.then_some(DigestLine::Perimeter(id)));
    }
    preimage.digest()
}

/// Every subnet that an open account lets in is of a client network or waived; one that somebody opened by hand may have those again
/// that it had before.
fn subnets_are_known(spec: &Spec, seen: &Seen, targets: &[&ArmId]) -> bool {
    let known = |network: &ArmId| {
        let mut clients = spec.client_networks.iter();
        let client = clients.any(|c| c.place == NetworkPlace::VirtualNetwork(network.clone()));
        client || spec.waived.contains_key(network)
    };
    let open = targets.iter().filter(|id| is_closed(seen, id) == Some(false));
    open.into_iter().all(|id| {
        let (kind, now) = network_now(seen, id);
        let had = before_opened_by_hand(seen, id);
        let mut subnets = rules_of(kind, &now)
            .into_iter()
            .filter(|rule| rule.kind == RuleKind::Subnet);
        subnets.all(|rule| {
            let network = rule.value.parse::<ArmId>().ok().and_then(|subnet| subnet.parent());
            network.is_some_and(|network| known(&network)) || had.contains(&rule.key())
        })
    })
}

/// Resource locks because of which Azure may refuse to open a target again. `None`: nobody could look.
fn locks_over<'s>(seen: &'s Seen, target: &ArmId) -> Option<Vec<&'s LockSeen>> {
    let harmless = ["CanNotDelete", "NotSpecified"];
    match seen.azure.locks.get(target)? {
        Fact::Seen(locks) => Some(
            locks
                .iter()
                .filter(|lock| lock.covers(target))
                .filter(|lock| !harmless.iter().any(|level| level.eq_ignore_ascii_case(&lock.level)))
                .collect(),
        ),
        Fact::Absent => Some(Vec::new()),
        Fact::Unknown(_) => None,
    }
}

/// Deny assignments because of which Azure may refuse to open a target again. `None`: nobody could look, or knows whom it would refuse.
fn denials_over<'s>(seen: &'s Seen, target: &ArmId) -> Option<Vec<&'s DenyAssignment>> {
    let write = match target.kind().as_str() {
        "microsoft.storage/storageaccounts" => "Microsoft.Storage/storageAccounts/write",
        "microsoft.containerregistry/registries" => "Microsoft.ContainerRegistry/registries/write",
        _ => "Microsoft.MachineLearningServices/registries/write",
    };
    let over: Vec<&DenyAssignment> = match seen.azure.deny_assignments.get(target)? {
        Fact::Seen(denials) => denials
            .iter()
            .filter(|denial| denial.covers(target) && denial.is_about(write))
            .collect(),
        Fact::Absent => Vec::new(),
        Fact::Unknown(_) => return None,
    };
    match &seen.azure.principal {
        _ if over.is_empty() => Some(over),
        Fact::Seen(us) => Some(
            over.into_iter()
                .filter(|denial| denial.forbids(&us.object_id, write) != Some(false))
                .collect(),
        ),
        Fact::Absent | Fact::Unknown(_) => None,
    }
}

fn approved(desired: &Desired, spec: &Spec, seen: &Seen, targets: &[&ArmId], digest: &Digest) -> bool {
    let obstacles = match &seen.azure.reopening_obstacles {
        Fact::Seen(obstacles) => !obstacles.is_empty(),
        Fact::Absent => false,
        Fact::Unknown(_) => return false,
    };
    let locks: Option<Vec<_>> = targets.iter().map(|id| locks_over(seen, id)).collect();
    let Some(locks) = locks else { return false };
    let denials: Option<Vec<_>> = targets.iter().map(|id| denials_over(seen, id)).collect();
    let Some(denials) = denials else { return false };
    let locked = locks.iter().any(|over| !over.is_empty()) || denials.iter().any(|over| !over.is_empty());
    let open_perimeter = |id: &&ArmId| is_closed(seen, id) == Some(false) && in_perimeter(&network_now(seen, id).1);
    let perimeter = !goes_on(seen) && targets.iter().any(open_perimeter);
    let needed = obstacles || locked || perimeter || spec.gates.contains(&LockdownGate::Approval);
    !needed || is_given(desired, seen, ChangeKind::Lockdown, digest)
}

/// Somebody approved this; where a grant demands it, somebody who is known to be another person than whoever edited the spec last.
fn is_given(desired: &Desired, seen: &Seen, change: ChangeKind, digest: &Digest) -> bool {
    let own = format!("system:serviceaccount:{}:", desired.object.namespace);
    let is_person = |name: &str| !(name.is_empty() || name.starts_with(&own));
    let editor = seen.object.spec_edited_by.as_deref().unwrap_or_default();
    let is_another = |approver: &str| is_person(editor) && is_person(approver) && approver != editor;
    let approvals = seen.cluster.approvals.seen().into_iter().flatten();
    let mut same = approvals.filter(|a| a.change == change && a.digest == *digest);
    same.any(|a| !desired.separate_approver || is_another(&a.approved_by))
}

/// Where two persons are demanded, every edit is approved anew.
fn edition(desired: &Desired) -> Option<DigestLine<'static>> {
    let demanded = desired.separate_approver;
    demanded.then_some(DigestLine::Generation(desired.object.generation))
}

/// The snapshot or status says that it was locked in this object's name.
pub(super) fn locked_in_its_name(desired: &Desired, seen: &Seen) -> bool {
    let name = format!("{}/{}", desired.object.namespace, desired.object.name);
    let accounts = seen
        .azure
        .registry_details()
        .into_iter()
        .flat_map(RegistryDetails::accounts);
    let snapshot = seen.cluster.snapshot.seen().filter(|snapshot| snapshot.holder == name);
    snapshot.map_or_else(
        || seen.object.last.lock_has_begun() || way_back::was_closed_late(desired, seen),
        |snapshot| snapshot.is_about(accounts),
    )
}

/// These tags of a registry carry the mark that its claim recorded before it was created.
pub(super) fn is_marked_as_made(desired: &Desired, seen: &Seen, tags: &BTreeMap<String, String>) -> bool {
    let claim = seen
        .cluster
        .claim
        .seen()
        .filter(|claim| claim.uid == desired.object.uid);
    let mut carried = tags.iter().filter(|(name, _)| name.eq_ignore_ascii_case(CREATED_TAG));
    claim.is_some_and(|claim| carried.any(|(_, value)| claim.creates.as_ref() == Some(value)))
}

fn made_by_it(desired: &Desired, seen: &Seen) -> bool {
    let registry = seen.azure.registry_details();
    registry.is_some_and(|registry| is_marked_as_made(desired, seen, &registry.tags))
}

/// It was locked in this object's name, or a person lets it be opened.
pub(super) fn let_it_open(desired: &Desired, seen: &Seen) -> bool {
    locked_in_its_name(desired, seen) || let_others_open(desired, seen)
}

/// The snapshot holds it as disabled before the lock, or as storage that let in nobody: others had done that.
pub(super) fn was_disabled_before(seen: &Seen, id: &ArmId) -> bool {
    let snapshot = seen.cluster.snapshot.seen();
    let mut held = snapshot.into_iter().flat_map(|snapshot| &snapshot.targets);
    held.any(|(name, target)| name.eq_ignore_ascii_case(id.key()) && lets_in_nobody(&target.network))
}

/// It was made by this object, or a person lets what others closed be opened.
pub(super) fn let_others_open(desired: &Desired, seen: &Seen) -> bool {
    let made = made_by_it(desired, seen);
    let mut preimage = Preimage::of(DigestKind::Opening);
    preimage.add(DigestLine::Object(&desired.object.uid));
    preimage.add(DigestLine::Opens(&desired.registry));
    preimage.extend(edition(desired));
    let digest = preimage.digest();
    made || is_given(desired, seen, ChangeKind::Opening, &digest)
}

/// The lock brings back one that held, or finishes one that has begun.
fn goes_on(seen: &Seen) -> bool {
    let any_closed = closedness(seen).is_some_and(|all| all.values().any(|closed| *closed == Some(true)));
    seen.object.last.relocks(any_closed)
}

fn nobody_is_cut_off(spec: &Spec, seen: &Seen) -> bool {
    let Some(asked) = &spec.verification.recent_public_clients else {
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
        let networks = spec.client_networks.iter().map(|n| &n.place);
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
