//! Read–modify–write: read, compare with what the plan saw, apply the edit, write at once, read again and name every field that
//! changed besides (the closing write of the design).

use azure_core::http::Method;
use serde_json::Value;
use sreg_domain::action::{Edit, Effect};
use sreg_domain::{ArmId, CallFailure, Cause, Digest, TargetKind};

use super::{Carried, Refusal, Work, narrowing, stale};
use crate::also_changed;
use crate::arm::ArmResponse;
use crate::edit::{self, EditError, Edited};
use crate::json;

/// Changes the network settings of one of the three.
pub(super) async fn edit(work: &Work<'_>, kind: TargetKind, id: &ArmId, change: &Edit, expected: &Digest) -> Carried {
    match kind {
        // A registry's PATCH cannot carry it (azure.md §1.5); the others take the network settings alone.
        TargetKind::Registry => {
            let attempt = format!("{} {id}", verb(change));
            let whole = |current: &Value| edit::apply_edit(kind, current, change);
            // Closing waits for the right, and so does [`grant`]: a PUT that leaves the identities out is not known to keep them (U9), and
            // nobody is cut off meanwhile.
            if change.opens() {
                put_without_identities_if_need_be(work, id, expected, attempt, whole).await
            } else {
                rewrite(work, id, expected, Method::Put, attempt, whole).await
            }
        }
        TargetKind::Storage | TargetKind::ContainerRegistry => narrowing::edit(work, kind, id, change, expected).await,
    }
}

/// Whether a write was refused for identities that people gave the registry: sent back with the rest, each takes the right to assign it,
/// and has to be there still. The way back does not hang on that: what is not sent stays as it is.
fn is_about_identities(error: &CallFailure) -> bool {
    let refused = matches!(error.cause, Cause::Forbidden | Cause::Refused | Cause::Missing);
    refused && error.message.to_ascii_lowercase().contains("userassignedidentities")
}

/// Lists our principal in the registry's `assignedIdentities`.
pub(super) async fn grant(work: &Work<'_>, id: &ArmId, principal: &str, expected: &Digest) -> Carried {
    let attempt = format!("grant access to the managed resource group of {id}");
    let whole = |current: &Value| Ok(edit::grant(current, principal));
    rewrite(work, id, expected, Method::Put, attempt, whole).await
}

/// Sends the whole registry; where that is refused for its identities, all of it but those.
async fn put_without_identities_if_need_be(
    work: &Work<'_>,
    id: &ArmId,
    expected: &Digest,
    attempt: String,
    whole: impl Fn(&Value) -> Result<Edited, EditError>,
) -> Carried {
    let written = rewrite(work, id, expected, Method::Put, attempt.clone(), &whole).await;
    match written {
        Err(Refusal::Call(error)) if is_about_identities(&error) => {
            let without = |current: &Value| whole(current).map(Edited::without_identity);
            rewrite(work, id, expected, Method::Put, attempt, without).await
        }
        other => other,
    }
}

pub(super) fn verb(change: &Edit) -> &'static str {
    match change {
        Edit::Close => "close public access of",
        Edit::Open => "open public access of",
        Edit::Restore(_) => "restore public access of",
        Edit::AllowResource { .. } => "add a resource rule to",
    }
}

/// Read, compare, change, write at once, read again. The write's budget is taken first: waiting for it must not come between.
pub(super) async fn rewrite(
    work: &Work<'_>,
    id: &ArmId,
    expected: &Digest,
    method: Method,
    attempt: String,
    change: impl FnOnce(&Value) -> Result<Edited, EditError>,
) -> Carried {
    work.reserve_write(id, &attempt).await?;
    let Some(current) = work.find(id).await? else {
        return stale(format!("{id} does not exist any more"));
    };
    if json::digest(&current) != *expected {
        return stale(format!("{id} was changed since it was planned for"));
    }
    let edited = change(&current).map_err(|error| Refusal::Ours {
        attempt: attempt.clone(),
        message: error.to_string(),
    })?;
    let answer = work.write_at_once(method, id, edited.body.clone(), attempt).await?;
    read_back(work, id, &current, &edited, &answer).await
}

/// What came of a write. After a synchronous one the target is read again; where that fails the write still stands.
async fn read_back(work: &Work<'_>, id: &ArmId, before: &Value, edited: &Edited, answer: &ArmResponse) -> Carried {
    let effect = work.effect(id, answer);
    match &effect {
        Effect::Done { .. } => {}
        Effect::Started(_) => {
            work.inner.also_changed.started(id, work.step, before, &edited.named);
            return Ok(effect);
        }
        Effect::Stale(_) => return Ok(effect),
    }
    match work.read(id).await {
        Ok(after) => {
            let also_changed = also_changed::fields(before, &after, &edited.named);
            work.inner.also_changed.found(id, work.step, also_changed.clone());
            Ok(Effect::Done {
                also_changed,
                left_out: Vec::new(),
            })
        }
        Err(error) => {
            let mut error = error;
            error.may_have_taken_effect = true;
            error.attempt = format!("read {id} again after it was changed");
            Err(error.into())
        }
    }
}
