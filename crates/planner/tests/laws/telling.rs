//! What is told: consistent, monotone, and the same of equal worlds.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sreg_api::conditions::{ConditionType, State};
use sreg_domain::Outcome;
use sreg_planner::{Recording, conditions, render};
use strum::IntoEnumIterator;

use crate::config;
use crate::stories::{Moment, stories};
use crate::world::*;

/// What a status must always be.
pub fn consistent(world: &World) -> Result<(), TestCaseError> {
    let status = &world.seen.object.status;
    if status.conditions.is_empty() {
        return Ok(());
    }
    let types: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    let all: Vec<String> = ConditionType::iter().map(|t| t.to_string()).collect();
    prop_assert_eq!(types, all.iter().map(String::as_str).collect::<Vec<_>>());
    let truth = |kind: ConditionType| status.conditions.iter().find(|c| c.type_ == kind.to_string()).unwrap();
    let state = State::iter()
        .find(|s| s.to_string() == truth(ConditionType::Ready).reason)
        .expect("Ready's reason is a state");
    let (ready, reconciling, stalled) = conditions::trio(state);
    prop_assert_eq!(truth(ConditionType::Ready).status.as_str(), ready.as_str());
    prop_assert_eq!(truth(ConditionType::Reconciling).status.as_str(), reconciling.as_str());
    prop_assert_eq!(truth(ConditionType::Stalled).status.as_str(), stalled.as_str());
    prop_assert!(
        status
            .conditions
            .iter()
            .all(|c| c.observed_generation == Some(world.desired.object.generation))
    );
    if state == State::Locked {
        for kind in [
            ConditionType::RegistryFound,
            ConditionType::EndpointsReady,
            ConditionType::DnsReady,
            ConditionType::ConnectivityVerified,
            ConditionType::PublicAccessDisabled,
        ] {
            // What only passes is borne for a while: it may not be known, but nobody is known to be cut off.
            if status.unsettled_since.is_none() {
                prop_assert_eq!(truth(kind).status.as_str(), "True", "{}", kind);
            }
        }
        for kind in [ConditionType::ConnectivityVerified, ConditionType::PublicAccessDisabled] {
            prop_assert_ne!(truth(kind).status.as_str(), "False", "{}", kind);
        }
    }
    prop_assert!(status.unsettled_since.is_none() || state == State::Locked);
    prop_assert!(!status.waiting_for.iter().any(|w| w.message.is_empty()));
    prop_assert!(serde_json::to_string(status).unwrap().len() < 40_000);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    /// Monotone: the observed generation never falls and never passes the object's; a condition's time moves exactly when its
    /// status flips, and never back; history only grows at its end and stays bounded.
    #[test]
    fn reporting_is_monotone(story in stories()) {
        let mut wrong: Option<String> = None;
        story.tell_to(|moment| {
            let Moment::Visit { before, after, .. } = moment else { return };
            let (old, new) = (&before.seen.object.status, &after.seen.object.status);
            let mut demand = |holds: bool, what: &str| {
                if !holds {
                    wrong.get_or_insert_with(|| format!("{what}: {old:#?}\n{new:#?}"));
                }
            };
            demand(new.observed_generation >= old.observed_generation, "observed generation falls");
            demand(new.observed_generation <= after.object.metadata.generation, "passes the object's");
            let former: BTreeMap<_, _> = old.conditions.iter().map(|c| (&c.type_, c)).collect();
            for condition in &new.conditions {
                let Some(former) = former.get(&condition.type_) else { continue };
                let flipped = former.status != condition.status;
                let moved = former.last_transition_time != condition.last_transition_time;
                demand(flipped || !moved, "a time moved without a flip");
                let now = condition.last_transition_time.0.as_second() == before.now.as_second();
                demand(!flipped || now, "a flip without its time");
                demand(former.last_transition_time <= condition.last_transition_time, "a time went back");
            }
            demand(new.history.len() <= 16, "history is not bounded");
            let kept = old.history.iter().skip(usize::from(new.history.len() >= 16));
            let kept: Vec<_> = kept.collect();
            let lost = !old.history.is_empty() && !new.history.is_empty() && !new.history.contains(kept[kept.len() - 1]);
            demand(!lost, "history forgot its latest entry");
        });
        prop_assert!(wrong.is_none(), "{}", wrong.unwrap());
    }

    /// The same where whoever may write words beside us writes such as do something to whoever reads them. That none of them gets
    /// through is checked of every report.
    #[test]
    fn nasty_words_from_outside_are_told_once_and_do_nothing(story in stories()) {
        let mut world = story.tell();
        world.nasty = true;
        for _ in 0..2 {
            world.seen.object.status = world.report(&world.plan(), &Outcome::default()).status;
        }
        let status = serde_json::to_value(&world.seen.object.status).unwrap();
        let again = world.report(&world.plan(), &Outcome::default());
        prop_assert_eq!(serde_json::to_value(&again.status).unwrap(), status);
        prop_assert!(again.events.is_empty(), "{:?}", again.events);
    }

    /// A recording that was written down and read again leads to the plan that was recorded.
    #[test]
    fn a_recorded_pass_is_planned_again_alike(story in stories()) {
        let mut wrong: Option<String> = None;
        story.tell_to(|moment| {
            let Moment::Visit { before, plan, .. } = moment else { return };
            let written = Recording::new("1", &before.desired, &before.seen_now(), plan).to_json().unwrap();
            let read = Recording::from_json(&written).unwrap();
            let again = read.plan_again();
            if again != *plan || read.plan != render(plan) {
                wrong.get_or_insert_with(|| format!("{}\nbut was:\n{}", render(&again), render(plan)));
            }
        });
        prop_assert!(wrong.is_none(), "{}", wrong.unwrap());
    }

    /// Reporting an unchanged visit twice is byte-equal.
    #[test]
    fn the_same_visit_reported_again_changes_nothing(story in stories()) {
        let mut world = story.tell();
        let plan = world.plan();
        let first = world.report(&plan, &Outcome::default());
        world.seen.object.status = first.status.clone();
        let again = world.plan();
        let second = world.report(&again, &Outcome::default());
        world.seen.object.status = second.status.clone();
        let third = world.report(&world.plan(), &Outcome::default());
        prop_assert_eq!(serde_json::to_value(&second.status).unwrap(), serde_json::to_value(&third.status).unwrap());
        prop_assert!(third.events.is_empty(), "{:?}", third.events);
    }
}
