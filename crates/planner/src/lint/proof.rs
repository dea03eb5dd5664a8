//! What must be true for a closing write, worked out from desired and seen alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use jiff::SignedDuration;
use sreg_api::conditions::ConditionType;
use sreg_api::probe::{PathResult, ProbeOutcome};
use sreg_api::registry::{PublicAccess, RollbackPolicy};
use sreg_api::vantage_point::VantageNetwork;
use sreg_domain::desired::{ClientNetwork, EndpointPlace, NetworkPlace, Spec};
use sreg_domain::preimage::{DigestKind, DigestLine, Preimage};
use sreg_domain::seen::{EndpointSeen, ProbeSeen, RegionSeen, Round, TargetDetails};
use sreg_domain::{
    ArmId, DefaultAction, Desired, Digest, EndpointGroup, Fact, PublicNetworkAccess, Seen, TargetKind, TargetSeen,
    naming,
};
use strum::IntoEnumIterator as _;

use crate::plan::Plan;
use crate::view::may_pass;

/// Whether a switch closes; one that says what nobody knows tells nothing.
fn off(access: &Option<PublicNetworkAccess>) -> Option<bool> {
    match access {
        Some(PublicNetworkAccess::Unknown(_)) => None,
        access => Some(*access == Some(PublicNetworkAccess::Disabled)),
    }
}

/// Whether a target lets nobody in. Of all kinds only storage is closed without its switch too, by a rule set that lets nobody in.
fn lets_nobody_in(target: &TargetSeen) -> Option<bool> {
    let rules = target.ip_rules.len() + target.virtual_network_rules.len();
    match &target.public_network_access {
        None | Some(PublicNetworkAccess::Enabled) if target.storage().is_some() => match &target.default_action {
            Some(DefaultAction::Unknown(_)) => None,
            action => Some(*action == Some(DefaultAction::Deny) && rules == 0),
        },
        access => off(access),
    }
}

/// Targets as the registry names them, each with its closedness; `None` while the registry is not complete.
pub(super) fn closedness(seen: &Seen) -> Option<BTreeMap<ArmId, Option<bool>>> {
    let registry = seen.azure.registry().seen()?;
    let regions = &registry.registry()?.regions;
    if regions.is_empty() {
        return None;
    }
    let mut all = BTreeMap::from([(registry.id.clone(), lets_nobody_in(registry))]);
    for region in regions {
        let named = |kind: TargetKind| kind == TargetKind::Registry || !region.of(kind).is_empty();
        if !TargetKind::iter().all(named) {
            return None;
        }
        for id in region.accounts.values().flatten() {
            let id = id.as_ref()?;
            let account = seen.azure.targets.get(id).seen();
            all.insert(id.clone(), account.and_then(lets_nobody_in));
        }
    }
    Some(all)
}

/// Accounts that the registry names and that stand outside its managed resource group.
pub(super) fn shared(seen: &Seen) -> BTreeSet<ArmId> {
    let Some(registry) = seen.azure.registry_details() else {
        return BTreeSet::new();
    };
    let outside = |id: &&ArmId| id.resource_group_id() != registry.managed_resource_group;
    registry.accounts().filter(outside).cloned().collect()
}

pub(super) fn all_closed(seen: &Seen) -> bool {
    closedness(seen).is_some_and(|all| all.values().all(|closed| *closed == Some(true)))
}

/// Everything is open, and nothing that Azure has accepted may still close it.
pub(super) fn all_open(seen: &Seen) -> bool {
    let runs = |id: &ArmId| {
        let operations = seen.azure.operations.iter().filter(|o| o.operation.resource == *id);
        operations.into_iter().any(|o| o.state.may_run())
    };
    closedness(seen).is_some_and(|all| all.iter().all(|(id, closed)| *closed == Some(false) && !runs(id)))
}

/// The registry is not found, and neither an endpoint of ours nor an account that it named says that something of it still lives.
pub(super) fn is_gone(desired: &Desired, seen: &Seen) -> bool {
    let lives = |fact: &Fact<EndpointSeen>| match fact {
        Fact::Seen(endpoint) => {
            let status = endpoint.connection_status.as_deref().unwrap_or_default();
            endpoint.owner.as_ref() == Some(&desired.owner) && status.eq_ignore_ascii_case("Approved")
        }
        Fact::Absent => false,
        Fact::Unknown(_) => true,
    };
    let may_be_there = |fact: &Fact<()>| fact.seen().is_some() || fact.ignorance().is_some_and(may_pass);
    let is_shared = |id: &ArmId| {
        desired
            .whole()
            .is_some_and(|spec| spec.shared_accounts.contains_key(id))
    };
    let azure = &seen.azure;
    azure.registry().is_absent()
        && !azure.endpoints.values().any(lives)
        && !azure
            .accounts_left
            .iter()
            .any(|(id, fact)| !is_shared(id) && may_be_there(fact))
}

/// A break-glass that has not run out by itself; the cap and a lock after it only shorten it. For opening: what keeps from closing
/// must be exact, because one that is over and still counted would hold up the lock that follows it.
pub(super) fn break_glass_in_force(desired: &Desired, seen: &Seen) -> bool {
    let length = |d: Duration| SignedDuration::try_from(d.min(desired.max_break_glass)).unwrap_or(SignedDuration::MAX);
    let runs = |b: &sreg_domain::seen::BreakGlassSeen| {
        b.created_at <= seen.at
            && b.created_at
                .saturating_add(length(b.duration))
                .is_ok_and(|end| seen.at < end)
    };
    seen.cluster
        .break_glasses
        .seen()
        .is_some_and(|all| all.iter().any(runs))
}

/// The user chose Reopen, and either a rollback is recorded for this spec, or a lock is young and a new round says that a path is lost:
/// several vantage points do, or one has done for as long as its pause lasts.
pub(super) fn rollback_was_chosen(desired: &Desired, seen: &Seen) -> bool {
    let Some(spec) = desired.whole().filter(|spec| spec.rollback == RollbackPolicy::Reopen) else {
        return false;
    };
    let last = &seen.object.last;
    let unfinished = last
        .rollback
        .as_ref()
        .filter(|r| r.generation == desired.object.generation && r.count > 0)
        .filter(|r| !r.restored || seen.cluster.restored.is_some());
    let age = unfinished
        .and_then(|r| r.reopened_at)
        // Of a clock that is ahead: it cannot be older than now.
        .map(|at| Duration::try_from(seen.at.duration_since(at)).unwrap_or_default());
    if let (Some(unfinished), Some(age)) = (unfinished, age)
        && age <= crate::locked::pause(spec.grace_period, unfinished.count)
    {
        return true;
    }
    let since = last
        .locked_at()
        .and_then(|at| Duration::try_from(seen.at.duration_since(at)).ok());
    let (Some(since), Some(round)) = (since, &seen.memory.round) else {
        return false;
    };
    let needed = i32::try_from(spec.verification.consecutive_successes).unwrap_or(i32::MAX);
    let wanted = |probe: &&ProbeSeen| {
        let mut networks = spec.client_networks.iter();
        networks.any(|n| n.vantage_point == probe.spec.vantage_point)
    };
    let lost = seen
        .cluster
        .probes
        .values()
        .filter_map(Fact::seen)
        .filter(wanted)
        .filter(|probe| {
            let status = probe
                .status
                .as_ref()
                .filter(|s| s.observed_generation == Some(probe.generation) && s.round == round.number);
            status.is_some_and(|s| {
                s.results
                    .iter()
                    .any(|r| r.outcome == ProbeOutcome::Failed && r.hop.is_some() && r.failures >= needed)
            })
        });
    let lasted = seen.memory.lost_for.unwrap_or_default();
    let verification = &spec.verification;
    // What is left of the round after its first attempts; half of it, so that the round still counts in the end.
    let left = verification.max_age.saturating_sub(
        verification
            .interval
            .saturating_mul(verification.consecutive_successes.saturating_sub(1)),
    );
    let pause = (left / 2).min(spec.grace_period / 3).min(Duration::from_secs(300));
    let accounts: BTreeSet<_> = lost
        .map(|probe| (&probe.namespace, &probe.spec.service_account_name))
        .collect();
    let told = match accounts.len() {
        0 => false,
        1 => lasted >= pause,
        _ => true,
    };
    let began = since.saturating_sub(lasted);
    began <= spec.grace_period && round.age < since && round.age <= verification.max_age && told
}

/// Everything that is missing for a closing write.
pub(super) fn missing(desired: &Desired, seen: &Seen, plan: &Plan) -> Vec<String> {
    let Some(spec) = desired.whole() else {
        return vec!["the object is not valid".to_owned()];
    };
    let mut missing = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            missing.push(what.to_owned());
        }
    };
    demand(!seen.object.deleting, "the object is being deleted");
    demand(!desired.observe_only, "Observe writes nothing");
    demand(
        desired.public_access == PublicAccess::Disabled,
        "the spec does not want public access disabled",
    );
    demand(seen.object.has_finalizer, "the finalizer is missing");
    demand(
        seen.cluster.claim.seen().is_some_and(|c| c.uid == desired.object.uid),
        "the claim is not ours",
    );
    demand(
        !crate::break_glass::may_be_in_force(desired, seen),
        "a break-glass is or may be in force",
    );
    demand(
        !spec.client_networks.is_empty() && !spec.endpoints.is_empty(),
        "there is nothing to prove",
    );
    demand(settled(spec, seen), "names have not settled");
    demand(
        links_are_known(desired, spec, seen),
        "a network that we linked is neither proven nor waived",
    );
    demand(
        shared(seen).iter().all(|id| spec.shared_accounts.contains_key(id)),
        "an account that others use is not acknowledged",
    );
    let targets = closedness(seen);
    demand(targets.is_some(), "the targets are not known");
    for id in targets.iter().flatten().map(|(id, _)| id) {
        let kept = seen
            .cluster
            .snapshot
            .seen()
            .is_some_and(|s| s.targets.keys().any(|key| key.eq_ignore_ascii_case(id.key())));
        demand(kept, &format!("the snapshot does not hold {id}"));
    }
    let round = seen
        .memory
        .round
        .as_ref()
        .filter(|r| r.age <= spec.verification.max_age && r.number > 0);
    match (round, members_by_place(desired, seen)) {
        (Some(round), Some(members)) => {
            demand(
                round.subject == subject(desired, seen),
                "the round is about another subject",
            );
            let evidence = evidence(desired, round, &members);
            let kept = seen.cluster.snapshot.seen().map(|s| &s.evidence_digest);
            demand(
                kept == Some(&evidence) && plan.assessment.evidence.as_ref() == Some(&evidence),
                "plan or snapshot name other evidence",
            );
            missing.extend(super::people::missing(
                desired,
                spec,
                seen,
                targets.iter().flatten(),
                &members,
            ));
            missing.extend(unproven(desired, spec, seen, round, &members));
        }
        (None, _) => missing.push("no fresh round is open".into()),
        (_, None) => missing.push("endpoints are not all ready with names and addresses".into()),
    }
    missing.extend(super::way_back::forgotten(seen));
    missing
}

/// No link by our hand to a network that is neither client nor waived.
fn links_are_known(desired: &Desired, spec: &Spec, seen: &Seen) -> bool {
    let zones = seen.azure.zones.values().filter_map(Fact::seen);
    let mut links = zones.filter_map(|zone| zone.links.seen()).flatten();
    links.all(|link| {
        let network = &link.virtual_network;
        let proven = spec
            .client_networks
            .iter()
            .any(|c| matches!(&c.place, NetworkPlace::VirtualNetwork(id) if id == network));
        let tag = naming::owner_in(&link.tags);
        let theirs = tag.is_some_and(|tag| tag != desired.owner);
        theirs
            || !link.id.name().eq_ignore_ascii_case(&naming::link_name(network))
            || proven
            || spec.waived.contains_key(network)
    })
}

fn settled(spec: &Spec, seen: &Seen) -> bool {
    let last = &seen.object.last;
    let recorded = last
        .last_name_change
        .filter(|_| last.is_true(ConditionType::EndpointsReady) && last.is_true(ConditionType::DnsReady))
        .map(|at| Duration::try_from(seen.at.duration_since(at)).unwrap_or_default());
    // A process that made no change itself cannot know what came shortly after the one that is recorded.
    let hidden = seen
        .memory
        .name_changed
        .map_or(crate::settling::recent(spec), |_| Duration::ZERO);
    let recorded = recorded.map(|since| since.saturating_sub(hidden));
    let elapsed = recorded.or(seen.memory.since_name_change).unwrap_or_default();
    // A change that this process knows of is never outweighed by what an older status says.
    elapsed.min(seen.memory.name_changed.unwrap_or(Duration::MAX)) >= spec.verification.dns_settle
}

/// Accounts that a region names, with their kinds.
fn accounts(region: &RegionSeen) -> impl Iterator<Item = (TargetKind, &ArmId)> {
    let kinds = region.accounts.iter();
    kinds.flat_map(|(kind, ids)| ids.iter().flatten().map(move |id| (*kind, id)))
}

/// (group, target) of every endpoint that a place needs.
pub(super) fn needed(desired: &Desired, seen: &Seen) -> Option<Vec<(EndpointGroup, ArmId)>> {
    let mut all = vec![(EndpointGroup::AmlRegistry, desired.registry.clone())];
    for region in &seen.azure.registry_details()?.regions {
        for (kind, id) in accounts(region) {
            match kind {
                TargetKind::Registry => all.push((EndpointGroup::AmlRegistry, id.clone())),
                TargetKind::Storage => {
                    all.push((EndpointGroup::Blob, id.clone()));
                    if seen.azure.targets.get(id).seen()?.storage()?.hierarchical_namespace {
                        all.push((EndpointGroup::Dfs, id.clone()));
                    }
                }
                TargetKind::ContainerRegistry => all.push((EndpointGroup::ContainerRegistry, id.clone())),
            }
        }
    }
    all.sort();
    all.dedup();
    Some(all)
}

/// The endpoint of a place, if it is ours and ready.
pub(super) fn ready<'a>(
    desired: &Desired,
    seen: &'a Seen,
    place: &EndpointPlace,
    group: EndpointGroup,
    target: &ArmId,
) -> Option<&'a EndpointSeen> {
    super::ownership::endpoint_of(desired, seen, place, group, target).filter(|e| e.is_ready())
}

/// Public name to addresses.
pub(super) type Names = BTreeMap<String, BTreeSet<String>>;

/// Per place: public name to addresses. `None` while an endpoint is not ready.
fn members_by_place(desired: &Desired, seen: &Seen) -> Option<BTreeMap<String, Names>> {
    let needed = needed(desired, seen)?;
    let mut places = BTreeMap::new();
    for place in desired.endpoints() {
        let mut names = Names::new();
        for (group, target) in &needed {
            let members = ready(desired, seen, place, *group, target)?.members.seen()?;
            members.iter().find(|m| !m.fqdns.is_empty())?;
            for member in members {
                for fqdn in &member.fqdns {
                    names
                        .entry(fqdn.to_string())
                        .or_default()
                        .insert(member.address.to_string());
                }
            }
        }
        places.insert(place.name.clone(), names);
    }
    Some(places)
}

fn subject(desired: &Desired, seen: &Seen) -> Digest {
    let regions = seen.azure.registry_details().into_iter().flat_map(|r| &r.regions);
    let mut preimage = Preimage::of(DigestKind::Subject);
    preimage.extend(regions.map(|r| DigestLine::Region(&r.location)));
    for place in desired.endpoints() {
        for (group, target) in needed(desired, seen).unwrap_or_default() {
            let Some(endpoint) = ready(desired, seen, place, group, &target) else {
                continue;
            };
            for member in endpoint.members.seen().into_iter().flatten() {
                let names: Vec<String> = member.fqdns.iter().map(|f| f.to_string()).collect();
                preimage.add(DigestLine::Member(&endpoint.id, member.address, &names));
            }
        }
    }
    preimage.digest()
}

/// Digest of the evidence that a complete round gives.
fn evidence(desired: &Desired, round: &Round, places: &BTreeMap<String, Names>) -> Digest {
    let mut preimage = Preimage::of(DigestKind::Evidence);
    preimage.add(DigestLine::Round(round.number));
    preimage.add(DigestLine::Subject(&round.subject));
    for network in desired.client_networks() {
        for (name, addresses) in places.get(&network.endpoint).into_iter().flatten() {
            let addresses: Vec<String> = addresses.iter().cloned().collect();
            preimage.add(DigestLine::Proven {
                network: &network.name,
                vantage_point: &network.vantage_point,
                fqdn: name,
                addresses: &addresses,
            });
        }
    }
    preimage.digest()
}

/// Hosts that Azure reports, that clients will ask for and that nobody waived. Only hosts of discovery can be waived.
fn hosts(spec: &Spec, seen: &Seen) -> Option<BTreeSet<String>> {
    let mut hosts: BTreeSet<String> = seen
        .azure
        .discovery
        .seen()
        .filter(|h| !h.is_empty())?
        .iter()
        .filter(|host| !spec.waived_hosts.contains_key(*host))
        .map(ToString::to_string)
        .collect();
    for region in &seen.azure.registry_details()?.regions {
        for (_, id) in accounts(region) {
            let target = seen.azure.targets.get(id).seen()?;
            let host = |group: EndpointGroup| Some(target.names.get(&group)?.to_string());
            match &target.details {
                TargetDetails::Registry(_) => hosts.extend(host(EndpointGroup::AmlRegistry)),
                TargetDetails::Storage(storage) => {
                    hosts.insert(host(EndpointGroup::Blob)?);
                    if storage.hierarchical_namespace {
                        hosts.insert(host(EndpointGroup::Dfs)?);
                    }
                }
                TargetDetails::ContainerRegistry(registry) => {
                    let login = host(EndpointGroup::ContainerRegistry)?;
                    let (name, suffix) = login.split_once('.')?;
                    if !registry.replicas_in_passing.is_empty() {
                        return None;
                    }
                    let replicas = registry.replicas.seen().filter(|r| !r.is_empty())?;
                    hosts.extend(replicas.iter().map(|r| format!("{name}.{r}.data.{suffix}")));
                    hosts.extend(registry.data_endpoints.iter().map(ToString::to_string));
                    hosts.insert(login);
                }
            }
        }
    }
    Some(hosts)
}

fn unproven(
    desired: &Desired,
    spec: &Spec,
    seen: &Seen,
    round: &Round,
    places: &BTreeMap<String, Names>,
) -> Vec<String> {
    let Some(hosts) = hosts(spec, seen) else {
        return vec!["the hosts that clients ask for are not known".into()];
    };
    let mut missing = Vec::new();
    for network in &spec.client_networks {
        let Some(names) = places.get(&network.endpoint).filter(|n| !n.is_empty()) else {
            missing.push(format!("{} has no endpoints", network.name));
            continue;
        };
        missing.extend(
            hosts
                .iter()
                .filter(|h| !names.contains_key(*h))
                .map(|h| format!("{h} is carried by no endpoint for {}", network.name)),
        );
        missing.extend(
            names
                .iter()
                .filter_map(|(name, addresses)| unproven_path((desired, spec), seen, round, network, name, addresses)),
        );
    }
    missing
}

fn unproven_path(
    (desired, spec): (&Desired, &Spec),
    seen: &Seen,
    round: &Round,
    network: &ClientNetwork,
    name: &str,
    addresses: &BTreeSet<String>,
) -> Option<String> {
    let no = |why: &str| Some(format!("{} → {name}: {why}", network.name));
    let Some(point) = seen
        .cluster
        .vantage_points
        .get(&network.vantage_point)
        .and_then(Fact::seen)
    else {
        return no("no vantage point");
    };
    let there = match &network.place {
        NetworkPlace::VirtualNetwork(id) => {
            point.network == VantageNetwork::VirtualNetwork && point.virtual_network.as_ref() == Some(id)
        }
        NetworkPlace::OnPremises(_) => point.network == VantageNetwork::OnPremises,
    };
    if !there || point.alive != Fact::Seen(true) {
        return no("its vantage point stands elsewhere or is silent");
    }
    let Some(probe) = seen.cluster.probes.get(&network.vantage_point).and_then(Fact::seen) else {
        return no("no probe");
    };
    let asks = probe.namespace == point.namespace
        && probe.spec.vantage_point_uid == point.uid
        && probe.spec.vantage_point_generation == point.generation
        && probe.spec.service_account_name == point.service_account
        && probe.spec.secure_registry.uid == desired.object.uid
        && dns_servers(seen, network).is_some_and(|servers| servers == probe.spec.dns_servers)
        && probe.spec.round == round.number
        && probe.spec.subject == round.subject.as_str()
        && probe
            .spec
            .paths
            .iter()
            .any(|p| p.fqdn == name && p.addresses.iter().cloned().collect::<BTreeSet<_>>() == *addresses);
    if !asks {
        return no("its probe asks something else");
    }
    let needed = i32::try_from(spec.verification.consecutive_successes).unwrap_or(i32::MAX);
    let proven = probe.status.as_ref().is_some_and(|s| {
        let echoes = s.observed_generation == Some(probe.generation)
            && s.round == round.number
            && s.subject == round.subject.as_str();
        let about: Vec<_> = s.results.iter().filter(|r| r.fqdn == name).collect();
        let passes = |r: &PathResult| {
            let answered: BTreeSet<String> = r.addresses.iter().cloned().collect();
            r.outcome == ProbeOutcome::Succeeded
                && r.successes >= needed
                && answered == *addresses
                && r.silent_dns_servers.is_empty()
        };
        echoes && matches!(about.as_slice(), [only] if passes(only))
    });
    if proven { None } else { no("not proven in this round") }
}

/// The DNS servers that a network is configured with, each once.
fn dns_servers(seen: &Seen, network: &ClientNetwork) -> Option<Vec<String>> {
    let all: Vec<IpAddr> = match &network.place {
        NetworkPlace::OnPremises(_) => network.dns_servers.clone(),
        NetworkPlace::VirtualNetwork(id) => {
            let texts = &seen.azure.virtual_networks.get(id)?.seen()?.dns_servers;
            texts.iter().map(|t| t.trim().parse().ok()).collect::<Option<_>>()?
        }
    };
    let mut once = BTreeSet::new();
    let first = all.iter().filter(|server| once.insert(**server));
    Some(first.map(ToString::to_string).collect())
}
