//! One object per Azure registry: the claim (a Lease taken by create), then the finalizer, then anything else.
//!
//! | claim | then |
//! | --- | --- |
//! | not known | wait; nothing is written |
//! | another object's | Stalled, naming the holder |
//! | of an object that is gone | it goes on holding what may be closed in its name: Stalled, unless a grant lets this namespace take it over |
//! | absent | take it, then the finalizer, then go on |
//! | left by an earlier object of our name | take it over |
//! | ours | finalizer if missing, then go on |
//!
//! A claim is kept for as long as the registry may be closed in the holder's name: under Observe, and beyond the end of the object
//! (`teardown`). Whoever does not hold it is told whose it is, and nothing else: nothing of the registry is read for it. Under Observe
//! none is taken: nothing is written that another object could fight over. The finalizer is still put on
//! where probes are made, because they live in other namespaces and nothing else would remove them.

use sreg_api::grant::RegistryOperation;
use sreg_domain::seen::Claim;
use sreg_domain::{ClusterAction, Desired, Fact, Purpose, Seen, StepKind, naming};

use crate::contribution::{Contribution, Next, cluster_step};
use crate::finalizer;
use crate::plan::{FindingReason, Wait, WaitReason};
use crate::view::{View, not_known};

/// Plans claim and finalizer.
pub(crate) fn plan(view: &View<'_>) -> (Contribution, Next) {
    let mut draft = Contribution::default();
    let next = claim(view, &mut draft);
    (draft, next)
}

fn claim(view: &View<'_>, draft: &mut Contribution) -> Next {
    let finalizer = finalizer::step;
    let lease = naming::claim_name(&view.desired.registry);
    if view.desired.observe_only {
        // It takes none, and is shown nothing of what another holds.
        if let Some(claim) = of_another(view) {
            draft.wait(Wait::new(
                WaitReason::ClaimedElsewhereStalled,
                held(view, claim, &lease),
            ));
            return Next::Stop;
        }
        if !view.seen.object.has_finalizer && !view.desired.client_networks().is_empty() {
            draft.first.push(vec![finalizer()]);
        }
        return Next::GoOn;
    }
    match &view.seen.cluster.claim {
        Fact::Unknown(_) => {
            draft.wait(not_known(&format!("claim {lease}"), &view.seen.cluster.claim));
            return Next::Stop;
        }
        Fact::Seen(claim) if claim.uid == view.desired.object.uid => {}
        // Two objects of one name cannot live at once, so the holder is gone.
        Fact::Seen(claim) if claim.holder == view.holder() || may_take_over(view, claim) => {
            let step = ClusterAction::Claim {
                lease,
                from: Some(claim.uid.clone()),
            };
            draft.first.push(vec![cluster_step(StepKind::Claim, step)]);
            if claim.holder != view.holder() {
                draft.find(
                    FindingReason::TakenOver,
                    format!(
                        "this registry was claimed by SecureRegistry {}, which is gone; a RegistryGrant lets namespace {} take it over",
                        claim.holder, view.desired.object.namespace
                    ),
                );
            }
        }
        Fact::Seen(claim) => {
            draft.wait(Wait::new(
                WaitReason::ClaimedElsewhereStalled,
                held(view, claim, &lease),
            ));
            return Next::Stop;
        }
        Fact::Absent => {
            let step = ClusterAction::Claim { lease, from: None };
            draft.first.push(vec![cluster_step(StepKind::Claim, step)]);
        }
    }
    if !view.seen.object.has_finalizer {
        draft.first.push(vec![finalizer()]);
    }
    Next::GoOn
}

/// Whether another object holds the registry, so that nothing of it is looked at for this one. One that is being deleted looks for what
/// it made.
pub fn is_held_elsewhere(desired: &Desired, seen: &Seen) -> bool {
    let view = View::new(desired, seen, seen.at);
    !seen.object.deleting && of_another(&view).is_some()
}

/// The claim of another object that cannot be taken over.
pub(crate) fn of_another<'a>(view: &'a View<'_>) -> Option<&'a Claim> {
    let claim = view.claim_of_another()?;
    (claim.holder != view.holder() && !may_take_over(view, claim)).then_some(claim)
}

/// Whether administrators let this namespace go on with what an object of another name left.
pub(crate) fn may_take_over(view: &View<'_>, claim: &Claim) -> bool {
    !claim.alive && view.desired.is_whole() && take_over_is_granted(view)
}

/// Whether a grant lets this namespace go on with the registry in another's stead.
pub(crate) fn take_over_is_granted(view: &View<'_>) -> bool {
    let take_over = Purpose::Registry(RegistryOperation::TakeOver);
    view.desired.grants.allow(take_over, &view.desired.registry)
}

/// Who holds the registry, and how that ends.
fn held(view: &View<'_>, claim: &Claim, lease: &str) -> String {
    let (name, namespace) = (&view.desired.object.name, &view.desired.object.namespace);
    let holder = claim.holder.as_str();
    if claim.alive {
        format!(
            "SecureRegistry {holder} owns this Azure registry: delete this object (kubectl delete sreg {name} -n {namespace}). Where it is to go on in the other's place, the other's owner deletes that one first, and an administrator lets namespace {namespace} take over (RegistryGrant, registries with operations: [TakeOver])"
        )
    } else {
        format!(
            "SecureRegistry {holder}, which is gone, left this Azure registry as it was and goes on holding it: declare it again under that namespace and name; or an administrator lets namespace {namespace} take it over (RegistryGrant, registries with operations: [TakeOver]), or frees it: kubectl delete lease {lease} -n OPERATOR_NAMESPACE (kubectl get leases -A --field-selector metadata.name={lease} shows where)"
        )
    }
}
