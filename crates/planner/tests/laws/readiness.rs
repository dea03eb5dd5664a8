//! `Ready` of a locked registry is what alarms are built on: it turns False only for a reason that somebody would get up for.

use std::time::Duration;

use proptest::prelude::*;
use sreg_api::registry::PublicAccess;
use sreg_domain::{StepId, StepKind};
use sreg_planner::Plan;
use sreg_planner::plan::Actor;

use crate::config;
use crate::stories::{Moment, stories};
use crate::witness::emergency;
use crate::world::World;
use crate::world::people::Lie;

/// What is weather while it lasts no longer.
const PATIENCE: Duration = Duration::from_secs(120);

fn ready(world: &World) -> String {
    world.condition("Ready").map(|c| c.0).unwrap_or_default()
}

/// Tags and sharing: no client depends on them, whoever has to act.
fn is_only_upkeep(about: &[StepId]) -> bool {
    let upkeep = [StepKind::Tag, StepKind::SetTags, StepKind::AllowRegistry];
    !about.is_empty() && about.iter().all(|step| upkeep.contains(&step.kind))
}

/// Why `Ready` may turn False in this visit, by what really is so in the world.
fn reason(before: &World, plan: &Plan) -> Option<&'static str> {
    let desired = &before.desired;
    let status = &before.seen.object.status;
    let lasts =
        |since: &jiff::Timestamp| Duration::try_from(before.now.duration_since(*since)).is_ok_and(|d| d >= PATIENCE);
    let for_people = |w: &sreg_planner::Wait| {
        let people = [Actor::User, Actor::Administrator, Actor::Approver, Actor::DnsOwner];
        let person = w.reason.is_stalled() || people.contains(&w.reason.actor());
        person && !is_only_upkeep(&w.about)
    };
    let says_cut_off = |lie: &Lie| match lie {
        Lie::AllFails => true,
        // What proves nothing is waited for like silence.
        Lie::FormerRound
        | Lie::OtherSubject
        | Lie::FormerQuestion
        | Lie::OtherAddresses
        | Lie::TooFew
        | Lie::OneMissing
        | Lie::SeesNothing => false,
    };
    let cut_off = |name: &str| before.try_all(name).is_err();
    let reasons = [
        (
            status.observed_generation != Some(desired.object.generation),
            "the spec changed",
        ),
        (
            desired.observe_only || desired.public_access == PublicAccess::Enabled,
            "it is not to be locked",
        ),
        (before.seen.object.deleting, "it is being deleted"),
        (!before.all_closed(), "something is open"),
        (emergency(before), "a break-glass is in force"),
        (
            desired.client_networks().iter().any(|n| cut_off(&n.name)),
            "a client is cut off",
        ),
        (
            before.liars.values().any(says_cut_off),
            "an agent says that a client is cut off",
        ),
        (plan.waits.iter().any(for_people), "a person must act"),
        (
            status.unsettled_since.as_ref().is_some_and(|t| lasts(&t.0)),
            "nobody knows for too long",
        ),
    ];
    reasons.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why)
}

proptest! {
    #![proptest_config(config())]

    /// A locked object's Ready turns False only if a client is or may be cut off, or a person must act.
    #[test]
    fn a_lock_turns_unready_only_for_a_client_or_a_person(story in stories(), upkeep_fails in prop::option::of(any::<u8>())) {
        let mut wrong = None;
        let story = match upkeep_fails {
            Some(how) => story.while_upkeep_fails(how),
            None => story,
        };
        story.tell_to(|moment| {
            let Moment::Visit { before, plan, after, reported: true } = moment else { return };
            let was = before.state() == "Locked" && ready(before) == "True";
            if was && ready(after) == "False" && reason(before, plan).is_none() {
                wrong.get_or_insert(format!("{}: {}\n{}", after.state(), after.message(), sreg_planner::render(plan)));
            }
        });
        prop_assert!(wrong.is_none(), "{}", wrong.unwrap());
    }
}
