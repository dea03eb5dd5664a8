//! Whom name-changing writes touch: sentences computed from what is linked where, and the digest that an approval names. The
//! digest covers all that the object ever changes, not what is left of it, so it survives executed steps.

use std::collections::BTreeSet;

use sreg_api::registry::ResolutionPolicy;
use sreg_domain::{ArmId, Digest, EndpointGroup, Fact};

use crate::endpoints::{Wanted, WantedEndpoints};
use crate::facts::View;

/// Networks that ask a zone: those linked now and those that we link.
fn askers(view: &View<'_>, zone: &ArmId, links: &[ArmId]) -> BTreeSet<ArmId> {
    let mut all: BTreeSet<ArmId> = links.iter().cloned().collect();
    if let Some(Fact::Seen(zone)) = view.seen.azure.zones.get(zone)
        && let Fact::Seen(linked) = &zone.links
    {
        all.extend(linked.iter().map(|l| l.virtual_network.clone()));
    }
    all
}

fn listed<'a>(networks: impl IntoIterator<Item = &'a ArmId>) -> String {
    networks.into_iter().map(ArmId::name).collect::<Vec<_>>().join(", ")
}

/// The public names of a wanted endpoint's target, as far as they are known before it exists.
fn public_names(view: &View<'_>, wanted: &Wanted<'_>) -> Vec<String> {
    let azure = &view.seen.azure;
    match wanted.group {
        EndpointGroup::AmlRegistry => azure
            .discovery
            .seen()
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect(),
        EndpointGroup::Blob => azure
            .storage
            .get(wanted.target)
            .and_then(Fact::seen)
            .and_then(|s| s.blob_host.as_ref())
            .map(ToString::to_string)
            .into_iter()
            .collect(),
        EndpointGroup::Dfs => azure
            .storage
            .get(wanted.target)
            .and_then(Fact::seen)
            .and_then(|s| s.dfs_host.as_ref())
            .map(ToString::to_string)
            .into_iter()
            .collect(),
        EndpointGroup::ContainerRegistry => {
            let registry = azure.container_registries.get(wanted.target).and_then(Fact::seen);
            registry
                .and_then(|r| r.login_server.as_ref())
                .map(ToString::to_string)
                .into_iter()
                .collect()
        }
    }
}

/// The first endpoint on a target turns its public names into CNAMEs to `privatelink.` (azure.md §3.2).
pub(crate) fn touched_by_endpoint(view: &View<'_>, wanted: &Wanted<'_>) -> Vec<String> {
    let names = public_names(view, wanted);
    let names = if names.is_empty() {
        format!("the names of {}", wanted.target.name())
    } else {
        names.join(", ")
    };
    let zone = view.desired.cloud.zone(wanted.group);
    let mut touches = Vec::new();
    let known: BTreeSet<ArmId> = view
        .desired
        .endpoints
        .iter()
        .filter_map(|p| p.dns.zones.get(&wanted.group))
        .flat_map(|z| askers(view, z, &[]))
        .collect();
    let elsewhere = view
        .seen
        .azure
        .zones_elsewhere
        .seen()
        .into_iter()
        .flatten()
        .filter(|z| z.id.name().eq_ignore_ascii_case(&zone));
    let holders: BTreeSet<ArmId> = known
        .into_iter()
        .chain(
            elsewhere
                .filter_map(|z| z.links.seen())
                .flatten()
                .map(|l| l.virtual_network.clone()),
        )
        .collect();
    if !holders.is_empty() {
        touches.push(format!(
            "networks that hold a zone {zone} ({}) get no answer for {names} until its record is written there",
            listed(&holders)
        ));
    }
    if wanted.group == EndpointGroup::ContainerRegistry {
        touches.push(format!(
            "layer pulls of {} move to its dedicated data endpoints: clients behind a firewall need <name>.<region>.data.{} allowed",
            wanted.target.name(),
            view.desired.cloud.suffix(wanted.group)
        ));
    }
    touches
}

/// Records appear (or vanish) for every network that asks the zone.
pub(crate) fn touched_by_zone_group(view: &View<'_>, wanted: &Wanted<'_>, zone: &ArmId) -> Vec<String> {
    let askers = askers(view, zone, &wanted.place.dns.links);
    if askers.is_empty() {
        Vec::new()
    } else {
        vec![format!(
            "records of {} change in {} for {}",
            wanted.target.name(),
            zone.name(),
            listed(&askers)
        )]
    }
}

/// A linked network asks the zone for every name below it.
pub(crate) fn touched_by_link(zone: &ArmId, network: &ArmId, policy: ResolutionPolicy) -> Vec<String> {
    let others = match policy {
        ResolutionPolicy::Default => "names below it that have no record there stop resolving",
        ResolutionPolicy::NxDomainRedirect => "names below it that have no record there are still asked publicly",
    };
    vec![format!(
        "{} asks {} from then on: {others}",
        network.name(),
        zone.name()
    )]
}

/// What an approval of kind `NameChanges` covers; `None` while what is wanted is not fully known.
pub(crate) fn digest(view: &View<'_>, wanted: &WantedEndpoints<'_>) -> Option<Digest> {
    if !wanted.complete {
        return None;
    }
    let mut parts: Vec<String> = vec![view.desired.registry.key().to_owned()];
    for w in &wanted.all {
        parts.push(format!(
            "endpoint {} {} {}",
            w.id.key(),
            w.target.key(),
            w.place.subnet.key()
        ));
        if let Some(zone) = w.place.dns.zones.get(&w.group) {
            let askers = askers(view, zone, &w.place.dns.links);
            let askers: Vec<&str> = askers.iter().map(ArmId::key).collect();
            parts.push(format!("records {} {} {}", w.id.key(), zone.key(), askers.join(" ")));
            parts.extend(
                w.place
                    .dns
                    .links
                    .iter()
                    .map(|n| format!("link {} {} {:?}", zone.key(), n.key(), w.place.dns.resolution_policy)),
            );
        }
    }
    parts.sort();
    parts.dedup();
    Some(Digest::of_parts(parts.iter().map(String::as_str)))
}
