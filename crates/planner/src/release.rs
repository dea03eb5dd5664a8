//! Endpoints of ours that the spec no longer wants.
//!
//! | public access | then |
//! | --- | --- |
//! | everything open, the one that takes its place is not ready | it keeps its records until then |
//! | everything open, networks would get no answer any more ([`stranding`]) | left in place, reported |
//! | everything open | zone group removed, then the endpoint, if both can go ([`removal`]) |
//! | anything closed or not known | released: left in place, reported; deleting would cut its clients off |
//!
//! That holds for one without a zone group as well: with `dns.mode: External` its records are where nobody can look.

use std::collections::BTreeSet;

use sreg_domain::naming::Belonging;
use sreg_domain::outside::word;
use sreg_domain::seen::EndpointSeen;
use sreg_domain::{Action, ArmId, Fact};

use crate::contribution::{Contribution, Held};
use crate::endpoints::WantedEndpoints;
use crate::plan::{FindingReason, Step, Wait, WaitReason};
use crate::removal::{self, Removal};
use crate::view::{View, WholeView, may_pass, not_known};
use crate::{stranding, tags, teardown};

/// Endpoints that are ours and carry our tag: name, subnet, target and group fit together as well, and they lead to this registry. Only
/// these are ever removed.
pub(crate) fn ours<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a ArmId, &'a EndpointSeen)> {
    let owner = view.desired.owner.as_str();
    let marked = move |endpoint: &&EndpointSeen| {
        Belonging::of_endpoint(owner, endpoint) == Belonging::Ours && tags::leads_to_ours(view, endpoint)
    };
    view.seen
        .azure
        .endpoints
        .iter()
        .filter_map(move |(id, fact)| Some((id, fact.seen().filter(marked)?)))
}

/// Endpoints of ours, on targets of ours, whose tag somebody removed.
pub(crate) fn without_tag<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a ArmId, &'a EndpointSeen)> {
    let owner = view.desired.owner.as_str();
    let lost =
        move |e: &&EndpointSeen| Belonging::of_endpoint(owner, e) == Belonging::TagLost && tags::leads_to_ours(view, e);
    let endpoints = view.seen.azure.endpoints.iter();
    endpoints.filter_map(move |(id, fact)| Some((id, fact.seen().filter(lost)?)))
}

/// Whether every endpoint that the spec wants for the same names is ready.
fn is_succeeded(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, endpoint: &EndpointSeen) -> bool {
    let group = endpoint.group_id.as_deref().unwrap_or_default();
    let mut same = wanted
        .all
        .iter()
        .filter(|w| Some(w.target) == endpoint.target.as_ref() && w.group.group_id().eq_ignore_ascii_case(group));
    let seen = |id: &ArmId| view.seen.azure.endpoints.get(id).and_then(Fact::seen);
    same.all(|w| seen(&w.id).is_some_and(EndpointSeen::is_ready))
}

/// Plans what becomes of endpoints that nobody wants.
pub(crate) fn plan(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Contribution {
    let mut draft = Contribution::default();
    if !wanted.complete {
        return draft;
    }
    let left = ours(view).filter(|(id, _)| !wanted.all.iter().any(|w| w.id == **id));
    for (id, endpoint) in left {
        if !view.all_open() {
            // Its successors have to be there before anybody is handed the command that deletes it.
            let by_hand = if is_succeeded(view, wanted, endpoint) {
                format!(
                    "; where nobody uses it: az network private-endpoint delete --ids {}",
                    word(id)
                )
            } else {
                ". Clients still come through it: what is to take its place is not ready".to_owned()
            };
            draft.find(
                FindingReason::EndpointReleased,
                format!("private endpoint {id} is no longer wanted; it is left in place because public access is not open and clients may use it. It goes once everything is open and no network loses an answer by it{by_hand}"),
            );
            continue;
        }
        let next = removal::next(view, id, endpoint);
        // What keeps it anyway is told first.
        if matches!(next, Removal::Next(_)) {
            if let Some(wait) = stranding::until_replaced(view, wanted, endpoint) {
                draft.aside.push(wait);
                continue;
            }
            if let Some(stranded) = stranding::strands(view, Some(wanted), endpoint) {
                let why = stranded.why(endpoint, true);
                draft.find(
                    FindingReason::EndpointReleased,
                    format!("private endpoint {id} is no longer wanted; it is left in place: {why}"),
                );
                continue;
            }
        }
        match next {
            Removal::Next(step) => draft.azure.push(*step),
            Removal::PutBack(step) => draft.put_back.push(*step),
            Removal::Wait(wait) => draft.wait(wait),
            // No lockdown waits for the removal of what nobody wants.
            Removal::Stays(wait) => draft.aside.push(wait),
        }
    }
    draft
}

/// Plans the end of an endpoint that has to be made again.
pub(crate) fn remove_to_make_again(view: &View<'_>, id: &ArmId, endpoint: &EndpointSeen) -> Contribution {
    let mut draft = Contribution::default();
    match removal::next(view, id, endpoint) {
        Removal::Next(step) => draft.azure.push(*step),
        Removal::PutBack(step) => draft.put_back.push(*step),
        Removal::Wait(wait) | Removal::Stays(wait) => draft.wait(wait),
    }
    draft
}

/// Of removals only the first in each network goes on: Azure changes one endpoint there at a time and refuses the others until it
/// is done (azure.md §3.4). One that cannot be read just now may be the one that it changes, wherever it stands; for that a deletion
/// waits no longer than [`teardown::PATIENCE`], then Azure may refuse.
pub(crate) fn one_at_a_time(view: &View<'_>, steps: Vec<Step>) -> Held {
    let mut held = Held::default();
    let endpoint = |id: &ArmId| view.seen.azure.endpoints.get(id).and_then(Fact::seen);
    let network = |id: &ArmId| endpoint(id).and_then(|e| e.subnet.as_ref()).and_then(ArmId::parent);
    let leaving = ours(view).filter(|(id, endpoint)| removal::is_leaving(view, id, endpoint));
    let mut busy: BTreeSet<ArmId> = leaving.filter_map(|(id, _)| network(id)).collect();
    let mut endpoints = view.seen.azure.endpoints.iter();
    let hidden = endpoints
        .find(|(_, fact)| is_hidden(fact))
        .filter(|_| !teardown::lasts(view, teardown::PATIENCE));
    for step in steps {
        let removed = match &step.action {
            Action::Azure(action) => action.removed_endpoint(),
            Action::Cluster(_) => None,
        };
        let Some(network) = removed.as_ref().and_then(network) else {
            held.free.push(step);
            continue;
        };
        if let Some((hidden, fact)) = hidden {
            let what = not_known(&format!("private endpoint {}", hidden.name()), fact).message;
            let wait = Wait::new(
                WaitReason::ResourceBusy,
                format!(
                    "to {} waits, because Azure may be changing another one: {what}",
                    step.action
                ),
            );
            // No lock waits for the removal of what nobody wants.
            let waits = if view.seen.object.deleting {
                &mut held.said.waits
            } else {
                &mut held.said.aside
            };
            waits.push(wait);
            held.back.push(step);
        } else if busy.insert(network.clone()) {
            held.free.push(step);
        } else {
            held.said.waiting(
                WaitReason::ResourceBusy,
                format!(
                    "to {} waits until Azure has removed another one in {}",
                    step.action,
                    network.name()
                ),
            );
            held.back.push(step);
        }
    }
    held
}

/// It, or its zone group, cannot be read just now.
fn is_hidden(fact: &Fact<EndpointSeen>) -> bool {
    let groups = fact.seen().and_then(|endpoint| endpoint.zone_groups.ignorance());
    fact.ignorance().or(groups).is_some_and(may_pass)
}
