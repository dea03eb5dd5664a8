//! What must be proven: every client network reaches every name of the endpoints of its place. Names are what Azure reports;
//! an empty set proves nothing, so where a kind of name is missing the paths are not known and nothing is locked.
//!
//! | kind | must be among the names of the place's endpoints |
//! | --- | --- |
//! | registry | every host that discovery returns, unless the spec waives it by name with a reason |
//! | storage | the account's blob host; its dfs host where the namespace is hierarchical |
//! | container registry | the login server, a data endpoint for each replica that is made, every data endpoint reported |

use std::collections::BTreeMap;

use sreg_api::probe::ProbePath;
use sreg_domain::desired::EndpointPlace;
use sreg_domain::outside::word;
use sreg_domain::preimage::{DigestKind, DigestLine, Preimage};
use sreg_domain::{ArmId, Digest, EndpointGroup, Fact, Fqdn};

use crate::contribution::Contribution;
use crate::endpoints::{WantedEndpoint, WantedEndpoints, members};
use crate::plan::{FindingReason, Wait, WaitReason};
use crate::view::{WholeView, not_known};

mod container_registry;

/// Paths of one probe are limited by the API.
const MOST_PATHS: usize = 128;

/// One path that must be proven.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Required {
    pub(crate) network: String,
    pub(crate) vantage_point: String,
    pub(crate) endpoint: ArmId,
    pub(crate) path: ProbePath,
}

/// All paths that must be proven.
pub(crate) struct Paths {
    pub(crate) all: Vec<Required>,
    /// Why these are not all of them.
    pub(crate) gaps: Vec<Wait>,
    /// Digest of endpoint ids, addresses and names; `None` while any of them is not known.
    pub(crate) subject: Option<Digest>,
}

/// Works out what must be proven.
pub(crate) fn required(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Paths {
    let subject = subject(view, wanted);
    let mut all = Vec::new();
    for network in &view.spec.client_networks {
        let mut by_name: BTreeMap<String, Required> = BTreeMap::new();
        for w in wanted.all.iter().filter(|w| w.place.name == network.endpoint) {
            for path in paths_of(view, w) {
                let required = Required {
                    network: network.name.clone(),
                    vantage_point: network.vantage_point.clone(),
                    endpoint: w.id.clone(),
                    path,
                };
                by_name.entry(required.path.fqdn.clone()).or_insert(required);
            }
        }
        all.extend(by_name.into_values());
    }
    Paths {
        gaps: gaps(view, wanted, &all),
        all,
        subject,
    }
}

fn paths_of(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> Vec<ProbePath> {
    let mut by_name: BTreeMap<&Fqdn, ProbePath> = BTreeMap::new();
    for member in members(view, w).into_iter().flatten() {
        for fqdn in &member.fqdns {
            let path = by_name.entry(fqdn).or_insert_with(|| ProbePath {
                fqdn: fqdn.to_string(),
                service: w.group.service(&member.member),
                addresses: Vec::new(),
                private_link_name: w
                    .group
                    .demands_cname()
                    .then(|| view.desired.cloud.private_link_name(w.group, fqdn))
                    .flatten(),
            });
            path.addresses.push(member.address.to_string());
        }
    }
    by_name
        .into_values()
        .map(|mut path| {
            path.addresses.sort();
            path.addresses.dedup();
            path
        })
        .collect()
}

fn subject(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Option<Digest> {
    if !wanted.complete || wanted.all.is_empty() {
        return None;
    }
    // A region that comes is proven anew, on what discovery returns by then: names need not hold it.
    let regions = view.registry().into_iter().flat_map(|r| &r.regions);
    let mut preimage = Preimage::of(DigestKind::Subject);
    preimage.extend(regions.map(|r| DigestLine::Region(&r.location)));
    for w in &wanted.all {
        for member in members(view, w)? {
            let names: Vec<String> = member.fqdns.iter().map(ToString::to_string).collect();
            preimage.add(DigestLine::Member(&w.id, member.address, &names));
        }
    }
    Some(preimage.digest())
}

fn gaps(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, all: &[Required]) -> Vec<Wait> {
    let mut gaps = Vec::new();
    let mut unknown = |message: String| {
        let wait = Wait::new(WaitReason::PathsUnknown, message);
        if !gaps.contains(&wait) {
            gaps.push(wait);
        }
    };
    if !wanted.complete {
        unknown("which endpoints are needed is not known yet".into());
    }
    for w in &wanted.all {
        if members(view, w).is_none() {
            unknown(format!("the names of private endpoint {} are not known yet", w.label()));
        }
    }
    for network in &view.spec.client_networks {
        let here = all.iter().filter(|r| r.network == network.name).count();
        if here > MOST_PATHS {
            unknown(format!(
                "{here} paths from {} are more than the {MOST_PATHS} that one probe can hold",
                network.name
            ));
        }
    }
    if !gaps.is_empty() {
        return gaps;
    }
    for place in &view.spec.endpoints {
        if view.spec.client_networks.iter().any(|n| n.endpoint == place.name) {
            gaps.extend(uncovered(view, wanted, place));
        }
    }
    gaps
}

/// Names that Azure reports and that no endpoint of the place carries.
fn uncovered(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, place: &EndpointPlace) -> Vec<Wait> {
    let names = |group: EndpointGroup, target: &ArmId| -> Vec<Fqdn> {
        let of_target = wanted
            .all
            .iter()
            .filter(|w| w.place.name == place.name && w.group == group && w.target == target);
        of_target
            .filter_map(|w| members(view, w))
            .flatten()
            .flat_map(|m| m.fqdns.iter().cloned())
            .collect()
    };
    let mut gaps = Vec::new();
    registry_names(
        view,
        place,
        &names(EndpointGroup::AmlRegistry, &view.desired.registry),
        &mut gaps,
    );
    for id in view.targets.ids() {
        let Fact::Seen(target) = view.target(id) else { continue };
        for group in EndpointGroup::all().filter(|group| target.has_group(*group)) {
            let names = names(group, id);
            covered(view, (id, group), target.names.get(&group), &names, place, &mut gaps);
            if let Some(registry) = target.container_registry() {
                container_registry::data_endpoints(view, id, registry, &names, place, &mut gaps);
            }
        }
    }
    gaps
}

fn covered(
    view: &WholeView<'_>,
    (id, group): (&ArmId, EndpointGroup),
    host: Option<&Fqdn>,
    names: &[Fqdn],
    place: &EndpointPlace,
    gaps: &mut Vec<Wait>,
) {
    match host {
        None => gaps.push(Wait::new(
            WaitReason::PathsUnknown,
            format!("Azure does not report the {} of {}", group.name_noun(), id.name()),
        )),
        Some(host) if names.contains(host) => {}
        Some(host) => gaps.push(not_covered(view, host.as_str(), place)),
    }
}

fn not_covered(view: &WholeView<'_>, host: &str, place: &EndpointPlace) -> Wait {
    Wait::new(
        WaitReason::HostNotCovered,
        format!(
            "{host} is not among the names of the private endpoints of entry {}: clients that use it would be cut off; {}",
            place.name,
            made_anew(view, place)
        ),
    )
}

/// What brings a name into an endpoint that Azure added after it was made. While anything is closed, whoever deleted the endpoint for
/// that would cut off everybody who uses its other names.
fn made_anew(view: &WholeView<'_>, place: &EndpointPlace) -> String {
    let group = &place.resource_group;
    let list = format!(
        "az network private-endpoint list --resource-group {} --subscription {} --output table",
        word(group.name()),
        word(group.subscription())
    );
    if view.all_open() {
        format!(
            "if Azure added the name after the endpoint was made, delete the endpoint ({list}), and it is made again with it"
        )
    } else {
        format!(
            "if Azure added the name after the endpoint was made, the endpoint has to be made again, and its clients would be cut off meanwhile: open first (spec.publicAccess.desired: Enabled; {list})"
        )
    }
}

/// Names of the registry follow no pattern that anybody may rely on (U5): what discovery returns is what clients ask for.
fn discovered_and_not_covered(view: &WholeView<'_>, host: &Fqdn, place: &EndpointPlace) -> Wait {
    Wait::new(
        WaitReason::HostNotCovered,
        format!(
            "discovery sends clients to {host}, which no private endpoint of entry {} carries: they would be cut off. List the host under spec.unprovenHosts with the reason why no client needs it; or, {}",
            place.name,
            made_anew(view, place)
        ),
    )
}

/// Tells which hosts nobody proves because the spec waives them, and which waivers are about nothing.
pub(crate) fn tell_waived(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Contribution {
    let mut draft = Contribution::default();
    let Fact::Seen(discovered) = &view.seen.azure.discovery else {
        return draft;
    };
    let carried = |host: &Fqdn| {
        let members = wanted.all.iter().filter_map(|w| members(view, w)).flatten();
        members.flat_map(|m| &m.fqdns).any(|name| name == host)
    };
    for (host, reason) in &view.spec.waived_hosts {
        let message = if !discovered.contains(host) {
            format!("spec.unprovenHosts lists {host}, which discovery does not return: remove it")
        } else if carried(host) {
            format!(
                "spec.unprovenHosts lists {host}, which a private endpoint carries: it is proven all the same where it is carried"
            )
        } else {
            format!("{host} closes with the registry and is proven from nowhere: waived because {reason}")
        };
        draft.find(FindingReason::HostWaived, message);
    }
    draft
}

fn registry_names(view: &WholeView<'_>, place: &EndpointPlace, names: &[Fqdn], gaps: &mut Vec<Wait>) {
    let name = view.desired.registry.name();
    match &view.seen.azure.discovery {
        Fact::Seen(hosts) if !hosts.is_empty() => {
            gaps.extend(
                hosts
                    .iter()
                    .filter(|h| !names.contains(h) && !view.spec.waived_hosts.contains_key(*h))
                    .map(|h| discovered_and_not_covered(view, h, place)),
            );
        }
        Fact::Seen(_) | Fact::Absent => {
            gaps.push(Wait::new(
                WaitReason::PathsUnknown,
                format!("discovery of registry {name} returned no hosts"),
            ));
        }
        unknown => gaps.push(unread(&format!("discovery of registry {name}"), unknown)),
    }
}

/// Time may tell; missing rights only a person can grant.
fn unread<T>(what: &str, fact: &Fact<T>) -> Wait {
    let wait = not_known(what, fact);
    if wait.reason.is_stalled() {
        wait
    } else {
        Wait::new(WaitReason::PathsUnknown, wait.message)
    }
}
