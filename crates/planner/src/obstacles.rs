//! What would forbid opening again: policies and export policies, as they were seen, and resource locks and deny assignments over the
//! targets. What of these forbids opening forbids closing too, so before the lockdown it is told as that.
//!
//! | on a target, or above it | then |
//! | --- | --- |
//! | a lock `ReadOnly` | every write to the target is refused: closing it, and opening it again |
//! | a lock of a level that nobody here knows | it may be |
//! | a lock `CanNotDelete`, `NotSpecified` | neither |
//! | a deny assignment on writes to it, for us or everybody, until it exempts us | every write to the target is refused |
//! | one that names or excludes groups | it may be |
//! | could not be read, or forbids somebody writes and nobody knows who we are | not known, as for policies |

use sreg_domain::Fact;
use sreg_domain::outside::word;
use sreg_domain::preimage::{DigestLine, Preimage};
use sreg_domain::seen::{DenyAssignment, LockSeen};

use crate::contribution::Contribution;
use crate::plan::{AccessAssessment, FindingReason, Wait, WaitReason};
use crate::preflight;
use crate::view::{View, look_up, named, not_known};

/// What forbids writes to a target, or may.
#[derive(Clone, Copy, PartialEq)]
enum Barrier<'v> {
    Lock(&'v LockSeen),
    /// And whether it is known to.
    Denial(&'v DenyAssignment, bool),
}

impl Barrier<'_> {
    fn id(&self) -> &str {
        match self {
            Barrier::Lock(lock) => &lock.id,
            Barrier::Denial(denial, _) => &denial.id,
        }
    }

    fn is_certain(&self) -> bool {
        match self {
            Barrier::Lock(lock) => lock.forbids_writes() == Some(true),
            Barrier::Denial(_, certain) => *certain,
        }
    }
}

/// Locks and deny assignments over a target that forbid writes to it, or may.
fn over<'v>(view: &'v View<'_>, access: &'v AccessAssessment) -> impl Iterator<Item = Barrier<'v>> {
    let id = &access.id;
    let locks = view.seen.azure.locks.get(id).and_then(Fact::seen);
    let locks = locks.into_iter().flatten();
    let locks = locks.filter(move |lock| lock.covers(id) && lock.forbids_writes() != Some(false));
    // Also one that is about to exempt us: that may be refused, and the way back is needed by then.
    let denials = preflight::denials(view, id, id, preflight::writing(access.target), false);
    locks
        .map(Barrier::Lock)
        .chain(denials.map(|(denial, certain)| Barrier::Denial(denial, certain)))
}

/// What is known to forbid opening again, or may: one sentence for each policy, each resource lock and each deny assignment.
pub(crate) fn known(view: &View<'_>) -> Vec<String> {
    let policies = view.seen.azure.reopening_obstacles.seen().into_iter().flatten();
    policies.map(|o| o.message.clone()).chain(barriers(view)).collect()
}

/// One sentence for each, whichever targets it stands over.
fn barriers(view: &View<'_>) -> Vec<String> {
    let mut told: Vec<(Barrier<'_>, Vec<&AccessAssessment>)> = Vec::new();
    for access in &view.access {
        for barrier in over(view, access) {
            let same = |known: &Barrier<'_>| match known.id().is_empty() {
                true => *known == barrier,
                false => known.id().eq_ignore_ascii_case(barrier.id()),
            };
            match told.iter_mut().find(|(known, _)| same(known)) {
                Some((_, held)) => held.push(access),
                None => told.push((barrier, vec![access])),
            }
        }
    }
    told.iter()
        .map(|(barrier, held)| sentence(view, barrier, held))
        .collect()
}

fn sentence(view: &View<'_>, barrier: &Barrier<'_>, held: &[&AccessAssessment]) -> String {
    let names: Vec<String> = held.iter().map(|a| named(a)).collect();
    format!(
        "{} to {}, which while it is there is neither closed nor, where it is closed, opened again; {}",
        forbids(barrier),
        names.join(", "),
        removal(view, barrier)
    )
}

fn forbids(barrier: &Barrier<'_>) -> String {
    match barrier {
        Barrier::Lock(lock) => {
            let (level, scope) = (&lock.level, lock.scope());
            match lock.forbids_writes() {
                Some(_) => format!("a resource lock ({level}) on {scope} forbids every write"),
                None => format!(
                    "a resource lock on {scope} is {level:?}, which this version of the operator does not know: it may forbid writes"
                ),
            }
        }
        Barrier::Denial(denial, true) => {
            format!("{} forbids the operator every write", preflight::denial_named(denial))
        }
        Barrier::Denial(denial, false) => format!(
            "{} may forbid the operator writes (whether it is in the groups that are named there is not known here)",
            preflight::denial_named(denial)
        ),
    }
}

fn removal(view: &View<'_>, barrier: &Barrier<'_>) -> String {
    match barrier {
        Barrier::Lock(lock) => format!("whoever set it removes it: az lock delete --ids {}", word(&lock.id)),
        Barrier::Denial(denial, _) => preflight::exemption(view, denial),
    }
}

/// What of it an approval covers.
pub(crate) fn add_known(view: &View<'_>, preimage: &mut Preimage) {
    let policies = view.seen.azure.reopening_obstacles.seen().into_iter().flatten();
    preimage.extend(policies.map(|o| DigestLine::Obstacle(&o.key)));
    for access in &view.access {
        preimage.extend(over(view, access).map(|barrier| match barrier {
            Barrier::Lock(lock) => DigestLine::ResourceLock(&access.id, &lock.id, &lock.level),
            Barrier::Denial(denial, _) => DigestLine::DenyAssignment(&access.id, &denial.id),
        }));
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
        locks
            .ignorance()
            .map(|_| not_known(&what, locks))
            .or_else(|| preflight::unread_denials(view, &access.id, &access.id, &preflight::writing(access.target)))
    })
}

/// Why closing a target would be refused.
pub(crate) fn to_closing(view: &View<'_>, access: &AccessAssessment) -> Option<Wait> {
    let barrier = over(view, access).find(Barrier::is_certain)?;
    let reason = match barrier {
        Barrier::Lock(_) => WaitReason::TargetLockedStalled,
        Barrier::Denial(..) => WaitReason::DenyAssignmentStalled,
    };
    Some(Wait::new(
        reason,
        format!(
            "closing {} would be refused, and so would opening it again: {} there; {}",
            named(access),
            forbids(&barrier),
            removal(view, &barrier)
        ),
    ))
}

/// Targets that stay open whatever is approved, because a resource lock or a deny assignment forbids closing them.
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
