//! The lockdown fence. Between plan and write the world goes on; so immediately before a write that closes or opens public access
//! everything is read again, live, and the same pure functions judge it again with the same memory. The write goes out only if
//! the fresh plan holds the identical step: nothing is closed on what was proven before, nothing opened on a permission that
//! is over. Reads only; says no with a reason.
//!
//! | what is asked | what says no |
//! | --- | --- |
//! | the object, by a live read | gone, another uid or generation, being deleted |
//! | the grants of its namespace, by a live read | they cannot be read; one that it needs is gone |
//! | the fresh plan | it lacks the identical step (to close, in its first wave): a probe, endpoint, target, gate or permission changed |
//! | the claim | the fresh plan would have to take it first |
//! | its evidence, to close | none |
//! | the lint | a rule that the fresh plan breaks |
//! | leadership | less time left than the write may take |

use sreg_domain::Digest;
use sreg_domain::desired::ObjectRef;
use sreg_planner::plan::{Plan, Step};
use sreg_planner::{Violation, lint, plan};

use crate::context::Context;
use crate::desired::resolve_desired;
use crate::observe::{self, ObjectNow};

/// Lets a write that closes or opens go out, or says why it must not. Answers the evidence that it closes with.
pub(super) async fn pass(context: &Context, object: &ObjectRef, step: &Step) -> Result<Option<Digest>, String> {
    let fresh = judge_again(context, object).await?;
    identical_step(&fresh, step)?;
    let evidence = if step.action.closes() {
        let evidence = fresh.assessment.evidence.clone();
        Some(evidence.ok_or_else(|| "the fresh plan has no evidence".to_owned())?)
    } else {
        None
    };
    let needed = context.settings.write_deadline;
    match context.leadership.held_for() {
        Some(held) if held > needed => Ok(evidence),
        Some(held) => Err(format!(
            "the leader's lease has {} s left, and the write may take {} s",
            held.as_secs(),
            needed.as_secs()
        )),
        None => Err("leadership is not held: another operator may be writing".into()),
    }
}

/// The plan for the world as it is now.
async fn judge_again(context: &Context, object: &ObjectRef) -> Result<Plan, String> {
    let now = still_the_same(context, object).await?;
    let desired = resolve_desired(context, &now).await;
    let desired = desired.map_err(|violations| Violation::sentence(&violations))?;
    let seen = observe::observe(context, object, now.seen, &desired).await;
    let fresh = plan(&desired, &seen, seen.at);
    match lint(&desired, &seen, &fresh).first() {
        None => Ok(fresh),
        Some(broken) => Err(format!(
            "the fresh plan breaks the rule {:?}: {}",
            broken.rule, broken.message
        )),
    }
}

async fn still_the_same(context: &Context, object: &ObjectRef) -> Result<ObjectNow, String> {
    let read = observe::read_object(&context.client, &object.namespace, &object.name);
    let now = match tokio::time::timeout(context.settings.read_deadline, read).await {
        Ok(Ok(Some(now))) => now,
        Ok(Ok(None)) => return Err("the object is gone".into()),
        Ok(Err(error)) => return Err(format!("the object cannot be read again: {error}")),
        Err(_) => return Err("the object cannot be read again: no answer in time".into()),
    };
    if now.reference.uid != object.uid {
        return Err("the object was made again under the same name".into());
    }
    if now.reference.generation != object.generation {
        return Err(format!(
            "the spec changed from generation {} to {}",
            object.generation, now.reference.generation
        ));
    }
    if now.seen.deleting {
        return Err("the object is being deleted".into());
    }
    Ok(now)
}

/// Whether the fresh plan would do exactly this: to close, nothing before it, and to open, whatever else comes first, without taking
/// the claim before.
fn identical_step(fresh: &Plan, step: &Step) -> Result<(), String> {
    if fresh.takes_claim() {
        return Err("the claim on the registry is gone: it is taken again first".into());
    }
    let waves = if step.action.closes() { 1 } else { fresh.waves.len() };
    let mut now = fresh.waves.iter().take(waves).flatten();
    match now.find(|candidate| candidate.id == step.id) {
        Some(candidate) if candidate.action == step.action => Ok(()),
        Some(_) => Err("what is to be changed is another between plan and write".into()),
        None => Err(match fresh.waits.first() {
            Some(wait) => format!(
                "the world changed between plan and write: {}: {}",
                wait.reason, wait.message
            ),
            None => "the world changed between plan and write: this is not what is to be done any more".into(),
        }),
    }
}
