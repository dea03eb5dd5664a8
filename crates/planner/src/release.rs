//! Endpoints of ours that the spec no longer wants.
//!
//! | public access | then |
//! | --- | --- |
//! | everything open | zone group removed, then the endpoint |
//! | anything closed or not known | released: left in place, reported; deleting would cut its clients off |

use std::collections::BTreeSet;

use sreg_api::names::ZONE_GROUP;
use sreg_domain::seen::EndpointSeen;
use sreg_domain::{Action, ArmId, AzureAction, Fact};

use crate::draft::{Draft, azure_step};
use crate::endpoints::WantedEndpoints;
use crate::facts::{View, may_pass, not_known};
use crate::plan::{FindingReason, Step, Wait, WaitReason};
use crate::teardown;

/// Endpoints that carry our mark.
pub(crate) fn ours<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a ArmId, &'a EndpointSeen)> {
    let marked = |endpoint: &&EndpointSeen| endpoint.owner.as_deref() == Some(view.desired.owner.as_str());
    view.seen
        .azure
        .endpoints
        .iter()
        .filter_map(move |(id, fact)| Some((id, fact.seen().filter(marked)?)))
}

/// Plans what becomes of endpoints that nobody wants.
pub(crate) fn plan(view: &View<'_>, wanted: &WantedEndpoints<'_>, draft: &mut Draft) {
    if !wanted.complete {
        return;
    }
    let left = ours(view).filter(|(id, _)| !wanted.all.iter().any(|w| w.id == **id));
    for (id, endpoint) in left {
        if !view.all_open() {
            draft.find(
                FindingReason::EndpointReleased,
                format!("private endpoint {id} is no longer wanted; it is left in place because public access is not open and clients may use it"),
            );
            continue;
        }
        let step = next_removal(view, id, endpoint, draft);
        draft.azure.extend(step);
    }
}

/// Of removals only the first in each network goes on: Azure changes one endpoint there at a time and refuses the others until it
/// is done (azure.md §3.4). One that cannot be read just now may be the one that it changes, wherever it stands; for that a deletion
/// waits no longer than [`teardown::PATIENCE`], then Azure may refuse.
pub(crate) fn one_at_a_time(view: &View<'_>, draft: &mut Draft) {
    let endpoint = |id: &ArmId| view.seen.azure.endpoints.get(id).and_then(Fact::seen);
    let network = |id: &ArmId| endpoint(id).and_then(|e| e.subnet.as_ref()).and_then(ArmId::parent);
    let leaving = ours(view).filter(|(id, endpoint)| is_leaving(view, id, endpoint));
    let mut busy: BTreeSet<ArmId> = leaving.filter_map(|(id, _)| network(id)).collect();
    let mut endpoints = view.seen.azure.endpoints.iter();
    let hidden = endpoints
        .find(|(_, fact)| is_hidden(fact))
        .filter(|_| !teardown::lasts(view, teardown::PATIENCE));
    for step in std::mem::take(&mut draft.azure) {
        let removed = match &step.action {
            Action::Azure(action) => action.removed_endpoint(),
            Action::Cluster(_) => None,
        };
        let Some(network) = removed.as_ref().and_then(network) else {
            draft.azure.push(step);
            continue;
        };
        if let Some((hidden, fact)) = hidden {
            let what = not_known(&format!("private endpoint {}", hidden.name()), fact).message;
            let wait = Wait {
                reason: WaitReason::ResourceBusy,
                message: format!(
                    "to {} waits, because Azure may be changing another one: {what}",
                    step.action
                ),
            };
            // No lock waits for the removal of what nobody wants.
            let waits = if view.seen.object.deleting {
                &mut draft.waits
            } else {
                &mut draft.aside
            };
            waits.push(wait);
        } else if busy.insert(network.clone()) {
            draft.azure.push(step);
        } else {
            draft.waiting(
                WaitReason::ResourceBusy,
                format!(
                    "to {} waits until Azure has removed another one in {}",
                    step.action,
                    network.name()
                ),
            );
        }
    }
}

/// It, or its zone group, cannot be read just now.
fn is_hidden(fact: &Fact<EndpointSeen>) -> bool {
    let groups = fact.seen().and_then(|endpoint| endpoint.zone_groups.ignorance());
    fact.ignorance().or(groups).is_some_and(may_pass)
}

/// Azure is removing it, or its zone group.
fn is_leaving(view: &View<'_>, id: &ArmId, endpoint: &EndpointSeen) -> bool {
    let group = endpoint.id.child("privateDnsZoneGroups", ZONE_GROUP);
    let deleting = endpoint.provisioning_state.eq_ignore_ascii_case("Deleting");
    deleting || view.running(id).is_some() || view.running(&group).is_some()
}

/// The next write on the way to an endpoint's end: its zone group first, so that no record points nowhere.
pub(crate) fn next_removal(view: &View<'_>, id: &ArmId, endpoint: &EndpointSeen, draft: &mut Draft) -> Option<Step> {
    let group = endpoint.id.child("privateDnsZoneGroups", ZONE_GROUP);
    if is_leaving(view, id, endpoint) {
        draft.waiting(
            WaitReason::OperationInProgress,
            format!("Azure is still removing private endpoint {}", id.name()),
        );
        return None;
    }
    let touches = || {
        vec![format!(
            "names of {} stop answering privately wherever only this endpoint serves them",
            endpoint.target.as_ref().map_or("its target", ArmId::name)
        )]
    };
    match &endpoint.zone_groups {
        unknown @ Fact::Unknown(_) => {
            draft.wait(not_known(
                &format!("zone groups of private endpoint {}", id.name()),
                unknown,
            ));
            None
        }
        Fact::Seen(groups) if groups.iter().any(|g| g.id == group) => Some(Step {
            touches: touches(),
            ..azure_step(
                format!("delete-zone-group {}", id.name()),
                AzureAction::DeleteZoneGroup { id: group },
            )
        }),
        Fact::Seen(_) | Fact::Absent => Some(Step {
            touches: touches(),
            ..azure_step(
                format!("delete-endpoint {}", id.name()),
                AzureAction::DeleteEndpoint {
                    id: endpoint.id.clone(),
                    owner: view.desired.owner.clone(),
                },
            )
        }),
    }
}
