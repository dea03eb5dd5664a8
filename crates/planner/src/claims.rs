//! One object per Azure registry: the claim (a Lease taken by create), then the finalizer, then anything else.
//!
//! | claim | then |
//! | --- | --- |
//! | not known | wait; nothing is written |
//! | another object's | Stalled, naming the holder |
//! | absent | take it, then the finalizer, then go on |
//! | left by an earlier object of our name | give it back, then take it |
//! | ours | finalizer if missing, then go on |
//!
//! Under Observe no claim is taken: nothing is written that another object could fight over. The finalizer is still put on
//! where probes are made, because they live in other namespaces and nothing else would remove them.

use sreg_domain::{ClusterAction, Fact, naming};

use crate::draft::{Draft, cluster_step};
use crate::facts::{View, name_holder, not_known};
use crate::plan::{Wait, WaitReason};

/// Plans claim and finalizer. `false`: nothing else may be planned.
pub(crate) fn plan(view: &View<'_>, draft: &mut Draft) -> bool {
    let finalizer = || cluster_step("add-finalizer", ClusterAction::AddFinalizer);
    if view.desired.observe_only {
        if !view.seen.object.has_finalizer && !view.desired.client_networks.is_empty() {
            draft.first.push(vec![finalizer()]);
        }
        return true;
    }
    let lease = naming::claim_name(&view.desired.registry);
    match &view.seen.cluster.claim {
        Fact::Unknown(_) => {
            draft.wait(not_known(&format!("claim {lease}"), &view.seen.cluster.claim));
            return false;
        }
        Fact::Seen(claim) if claim.uid == view.desired.object.uid => {}
        Fact::Seen(claim) if claim.holder == view.holder() => {
            // Two objects of one name cannot live at once, so the holder is gone.
            draft.first.push(vec![cluster_step(
                "release-old-claim",
                ClusterAction::ReleaseClaim { lease: lease.clone() },
            )]);
            draft
                .first
                .push(vec![cluster_step("claim", ClusterAction::Claim { lease })]);
        }
        Fact::Seen(claim) => {
            draft.wait(Wait {
                reason: WaitReason::ClaimedElsewhereStalled,
                message: format!(
                    "SecureRegistry {} owns this Azure registry: delete one of the two objects (this one: kubectl delete sreg {} -n {}); if that one is gone for good, delete the Lease {lease} in the operator's namespace (kubectl get leases -A --field-selector metadata.name={lease})",
                    name_holder(claim),
                    view.desired.object.name,
                    view.desired.object.namespace
                ),
            });
            return false;
        }
        Fact::Absent => draft
            .first
            .push(vec![cluster_step("claim", ClusterAction::Claim { lease })]),
    }
    if !view.seen.object.has_finalizer {
        draft.first.push(vec![finalizer()]);
    }
    true
}
