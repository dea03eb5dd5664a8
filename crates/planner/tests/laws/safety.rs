//! What must never happen, in no story.

use proptest::prelude::*;
use sreg_domain::Fact;
use sreg_planner::plan::WaitReason;
use sreg_planner::{Plan, lint, plan, render};

use crate::stories::stories;
use crate::telling::consistent;
use crate::world::*;
use crate::{azure_steps, config};

proptest! {
    #![proptest_config(config())]

    /// Safety on the way: public access never goes from open to closed without every path passing at that moment, and never from
    /// closed to open unless the spec says so.
    #[test]
    fn no_visit_closes_what_clients_cannot_reach_privately(story in stories()) {
        let mut world = story.tell();
        for _ in 0..60 {
            let before = world.closed();
            let (_, report) = world.visit();
            consistent(&world)?;
            let closed = world.closed().iter().any(|(k, v)| *v && before.get(k) == Some(&false));
            let opened = world.closed().iter().any(|(k, v)| !*v && before.get(k) == Some(&true));
            if closed {
                for (point, fact) in &world.seen.cluster.probes {
                    let Fact::Seen(probe) = fact else { continue };
                    let network = world.desired.client_networks.iter().find(|n| n.vantage_point == *point).unwrap();
                    for path in &probe.spec.paths {
                        prop_assert!(world.reaches(&network.name, &path.fqdn, &path.addresses).is_ok(), "{} {}", network.name, path.fqdn);
                    }
                }
            }
            prop_assert!(!opened || story.wants_open);
            prop_assert!(!(story.observe && (opened || closed)));
            prop_assert!(report.events.iter().all(|e| e.note.len() <= 1024 && e.reason.len() <= 128));
            world.pass(report.requeue);
        }
    }

    /// Settling: no closing write within `dnsSettle` of a write of ours that changed names, whoever crashed in between.
    #[test]
    fn nothing_is_closed_before_names_have_settled(story in stories()) {
        let mut changed = None;
        let mut too_early = None;
        let mut listen = |before: &World, plan: &Plan| {
            if plan.steps().any(|s| s.action.closes())
                && let Some(changed) = changed
                && before.now.duration_since(changed).as_secs() < 3600
            {
                too_early.get_or_insert(format!("{} after {changed}:\n{}", before.now, render(plan)));
            }
            if plan.steps().any(|s| s.action.changes_names()) {
                changed = Some(before.now);
            }
        };
        let mut world = story.tell_to(|before, plan, _| listen(before, plan));
        for _ in 0..40 {
            let before = world.clone();
            let (plan, report) = world.visit();
            listen(&before, &plan);
            world.pass(report.requeue);
        }
        prop_assert!(too_early.is_none(), "{}", too_early.unwrap());
    }

    /// Ownership: what others have beside ours is the same at the end as when they made it.
    #[test]
    fn what_belongs_to_others_is_never_touched(story in stories(), deleted in any::<bool>()) {
        let mut world = story.tell();
        world.suffer(scramble::Blow::Strangers);
        let theirs = world.strangers();
        prop_assert!(!theirs.is_empty());
        if deleted {
            world.respec(|o| o.spec.deletion_policy = sreg_api::registry::DeletionPolicy::DeleteEndpoints);
            world.delete();
        }
        for _ in 0..60 {
            if world.gone {
                break;
            }
            let (_, report) = world.visit();
            world.pass(report.requeue);
        }
        prop_assert_eq!(world.strangers(), theirs);
    }

    /// Order: claim and finalizer come before the first write in Azure; snapshot and proof round before the first closing write;
    /// records before the link that makes a network ask for them.
    #[test]
    fn first_things_come_first(story in stories()) {
        let mut world = story.tell();
        for _ in 0..60 {
            let (_, report) = world.visit();
            world.pass(report.requeue);
        }
        let first = |what: &str| world.journal.iter().position(|step| step.starts_with(what));
        let azure = ["create-", "put-zone-group", "link-zone", "close", "set-tags", "open ", "create-registry"];
        let pairs = azure.iter().flat_map(|later| [("claim", *later), ("add-finalizer", *later)]);
        for (earlier, later) in pairs.chain([("open-round", "close"), ("write-snapshot", "close"), ("put-zone-group", "link-zone")]) {
            if let Some(at) = first(later) {
                prop_assert!(first(earlier).is_some_and(|before| before < at), "{} before {}: {:#?}", earlier, later, world.journal);
            }
        }
    }

    /// Forgetting any facts never adds a write in Azure, and never calls ready what was not.
    #[test]
    fn ignorance_does_no_harm(story in stories(), forgotten in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let world = story.tell();
        let before = world.plan();
        let all = world.forgetters();
        let mut seen = world.seen_now();
        let mut names = Vec::new();
        for index in forgotten {
            let (name, forget) = index.get(&all);
            forget(&mut seen);
            names.push(name.clone());
        }
        let after = plan(&world.desired, &seen, world.now);
        let findings = lint(&world.desired, &seen, &after);
        prop_assert!(findings.is_empty(), "{:?} {:#?}", names, findings);
        prop_assert!(!after.waits.iter().any(|w| w.reason == WaitReason::PlanRefusedStalled), "{:?} {}", names, render(&after));
        for step in azure_steps(&after) {
            prop_assert!(azure_steps(&before).contains(&step), "{:?} added {:?}\nbefore:\n{}\nafter:\n{}", names, step, render(&before), render(&after));
        }
    }
}
