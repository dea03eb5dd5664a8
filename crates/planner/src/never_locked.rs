//! Opening what this object never locked. Somebody else closed it, and knows why; so a person other than whoever writes the spec or
//! breaks the glass says that it may be opened: by a `ChangeApproval` of kind Opening.
//!
//! | the registry | is opened |
//! | --- | --- |
//! | was locked in this object's name (snapshot, or status), or made closed by it | as spec, break-glass or rollback say |
//! | was closed by somebody else | only with an approval |
//! | was locked in this object's name, and a target of it was closed before that | that target by the spec, and only with an approval; the others as above |

use sreg_api::ChangeKind;
use sreg_api::names::CREATED_TAG;
use sreg_domain::claim_mark::tag;
use sreg_domain::preimage::{DigestKind, DigestLine, Preimage};
use sreg_domain::{ArmId, Digest, TargetKind};

use crate::approvals;
use crate::gates::approved;
use crate::kept::{kept, settings_closed};
use crate::plan::{AccessAssessment, Wait, WaitReason};
use crate::view::{View, not_known};

/// What an approval of kind `Opening` covers: this object, and this registry.
pub(crate) fn digest(view: &View<'_>) -> Digest {
    let mut preimage = Preimage::of(DigestKind::Opening);
    preimage.add(DigestLine::Object(&view.desired.object.uid));
    preimage.add(DigestLine::Opens(&view.desired.registry));
    preimage.extend(view.desired.edition().map(DigestLine::Generation));
    preimage.digest()
}

/// Whether opening it takes an approval. A tag does not say who made it: anybody with rights on tags can write one.
pub(crate) fn needs_approval(view: &View<'_>) -> bool {
    !view.was_locked_by_us() && !was_created_here(view)
}

/// The mark that the claim records for a registry that this object set about to create. The Lease stands in the operator's namespace; it
/// outlives an operator that dies beside the creation, and a status that somebody erases.
pub(crate) fn creation_mark<'a>(view: &View<'a>) -> Option<&'a str> {
    let claim = view.seen.cluster.claim.seen();
    claim
        .filter(|claim| claim.uid == view.desired.object.uid)?
        .creates
        .as_deref()
}

/// Whether this registry is the one that this object created. That the claim records a mark says only that somebody set about it: Azure
/// may have refused, and another may have created a registry of that name since.
fn was_created_here(view: &View<'_>) -> bool {
    let carried = view.registry().and_then(|registry| tag(&registry.tags, CREATED_TAG));
    creation_mark(view).is_some_and(|mark| carried == Some(mark))
}

/// Why it is not opened, if it is not.
pub(crate) fn held(view: &View<'_>) -> Option<Wait> {
    if !needs_approval(view) {
        return None;
    }
    let name = view.desired.registry.name();
    without_approval(
        view,
        &format!("registry {name} was not closed by this object, so it is opened"),
    )
}

/// Whether others had closed this target before the lock of this object: the snapshot holds it closed.
pub(crate) fn was_closed_before(view: &View<'_>, target: TargetKind, id: &ArmId) -> bool {
    let snapshot = view.seen.cluster.snapshot.seen();
    let before = snapshot.and_then(|snapshot| kept(snapshot, id));
    before.is_some_and(|network| settings_closed(target, network)) && !was_created_here(view)
}

/// What others had closed before the lock, and is closed still.
pub(crate) fn closed_before<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a AccessAssessment> {
    let closed = view.access.iter().filter(|access| access.closed == Some(true));
    closed.filter(|access| was_closed_before(view, access.target, &access.id))
}

/// Why what others had closed before the lock is not opened with the rest, if it is not.
pub(crate) fn held_in_part(view: &View<'_>) -> Option<Wait> {
    let closed: Vec<&str> = closed_before(view).map(|access| access.id.name()).collect();
    if closed.is_empty() {
        return None;
    }
    let one_or_all = if closed.len() == 1 { "it is" } else { "they are" };
    without_approval(
        view,
        &format!(
            "{} had been closed by others before this object's lock, so {one_or_all} opened",
            closed.join(", ")
        ),
    )
}

fn without_approval(view: &View<'_>, what: &str) -> Option<Wait> {
    let digest = digest(view);
    match approved(view, ChangeKind::Opening, &digest) {
        Some(true) => None,
        None => Some(not_known("ChangeApprovals", &view.seen.cluster.approvals)),
        Some(false) => Some(Wait::new(
            WaitReason::OpeningApproval,
            format!(
                "{what} only with an approval: create a ChangeApproval with change: Opening and digest {digest}{}",
                approvals::who_may(view, ChangeKind::Opening, &digest)
            ),
        )),
    }
}
