//! Addresses that endpoints need in their subnet. Azure would leave a failed endpoint behind where there are too few.

use sreg_domain::outside::word;
use sreg_domain::seen::SubnetSeen;
use sreg_domain::{ArmId, EndpointGroup, Fact, TargetSeen};

use super::{WantedEndpoint, creation, wanted};
use crate::attempts;
use crate::plan::{Wait, WaitReason};
use crate::release;
use crate::view::WholeView;

/// Addresses that an endpoint takes: one for each of its names (azure.md §3.2).
fn addresses_of(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> usize {
    let one_at_least = |count: usize| count.max(1);
    match w.group {
        EndpointGroup::AmlRegistry => one_at_least(view.registry().map_or(1, |r| r.regions.len())),
        EndpointGroup::Blob | EndpointGroup::Dfs => 1,
        EndpointGroup::ContainerRegistry => {
            let seen = view.target(w.target).seen().and_then(TargetSeen::container_registry);
            let replicas = seen.and_then(|r| r.replicas.seen()).map_or(1, Vec::len);
            one_at_least(replicas).saturating_add(1)
        }
    }
}

/// Addresses that the endpoints of a place still need.
fn addresses_needed(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> usize {
    let missing = wanted(view).all;
    let missing = missing.iter().filter(|other| {
        other.place.subnet == w.place.subnet && view.seen.azure.endpoints.get(&other.id).is_some_and(Fact::is_absent)
    });
    missing.map(|other| addresses_of(view, other)).sum()
}

fn need(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> String {
    format!(
        "private endpoint {} takes {} addresses there, and all that are still missing there take {}: free some, give the subnet another prefix (az network vnet subnet update --ids {} --address-prefixes PREFIXES), or name another one in spec.endpoints[{}].subnetResourceId",
        w.label(),
        addresses_of(view, w),
        addresses_needed(view, w),
        word(&w.place.subnet),
        w.place.name
    )
}

/// A subnet that has no room for an endpoint: Azure would leave a failed one behind.
pub(super) fn lacks(view: &WholeView<'_>, w: &WantedEndpoint<'_>, subnet: &SubnetSeen) -> Option<Wait> {
    let free = subnet.free_addresses?;
    (free < addresses_of(view, w)).then(|| {
        Wait::new(
            WaitReason::EndpointFailedStalled,
            format!(
                "subnet {} has {free} addresses left: {}{}",
                subnet.id.name(),
                need(view, w),
                replaced_there(view, w).map(make_room).unwrap_or_default()
            ),
        )
    })
}

/// The endpoint of ours that this one replaces, where it holds addresses of the same subnet: each waits for the other.
fn replaced_there<'a>(view: &'a WholeView<'_>, w: &WantedEndpoint<'_>) -> Option<&'a ArmId> {
    let wanted = wanted(view).all;
    let mut former = release::ours(view).filter(|(id, _)| !wanted.iter().any(|w| w.id == **id));
    let former = former.find(|(_, e)| {
        let same = e.target.as_ref() == Some(w.target) && e.group_id.as_deref() == Some(w.group.group_id());
        same && e.subnet.as_ref() == Some(&w.place.subnet)
    });
    former.map(|(id, _)| id)
}

fn make_room(former: &ArmId) -> String {
    format!(
        "; private endpoint {}, which it replaces, keeps its addresses there until it is ready: where its clients can do without these names for some minutes, az network private-endpoint delete --ids {}",
        former.name(),
        word(former)
    )
}

/// What a full subnet would have to hold, where Azure says that it is full.
pub(super) fn with_need(view: &WholeView<'_>, w: &WantedEndpoint<'_>, wait: Wait) -> Wait {
    let code = attempts::code(view, &creation(w));
    if !code.is_some_and(|code| code.eq_ignore_ascii_case("SubnetIsFull")) {
        return wait;
    }
    Wait {
        message: format!("{}; {}", wait.message, need(view, w)),
        ..wait
    }
}
