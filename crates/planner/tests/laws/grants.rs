//! What administrators grant: neither order nor names nor division of grants matters, and taking one away never opens anything.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sreg_domain::grants::Requirements;
use sreg_domain::{Action, Grant, Grants};
use sreg_planner::Plan;

use super::stories::stories;
use super::{config, render};
use crate::world::World;
use crate::world::grants::everything;

/// What each of several grants demands; the strictest counts, wherever it stands.
fn demands(index: usize) -> Requirements {
    Requirements {
        minimum_dns_settle: Duration::from_secs(60 * (index as u64 % 3)),
        minimum_consecutive_successes: 1 + index as u32 % 3,
        ..Requirements::default()
    }
}

/// Everything that the object names, as a grant for each purpose and each scope, named in this order, with demands that differ.
fn in_pieces(world: &World, order: usize) -> Vec<Grant> {
    let whole = everything(&world.object);
    let scopes = whole.scopes.iter();
    let each = scopes.flat_map(|(purpose, ids)| ids.iter().map(move |id| (*purpose, id.clone())));
    let mut pieces: Vec<Grant> = each
        .enumerate()
        .map(|(index, (purpose, id))| Grant {
            name: String::new(),
            scopes: BTreeMap::from([(purpose, vec![id])]),
            vantage_points: Default::default(),
            requires: Ok(demands(index)),
        })
        .collect();
    let points = whole.vantage_points.iter().enumerate().map(|(index, point)| Grant {
        name: String::new(),
        scopes: BTreeMap::new(),
        vantage_points: [point.clone()].into(),
        requires: Ok(demands(index)),
    });
    pieces.extend(points);
    let count = pieces.len();
    for (index, piece) in pieces.iter_mut().enumerate() {
        piece.name = format!("grant-{:03}", (index * 7 + order * 13) % count * 2 + index % 2);
    }
    pieces
}

fn actions(plan: &Plan, which: impl Fn(&Action) -> bool) -> Vec<Action> {
    let mut actions: Vec<Action> = plan.steps().map(|s| s.action.clone()).filter(|a| which(a)).collect();
    actions.sort_by_key(ToString::to_string);
    actions
}

fn closes(action: &Action) -> bool {
    matches!(action, Action::Azure(azure) if azure.is_closing())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn grants_named_and_listed_in_any_order_give_the_same_plan(story in stories(), order in 1usize..20, turned in any::<bool>()) {
        let mut world = story.tell();
        world.regrant(Some(Grants::new(in_pieces(&world, 0))));
        let before = world.plan();
        let mut others = in_pieces(&world, order);
        if turned {
            others.reverse();
        }
        world.regrant(Some(Grants::new(others)));
        let after = world.plan();
        prop_assert_eq!(actions(&before, |_| true), actions(&after, |_| true), "{}\n{}", render(&before), render(&after));
        let reasons = |plan: &Plan| plan.waits.iter().map(|w| w.reason).collect::<Vec<_>>();
        prop_assert_eq!(reasons(&before), reasons(&after));
        prop_assert_eq!(before.assessment.lockdown_digest, after.assessment.lockdown_digest);
        prop_assert_eq!(before.assessment.state, after.assessment.state);
    }

    #[test]
    fn taking_grants_away_opens_nothing_and_closes_nothing(story in stories(), kept in prop::collection::vec(any::<bool>(), 8)) {
        let mut world = story.tell();
        let all = in_pieces(&world, 0);
        world.regrant(Some(Grants::new(all.clone())));
        let before = world.plan();
        let left = all.into_iter().enumerate().filter(|(index, _)| kept[index % kept.len()]);
        world.regrant(Some(Grants::new(left.map(|(_, grant)| grant).collect())));
        let after = world.plan();
        for (what, which) in [("opens", Action::opens as fn(&Action) -> bool), ("closes", closes)] {
            let might = actions(&before, which);
            let does = actions(&after, which);
            prop_assert!(
                does.iter().all(|action| might.contains(action)),
                "{what} what it did not before:\n{}\n{}", render(&before), render(&after)
            );
        }
    }
}
