//! What would forbid opening again: policies and export policies, as they were seen, and resource locks over the targets. A lock that
//! forbids opening forbids closing too, so before the lockdown it is told as that.
//!
//! | a resource lock on a target, or above it | then |
//! | --- | --- |
//! | `ReadOnly` | every write to the target is refused: closing it, and opening it again |
//! | a level that nobody here knows | it may be |
//! | `CanNotDelete`, `NotSpecified` | neither |
//! | could not be read | not known, as for policies |

use sreg_domain::preimage::{DigestLine, Preimage};
use sreg_domain::seen::LockSeen;
use sreg_domain::{ArmId, Fact};

use crate::contribution::Contribution;
use crate::plan::{AccessAssessment, FindingReason, Wait, WaitReason};
use crate::view::{View, look_up, named, not_known};

/// Locks over a target that forbid writes to it, or may.
fn over<'v>(view: &'v View<'_>, id: &'v ArmId) -> impl Iterator<Item = &'v LockSeen> {
    let locks = view.seen.azure.locks.get(id).and_then(Fact::seen);
    let locks = locks.into_iter().flatten();
    locks.filter(move |lock| lock.covers(id) && lock.forbids_writes() != Some(false))
}

/// What is known to forbid opening again, or may: one sentence for each policy and each resource lock.
pub(crate) fn known(view: &View<'_>) -> Vec<String> {
    let policies = view.seen.azure.reopening_obstacles.seen().into_iter().flatten();
    policies.map(|o| o.message.clone()).chain(locks(view)).collect()
}

/// One sentence for each lock, whichever targets it stands over.
fn locks(view: &View<'_>) -> Vec<String> {
    let mut told: Vec<(&LockSeen, Vec<&AccessAssessment>)> = Vec::new();
    for access in &view.access {
        for lock in over(view, &access.id) {
            match told
                .iter_mut()
                .find(|(known, _)| known.id.eq_ignore_ascii_case(&lock.id))
            {
                Some((_, held)) => held.push(access),
                None => told.push((lock, vec![access])),
            }
        }
    }
    told.iter().map(|(lock, held)| sentence(lock, held)).collect()
}

fn sentence(lock: &LockSeen, held: &[&AccessAssessment]) -> String {
    let names: Vec<String> = held.iter().map(|a| named(a)).collect();
    format!(
        "{} to {}, which while it is there is neither closed nor, where it is closed, opened again; whoever set it removes it: {}",
        forbids(lock),
        names.join(", "),
        removal(lock)
    )
}

fn forbids(lock: &LockSeen) -> String {
    let (level, scope) = (&lock.level, lock.scope());
    match lock.forbids_writes() {
        Some(_) => format!("a resource lock ({level}) on {scope} forbids every write"),
        None => format!(
            "a resource lock on {scope} is {level:?}, which this version of the operator does not know: it may forbid writes"
        ),
    }
}

fn removal(lock: &LockSeen) -> String {
    format!("az lock delete --ids {}", lock.id)
}

/// What of it an approval covers.
pub(crate) fn add_known(view: &View<'_>, preimage: &mut Preimage) {
    let policies = view.seen.azure.reopening_obstacles.seen().into_iter().flatten();
    preimage.extend(policies.map(|o| DigestLine::Obstacle(&o.key)));
    for access in &view.access {
        let locks = over(view, &access.id);
        preimage.extend(locks.map(|lock| DigestLine::ResourceLock(&access.id, &lock.id, &lock.level)));
    }
}

/// Whether the way back is not known to be free, because somebody could not look.
pub(crate) fn unread(view: &View<'_>) -> Option<Wait> {
    let policies = &view.seen.azure.reopening_obstacles;
    if policies.ignorance().is_some() {
        return Some(not_known("what would forbid opening again", policies));
    }
    let nobody = Fact::not_read("nobody looked for them yet");
    view.access.iter().find_map(|access| {
        let locks = look_up(&view.seen.azure.locks, &access.id, &nobody);
        let what = format!("resource locks on {}, which might forbid opening it again", access.id);
        locks.ignorance().map(|_| not_known(&what, locks))
    })
}

/// Why closing a target would be refused.
pub(crate) fn to_closing(view: &View<'_>, access: &AccessAssessment) -> Option<Wait> {
    let lock = over(view, &access.id).find(|lock| lock.forbids_writes() == Some(true))?;
    Some(Wait::new(
        WaitReason::TargetLockedStalled,
        format!(
            "closing {} would be refused, and so would opening it again: {} there; whoever set it removes it: {}",
            named(access),
            forbids(lock),
            removal(lock)
        ),
    ))
}

/// Targets that stay open whatever is approved, because a resource lock forbids closing them.
pub(crate) fn not_closed(view: &View<'_>) -> Vec<String> {
    let open = view.access.iter().filter(|a| a.closed == Some(false));
    open.filter(|access| to_closing(view, access).is_some())
        .map(named)
        .collect()
}

/// The same where no target that is open can be closed: then nothing is approved or proven for it.
pub(crate) fn to_all_closing(view: &View<'_>) -> Vec<Wait> {
    let open = view.access.iter().filter(|a| a.closed == Some(false));
    let refused: Option<Vec<Wait>> = open.map(|access| to_closing(view, access)).collect();
    refused.unwrap_or_default()
}

/// Says it. It may come after the lock, so that whoever is on call should not hear of it from a refused opening.
pub(crate) fn tell(view: &View<'_>) -> Contribution {
    let mut draft = Contribution::default();
    for obstacle in known(view) {
        draft.find(FindingReason::ReopeningForbidden, obstacle);
    }
    draft
}
