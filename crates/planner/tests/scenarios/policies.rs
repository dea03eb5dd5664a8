//! DNS by Azure Policy: what would make the zone groups is looked for before an endpoint is made, and what it wrote is compared.

use std::time::Duration;

use sreg_api::registry::{ApprovalMode, ApprovalSpec, PolicyAssignments, PublicAccess};
use sreg_domain::seen::{Ignorance, IgnoranceKind};
use sreg_domain::{EndpointGroup, Fact};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::*;
use crate::world::policies::{ASSIGNMENT, DnsPolicy};
use crate::world::*;

/// Until nothing but a policy or a person can go on.
fn visits(world: &mut World) -> Plan {
    for _ in 0..6 {
        let (_, report) = world.visit();
        world.pass(report.requeue.min(Duration::from_secs(30)));
    }
    world.plan()
}

fn made(world: &World) -> usize {
    world
        .journal
        .iter()
        .filter(|s| s.starts_with("create-endpoint"))
        .count()
}

fn told(plan: &Plan, reason: WaitReason) -> Vec<&str> {
    let waits = plan.waits.iter().filter(|w| w.reason == reason);
    waits.map(|w| w.message.as_str()).collect()
}

/// Somebody sets the switch of the registry by hand.
fn change_registry_access(world: &mut World, switch: &str) {
    if let Some(registry) = registry_of(world) {
        registry.public_network_access = Some(switch.into());
        settings::touch(registry);
    }
}

fn finding(plan: &Plan, reason: FindingReason) -> Vec<&str> {
    let findings = plan.findings.iter().filter(|f| f.reason == reason);
    findings.map(|f| f.message.as_str()).collect()
}

fn unread(kind: IgnoranceKind) -> Ignorance {
    Ignorance {
        attempt: "list the policy assignments of the group".into(),
        kind,
        message: "no role allows Microsoft.Authorization/policyAssignments/read there".into(),
        code: None,
        correlation_id: None,
        retry_after: None,
    }
}

fn state(world: &mut World, assignments: PolicyAssignments) {
    world.respec(|o| o.spec.endpoints[0].dns.as_mut().unwrap().policy_assignments = Some(assignments));
}

fn manual(world: &mut World) {
    world.respec(|o| {
        o.spec.endpoints[0].approval = Some(ApprovalSpec {
            mode: ApprovalMode::Manual,
            request_message: None,
        });
    });
}

fn locked_by_policy() -> World {
    let mut world = World::by_policy();
    visits(&mut world);
    world.policies_act();
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    world
}

#[test]
fn an_entry_that_moves_within_its_network_is_replaced_where_a_policy_writes_to_one_zone() {
    let mut world = World::by_policy();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    visits(&mut world);
    world.policies_act();
    world.settle(60);
    let other = vnet("hub").child("subnets", "other");
    world.respec(|o| o.spec.endpoints[0].subnet_resource_id = other.to_string());
    visits(&mut world);
    world.policies_act();
    world.settle_anyhow(60);
    let standing = world.seen.azure.endpoints.values().filter_map(Fact::seen);
    let subnets: Vec<_> = standing.map(|e| e.subnet.clone()).collect();
    assert_eq!(subnets, vec![Some(other); 3], "{:#?}", world.journal);
}

#[test]
fn nothing_is_made_before_policies_cover_every_endpoint_of_an_entry() {
    let mut world = World::by_policy();
    world.dns_policies = Fact::Seen(vec![DnsPolicy::of(&[
        EndpointGroup::Blob,
        EndpointGroup::ContainerRegistry,
    ])]);
    let plan = visits(&mut world);
    assert_eq!(made(&world), 0, "{:#?}", world.journal);
    let stalled = told(&plan, WaitReason::DnsByPolicyStalled);
    let why = stalled.iter().find(|m| m.contains("groupId amlregistry")).unwrap();
    for part in [
        "connection of kind automatic",
        "Deploy-Private-DNS-Generic",
        "privatelink.api.azureml.ms",
        "az policy assignment create --name dns-amlregistry",
        "policyAssignments: Assume",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(
        stalled
            .iter()
            .any(|m| m.contains("hub/blob contosostore is made when policies cover all")),
        "{stalled:?}"
    );
    assert_eq!(world.state(), "Stalled");

    world.dns_policies = Fact::Seen(vec![DnsPolicy::of_all()]);
    visits(&mut world);
    assert_eq!(made(&world), 3);
    world.policies_act();
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn a_policy_that_writes_to_a_zone_of_another_name_covers_nothing() {
    let mut world = World::by_policy();
    let mut policy = DnsPolicy::of_all();
    policy.zone_of = Some(EndpointGroup::Blob);
    world.dns_policies = Fact::Seen(vec![policy]);
    let plan = visits(&mut world);
    assert_eq!(made(&world), 0);
    let stalled = told(&plan, WaitReason::DnsByPolicyStalled);
    let why = stalled.iter().find(|m| m.contains("groupId amlregistry")).unwrap();
    assert!(
        why.contains(ASSIGNMENT) && why.contains("nobody looks for names of privatelink.api.azureml.ms"),
        "{why}"
    );
}

#[test]
fn a_manual_connection_that_no_policy_serves_is_told_before_the_endpoint_is_made() {
    let mut world = World::by_policy();
    manual(&mut world);
    let plan = visits(&mut world);
    assert_eq!(made(&world), 0);
    let stalled = told(&plan, WaitReason::DnsByPolicyStalled);
    let why = stalled.iter().find(|m| m.contains("groupId blob")).unwrap();
    for part in [
        "connection of kind manual",
        "is for automatic connections only",
        "approval.mode: Auto",
        "manualPrivateLinkServiceConnections",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }

    let mut both = DnsPolicy::of_all();
    both.manual = true;
    world.dns_policies = Fact::Seen(vec![both]);
    visits(&mut world);
    assert!(made(&world) > 0, "{}", sreg_planner::render(&world.plan()));
}

#[test]
fn a_manual_connection_that_no_policy_serves_is_not_waited_for_once_it_is_approved() {
    let mut world = World::by_policy();
    manual(&mut world);
    let mut both = DnsPolicy::of_all();
    both.manual = true;
    world.dns_policies = Fact::Seen(vec![both]);
    visits(&mut world);
    world.approve_connections();
    world.dns_policies = Fact::Seen(vec![DnsPolicy::of_all()]);
    let plan = visits(&mut world);
    assert_eq!(told(&plan, WaitReason::DnsByPolicyPending), [""; 0]);
    assert!(
        !told(&plan, WaitReason::DnsByPolicyStalled).is_empty(),
        "{:?}",
        plan.waits
    );
}

#[test]
fn assignments_that_cannot_be_read_hold_everything_until_somebody_states_that_there_is_one() {
    for (kind, reason) in [
        (IgnoranceKind::Forbidden, WaitReason::PermissionStalled),
        (IgnoranceKind::Unreachable, WaitReason::NotKnown),
    ] {
        let mut world = World::by_policy();
        world.dns_policies = Fact::Unknown(unread(kind));
        let plan = visits(&mut world);
        assert_eq!(made(&world), 0);
        let waits = told(&plan, reason);
        assert!(
            waits.iter().any(|m| m.contains("policyAssignments: Assume")),
            "{waits:?}"
        );

        state(&mut world, PolicyAssignments::Assume);
        let (plan, _) = world.visit();
        let findings = finding(&plan, FindingReason::ZoneGroupPolicyNotSeen);
        assert!(
            findings.iter().any(|m| m.contains("policyAssignments/read")),
            "{findings:?}"
        );
        visits(&mut world);
        assert_eq!(made(&world), 3, "{:#?}", world.journal);
    }
}

#[test]
fn a_policy_that_is_not_understood_covers_only_what_somebody_states() {
    let mut world = World::by_policy();
    let mut policy = DnsPolicy::of_all();
    policy.understood = false;
    world.dns_policies = Fact::Seen(vec![policy]);
    let plan = visits(&mut world);
    assert_eq!(made(&world), 0);
    let stalled = told(&plan, WaitReason::DnsByPolicyStalled);
    assert!(stalled.iter().any(|m| m.contains("does not tell us")), "{stalled:?}");
    state(&mut world, PolicyAssignments::Assume);
    visits(&mut world);
    assert_eq!(made(&world), 3);
}

#[test]
fn a_zone_group_that_does_not_come_is_not_waited_for_for_ever() {
    let mut world = World::by_policy();
    let plan = visits(&mut world);
    assert!(
        !told(&plan, WaitReason::DnsByPolicyPending).is_empty(),
        "{:?}",
        plan.waits
    );
    world.pass(Duration::from_secs(3600));
    let plan = world.plan();
    assert_eq!(told(&plan, WaitReason::DnsByPolicyPending), [""; 0]);
    let stalled = told(&plan, WaitReason::DnsByPolicyStalled);
    assert!(
        stalled
            .iter()
            .all(|m| m.contains("also if it calls the endpoint compliant")),
        "{stalled:?}"
    );
}

#[test]
fn an_endpoint_that_is_gone_while_locked_is_made_again_whatever_is_known_of_policies() {
    let mut world = locked_by_policy();
    world.dns_policies = Fact::Unknown(unread(IgnoranceKind::Forbidden));
    let gone = world.group_by_policy(EndpointGroup::Blob).id.parent().unwrap();
    world.seen.azure.endpoints.insert(gone, Fact::Absent);
    let before = made(&world);
    let plan = visits(&mut world);
    assert_eq!(made(&world), before + 1, "{}", sreg_planner::render(&plan));
}

/// As one that was created closed: nobody depends on private endpoints yet.
#[test]
fn nothing_is_made_for_a_registry_that_was_never_open_before_policies_cover_it() {
    let mut world = World::by_policy();
    world.dns_policies = Fact::Seen(Vec::new());
    change_registry_access(&mut world, "Disabled");
    let plan = visits(&mut world);
    assert_eq!(made(&world), 0, "{}", sreg_planner::render(&plan));
    assert!(!told(&plan, WaitReason::DnsByPolicyStalled).is_empty());
}

#[test]
fn records_that_are_missing_below_a_zone_group_that_succeeded_are_an_alarm() {
    let mut world = locked_by_policy();
    let Fact::Seen(records) = world.records_of_hub_team(EndpointGroup::Blob) else {
        panic!()
    };
    records.clear();
    let (plan, _) = world.visit();
    let alarm = [
        told(&plan, WaitReason::DnsByPolicyPending),
        told(&plan, WaitReason::DnsByPolicyStalled),
    ]
    .concat();
    assert!(
        alarm
            .iter()
            .any(|m| m.contains("record contosostore") && m.contains("is missing in")),
        "{alarm:?}"
    );
    world.pass(Duration::from_secs(120));
    let (plan, _) = world.visit();
    let stalled = told(&plan, WaitReason::DnsByPolicyStalled);
    let why = stalled.iter().find(|m| m.contains("record contosostore")).unwrap();
    for part in [
        "calls compliant",
        "deployedByPolicy",
        "dns-zone-group delete --ids",
        "az policy remediation create",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert_ne!(world.state(), "Locked");
}

#[test]
fn records_of_another_endpoint_below_a_zone_group_that_succeeded_are_an_alarm_and_hold_the_lock() {
    let mut world = World::by_policy();
    visits(&mut world);
    world.policies_act();
    let Fact::Seen(records) = world.records_of_hub_team(EndpointGroup::ContainerRegistry) else {
        panic!()
    };
    records.insert("contosoacr".into(), vec!["10.9.9.9".parse().unwrap()]);
    stays_open(&mut world, 20, Duration::from_secs(600));
    let plan = world.plan();
    let stalled = told(&plan, WaitReason::DnsByPolicyStalled);
    assert!(
        stalled
            .iter()
            .any(|m| m.contains("holds 10.9.9.9 instead of") && m.contains("another endpoint's")),
        "{stalled:?}"
    );
}

#[test]
fn a_zone_group_that_points_at_another_zone_is_an_alarm() {
    let mut world = World::by_policy();
    visits(&mut world);
    world.policies_act();
    let other = world.zone_of_hub_team(EndpointGroup::Dfs);
    world.group_by_policy(EndpointGroup::Blob).zones = vec![other];
    stays_open(&mut world, 6, Duration::from_secs(600));
    let plan = world.plan();
    let stalled = told(&plan, WaitReason::DnsByPolicyStalled);
    assert!(
        stalled
            .iter()
            .any(|m| m.contains("writes to no zone privatelink.blob.core.windows.net")),
        "{stalled:?}"
    );
}

#[test]
fn records_that_cannot_be_read_are_told_and_left_to_the_paths() {
    let mut world = World::by_policy();
    visits(&mut world);
    world.policies_act();
    let read = world
        .seen_now()
        .azure
        .records_by_policy
        .keys()
        .cloned()
        .collect::<Vec<_>>();
    assert_eq!(read.len(), 3);
    let at = world
        .forgetters()
        .iter()
        .position(|(name, _)| name.starts_with("records by policy"))
        .unwrap();
    world.unread = vec![u8::try_from(at).unwrap()];
    let plan = world.plan();
    assert_eq!(finding(&plan, FindingReason::RecordsNotRead).len(), 1);
    assert_eq!(plan.assessment.dns_ready, Some(true));
}
