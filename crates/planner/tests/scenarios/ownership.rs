//! Whose a resource is: recomputed from its name and from what it leads to; a tag alone says nothing.

use std::collections::BTreeMap;

use sreg_api::names::OWNER_TAG;
use sreg_api::registry::*;
use sreg_domain::action::StepResult;
use sreg_domain::seen::*;
use sreg_domain::{Action, ArmId, AzureAction, Disposition, EndpointGroup, Fact, StepKind, naming};
use sreg_planner::plan::{FindingReason, PathStanding};
use sreg_planner::{Plan, render};

use super::*;
use crate::world::*;

fn merges(plan: &Plan) -> Vec<&AzureAction> {
    let azure = plan.steps().filter_map(|step| match &step.action {
        Action::Azure(azure) => Some(azure),
        Action::Cluster(_) => None,
    });
    azure.filter(|a| matches!(a, AzureAction::MergeTags { .. })).collect()
}

fn found(plan: &Plan, reason: FindingReason) -> Vec<&str> {
    let all = plan.findings.iter().filter(|f| f.reason == reason);
    all.map(|f| f.message.as_str()).collect()
}

#[test]
fn tags_wiped_while_locked_are_put_back_and_every_path_stays_judged() {
    let mut world = locked();
    world.wipe_tags();
    let plan = world.plan();
    assert_eq!(
        merges(&plan).len(),
        9,
        "three endpoints and six links:\n{}",
        render(&plan)
    );
    assert!(
        plan.assessment.paths_known && plan.waits.is_empty(),
        "{}",
        render(&plan)
    );
    let passing = |plan: &Plan| {
        plan.assessment
            .paths
            .iter()
            .all(|p| p.standing == PathStanding::Passing)
    };
    assert!(passing(&plan), "{}", render(&plan));
    let told = found(&plan, FindingReason::TagLost);
    assert_eq!(told.len(), 9);
    assert!(
        told.iter()
            .all(|m| m.contains("az tag update --resource-id") && m.contains("--operation Merge")),
        "{told:?}"
    );
    let text = render(&plan).to_lowercase();
    assert!(!text.contains("rename") && !text.contains("remove it"), "{text}");
    let (_, report) = world.visit();
    assert_eq!(world.state(), "Locked", "{}", world.message());
    world.pass(report.requeue);
    let (plan, _) = world.settle(5);
    assert_eq!(found(&plan, FindingReason::TagLost), [""; 0]);
    let blob = world
        .seen
        .azure
        .endpoints
        .values()
        .filter_map(Fact::seen)
        .next()
        .unwrap();
    assert_eq!(
        blob.tags.get("costCenter").map(String::as_str),
        Some("7"),
        "others' tags stay"
    );
}

#[test]
fn a_lock_goes_on_though_tags_are_wiped_again_and_again() {
    let mut world = World::everyday();
    for _ in 0..160 {
        let (_, report) = world.visit();
        world.wipe_tags();
        world.pass(report.requeue.max(Duration::from_secs(30)));
    }
    assert!(world.all_closed(), "{}", world.message());
    assert_eq!(world.state(), "Locked");
    assert!(
        !world.journal.iter().any(|s| s.starts_with("delete-")),
        "{:#?}",
        world.journal
    );
}

#[test]
fn tags_that_may_not_be_written_hold_up_nothing_and_are_told_with_the_command() {
    let mut world = locked();
    world.wipe_tags();
    let mut plans = Vec::new();
    for _ in 0..12 {
        let plan = world.plan();
        let before = world.clone();
        let mut outcome = sreg_domain::Outcome::default();
        for step in plan.steps() {
            let refuses = step.id.kind == StepKind::Tag;
            outcome.steps.push(if refuses {
                failing(step, Disposition::Forbidden)
            } else {
                world.apply(step)
            });
        }
        let report = before.report(&plan, &outcome);
        world.seen.object.status = report.status;
        world.answer();
        assert_eq!(world.state(), "Locked", "{}", world.message());
        world.pass(report.requeue);
        plans.push(plan);
    }
    let tried: usize = plans.iter().map(|plan| merges(plan).len()).sum();
    assert!(tried < 9 * plans.len(), "{tried} tries");
    let held = plans.iter().find(|plan| merges(plan).is_empty()).unwrap();
    let told = found(held, FindingReason::TagLost);
    assert!(told.iter().any(|m| m.contains("--operation Merge")), "{told:?}");
    let refused = found(held, FindingReason::UpkeepFailing);
    assert!(refused.iter().any(|m| m.contains("a policy says no")), "{refused:?}");
}

/// A template that somebody copied carries our tag along.
fn copy_of(world: &World, name: &str) -> (sreg_domain::ArmId, EndpointSeen) {
    let (id, mut copy) = world
        .seen
        .azure
        .endpoints
        .iter()
        .find_map(|(id, fact)| Some((id.clone(), fact.seen()?.clone())))
        .unwrap();
    let id = id
        .resource_group_id()
        .unwrap()
        .provider("Microsoft.Network/privateEndpoints", name);
    copy.id = id.clone();
    copy.subnet = Some(vnet("others").child("subnets", "theirs"));
    (id, copy)
}

#[test]
fn what_only_carries_our_tag_is_never_written_or_deleted_and_said() {
    for deleted in [false, true] {
        let mut world = World::everyday();
        world.respec(|o| {
            o.spec.public_access.desired = PublicAccess::Enabled;
            o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
            o.spec.tags = BTreeMap::from([("costCenter".to_owned(), "7".to_owned())]);
        });
        world.settle(40);
        // One with a name of its own, one whose name is ours for another subnet, and one that only resembles ours.
        let ours = world.seen.azure.endpoints.keys().next().unwrap().name().to_owned();
        for name in ["copied", &format!("copied-{ours}"), &format!("{ours}-2")] {
            let (id, mut copy) = copy_of(&world, name);
            if name.ends_with("-2") {
                copy.subnet = Some(world.desired.endpoints()[0].subnet.clone());
            }
            world.seen.azure.endpoints.insert(id, Fact::Seen(copy));
        }
        if deleted {
            world.delete();
        } else {
            let (plan, _) = world.settle(10);
            let told = found(&plan, FindingReason::OnlyTagged);
            assert_eq!(told.len(), 3, "{}", render(&plan));
            assert!(told.iter().all(|m| m.contains("--operation Delete")), "{told:?}");
        }
        world.settle(30);
        assert_eq!(world.gone, deleted);
        assert_eq!(
            standing_endpoints(&world),
            if deleted { 3 } else { 6 },
            "{:#?}",
            world.journal
        );
    }
}

#[test]
fn deletion_leaves_what_has_lost_its_tag_and_says_so() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.public_access.desired = PublicAccess::Enabled;
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
    });
    world.settle(40);
    world.delete();
    world.wipe_tags();
    let plan = world.plan();
    let told = found(&plan, FindingReason::LeftInPlace);
    assert!(
        told.iter().filter(|m| m.contains(OWNER_TAG)).count() == 3,
        "{}",
        render(&plan)
    );
    world.settle(10);
    assert!(world.gone);
    assert_eq!(standing_endpoints(&world), 3);
}

#[test]
fn an_endpoint_of_our_name_with_another_owners_tag_is_left_alone_and_nobody_is_told_to_remove_it() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    let endpoint = world.seen.azure.endpoints.values_mut().next().unwrap();
    if let Fact::Seen(endpoint) = endpoint {
        endpoint.owner = Some("elsewhere/team/models".into());
        endpoint.tags = BTreeMap::from([(OWNER_TAG.to_owned(), "elsewhere/team/models".to_owned())]);
    }
    stays_open(&mut world, 20, Duration::from_secs(600));
    assert_eq!(world.state(), "Stalled");
    let message = world.message();
    assert!(
        message.contains("elsewhere/team/models") && message.contains("--operation Merge"),
        "{message}"
    );
    assert!(!message.contains("remove"), "{message}");
}

#[test]
fn an_object_that_was_renamed_while_locked_adopts_nothing_by_itself_and_says_how_each_endpoint_is_taken_over() {
    let mut world = locked();
    world.object.metadata.name = Some("renamed".into());
    world.come_again();
    world.seen.cluster.claim = Fact::Absent;
    world.respec(|_| {});
    let before = world.journal.len();
    stays_open(&mut world, 20, Duration::from_secs(600));
    assert!(world.all_closed(), "{}", world.message());
    let written = world.journal.split_off(before);
    let touches = |step: &&String| {
        ["endpoint", "zone", "tag ", "close", "open"]
            .iter()
            .any(|w| step.contains(w))
    };
    assert_eq!(written.iter().filter(touches).collect::<Vec<_>>(), [""; 0]);
    let plan = world.plan();
    let owner = format!("--operation Merge --tags {OWNER_TAG}={}", world.desired.owner);
    let told = plan.waits.iter().filter(|w| w.message.contains(&owner)).count();
    assert_eq!(told, 3, "{}", render(&plan));
    assert_eq!(world.state(), "Stalled");
}

#[test]
fn tags_of_the_spec_are_on_everything_that_is_made_and_on_what_exists() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.tags = BTreeMap::from([("costCenter".to_owned(), "7".to_owned())]));
    world.settle(60);
    let all = |world: &World, name: &str, value: &str| {
        let has = |tags: &BTreeMap<String, String>| tags.get(name).map(String::as_str) == Some(value);
        let azure = &world.seen.azure;
        let endpoints = azure.endpoints.values().filter_map(Fact::seen).all(|e| has(&e.tags));
        let mut zones = azure.zones.values().filter_map(Fact::seen);
        endpoints && zones.all(|z| has(&z.tags) && z.links.seen().unwrap().iter().all(|l| has(&l.tags)))
    };
    assert!(all(&world, "costCenter", "7"));
    assert!(
        !world.journal.iter().any(|s| s.starts_with("tag ")),
        "made with them: {:#?}",
        world.journal
    );
    world.respec(|o| {
        o.spec.endpoints[0].tags = BTreeMap::from([
            ("COSTCENTER".to_owned(), "8".to_owned()),
            ("Data Class".to_owned(), "internal".to_owned()),
        ]);
    });
    let (plan, _) = world.visit();
    assert_eq!(world.state(), "Locked", "{}", render(&plan));
    world.settle(10);
    let mut endpoints = world.seen.azure.endpoints.values().filter_map(Fact::seen);
    assert!(endpoints.all(|e| e.tags["COSTCENTER"] == "8" && e.tags["Data Class"] == "internal" && e.tags.len() == 3));
    let mut zones = world.seen.azure.zones.values().filter_map(Fact::seen);
    assert!(
        zones.all(|z| z.tags["COSTCENTER"] == "8" && !z.tags.contains_key("Data Class")),
        "Azure DNS takes no spaces"
    );
}

#[test]
fn a_failed_endpoint_without_its_tag_is_deleted_only_after_it_has_it_back() {
    let mut world = World::everyday();
    world.slow = true;
    world.until("CreatingEndpoints", 20);
    let id = world
        .seen
        .azure
        .endpoints
        .iter()
        .find(|(_, f)| f.seen().is_some())
        .unwrap()
        .0
        .clone();
    if let Some(Fact::Seen(endpoint)) = world.seen.azure.endpoints.get_mut(&id) {
        endpoint.provisioning_state = "Failed".into();
        endpoint.owner = None;
        endpoint.tags.clear();
    }
    let plan = world.plan();
    assert!(
        !plan.steps().any(|s| s.id.to_string().starts_with("delete-")),
        "{}",
        render(&plan)
    );
    assert_eq!(merges(&plan).len(), 1, "{}", render(&plan));
    for step in plan.steps() {
        assert!(matches!(world.apply(step).result, StepResult::Effect(_)));
    }
    let plan = world.plan();
    assert!(
        plan.steps().any(|s| s.id.kind == StepKind::DeleteEndpoint),
        "{}",
        render(&plan)
    );
}

#[test]
fn endpoints_are_named_by_the_template_and_what_exists_keeps_its_name() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.endpoints[0].name_template = Some("pe-{registry}-{group}-{entry}-{hash}".into()));
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    let names = |world: &World| -> Vec<String> {
        let there = world.seen.azure.endpoints.iter().filter(|(_, f)| f.seen().is_some());
        there.map(|(id, _)| id.name().to_owned()).collect()
    };
    let made = names(&world);
    assert!(
        made.iter()
            .all(|n| n.starts_with("pe-contosoreg-") && n.contains("-hub-")),
        "{made:?}"
    );
    // Another template, or none: nothing is made again, and nothing is unproven.
    for template in [Some("other.{group}.{hash}".to_owned()), None] {
        world.respec(|o| o.spec.endpoints[0].name_template = template);
        let (plan, _) = world.visit();
        assert_eq!(azure_steps(&plan), 0, "{}", render(&plan));
        world.settle(20);
        assert_eq!(world.state(), "Locked", "{}", world.message());
        assert_eq!(names(&world), made);
    }
    // What is lost comes back under the name that is wanted now, and what cannot be read makes nothing twice.
    let (lost, _) = world
        .seen
        .azure
        .endpoints
        .iter()
        .find(|(_, f)| f.seen().is_some())
        .unwrap();
    let (lost, unlisted) = (
        lost.clone(),
        lost.resource_group_id()
            .unwrap()
            .provider("Microsoft.Network/privateEndpoints", "unlisted"),
    );
    let whole = world.seen.azure.endpoints.clone();
    for unread in [&lost, &unlisted] {
        world.seen.azure.endpoints.insert(lost.clone(), Fact::Absent);
        let unreadable = unknown(IgnoranceKind::Unreachable);
        world.seen.azure.endpoints.insert(unread.clone(), unreadable);
        let plan = world.plan();
        assert!(
            !render(&plan).contains("to repair: create private endpoint"),
            "{unread}: {}",
            render(&plan)
        );
        world.seen.azure.endpoints.clone_from(&whole);
    }
    world.seen.azure.endpoints.insert(lost, Fact::Absent);
    let plan = world.plan();
    assert!(
        render(&plan).contains("to repair: create private endpoint"),
        "{}",
        render(&plan)
    );
}

/// What is refused is not said to be done.
#[test]
fn a_lost_tag_that_azure_does_not_take_again_is_not_called_put_back() {
    let mut world = locked();
    world.wipe_tags();
    world.thwarted(
        "tag ",
        crate::world::contrary::Contrary::Fails("RequestDisallowedByPolicy", 403, sreg_domain::Disposition::Terminal),
    );
    let (plan, _) = world.visit();
    let lost = |plan: &Plan| {
        let mut found = plan.findings.iter().filter(|f| f.reason == FindingReason::TagLost);
        found.next().expect("a tag is lost").message.clone()
    };
    assert!(lost(&plan).contains("is tagged again"), "{}", lost(&plan));
    world.pass(Duration::from_secs(1));
    let (plan, _) = world.visit();
    assert!(
        lost(&plan).contains("cannot be tagged again") && lost(&plan).contains("az tag update"),
        "{}",
        lost(&plan)
    );
}

/// Another object's endpoint, in the same subnet, with a name that an operator gives: somebody wrote our mark over its own.
#[test]
fn an_endpoint_that_leads_to_another_registry_is_left_alone_though_it_carries_our_name_and_our_tag() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.deletion_policy = sreg_api::registry::DeletionPolicy::DeleteEndpoints);
    world.respec(|o| o.spec.public_access.desired = sreg_api::registry::PublicAccess::Enabled);
    world.settle(60);
    let theirs = storage("theirstore");
    let place = world.desired.endpoints()[0].clone();
    let name = naming::endpoint_name(&theirs, &place.subnet, EndpointGroup::Blob);
    let id: ArmId = format!(
        "{}/providers/Microsoft.Network/privateEndpoints/{name}",
        place.resource_group
    )
    .parse()
    .unwrap();
    let ours = world
        .seen
        .azure
        .endpoints
        .values()
        .find_map(Fact::seen)
        .unwrap()
        .clone();
    let endpoint = EndpointSeen {
        id: id.clone(),
        target: Some(theirs),
        group_id: Some("blob".into()),
        ..ours
    };
    world.seen.azure.endpoints.insert(id.clone(), Fact::Seen(endpoint));
    world.settle(20);
    let told = world
        .seen
        .object
        .status
        .findings
        .iter()
        .any(|f| f.reason == "OnlyTagged" && f.message.contains("leads to none of this registry"));
    assert!(told, "{:#?}", world.seen.object.status.findings);
    world.delete();
    world.settle_anyhow(20);
    assert!(
        world.gone && world.seen.azure.endpoints[&id].seen().is_some(),
        "{}",
        world.message()
    );
}
