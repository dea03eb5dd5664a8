//! Connections of endpoints that carry nobody: removed, rejected, or in a state that nobody knows.

use sreg_domain::outside::word;
use sreg_domain::seen::EndpointSeen;

use super::WantedEndpoint;
use crate::contribution::Contribution;
use crate::plan::WaitReason;
use crate::release;
use crate::view::WholeView;

/// What becomes of an endpoint whose connection is neither approved nor pending.
pub(super) fn refused(view: &WholeView<'_>, w: &WantedEndpoint<'_>, endpoint: &EndpointSeen, draft: &mut Contribution) {
    let status = endpoint.connection_status.as_deref().unwrap_or("unknown");
    if status.eq_ignore_ascii_case("Disconnected") {
        return make_again(view, w, endpoint, draft);
    }
    let description = endpoint.connection_description.as_deref().filter(|d| !d.is_empty());
    let why = description.map(|d| format!(" ({d})")).unwrap_or_default();
    let (label, target) = (w.label(), w.target.name());
    // Azure approves no connection that was rejected (azure.md §3.1).
    let what = if status.eq_ignore_ascii_case("Rejected") {
        format!(
            "the connection of private endpoint {label} was rejected on the side of {target}{why}, and Azure approves none that was rejected: settle it with the owner of {target}, then delete the endpoint"
        )
    } else {
        format!(
            "the connection of private endpoint {label} is {status}{why}: ask the owner of {target} what became of it, and where nothing else helps delete the endpoint"
        )
    };
    let glass = if view.all_open() {
        ""
    } else {
        "; where clients are cut off until then, create a BreakGlass"
    };
    draft.waiting(
        WaitReason::ConnectionRejectedStalled,
        format!(
            "{what}, and it is requested again: az network private-endpoint delete --ids {}{glass}",
            word(&endpoint.id)
        ),
    );
}

/// The target's side is gone for good: no approval brings the connection back (azure.md §3.1).
///
/// One that nobody can connect through is removed, and made again by a later visit. While anything is closed that is left to a person:
/// its records go with it, and whoever still has an answer from elsewhere would lose that.
fn make_again(view: &WholeView<'_>, w: &WantedEndpoint<'_>, endpoint: &EndpointSeen, draft: &mut Contribution) {
    // One whose tag somebody removed gets it back first.
    let tagged = endpoint.owner.as_deref() == Some(view.desired.owner.as_str());
    if view.all_open() && tagged {
        return draft.add(release::remove_to_make_again(view, &w.id, endpoint));
    }
    draft.waiting(
        WaitReason::ConnectionRemovedStalled,
        format!(
            "the connection of private endpoint {} was removed on the side of {} (Disconnected): nobody can connect through it, and it cannot be approved again. Delete it, and it is made again and proven: az network private-endpoint delete --ids {}; where clients are cut off until then, create a BreakGlass",
            w.label(),
            w.target.name(),
            word(&endpoint.id)
        ),
    );
}
