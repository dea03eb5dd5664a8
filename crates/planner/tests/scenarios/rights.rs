//! Rights in Azure are looked at before the first change of names: all that are missing are told at once.

use sreg_domain::rights::{self, Place, Right};
use sreg_domain::seen::IgnoranceKind;
use sreg_domain::{Fact, StepKind};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::*;
use crate::world::*;

const MISSING: [&str; 2] = [
    "Microsoft.ContainerRegistry/registries/write",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
];

#[test]
fn rights_that_are_missing_anywhere_are_told_at_once_and_nothing_is_built_before() {
    let mut world = World::everyday();
    world.allowed_all_but(&MISSING);
    for _ in 0..4 {
        let (plan, report) = world.visit();
        assert_eq!(azure_steps(&plan), 0, "{}", sreg_planner::render(&plan));
        world.pass(report.requeue);
    }
    let plan = world.plan();
    let waits: Vec<_> = plan
        .waits
        .iter()
        .filter(|w| w.reason == WaitReason::PermissionStalled)
        .collect();
    let [wait] = waits[..] else { panic!("{:?}", plan.waits) };
    for action in MISSING {
        assert!(wait.message.contains(action), "{}", wait.message);
    }
    for scope in [&world.desired.endpoints()[0].subnet, &id(MANAGED)] {
        let command = format!(
            "az role assignment create --assignee-object-id operator --assignee-principal-type ServicePrincipal --role \"Secure Registry Operator: {}\" --scope {scope}",
            if scope.kind() == "resourcegroups" {
                "managed resource group"
            } else {
                "virtual networks"
            }
        );
        assert!(wait.message.contains(&command), "{}", wait.message);
    }
    assert_eq!(world.state(), "Stalled");

    world.allowed_all_but(&[]);
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn a_right_without_which_a_list_may_be_short_is_told_before_anything_is_built() {
    for (missing, role) in [
        ("Microsoft.Authorization/locks/read", "registry"),
        ("Microsoft.Authorization/denyAssignments/read", "private endpoints"),
        (
            "Microsoft.Authorization/policyAssignments/read",
            "look at a subscription",
        ),
        ("Microsoft.Network/privateDnsZones/read", "look at a subscription"),
        (
            "Microsoft.ContainerRegistry/registries/replications/read",
            "managed resource group",
        ),
    ] {
        let mut world = World::everyday();
        world.allowed_all_but(&[missing]);
        for _ in 0..4 {
            let (plan, report) = world.visit();
            assert_eq!(azure_steps(&plan), 0, "{missing}: {}", sreg_planner::render(&plan));
            world.pass(report.requeue);
        }
        let plan = world.plan();
        let wait = plan.waits.iter().find(|w| w.reason == WaitReason::PermissionStalled);
        let told = &wait.unwrap_or_else(|| panic!("{missing}: {:?}", plan.waits)).message;
        let of_role = told.split("; ").find(|part| part.contains(&format!(": {role}\"")));
        assert!(of_role.is_some_and(|part| part.contains(missing)), "{missing}: {told}");
        world.allowed_all_but(&[]);
        world.settle(60);
        assert_eq!(world.state(), "Locked", "{missing}: {}", world.message());
    }
}

/// Policies that would forbid removing an endpoint are assigned where it stands.
#[test]
fn the_right_to_read_policies_is_needed_where_endpoints_stand_too() {
    const OTHER: &str = "/subscriptions/0a000000-0000-4000-8000-000000000002";
    let mut world = World::everyday();
    world.respec(|o| {
        let place = &mut o.spec.endpoints[0];
        place.subnet_resource_id = place.subnet_resource_id.replace(SUB, OTHER);
        place.resource_group_resource_id = Some(format!("{OTHER}/resourceGroups/endpoints"));
    });
    world.allowed_all_but(&[rights::READ_POLICY_ASSIGNMENTS]);
    world.visit();
    let told = world
        .plan()
        .waits
        .iter()
        .map(|w| w.message.clone())
        .collect::<Vec<_>>()
        .join(" ");
    for subscription in [SUB, OTHER] {
        let scope = format!("--scope {subscription} (lacks Microsoft.Authorization/policyAssignments/read");
        assert!(told.contains(&scope), "{told}");
    }
}

#[test]
fn approvals_by_somebody_else_need_no_right_to_approve() {
    let mut world = World::everyday();
    world.allowed_all_but(&["*/privateEndpointConnectionsApproval/action"]);
    world.visit();
    assert!(
        world
            .plan()
            .waits
            .iter()
            .any(|w| w.reason == WaitReason::PermissionStalled)
    );
    world.respec(|o| {
        o.spec.endpoints[0].approval = Some(sreg_api::registry::ApprovalSpec {
            mode: sreg_api::registry::ApprovalMode::Manual,
            request_message: Some("please".into()),
        });
    });
    world.visit();
    assert!(
        world
            .plan()
            .waits
            .iter()
            .all(|w| w.reason != WaitReason::PermissionStalled)
    );
}

#[test]
fn a_right_that_is_lost_while_locked_holds_up_no_repair() {
    let mut world = locked();
    world.allowed_all_but(&["Microsoft.ContainerRegistry/registries/write"]);
    let gone = world.seen.azure.endpoints.keys().next().unwrap().clone();
    world.seen.azure.endpoints.insert(gone, Fact::Absent);
    world.visit();
    world.pass(Duration::from_secs(60));
    let plan = world.plan();
    assert!(
        plan.steps().any(|s| s.id.kind == StepKind::CreateEndpoint),
        "{}",
        sreg_planner::render(&plan)
    );
}

#[test]
fn rights_that_cannot_be_looked_at_are_told_and_hold_nothing_up() {
    let mut world = World::everyday();
    world.allowed_all_but(&[]);
    let group = world.desired.endpoints()[0].resource_group.clone();
    world
        .seen
        .azure
        .rights
        .insert(group, unknown(IgnoranceKind::Unreachable));
    world.visit();
    let plan = world.plan();
    assert!(plan.findings.iter().any(|f| f.reason == FindingReason::RightsNotKnown));
    assert!(azure_steps(&plan) > 0);
}

/// The simplest registry, with a rule that lets a subnet in: of whichever network, somebody else may own it.
fn with_a_subnet_rule() -> World {
    let mut world = World::everyday();
    change_storage(&mut world, |storage| {
        storage.default_action = Some("Deny".into());
        storage.virtual_network_rules = vec![vnet("hub").child("subnets", "build").to_string()];
    });
    world
}

/// Rights that nothing waits for, and why.
fn is_optional(right: &Right) -> Option<&'static str> {
    match (right.place, right.action) {
        (Place::Subscription, "Microsoft.Authorization/permissions/read") => {
            Some("without it the others are not known: RightsNotKnown, and each write is tried")
        }
        (Place::Subscription, "Microsoft.Network/virtualNetworks/read") => {
            Some("names networks for whoever approves; those that could not be read are told as possible")
        }
        (Place::SharedStorage, _) => Some("storage of workspaces is upkeep: no names and no lock hang on it"),
        (Place::Workspace, _) => Some("an answer of the workspace that cannot be had holds the lock by itself"),
        _ => None,
    }
}

/// What is said of a role that lacks a right.
fn told_of(world: &World, right: &Right) -> Option<String> {
    let plan = world.plan();
    let mut waits = plan.waits.iter().filter(|w| w.reason == WaitReason::PermissionStalled);
    let role = format!("--role \"{}\" --scope /", right.place.role());
    waits.find_map(|wait| {
        let mut parts = wait.message.split("; ");
        parts
            .find(|part| part.contains(&role) && part.contains(right.action))
            .map(str::to_owned)
    })
}

#[test]
fn each_right_that_is_missing_alone_is_told_with_role_and_scope_before_anything_is_built_or_closed() {
    for right in rights::RIGHTS.iter().filter(|right| is_optional(right).is_none()) {
        let mut world = with_a_subnet_rule();
        world.allowed_all_but(&[right.action]);
        for _ in 0..4 {
            let (plan, report) = world.visit();
            assert_eq!(azure_steps(&plan), 0, "{right:?}: {}", sreg_planner::render(&plan));
            world.pass(report.requeue);
        }
        let told = told_of(&world, right);
        assert!(told.is_some(), "{right:?}: {:?}", world.plan().waits);
        assert_eq!(world.state(), "Stalled", "{right:?}");
    }
}

#[test]
fn each_right_that_closing_and_opening_need_is_told_before_an_adopted_registry_is_closed() {
    let settled = {
        let mut world = with_a_subnet_rule();
        world.respec(|o| o.spec.public_access.desired = sreg_api::registry::PublicAccess::Enabled);
        world.settle(60);
        world
    };
    let of_targets = |right: &&Right| {
        let approves = right.action.ends_with("privateEndpointConnectionsApproval/action");
        matches!(right.place, Place::Registry | Place::ManagedGroup) && !approves
    };
    let joins = |right: &&Right| right.action == rights::JOIN_VIA_SERVICE_ENDPOINT;
    for right in rights::RIGHTS.iter().filter(|right| of_targets(right) || joins(right)) {
        let mut world = with_a_subnet_rule();
        world.seen.azure = settled.seen.azure.clone();
        world.allowed_all_but(&[right.action]);
        for _ in 0..20 {
            let (plan, report) = world.visit();
            assert!(!closes(&plan), "{right:?}: {}", sreg_planner::render(&plan));
            world.pass(report.requeue);
        }
        assert!(told_of(&world, right).is_some(), "{right:?}: {:?}", world.plan().waits);
        assert_eq!(world.state(), "Stalled", "{right:?}");
        world.allowed_all_but(&[]);
        world.until("Locked", 60);
    }
}

/// Locked with a subnet rule, then opened for a while; the right to put the rule back is lost meanwhile.
fn in_an_emergency_without_the_right_to_join() -> World {
    let mut world = with_a_subnet_rule();
    world.allowed_all_but(&[]);
    world.until("Locked", 60);
    super::emergencies::add(&mut world, "a", 30);
    world.until("BreakGlass", 6);
    world.allowed_all_but(&[rights::JOIN_VIA_SERVICE_ENDPOINT]);
    world
}

/// The way back is tried, whatever is known of rights; and so is a lock that only comes back.
#[test]
fn a_right_that_is_lost_in_an_emergency_does_not_keep_the_lock_from_coming_back() {
    let mut world = in_an_emergency_without_the_right_to_join();
    world.visit();
    super::emergencies::live(&mut world, 31, "");
    world.until("Locked", 60);
}

/// Nothing is closed: what an endpoint that is gone needs is tried, and the right to put rules back is none of it.
#[test]
fn an_endpoint_that_is_lost_in_an_emergency_waits_for_no_right_to_put_rules_back() {
    let mut world = in_an_emergency_without_the_right_to_join();
    let gone = world.seen.azure.endpoints.keys().next().unwrap().clone();
    world.seen.azure.endpoints.insert(gone.clone(), Fact::Absent);
    super::emergencies::live(&mut world, 31, "");
    world.until("Locked", 60);
    assert!(
        world.seen.azure.endpoints[&gone].seen().is_some(),
        "{:#?}",
        world.journal
    );
}

/// Rules name networks of anybody: nobody is told to give a role there, and many of them are one finding.
#[test]
fn subnet_rules_in_networks_that_no_grant_covers_are_one_finding_and_no_advice() {
    let theirs = |at: usize| {
        format!(
            "/subscriptions/99999999-0000-0000-0000-000000000000/resourceGroups/theirs/providers/Microsoft.Network/virtualNetworks/n{}/subnets/s{}",
            at / 10,
            at % 10
        )
    };
    let mut world = with_a_subnet_rule();
    change_storage(&mut world, |storage| {
        storage.virtual_network_rules.extend((0..40).map(theirs));
    });
    world.allowed_all_but(&[rights::JOIN_VIA_SERVICE_ENDPOINT]);
    for _ in 0..20 {
        let (plan, report) = world.visit();
        let told: Vec<&String> = plan.findings.iter().map(|f| &f.message).collect();
        let of_rights = plan
            .findings
            .iter()
            .filter(|f| f.reason == FindingReason::RightsNotKnown);
        let about: Vec<&String> = of_rights.map(|f| &f.message).collect();
        assert!(about.len() <= 1, "{about:#?}");
        assert!(
            about
                .iter()
                .all(|message| message.contains("37 more") && message.len() < 2000),
            "{about:#?}"
        );
        let waits = plan.waits.iter().map(|wait| &wait.message);
        for message in waits.chain(told) {
            let scopes = message.split("--scope ").skip(1);
            assert!(
                scopes
                    .clone()
                    .all(|scope| !scope.starts_with("/subscriptions/99999999")),
                "{message}"
            );
        }
        world.pass(report.requeue);
    }
    // What a grant covers still holds the lock.
    assert_eq!(world.state(), "Stalled");
    let plan = world.plan();
    assert!(
        plan.findings.iter().any(|f| f.message.contains("no grant covers them")),
        "{:?}",
        plan.findings
    );
}
