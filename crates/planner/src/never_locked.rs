//! Opening what this object never locked. Somebody else closed it, and knows why; so a person other than whoever writes the spec or
//! breaks the glass says that it may be opened: by a `ChangeApproval` of kind Opening.
//!
//! | the registry | is opened |
//! | --- | --- |
//! | was locked in this object's name (snapshot, or status), or made closed by it | as spec, break-glass or rollback say |
//! | was closed by somebody else | only with an approval |

use sreg_api::ChangeKind;
use sreg_domain::{Digest, naming};

use crate::approvals;
use crate::facts::{View, not_known};
use crate::gates::approved;
use crate::plan::{Wait, WaitReason};

/// What an approval of kind `Opening` covers: this object, and this registry.
pub(crate) fn digest(view: &View<'_>) -> Digest {
    let object = format!("object {}", view.desired.object.uid);
    let opens = format!("open {}", view.desired.registry.key());
    Digest::of_parts([object.as_str(), opens.as_str()])
}

/// Whether opening it takes an approval.
pub(crate) fn needs_approval(view: &View<'_>) -> bool {
    let made_by_us = |tags| naming::owner_in(tags) == Some(view.desired.owner.as_str());
    !view.was_locked_by_us() && !view.registry().is_some_and(|registry| made_by_us(&registry.tags))
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
        Some(false) => Some(Wait {
            reason: WaitReason::OpeningApproval,
            message: format!(
                "registry {} was not closed by this object, so it is opened only with an approval: create a ChangeApproval with change: Opening and digest {digest}{}",
                view.desired.registry.name(),
                approvals::by_the_editor(view, ChangeKind::Opening, &digest)
            ),
        }),
    }
}
