//! Opening what this object never locked. Somebody else closed it, and knows why; so a person other than whoever writes the spec or
//! breaks the glass says that it may be opened: by a `ChangeApproval` of kind Opening.
//!
//! | the registry | is opened |
//! | --- | --- |
//! | was locked in this object's name (snapshot, or status), or made closed by it | as spec, break-glass or rollback say |
//! | was closed by somebody else | only with an approval |

use sreg_api::ChangeKind;
use sreg_api::names::CREATED_TAG;
use sreg_domain::Digest;
use sreg_domain::claim_mark::tag;
use sreg_domain::preimage::{DigestKind, DigestLine, Preimage};

use crate::approvals;
use crate::gates::approved;
use crate::plan::{Wait, WaitReason};
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
    let digest = digest(view);
    match approved(view, ChangeKind::Opening, &digest) {
        Some(true) => None,
        None => Some(not_known("ChangeApprovals", &view.seen.cluster.approvals)),
        Some(false) => Some(Wait::new(
            WaitReason::OpeningApproval,
            format!(
                "registry {} was not closed by this object, so it is opened only with an approval: create a ChangeApproval with change: Opening and digest {digest}{}",
                view.desired.registry.name(),
                approvals::who_may(view, ChangeKind::Opening, &digest)
            ),
        )),
    }
}
