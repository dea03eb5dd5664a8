//! Tags of what we made: our owner tag is put back where somebody removed it, and the tags of the spec are kept. All of it is
//! upkeep: nothing waits for it, and no resource is touched whose name is not the one for where it stands and what it leads to.
//!
//! | private endpoint, or link | then |
//! | --- | --- |
//! | ours | missing tags of the spec are merged |
//! | ours, tag lost, wanted | our tag is merged as well, and that is said |
//! | ours, tag lost, no longer wanted | left in place, with the command that makes it ours again |
//! | our tag on something else | left alone, with the command that takes the tag off |
//!
//! A zone has one name for everybody, so only its tag says who made it: one without our tag gets none.

use std::collections::BTreeMap;

use sreg_api::names::OWNER_TAG;
use sreg_domain::desired::EndpointPlace;
use sreg_domain::naming::{self, Belonging};
use sreg_domain::outside::word;
use sreg_domain::seen::{EndpointSeen, ZoneSeen};
use sreg_domain::{ArmId, AzureAction, Fact, StepKind};

use crate::attempts;
use crate::contribution::{Contribution, azure_step};
use crate::endpoints::WantedEndpoints;
use crate::plan::FindingReason;
use crate::view::{View, WholeView};

/// Plans the tags of everything that we made.
pub(crate) fn plan(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Contribution {
    let mut draft = Contribution::default();
    for w in &wanted.all {
        let endpoint = view.seen.azure.endpoints.get(&w.id).and_then(Fact::seen);
        if let Some(endpoint) = endpoint {
            let belonging = Belonging::of_endpoint(&view.desired.owner, endpoint);
            one(
                view,
                &w.label(),
                (&w.id, &endpoint.tags),
                &w.place.tags,
                belonging,
                &mut draft,
            );
        }
    }
    for place in &view.spec.endpoints {
        for zone in place
            .dns
            .zones
            .values()
            .filter_map(|id| view.seen.azure.zones.get(id)?.seen())
        {
            zone_and_links(view, place, zone, &mut draft);
        }
    }
    if wanted.complete {
        besides(view, wanted, &mut draft);
    }
    draft
}

fn zone_and_links(view: &WholeView<'_>, place: &EndpointPlace, zone: &ZoneSeen, draft: &mut Contribution) {
    let tags = in_dns(place);
    if zone.owner.as_deref() == Some(view.desired.owner.as_str()) {
        let label = format!("{} {}", place.name, zone.id.name());
        one(view, &label, (&zone.id, &zone.tags), &tags, Belonging::Ours, draft);
    }
    let links = zone.links.seen().into_iter().flatten();
    for link in links.filter(|link| place.dns.links.contains(&link.virtual_network)) {
        let belonging = Belonging::of_link(&view.desired.owner, link);
        let label = format!("{} {} {}", place.name, zone.id.name(), link.virtual_network.name());
        one(view, &label, (&link.id, &link.tags), &tags, belonging, draft);
    }
}

/// Tags of a place that Azure DNS takes: no spaces or parentheses in a name, no digit first, ASCII only.
pub(crate) fn in_dns(place: &EndpointPlace) -> BTreeMap<String, String> {
    let taken = |name: &str| {
        name.is_ascii() && !name.contains([' ', '(', ')']) && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let tags = place.tags.iter().filter(|(name, _)| taken(name));
    tags.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn one(
    view: &WholeView<'_>,
    label: &str,
    (id, there): (&ArmId, &BTreeMap<String, String>),
    wanted: &BTreeMap<String, String>,
    belonging: Belonging,
    draft: &mut Contribution,
) {
    if !belonging.is_ours() || view.running(id).is_some() {
        return;
    }
    let owner = &view.desired.owner;
    let step = StepKind::Tag.on(label);
    let mut tags = naming::tags_to_set(wanted, there);
    if belonging == Belonging::TagLost {
        tags.insert(OWNER_TAG.to_owned(), owner.clone());
        let again = if attempts::is_stalled(view, &step) {
            "but it cannot be tagged again (UpkeepFailing says why), and without the tag it is not removed; by hand: "
        } else {
            "and is tagged again: "
        };
        draft.find(
            FindingReason::TagLost,
            format!(
                "{id} has lost its tag {OWNER_TAG}; it is known by its name and by what it leads to, {again}{}",
                merge_command(id, owner)
            ),
        );
    }
    if tags.is_empty() {
        return;
    }
    draft.upkeep.push(azure_step(
        step,
        AzureAction::MergeTags {
            id: id.clone(),
            tags,
            owner: owner.clone(),
        },
    ));
}

/// Endpoints that nobody wants, and of which the tag or the name alone speaks for us.
fn besides(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, draft: &mut Contribution) {
    let seen = view.seen.azure.endpoints.iter();
    for (id, endpoint) in seen.filter_map(|(id, fact)| Some((id, fact.seen()?))) {
        let is_wanted = wanted.all.iter().any(|w| w.id == *id);
        let owner = view.desired.owner.as_str();
        match Belonging::of_endpoint(owner, endpoint) {
            Belonging::OnlyTagged => draft.find(
                FindingReason::OnlyTagged,
                format!("private endpoint {id} carries our tag {OWNER_TAG} and is not one that we made: its name is not the one for its target, subnet and group; it is left alone. Take the tag off: az tag update --resource-id {} --operation Delete --tags {}", word(id), word(&format!("{OWNER_TAG}={owner}"))),
            ),
            Belonging::TagLost if !is_wanted && leads_to_ours(view, endpoint) => draft.find(
                FindingReason::TagLost,
                format!("private endpoint {id} has a name of ours, is no longer wanted and has lost its tag {OWNER_TAG}: it is left in place. To have it removed, tag it again: {}", merge_command(id, owner)),
            ),
            Belonging::Ours if !leads_to_ours(view, endpoint) => draft.find(
                FindingReason::OnlyTagged,
                format!("private endpoint {id} carries our tag {OWNER_TAG} and leads to none of this registry's resources: an operator made it for another registry; it is left alone. Take the tag off, or put back whose it is: az tag update --resource-id {} --operation Delete --tags {}", word(id), word(&format!("{OWNER_TAG}={owner}"))),
            ),
            Belonging::TagLost | Belonging::Ours | Belonging::Theirs => {}
        }
    }
}

/// Whether an endpoint leads to the registry or to what stands behind it, now or when that was last known. Its name and its tag do not say
/// so: an endpoint of any object, in any cluster, has a name of ours, and whoever may write tags can give it our mark.
pub(crate) fn leads_to_ours(view: &View<'_>, endpoint: &EndpointSeen) -> bool {
    let azure = &view.seen.azure;
    let reported = view.last().endpoints.iter().any(|known| known.id == endpoint.id);
    let snapshot = view.seen.cluster.snapshot.seen();
    let before = |target: &ArmId| {
        let mut targets = snapshot.into_iter().flat_map(|snapshot| snapshot.targets.keys());
        targets.any(|id| id.eq_ignore_ascii_case(target.key()))
    };
    reported
        || endpoint.target.as_ref().is_some_and(|target| {
            *target == view.desired.registry
                || azure.targets.contains(target)
                || azure.accounts_left.contains_key(target)
                || before(target)
        })
}

/// What somebody types to put our tag on a resource and keep all others.
pub(crate) fn merge_command(id: &ArmId, owner: &str) -> String {
    format!(
        "az tag update --resource-id {} --operation Merge --tags {}",
        word(id),
        word(&format!("{OWNER_TAG}={owner}"))
    )
}
