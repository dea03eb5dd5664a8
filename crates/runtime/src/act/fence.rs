//! The lockdown fence. Between plan and write the world goes on; so immediately before a write that closes or opens public access
//! everything is read again, live, and the same pure functions judge it again with the same memory. The write goes out only if
//! the fresh plan holds the identical step: nothing is closed on what was proven before, nothing opened on a permission that
//! is over. Reads only; says no with a reason.
//!
//! | what is asked | what says no |
//! | --- | --- |
//! | the object, by a live read | gone, another uid or generation, being deleted (unless this deletes) |
//! | the grants of its namespace, by a live read | they cannot be read; one that it needs is gone |
//! | the fresh plan | it lacks the identical step (to close, in its first wave): a probe, endpoint, target, gate or permission changed |
//! | the claim | the fresh plan would have to take it first |
//! | its evidence, to close | none |
//! | the lint | a rule that the fresh plan breaks |
//! | leadership | less time left than the write may take |

use sreg_domain::desired::ObjectRef;
use sreg_domain::{Digest, Withheld};
use sreg_planner::plan::{Plan, Step};
use sreg_planner::{Violation, lint, plan};

use crate::context::Context;
use crate::desired::resolve_desired;
use crate::observe::{self, ObjectNow};

/// Lets a write that closes or opens go out, or says why it must not. Answers the evidence that it closes with.
pub(super) async fn pass(context: &Context, object: &ObjectRef, step: &Step) -> Result<Option<Digest>, Withheld> {
    let now = still_the_same(context, object).await?;
    if now.seen.deleting {
        return Err(Withheld::ObjectDeleted);
    }
    let fresh = judge_again(context, object, now).await?;
    identical_step(&fresh, step)?;
    let evidence = if step.action.closes() {
        let evidence = fresh.assessment.evidence.clone();
        Some(evidence.ok_or(Withheld::NoEvidence)?)
    } else {
        None
    };
    let needed = context.settings.write_deadline;
    match context.leadership.held_for() {
        Some(held) if held > needed => Ok(evidence),
        Some(left) => Err(Withheld::LeaseTooShort { left, needed }),
        None => Err(Withheld::NotLeading),
    }
}

/// The plan for the world as it is now, for all deletions of one wave: none of them changes what another one relies on.
pub(super) async fn plan_again(context: &Context, object: &ObjectRef) -> Result<Plan, Withheld> {
    let now = still_the_same(context, object).await?;
    judge_again(context, object, now).await
}

/// Whether that plan still deletes what this step does.
pub(super) fn lets_delete(fresh: &Result<Plan, Withheld>, step: &Step) -> Result<(), Withheld> {
    match fresh {
        Ok(fresh) => identical_step(fresh, step),
        Err(why) => Err(why.clone()),
    }
}

async fn judge_again(context: &Context, object: &ObjectRef, now: ObjectNow) -> Result<Plan, Withheld> {
    let desired = resolve_desired(context, &now).await;
    let desired = desired.map_err(|violations| Withheld::SpecBroken(Violation::sentence(&violations)))?;
    let seen = observe::observe(context, object, now.seen, &desired).await;
    let fresh = plan(&desired, &seen, seen.at);
    match lint(&desired, &seen, &fresh).first() {
        None => Ok(fresh),
        Some(broken) => Err(Withheld::BreaksRule {
            rule: broken.rule,
            message: broken.message.clone(),
        }),
    }
}

async fn still_the_same(context: &Context, object: &ObjectRef) -> Result<ObjectNow, Withheld> {
    let now = observe::read_live(&context.writer(), &object.namespace, &object.name)
        .await
        .map_err(|why| Withheld::ObjectUnread(Box::new(why)))?
        .ok_or(Withheld::ObjectGone)?;
    if now.reference.uid != object.uid {
        return Err(Withheld::ObjectMadeAgain);
    }
    if now.reference.generation != object.generation {
        return Err(Withheld::SpecChanged {
            planned: object.generation,
            now: now.reference.generation,
        });
    }
    Ok(now)
}

/// Whether the fresh plan would do exactly this: to close, nothing before it, and to open or delete, whatever else comes first, without
/// taking the claim before.
fn identical_step(fresh: &Plan, step: &Step) -> Result<(), Withheld> {
    if fresh.takes_claim() {
        return Err(Withheld::ClaimGone);
    }
    let waves = if step.action.closes() { 1 } else { fresh.waves.len() };
    let mut now = fresh.waves.iter().take(waves).flatten();
    match now.find(|candidate| candidate.id == step.id) {
        Some(candidate) if candidate.action == step.action => Ok(()),
        Some(_) => Err(Withheld::ChangesAnother),
        None => Err(fresh
            .waits
            .first()
            .map_or(Withheld::NotPlanned, |wait| Withheld::Waits {
                reason: wait.reason,
                message: wait.message.clone(),
            })),
    }
}
