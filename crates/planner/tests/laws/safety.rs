//! What must never happen, in no story.

use proptest::prelude::*;
use sreg_domain::{Action, AzureAction, ClusterAction, Edit};
use sreg_planner::conditions::{self, Truth};
use sreg_planner::plan::WaitReason;
use sreg_planner::{Plan, lint, plan, render};

use crate::config;
use crate::stories::{Moment, listening, stories};
use crate::telling::consistent;
use crate::witness::Witness;
use crate::world::*;

proptest! {
    #![proptest_config(config())]

    /// Safety on the way, as a witness beside the story judges it: public access is closed only behind fresh, honest proof of all
    /// that clients need now, settled and approved; opened only by spec, break-glass, or a rollback that failures confirmed;
    /// what is not ours is never written; plans are bounded.
    #[test]
    fn no_visit_breaks_a_rule_that_a_witness_knows(story in stories()) {
        let mut witness = Witness::default();
        let mut unfit = None;
        let mut world = story.tell_to(|moment| {
            if let Moment::Visit {
                after, reported: true, ..
            } = &moment
            {
                unfit = unfit.take().or(consistent(after).err());
            }
            witness.watch(moment);
        });
        for _ in 0..60 {
            let report = listening(&mut world, &mut |moment| witness.watch(moment));
            consistent(&world)?;
            prop_assert!(report.events.iter().all(|e| e.note.len() <= 1024 && e.reason.len() <= 128));
        }
        let verdict = witness.verdict();
        prop_assert!(verdict.is_none(), "{}", verdict.unwrap());
        prop_assert!(unfit.is_none(), "{}", unfit.unwrap());
    }

    /// Ownership: what others have beside ours is the same at the end as when they made it.
    #[test]
    fn what_belongs_to_others_is_never_touched(story in stories(), deleted in any::<bool>()) {
        let mut world = story.tell();
        world.suffer(scramble::Blow::Strangers);
        let theirs = world.strangers();
        prop_assert!(!theirs.is_empty());
        if deleted {
            world.turn_ungranted(|o| o.spec.deletion_policy = sreg_api::registry::DeletionPolicy::DeleteEndpoints);
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

    /// Forgetting any facts never adds a write in Azure nor takes anything away in the cluster, and never calls ready what was not;
    /// also while the object is being deleted.
    #[test]
    fn ignorance_does_no_harm(story in stories(), deleted in prop::bool::weighted(0.3), forgotten in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let mut world = story.tell();
        if deleted {
            world.turn_ungranted(|o| o.spec.deletion_policy = sreg_api::registry::DeletionPolicy::DeleteEndpoints);
            world.delete();
        }
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
        let had: Vec<&Action> = before.steps().map(|s| &s.action).collect();
        // Closing writes stand alone: without them, what had to stand aside comes at once.
        let aside = before.steps().any(|s| s.action.closes());
        for step in after.steps().filter(|s| takes_or_writes(&s.action)) {
            prop_assert!(had.contains(&&step.action) || (aside && stands_aside(&step.action)), "{:?} added {:?}\nbefore:\n{}\nafter:\n{}", names, step.action, render(&before), render(&after));
        }
        let ready = |plan: &Plan| plan.assessment.state.is_some_and(|s| conditions::trio(s).0 == Truth::True);
        prop_assert!(ready(&before) || !ready(&after), "{:?}\nbefore:\n{}\nafter:\n{}", names, render(&before), render(&after));
    }
}

fn stands_aside(action: &Action) -> bool {
    let upkeep = |azure: &AzureAction| match azure {
        AzureAction::SetTags { .. } | AzureAction::MergeTags { .. } | AzureAction::GrantManagedGroupAccess { .. } => {
            true
        }
        AzureAction::Edit { edit, .. } => matches!(edit, Edit::AllowResource { .. }),
        AzureAction::CreateRegistry { .. }
        | AzureAction::CreateEndpoint { .. }
        | AzureAction::DeleteEndpoint { .. }
        | AzureAction::CreateZone { .. }
        | AzureAction::LinkZone { .. }
        | AzureAction::PutZoneGroup { .. }
        | AzureAction::DeleteZoneGroup { .. } => false,
    };
    match action {
        Action::Azure(azure) => upkeep(azure),
        Action::Cluster(cluster) => matches!(cluster, ClusterAction::DeleteProbe { .. }),
    }
}

/// Writes to Azure, and what the cluster loses.
fn takes_or_writes(action: &Action) -> bool {
    match action {
        Action::Azure(_) => true,
        Action::Cluster(cluster) => match cluster {
            ClusterAction::DeleteSnapshot { .. }
            | ClusterAction::DeletePublishedDns { .. }
            | ClusterAction::DeleteProbe { .. }
            | ClusterAction::ReleaseClaim { .. }
            | ClusterAction::RemoveFinalizer => true,
            ClusterAction::Claim { .. }
            | ClusterAction::RecordCreation { .. }
            | ClusterAction::AddFinalizer
            | ClusterAction::WriteSnapshot { .. }
            | ClusterAction::ApplyProbe(_)
            | ClusterAction::OpenRound { .. }
            | ClusterAction::PublishDns { .. }
            | ClusterAction::MarkProbe { .. } => false,
        },
    }
}
