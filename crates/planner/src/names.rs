//! Whom name-changing writes touch, computed from what is linked where: sentences for the plan, and what an approval covers.
//!
//! | change | an approval covers | it survives |
//! | --- | --- | --- |
//! | building | all endpoints, records and links that the spec wants; the names they touch; everybody who asks | executed steps |
//! | releasing one endpoint | that endpoint, its names, everybody who asks | executed steps, and what is built meanwhile |
//!
//! Where a name or a network that may be touched is not known, nothing can be approved yet.

use std::collections::BTreeSet;

use sreg_api::registry::ResolutionPolicy;
use sreg_domain::preimage::{DigestKind, DigestLine, Preimage};
use sreg_domain::seen::{LockSeen, ZoneSeen};
use sreg_domain::{Action, ArmId, Digest, EndpointGroup, Fact, Fqdn, TargetKind};

use crate::askers::{self, Askers};
use crate::endpoints::{WantedEndpoint, WantedEndpoints};
use crate::plan::{Wait, WaitReason};
use crate::view::{View, WholeView, not_known};

/// Who asks a zone: those linked now, those that we link, and whoever resolves through them. `None`: not fully known.
fn asking(view: &WholeView<'_>, zone: &ArmId, links: &[ArmId]) -> Option<Askers> {
    let mut all: BTreeSet<ArmId> = links.iter().cloned().collect();
    if let Some(Fact::Seen(zone)) = view.seen.azure.zones.get(zone)
        && let Fact::Seen(linked) = &zone.links
    {
        all.extend(linked.iter().map(|l| l.virtual_network.clone()));
    }
    askers::of(view, all).ok()
}

/// The public names of a target, as far as they are known before it has an endpoint. `None`: they are not.
pub(crate) fn of_target<'v>(view: &'v View<'_>, group: EndpointGroup, target: &ArmId) -> Option<Vec<&'v Fqdn>> {
    if group.target() == TargetKind::Registry {
        return Some(view.seen.azure.discovery.seen()?.iter().collect());
    }
    Some(vec![view.target(target).seen()?.names.get(&group)?])
}

/// The same as text.
fn public_names(view: &WholeView<'_>, group: EndpointGroup, target: &ArmId) -> Option<Vec<String>> {
    let names = of_target(view, group, target)?;
    let mut names: Vec<String> = names.into_iter().map(ToString::to_string).collect();
    names.sort();
    Some(names).filter(|names| !names.is_empty())
}

/// Names of the records that an endpoint on a target has in its zone, as far as they are known before it is there. `None`: they are not,
/// or not all.
pub(crate) fn records_of_target(view: &View<'_>, group: EndpointGroup, target: &ArmId) -> Option<Vec<String>> {
    let names = of_target(view, group, target)?.into_iter();
    let records: Option<Vec<String>> = names.map(|fqdn| view.desired.cloud.record_name(group, fqdn)).collect();
    records.filter(|records| !records.is_empty())
}

/// Whether a lock reaches one of these records of a zone, or one below it: those of a container registry's data endpoints are
/// `NAME.REGION.data`. Where the names are not known, any record may be one.
pub(crate) fn lock_reaches(lock: &LockSeen, zone: &ArmId, records: Option<&Vec<String>>) -> bool {
    let Some(records) = records else {
        return lock.is_below(&format!("{zone}/A/"));
    };
    records.iter().any(|name| {
        let record = zone.child("A", name);
        lock.covers(&record) || lock.is_below(&format!("{record}."))
    })
}

/// Who asks a zone of this name, wherever it is: one that we write to, or anybody's.
fn holders(view: &WholeView<'_>, zone: &str) -> Result<Askers, Wait> {
    askers::of(view, linked(view, zone)?)
}

/// Networks that are linked to a zone of this name.
fn linked(view: &WholeView<'_>, zone: &str) -> Result<BTreeSet<ArmId>, Wait> {
    let azure = &view.seen.azure;
    let same = |id: &ArmId| id.name().eq_ignore_ascii_case(zone);
    let mut holders = BTreeSet::new();
    let mut add = |zone: &ZoneSeen| match &zone.links {
        Fact::Unknown(_) => Err(not_known(
            &format!("links of private DNS zone {}", zone.id),
            &zone.links,
        )),
        Fact::Absent => Ok(()),
        Fact::Seen(links) => {
            holders.extend(links.iter().map(|link| link.virtual_network.clone()));
            Ok(())
        }
    };
    for (id, fact) in azure.zones.iter().filter(|(id, _)| same(id)) {
        match fact {
            Fact::Unknown(_) => return Err(not_known(&format!("private DNS zone {id}"), fact)),
            Fact::Absent => {}
            Fact::Seen(zone) => add(zone)?,
        }
    }
    match &azure.zones_elsewhere {
        unknown @ Fact::Unknown(_) => return Err(not_known("other private DNS zones of these names", unknown)),
        Fact::Absent => {}
        Fact::Seen(zones) => zones.iter().filter(|zone| same(&zone.id)).try_for_each(add)?,
    }
    Ok(holders)
}

/// The first endpoint on a target turns its public names into CNAMEs to `privatelink.` (azure.md §3.2).
pub(crate) fn touched_by_endpoint(view: &WholeView<'_>, wanted: &WantedEndpoint<'_>) -> Vec<String> {
    let names = public_names(view, wanted.group, wanted.target).map_or_else(
        || format!("the names of {}", wanted.target.name()),
        |names| names.join(", "),
    );
    let zone = view.desired.cloud.zone(wanted.group);
    let mut touches = Vec::new();
    match holders(view, &zone) {
        Ok(holders) if holders.is_empty() => {}
        Ok(holders) => touches.push(format!(
            "networks that hold a zone {zone} ({}) get no answer for {names} until its record is written there",
            holders.show()
        )),
        Err(_) => touches.push(format!(
            "which networks hold a zone {zone} is not fully known: those that do get no answer for {names} until its record is written there"
        )),
    }
    if wanted.group == EndpointGroup::ContainerRegistry {
        touches.push(format!(
            "layer pulls of {} move to its dedicated data endpoints: clients behind a firewall need NAME.REGION.data.{} allowed",
            wanted.target.name(),
            view.desired.cloud.suffix(wanted.group)
        ));
    }
    touches
}

/// Records appear (or vanish) for everybody who asks the zone.
pub(crate) fn touched_by_zone_group(view: &WholeView<'_>, wanted: &WantedEndpoint<'_>, zone: &ArmId) -> Vec<String> {
    let change = format!("records of {} change in {} for", wanted.target.name(), zone.name());
    match asking(view, zone, &wanted.place.dns.links) {
        Some(askers) if askers.is_empty() => Vec::new(),
        Some(askers) => vec![format!("{change} {}", askers.show())],
        None => vec![format!("{change} whoever asks it, which is not fully known")],
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

/// What one approval of kind `NameChanges` covers.
pub(crate) struct Covered {
    /// What the approval must name.
    pub(crate) digest: Digest,
    /// One sentence for the approver.
    pub(crate) summary: String,
}

/// What approves a step: building what the spec wants, or releasing one endpoint that it no longer wants.
pub(crate) fn covered(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, action: &Action) -> Result<Covered, Wait> {
    let removed = match action {
        Action::Azure(action) => action.removed_endpoint(),
        Action::Cluster(_) => None,
    };
    match removed.filter(|id| !wanted.all.iter().any(|w| w.id == *id)) {
        Some(id) => releasing(view, &id),
        None => building(view, wanted),
    }
}

fn building(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Result<Covered, Wait> {
    if !wanted.complete {
        return Err(not_yet("which endpoints are needed"));
    }
    let mut preimage = Preimage::of(DigestKind::Building);
    preimage.add(DigestLine::Registry(&view.desired.registry));
    preimage.extend(view.desired.edition().map(DigestLine::Generation));
    let (mut all_names, mut all_askers) = (BTreeSet::new(), Askers::default());
    for w in &wanted.all {
        let names = public_names(view, w.group, w.target);
        let names = known(names, &format!("the names of {}", w.target.name()))?;
        preimage.add(DigestLine::Endpoint(&w.id, w.target, &w.place.subnet, &names));
        let mut networks = linked(view, &view.desired.cloud.zone(w.group))?;
        // Those that we link ask from the beginning, so that nothing changes when they do.
        let places = view
            .spec
            .endpoints
            .iter()
            .filter(|p| p.dns.zones.contains_key(&w.group));
        networks.extend(places.flat_map(|p| p.dns.links.iter().cloned()));
        if let Some(zone) = w.place.dns.zones.get(&w.group) {
            let policy = w.place.dns.resolution_policy;
            let links = w.place.dns.links.iter();
            preimage.extend(links.map(|network| DigestLine::Link(zone, network, policy)));
            preimage.add(DigestLine::Records(&w.id, zone));
        }
        let askers = askers::of(view, networks)?;
        preimage.add(DigestLine::AskedBy(w.group, &askers.keys()));
        all_names.extend(names);
        all_askers.extend(askers);
    }
    let endpoints = wanted.all.len();
    Ok(Covered {
        digest: preimage.digest(),
        summary: format!(
            "build {endpoints} private endpoints with their records and links; {}",
            touched(&all_names, &all_askers)
        ),
    })
}

fn releasing(view: &WholeView<'_>, id: &ArmId) -> Result<Covered, Wait> {
    let unseen = || not_yet(&format!("private endpoint {}", id.name()));
    let endpoint = view
        .seen
        .azure
        .endpoints
        .get(id)
        .and_then(Fact::seen)
        .ok_or_else(unseen)?;
    let group = endpoint.group_id.as_deref().and_then(EndpointGroup::of_group_id);
    let (Some(group), Some(target)) = (group, &endpoint.target) else {
        return Err(not_yet(&format!("what private endpoint {} leads to", id.name())));
    };
    let names = known(
        public_names(view, group, target),
        &format!("the names of {}", target.name()),
    )?;
    let askers = holders(view, &view.desired.cloud.zone(group))?;
    let mut preimage = Preimage::of(DigestKind::Removal);
    preimage.add(DigestLine::Removes(id, target));
    preimage.add(DigestLine::Names(&names));
    preimage.add(DigestLine::AskedBy(group, &askers.keys()));
    preimage.extend(view.desired.edition().map(DigestLine::Generation));
    Ok(Covered {
        digest: preimage.digest(),
        summary: format!(
            "remove private endpoint {} with its records; {}",
            id.name(),
            touched(&names.into_iter().collect(), &askers)
        ),
    })
}

fn touched(names: &BTreeSet<String>, askers: &Askers) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let askers = if askers.is_empty() {
        "nobody that is known of".to_owned()
    } else {
        askers.show()
    };
    format!(
        "touches {} for {askers}; networks that reach those by DNS forwarding rulesets are not looked for",
        names.join(", ")
    )
}

fn known(names: Option<Vec<String>>, what: &str) -> Result<Vec<String>, Wait> {
    names.ok_or_else(|| not_yet(what))
}

fn not_yet(what: &str) -> Wait {
    Wait::new(
        WaitReason::NotKnown,
        format!("{what}: not fully known yet, so that nobody could tell what to approve"),
    )
}
