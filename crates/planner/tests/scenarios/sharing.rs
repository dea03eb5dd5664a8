//! Rules that let the registry in at workspaces' storage, and whose storage takes none.

use sreg_api::registry::SharingSpec;
use sreg_domain::{Action, ArmId, AzureAction, Edit};
use sreg_planner::Wait;
use sreg_planner::plan::WaitReason;

use super::*;
use crate::world::*;

fn shares_to(account: &ArmId) -> World {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.sharing = Some(SharingSpec {
            workspace_storage_account_resource_ids: vec![account.to_string()],
        });
    });
    world
}

fn lets_in(plan: &Plan) -> bool {
    plan.steps().any(|step| {
        let action = &step.action;
        matches!(
            action,
            Action::Azure(AzureAction::Edit {
                edit: Edit::AllowResource { .. },
                ..
            })
        )
    })
}

#[test]
fn a_workspaces_storage_lets_the_registry_in() {
    let theirs = id(&format!(
        "{SUB}/resourceGroups/team/providers/Microsoft.Storage/storageAccounts/theirs"
    ));
    let mut world = shares_to(&theirs);
    let mut let_in = false;
    for _ in 0..20 {
        let (plan, report) = world.visit();
        let_in |= lets_in(&plan);
        world.pass(report.requeue);
    }
    assert!(let_in);
}

/// A rule there would be a door into what the lock shuts.
#[test]
fn storage_behind_this_registry_or_another_one_takes_no_rule_and_the_lock_goes_on() {
    let another = "azureml-rg-another_1/providers/Microsoft.Storage/storageAccounts/another";
    for account in [storage("contosostore"), id(&format!("{SUB}/resourceGroups/{another}"))] {
        let mut world = shares_to(&account);
        let mut told = false;
        for _ in 0..60 {
            let (plan, report) = world.visit();
            assert!(!lets_in(&plan), "{}", sreg_planner::render(&plan));
            let about =
                |wait: &Wait| wait.reason == WaitReason::RefusedStalled && wait.message.contains(account.name());
            told |= plan.waits.iter().any(about);
            world.pass(report.requeue);
        }
        assert!(told && world.all_closed(), "{account}: {}", world.message());
    }
}
