//! Whether the registry is gone for good. That Azure does not find it any more is one source; where it is decided on for good
//! (endpoints and the way back are removed, a registry is made in its place) a second one is asked: a private endpoint whose
//! connection is still `Approved` leads to something that lives, and so does a storage account or container registry that it named and
//! that is still there. Azure turns the connections of what is deleted to `Disconnected` and deletes a registry's accounts with it; a
//! registry that was moved keeps both.

use sreg_domain::outside::word;
use sreg_domain::seen::EndpointSeen;
use sreg_domain::{ArmId, Fact};

use crate::plan::Wait;
use crate::tags;
use crate::view::{View, may_pass, not_known};

/// How sure it is.
pub(crate) enum Gone {
    /// It was seen, or could not be read.
    No,
    /// It is not found, and whether anything of it lives could not be told.
    NotKnown(Wait),
    /// It is not found where the spec says, and something of it lives.
    Lives(Sign),
    /// It is not found, and nothing of it lives.
    Yes,
}

/// What tells that something lives.
pub(crate) struct Sign {
    /// In words.
    says: String,
    /// What would have to go first.
    id: ArmId,
}

/// Asks both sources.
pub(crate) fn registry(view: &View<'_>) -> Gone {
    if !view.seen.azure.registry().is_absent() {
        return Gone::No;
    }
    // A tag alone may be a copy, or on what leads elsewhere.
    let ours = |endpoint: &&EndpointSeen| {
        endpoint.owner.as_deref() == Some(view.desired.owner.as_str()) && tags::leads_to_ours(view, endpoint)
    };
    let mut unread = None;
    for (id, fact) in &view.seen.azure.endpoints {
        match fact {
            Fact::Seen(_) => {
                if fact.seen().filter(ours).is_some_and(EndpointSeen::is_approved) {
                    return Gone::Lives(Sign {
                        says: format!("the connection of private endpoint {} is still Approved", id.name()),
                        id: id.clone(),
                    });
                }
            }
            Fact::Absent => {}
            Fact::Unknown(_) => {
                unread = unread.or_else(|| Some(not_known(&format!("private endpoint {}", id.name()), fact)))
            }
        }
    }
    // Of accounts that others use too Azure keeps everything when the registry goes.
    let is_shared = |id: &ArmId| {
        view.desired
            .whole()
            .is_some_and(|spec| spec.shared_accounts.contains_key(id))
    };
    let own = |id: &ArmId| !is_shared(id);
    for (id, fact) in view.seen.azure.accounts_left.iter().filter(|(id, _)| own(id)) {
        match fact {
            Fact::Seen(()) => {
                return Gone::Lives(Sign {
                    says: format!("{}, which it named, is still there", id.name()),
                    id: id.clone(),
                });
            }
            // A right that was given on the managed resource group goes with it: what may not be read says neither.
            Fact::Unknown(why) if may_pass(why) => {
                unread = unread.or_else(|| Some(not_known(&format!("{}, which the registry named,", id.name()), fact)));
            }
            Fact::Unknown(_) | Fact::Absent => {}
        }
    }
    unread.map_or(Gone::Yes, Gone::NotKnown)
}

/// What a deletion waits for first: a registry that was moved looks the same as one that Azure has not deleted to the end.
pub(crate) fn perhaps_being_deleted(view: &View<'_>, sign: &Sign) -> String {
    format!(
        "Azure does not find {} any more, and {}: it may still be deleting what stood behind it, and private endpoints are removed once nothing of it lives",
        view.desired.registry, sign.says
    )
}

/// What to do about a registry that lives and is not where the spec says.
pub(crate) fn moved(view: &View<'_>, sign: &Sign) -> String {
    let id = &view.desired.registry;
    format!(
        "Azure does not find {id} any more, yet {}: the registry, or what stands behind it, lives, perhaps in another resource group or subscription. Nothing is created, removed or forgotten. Find it: az resource list --name {} --resource-type Microsoft.MachineLearningServices/registries --query \"[].id\" -o tsv (in each subscription). If it was moved, delete this object (deletionPolicy: Retain leaves Azure as it is) and create one with that resourceId; if it was deleted and that stays, delete it first: az resource delete --ids {}",
        sign.says,
        word(id.name()),
        word(&sign.id)
    )
}
