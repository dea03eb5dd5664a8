//! What Azure does not find (any more), and what may be decided on that.

use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{ArmId, AzureAction, ClusterAction, Disposition, Fact, TargetKind};
use sreg_planner::Step;
use sreg_planner::plan::WaitReason;

use super::*;
use crate::world::*;

fn waits(plan: &Plan, reason: WaitReason) -> Option<&str> {
    let wait = plan.waits.iter().find(|w| w.reason == reason);
    wait.map(|w| w.message.as_str())
}

fn connections(world: &mut World, status: &str) {
    for fact in world.seen.azure.endpoints.values_mut() {
        if let Fact::Seen(endpoint) = fact {
            endpoint.connection_status = Some(status.into());
        }
    }
}

/// So many visits, settled or not.
fn goes_on(world: &mut World, visits: usize) {
    for _ in 0..visits {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
}

fn locked_to_be_removed() -> World {
    let mut world = locked();
    world.respec(|o| o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints);
    world.settle(20);
    world
}

#[test]
fn a_registry_that_was_moved_takes_neither_endpoints_nor_the_way_back_along() {
    let mut world = locked_to_be_removed();
    see_registry(&mut world.seen.azure, Fact::Absent);
    let (plan, _) = world.visit();
    let told =
        waits(&plan, WaitReason::RegistryAbsentStalled).unwrap_or_else(|| panic!("{}", sreg_planner::render(&plan)));
    assert!(told.contains("az resource list --name contosoreg"), "{told}");
    assert_eq!((world.state().as_str(), azure_steps(&plan)), ("Stalled", 0));
    world.delete();
    world.settle(80);
    assert!(world.gone && standing_endpoints(&world) == 3 && world.seen.cluster.snapshot.seen().is_some());
}

#[test]
fn a_registry_that_is_gone_takes_its_endpoints_along() {
    let mut world = locked_to_be_removed();
    see_registry(&mut world.seen.azure, Fact::Absent);
    connections(&mut world, "Disconnected");
    world.delete();
    world.settle(20);
    assert!(world.gone && standing_endpoints(&world) == 0 && world.seen.cluster.snapshot.is_absent());
}

#[test]
fn while_an_endpoint_cannot_be_read_nobody_knows_that_the_registry_is_gone() {
    let mut world = locked_to_be_removed();
    see_registry(&mut world.seen.azure, Fact::Absent);
    connections(&mut world, "Disconnected");
    *world.seen.azure.endpoints.values_mut().next().unwrap() = unknown(IgnoranceKind::Unreachable);
    world.delete();
    let (plan, _) = world.visit();
    assert_eq!(azure_steps(&plan), 0, "{}", sreg_planner::render(&plan));
}

/// The creation, or the record that comes before it.
fn is_creation(step: &Step) -> bool {
    matches!(
        step.action,
        Action::Azure(AzureAction::CreateRegistry { .. }) | Action::Cluster(ClusterAction::RecordCreation { .. })
    )
}

#[test]
fn nothing_is_created_over_a_registry_of_which_something_lives() {
    let mut world = locked();
    world.have_it_created();
    see_registry(&mut world.seen.azure, Fact::Absent);
    let creates = |plan: &Plan| plan.steps().any(is_creation);
    assert!(!creates(&world.plan()) && waits(&world.plan(), WaitReason::RegistryAbsentStalled).is_some());
    connections(&mut world, "Disconnected");
    assert!(creates(&world.plan()), "{}", sreg_planner::render(&world.plan()));
}

/// Its endpoints were removed as well, but not what stands behind it.
#[test]
fn a_registry_whose_accounts_are_still_there_is_not_gone() {
    for (left, lives) in [
        (Fact::Seen(()), true),
        (unknown(IgnoranceKind::Unreachable), true),
        (unknown(IgnoranceKind::Forbidden), false),
        (Fact::Absent, false),
    ] {
        let mut world = locked_to_be_removed();
        world.have_it_created();
        see_registry(&mut world.seen.azure, Fact::Absent);
        world.seen.azure.accounts_left = [(storage("contosostore"), left.clone()), (acr(), Fact::Absent)].into();
        connections(&mut world, "Disconnected");
        let plan = world.plan();
        let creates = plan.steps().any(is_creation);
        assert_eq!(creates, !lives, "{left:?} {}", sreg_planner::render(&plan));
        if left.seen().is_some() {
            let told = waits(&plan, WaitReason::RegistryAbsentStalled).unwrap();
            assert!(told.contains("contosostore, which it named, is still there"), "{told}");
        }
        world.delete();
        let (plan, _) = world.visit();
        assert_eq!(
            azure_steps(&plan) > 0,
            !lives,
            "{left:?} {}",
            sreg_planner::render(&plan)
        );
        for _ in 0..120 {
            world.visit();
            world.pass(Duration::from_secs(60));
        }
        let standing = if lives { 3 } else { 0 };
        assert!(world.gone && standing_endpoints(&world) == standing, "{left:?}");
        assert_eq!(world.seen.cluster.snapshot.seen().is_some(), lives, "{left:?}");
    }
}

/// Azure takes minutes to delete what it made for a registry.
#[test]
fn endpoints_of_a_deleted_registry_go_once_azure_has_deleted_its_accounts() {
    let mut world = locked_to_be_removed();
    see_registry(&mut world.seen.azure, Fact::Absent);
    world.seen.azure.accounts_left = [(storage("contosostore"), Fact::Seen(())), (acr(), Fact::Seen(()))].into();
    world.delete();
    for _ in 0..8 {
        let (plan, _) = world.visit();
        assert_eq!(azure_steps(&plan), 0, "{}", sreg_planner::render(&plan));
        assert!(!world.gone, "the endpoints would be left");
        assert!(world.message().contains("is still"), "{}", world.message());
        world.pass(Duration::from_secs(60));
    }
    world.seen.azure.accounts_left = [(storage("contosostore"), Fact::Absent), (acr(), Fact::Absent)].into();
    connections(&mut world, "Disconnected");
    world.settle(20);
    assert!(world.gone && standing_endpoints(&world) == 0 && world.seen.cluster.snapshot.is_absent());
}

#[test]
fn an_account_that_others_use_too_is_no_sign_of_life_of_the_registry() {
    let mut world = locked_to_be_removed();
    world.respec(|o| {
        let shared = SharedAccountSpec {
            resource_id: storage("contosostore").to_string(),
            reason: "the team's own".into(),
        };
        o.spec.shared_accounts = vec![shared];
    });
    see_registry(&mut world.seen.azure, Fact::Absent);
    world.seen.azure.accounts_left = [(storage("contosostore"), Fact::Seen(())), (acr(), Fact::Absent)].into();
    connections(&mut world, "Disconnected");
    world.delete();
    for _ in 0..120 {
        world.visit();
        world.pass(Duration::from_secs(60));
    }
    assert!(world.gone && standing_endpoints(&world) == 0, "{:#?}", world.journal);
}

#[test]
fn a_deleted_storage_account_is_told_with_how_to_restore_it_and_the_others_can_be_opened() {
    let mut world = locked();
    world.seen.azure.targets.insert(storage("contosostore"), Fact::Absent);
    let (plan, _) = world.visit();
    let told =
        waits(&plan, WaitReason::TargetAbsentStalled).unwrap_or_else(|| panic!("{}", sreg_planner::render(&plan)));
    assert!(told.contains("deletedAccounts"), "{told}");
    assert_eq!(world.state(), "Stalled");
    world.break_glass(60);
    goes_on(&mut world, 10);
    assert!(world.all_open(), "{:?}", world.closed());
    let glass = world.seen.cluster.break_glasses.seen().unwrap()[0]
        .status
        .clone()
        .unwrap();
    assert!(glass.message.contains("cannot be locked again"), "{}", glass.message);
}

#[test]
fn accounts_that_azure_never_names_are_a_matter_for_people_after_a_while() {
    for missing in [Vec::<Option<ArmId>>::new(), vec![None]] {
        let mut world = World::everyday();
        change_registry(&mut world, |registry| {
            registry.regions[0].accounts.insert(TargetKind::Storage, missing);
        });
        let mut stalled_at = None;
        for minute in 0..40 {
            let (plan, _) = world.visit();
            if waits(&plan, WaitReason::RegistryIncompleteStalled).is_some() {
                stalled_at.get_or_insert(minute);
            } else {
                assert!(stalled_at.is_none(), "it stays so");
            }
            world.pass(Duration::from_secs(60));
        }
        assert!(stalled_at.is_some_and(|at| (15..20).contains(&at)), "{stalled_at:?}");
        assert_eq!(world.state(), "Stalled");
    }
}

#[test]
fn an_account_that_is_not_the_registrys_own_holds_the_lock_until_somebody_has_acknowledged_it() {
    let mut world = World::everyday();
    let another = id(&format!("{SUB}/resourceGroups/azureml-rg-another"));
    change_registry(&mut world, |registry| registry.managed_resource_group = Some(another));
    stays_open(&mut world, 60, Duration::from_secs(600));
    let plan = world.plan();
    let told: Vec<&str> = plan
        .waits
        .iter()
        .filter(|w| w.reason == WaitReason::SharedAccountNotAcknowledged)
        .map(|w| w.message.as_str())
        .collect();
    assert!(
        told.len() == 2 && told.iter().all(|m| m.contains("spec.sharedAccounts")),
        "{told:#?}"
    );
    let acknowledged = |id: &ArmId| SharedAccountSpec {
        resource_id: id.to_string(),
        reason: "the data team knows (CHG-18)".into(),
    };
    world.respec(|o| o.spec.shared_accounts = vec![acknowledged(&storage("contosostore"))]);
    stays_open(&mut world, 10, Duration::from_secs(600));
    world.respec(|o| o.spec.shared_accounts.push(acknowledged(&acr())));
    let mut told = Vec::new();
    for _ in 0..60 {
        let (plan, report) = world.visit();
        told.extend(plan.findings.into_iter().map(|f| f.message));
        world.pass(report.requeue);
    }
    assert_eq!(world.state(), "Locked", "{}", world.message());
    assert!(told.iter().any(|m| m.contains("CHG-18")), "{told:#?}");
}

#[test]
fn a_connection_that_is_gone_for_good_is_made_again_while_everything_is_open() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(60);
    connections(&mut world, "Disconnected");
    world.settle(60);
    let ready = world
        .seen
        .azure
        .endpoints
        .values()
        .filter_map(Fact::seen)
        .filter(|e| e.is_ready())
        .count();
    assert_eq!((ready, world.state().as_str()), (3, "Open"), "{}", world.message());
}

#[test]
fn a_connection_that_is_gone_for_good_while_locked_is_told_with_the_command_and_nobody_is_asked_to_approve() {
    let mut world = locked();
    connections(&mut world, "Disconnected");
    let (plan, _) = world.visit();
    let told =
        waits(&plan, WaitReason::ConnectionRemovedStalled).unwrap_or_else(|| panic!("{}", sreg_planner::render(&plan)));
    assert!(
        told.contains("az network private-endpoint delete --ids") && !told.contains("ask"),
        "{told}"
    );
    assert!(waits(&plan, WaitReason::ConnectionRejectedStalled).is_none() && azure_steps(&plan) == 0);
}

#[test]
fn a_rejected_connection_is_not_made_again_behind_its_owners_back() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(60);
    connections(&mut world, "Rejected");
    let (plan, _) = world.visit();
    assert!(waits(&plan, WaitReason::ConnectionRejectedStalled).is_some() && azure_steps(&plan) == 0);
}

/// Somebody edits the subnet of a locked registry.
#[test]
fn an_edit_that_cannot_be_carried_out_while_locked_makes_nothing_and_is_told_as_that() {
    let mut world = locked();
    let before = standing_endpoints(&world);
    let subnet = world.object.spec.endpoints[0].subnet_resource_id.clone();
    world.respec(|o| o.spec.endpoints[0].subnet_resource_id = format!("{}/subnets/other", vnet("hub")));
    for _ in 0..10 {
        let (plan, report) = world.visit();
        assert!(
            waits(&plan, WaitReason::PathLostStalled).is_none(),
            "{}",
            sreg_planner::render(&plan)
        );
        assert_eq!(
            (azure_steps(&plan), plan.assessment.drift.len()),
            (0, 0),
            "{}",
            sreg_planner::render(&plan)
        );
        world.pass(report.requeue);
    }
    assert!(
        world.state() == "Stalled" && world.message().contains("Undo that change"),
        "{}",
        world.message()
    );
    assert!(world.all_closed() && standing_endpoints(&world) == before);
    world.respec(|o| o.spec.endpoints[0].subnet_resource_id = subnet);
    world.settle(20);
    assert_eq!((world.state().as_str(), standing_endpoints(&world)), ("Locked", before));
}

#[test]
fn a_window_that_never_opens_is_a_mistake_of_the_spec() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.public_access.lockdown = Some(LockdownSpec {
            wait_for: vec![LockdownGate::Window],
            window: Some(WindowSpec {
                schedule: "0 0 31 2 *".into(),
                time_zone: "UTC".into(),
                duration: "2h".into(),
            }),
        });
    });
    goes_on(&mut world, 60);
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    assert!(world.message().contains("never opens"));
}

#[test]
fn a_subscription_that_does_not_exist_is_a_mistake_of_the_spec() {
    let mut world = World::everyday();
    see_registry(&mut world.seen.azure, no_such_subscription());
    world.visit();
    world.visit();
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    assert!(
        world.message().contains("correct the subscription in the spec"),
        "{}",
        world.message()
    );
}

/// The subscription or the resource group in which something is to be made is unknown to Azure.
#[test]
fn a_scope_that_does_not_exist_is_told_with_what_to_correct() {
    for (code, said) in [
        ("SubscriptionNotFound", "correct the subscription in the spec"),
        ("InvalidSubscriptionId", "correct the subscription in the spec"),
        (
            "ResourceGroupNotFound",
            "correct the id in the spec, or create what is missing: az group create --name",
        ),
    ] {
        for write in ["create-endpoint", "create-zone"] {
            let mut world = World::everyday();
            world.thwarted(write, contrary::Contrary::Fails(code, 404, Disposition::Terminal));
            for _ in 0..20 {
                let (_, report) = world.visit();
                world.pass(report.requeue);
            }
            let plan = world.plan();
            let told = waits(&plan, WaitReason::ScopeAbsentStalled);
            assert!(told.is_some_and(|told| told.contains(said)), "{code} {write}: {told:?}");
            assert_eq!(world.state(), "Stalled", "{}", world.message());
        }
    }
}

/// Azure approves no connection that was rejected.
#[test]
fn nobody_is_sent_to_approve_what_was_rejected() {
    for closed in [false, true] {
        for status in ["Rejected", "Timeout"] {
            let mut world = World::everyday();
            if closed {
                world = locked();
            } else {
                world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
                world.settle(40);
            }
            connections(&mut world, status);
            let plan = world.plan();
            let told = waits(&plan, WaitReason::ConnectionRejectedStalled)
                .unwrap_or_else(|| panic!("{}", sreg_planner::render(&plan)));
            assert!(told.contains("az network private-endpoint delete --ids"), "{told}");
            assert!(!told.contains("to approve it"), "{told}");
            assert_eq!(told.contains("BreakGlass"), closed, "{told}");
            goes_on(&mut world, 10);
            assert_eq!(
                standing_endpoints(&world),
                3,
                "somebody decided that: {:#?}",
                world.journal
            );
        }
    }
}

#[test]
fn a_loss_that_an_agent_reports_is_told_at_once_though_an_endpoint_is_not_found_just_now() {
    let mut world = locked();
    let path = ("hub".to_owned(), "contosoacr.azurecr.io".to_owned());
    let endpoint = world.seen.azure.endpoints.iter();
    let mut endpoint = endpoint.filter(|(_, fact)| fact.seen().is_some_and(|e| e.target == Some(acr())));
    let endpoint = endpoint.next().unwrap().0.clone();
    world
        .seen
        .azure
        .endpoints
        .insert(endpoint, unknown(IgnoranceKind::Settling));
    let mut quiet = world.clone();
    quiet.visit();
    assert_eq!(quiet.condition("Ready").unwrap().0, "True", "{}", quiet.message());
    world.broken.insert(path);
    world.answer();
    world.visit();
    assert_ne!(world.condition("Ready").unwrap().0, "True", "{}", world.message());
}
