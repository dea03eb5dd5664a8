//! Two clusters, one Azure: the registry's claim tag says which object of all of them holds it. The second one stops and says so, in
//! whichever order they start; moving is an administrator's act, and the one that lost does not fight for it.

use std::time::Duration;

use sreg_api::BreakGlassPhase::Ignored;
use sreg_api::grant::RegistryOperation;
use sreg_api::names::CLAIM_TAG;
use sreg_api::registry::{DeletionPolicy, ManagementPolicy, PublicAccess};
use sreg_domain::{Action, AzureAction, Disposition, Fact, Purpose};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::emergencies::{phase, told};
use super::*;
use crate::world::*;

const OTHER: &str = "0c0c0c0c-0000-4000-8000-000000000002";
const TAKE_OVER: Purpose = Purpose::Registry(RegistryOperation::TakeOver);

/// The same object, applied in another cluster that sees the same Azure; nobody lets it take anything over.
fn in_another_cluster(world: &World) -> World {
    let mut other = world.clone();
    other.come_again();
    other.cluster = OTHER.into();
    other.seen.cluster.claim = Fact::Absent;
    other.seen.cluster.snapshot = Fact::Absent;
    other
        .seen
        .cluster
        .probes
        .values_mut()
        .for_each(|probe| *probe = Fact::Absent);
    other.take_away(&[TAKE_OVER]);
    other
}

/// Both look at one Azure.
fn shares_azure(from: &World, to: &mut World) {
    to.seen.azure = from.seen.azure.clone();
    to.now = from.now;
}

fn refused_for_good() -> contrary::Contrary {
    contrary::Contrary::Fails("AuthorizationFailed", 403, Disposition::Forbidden)
}

fn tag(world: &World) -> Option<&str> {
    let registry = world.seen.azure.registry_details()?;
    registry.tags.get(CLAIM_TAG).map(String::as_str)
}

fn untagged() -> World {
    let mut world = World::everyday();
    world.tag_claim(None);
    world
}

fn azure_writes(plan: &Plan) -> Vec<&Action> {
    let steps = plan.steps().map(|step| &step.action);
    steps.filter(|action| matches!(action, Action::Azure(_))).collect()
}

fn writes_nothing(world: &mut World) {
    for _ in 0..8 {
        let (plan, _) = world.visit();
        assert!(azure_writes(&plan).is_empty(), "{}", sreg_planner::render(&plan));
        world.pass(Duration::from_secs(660));
    }
}

#[test]
fn the_first_write_to_azure_is_the_claim_and_nothing_else_is_written_before_it_was_seen() {
    let mut world = untagged();
    let (plan, _) = world.visit();
    let [Action::Azure(AzureAction::SetTags { tags, .. })] = azure_writes(&plan)[..] else {
        panic!("{}", sreg_planner::render(&plan));
    };
    assert_eq!(tags.keys().collect::<Vec<_>>(), [CLAIM_TAG]);
    assert!(world.seen.object.status.claimed_at.is_none());
    let (plan, _) = world.visit();
    assert!(azure_writes(&plan).len() > 1, "{}", sreg_planner::render(&plan));
    assert!(world.seen.object.status.claimed_at.is_some());
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn in_whichever_order_two_clusters_start_the_second_stops_and_says_who_holds_it() {
    for locked_first in [true, false] {
        let mut first = World::everyday();
        if locked_first {
            first = locked();
        } else {
            first.visit();
        }
        let mut second = in_another_cluster(&first);
        let before = first.closed();
        writes_nothing(&mut second);
        assert_eq!(second.state(), "Stalled", "{}", second.message());
        for part in ["ml-platform/contoso-models", CLUSTER, "operations: [TakeOver]"] {
            assert!(second.message().contains(part), "{}", second.message());
        }
        // Neither an emergency, nor its spec, nor its end touch what the first one holds.
        second.break_glass(60);
        let (plan, _) = second.visit();
        assert!(azure_writes(&plan).is_empty(), "{}", sreg_planner::render(&plan));
        assert_eq!(phase(&mut second, "incident-0"), Ignored);
        assert!(told(&mut second, "incident-0").message.contains(CLUSTER));
        second.respec(|o| {
            o.spec.public_access.desired = PublicAccess::Enabled;
            o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
        });
        second.take_away(&[TAKE_OVER]);
        writes_nothing(&mut second);
        second.delete();
        second.take_away(&[TAKE_OVER]);
        for _ in 0..6 {
            let (plan, _) = second.visit();
            assert!(azure_writes(&plan).is_empty(), "{}", sreg_planner::render(&plan));
        }
        assert!(second.gone);
        assert_eq!(second.closed(), before);
        assert_eq!(tag(&second), tag(&first));
    }
}

#[test]
fn of_two_that_claim_at_once_one_stops_and_neither_fights_for_it() {
    let mut first = untagged();
    first.take_away(&[TAKE_OVER]);
    let mut second = in_another_cluster(&first);
    // Both saw no tag; the second one's write comes last.
    first.visit();
    shares_azure(&first, &mut second);
    second.tag_claim(None);
    second.visit();
    shares_azure(&second, &mut first);
    writes_nothing(&mut first);
    assert_eq!(first.state(), "Stalled");
    assert!(first.message().contains(OTHER), "{}", first.message());
    shares_azure(&first, &mut second);
    second.settle(60);
    assert_eq!(second.state(), "Locked", "{}", second.message());
}

#[test]
fn moving_to_another_cluster_takes_a_grant_and_the_first_one_does_not_take_it_back() {
    let mut first = locked();
    let mut second = in_another_cluster(&first);
    second.regrant(None);
    let (plan, _) = second.visit();
    assert!(plan.findings.iter().any(|f| f.reason == FindingReason::TakenOver));
    assert_eq!(azure_writes(&plan).len(), 1, "{}", sreg_planner::render(&plan));
    second.settle(60);
    assert_eq!(second.state(), "Locked", "{}", second.message());
    // The first one may take over as well, and had it once.
    shares_azure(&second, &mut first);
    first.regrant(None);
    writes_nothing(&mut first);
    assert_eq!(first.state(), "Stalled");
    assert!(
        first.message().contains("it was taken over there"),
        "{}",
        first.message()
    );
    first.respec(|o| o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints);
    first.delete();
    for _ in 0..6 {
        first.visit();
    }
    assert!(first.gone && first.all_closed());
    assert!(tag(&first).is_some_and(|tag| tag.starts_with(OTHER)));
}

#[test]
fn a_claim_tag_that_is_wiped_is_put_back_and_one_that_nobody_wrote_is_nobodys() {
    for words in [None, Some("owned by finance"), Some("a/b")] {
        let mut world = locked();
        world.tag_claim(words);
        world.visit();
        assert!(tag(&world).is_some_and(|tag| tag.starts_with(CLUSTER)), "{words:?}");
        world.settle(10);
        assert_eq!(world.state(), "Locked", "{}", world.message());
    }
}

/// A job that copies tags from one registry to others, or a template that was exported with them.
#[test]
fn a_mark_that_was_copied_from_another_registry_keeps_nobody_from_an_emergency_and_is_written_over() {
    let mut world = locked();
    let object = "others/models/99999999-2222-3333-4444-555555555555";
    world.tag_claim(Some(&format!("{OTHER}/{object}/0a1b2c3d")));
    world.break_glass(60);
    world.visit();
    world.visit();
    assert!(world.all_open(), "{}", world.message());
    world.pass(Duration::from_secs(3700));
    world.settle(60);
    assert!(tag(&world).is_some_and(|tag| tag.starts_with(CLUSTER)));
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn an_emergency_waits_for_no_tag_where_this_object_locked() {
    let mut world = locked();
    world.seen.object.status.claimed_at = None;
    world.tag_claim(None);
    world.contrary.push(("claim-in-azure".into(), refused_for_good()));
    world.break_glass(60);
    world.visit();
    world.visit();
    assert!(world.all_open(), "{}", world.message());
}

#[test]
fn the_tag_goes_with_the_claim_and_stays_while_anything_is_closed() {
    let mut open = World::everyday();
    open.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    open.settle(30);
    open.delete();
    for _ in 0..6 {
        open.visit();
    }
    assert!(open.gone);
    assert_eq!(tag(&open), None);

    let mut closed = locked();
    closed.delete();
    for _ in 0..6 {
        closed.visit();
    }
    assert!(closed.gone && tag(&closed).is_some());
}

#[test]
fn a_tag_that_cannot_be_removed_is_told_and_holds_no_deletion_up() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(30);
    world.contrary.push(("release-in-azure".into(), refused_for_good()));
    world.delete();
    let mut told = String::new();
    for _ in 0..6 {
        let (plan, _) = world.visit();
        let left = plan
            .findings
            .iter()
            .find(|f| f.reason == FindingReason::LeftInPlace && f.message.contains(CLAIM_TAG));
        told = left.map_or(told, |f| f.message.clone());
        world.pass(Duration::from_secs(1));
    }
    assert!(world.gone);
    assert!(told.contains("az tag update"), "{told}");
}

#[test]
fn what_another_object_holds_is_not_even_looked_at_for_whoever_only_observes() {
    let mut world = locked();
    world.claimed_by("owners/models");
    world.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
    let (plan, report) = world.visit();
    assert!(azure_writes(&plan).is_empty());
    assert!(report.gauges.waits.contains(&WaitReason::ClaimedElsewhereStalled));
    world.visit();
    let status = serde_json::to_string(&world.seen.object.status.public_access).unwrap();
    assert_eq!(status, "null");
    assert!(world.message().contains("owners/models"), "{}", world.message());
}

/// The tag says whose it is; the rest was read with it, and is shown to nobody here.
#[test]
fn of_what_an_object_of_another_cluster_holds_nothing_but_whose_it_is_is_shown() {
    let first = locked();
    let mut second = in_another_cluster(&first);
    for policy in [ManagementPolicy::Enforce, ManagementPolicy::Observe] {
        second.respec(|o| o.spec.management_policy = policy);
        let (_, report) = second.visit();
        second.visit();
        let status = &second.seen.object.status;
        assert!(status.public_access.is_none(), "{policy:?}: {:?}", status.public_access);
        assert!(status.endpoints.is_empty() && status.snapshot.is_none(), "{policy:?}");
        assert_eq!(
            (report.gauges.locked, report.gauges.open_targets.len()),
            (None, 0),
            "{policy:?}"
        );
        let shown = serde_json::to_string(status).unwrap();
        for secret in ["contosostore", "contosoacr"] {
            assert!(!shown.contains(secret), "{policy:?}: {shown}");
        }
        assert!(
            second.message().contains("ml-platform/contoso-models"),
            "{}",
            second.message()
        );
    }
}

#[test]
fn taking_over_from_another_cluster_is_told_as_an_event() {
    let first = locked();
    let mut second = in_another_cluster(&first);
    second.regrant(None);
    let mut told = Vec::new();
    for _ in 0..4 {
        let (_, report) = second.visit();
        told.extend(notes_of(&report, "TakenOver"));
        second.pass(Duration::from_secs(1));
    }
    let [note] = &told[..] else { panic!("{told:?}") };
    assert!(note.contains("ml-platform/contoso-models"), "{note}");
}

#[test]
fn who_lost_a_registry_gets_nothing_back_by_a_wiped_tag_but_by_its_name_in_it() {
    let mut first = locked();
    let mut second = in_another_cluster(&first);
    second.regrant(None);
    second.settle(60);
    shares_azure(&second, &mut first);
    first.visit();
    assert!(first.seen.object.status.claim_lost_to.is_some());
    first.tag_claim(None);
    first.break_glass(60);
    writes_nothing(&mut first);
    assert_eq!(first.state(), "Stalled", "{}", first.message());
    // Nor does its end take anything along that is the other's by now.
    let mut leaving = first.clone();
    leaving.respec(|o| {
        o.spec.public_access.desired = PublicAccess::Enabled;
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
    });
    leaving.delete();
    for _ in 0..6 {
        let (plan, _) = leaving.visit();
        assert!(azure_writes(&plan).is_empty(), "{}", sreg_planner::render(&plan));
    }
    assert!(leaving.gone);
    // The command of its message gives it back.
    let ours = first.desired.claim_mark().to_string();
    assert!(
        first.message().contains(&format!("{CLAIM_TAG}={ours}")),
        "{}",
        first.message()
    );
    first.tag_claim(Some(&ours));
    first.settle(60);
    assert_eq!(first.state(), "Locked", "{}", first.message());
    assert!(first.seen.object.status.claim_lost_to.is_none());
}

/// Taken over as a whole lock, of which nothing is proven yet in this object's name.
#[test]
fn a_locked_registry_that_is_taken_over_is_called_locked_only_once_it_was_looked_at() {
    let mut world = locked();
    world.suffer(scramble::Blow::EraseStatus);
    let other = world.mark_of(&format!("{OTHER}/others/models/99999999-2222-3333-4444-555555555555"));
    world.tag_claim(Some(&other));
    let (plan, _) = world.visit();
    assert_eq!(azure_writes(&plan).len(), 1, "{}", sreg_planner::render(&plan));
    assert_eq!(world.state(), "Progressing");
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    assert!(world.all_closed());
}

/// An operator that knew of no tag locked it; the tag cannot be written.
#[test]
fn a_lock_from_before_there_were_tags_is_kept_up_whether_the_tag_can_be_written_or_not() {
    let mut world = locked();
    world.seen.object.status.claimed_at = None;
    world.tag_claim(None);
    world.contrary.push(("set-tags".into(), refused_for_good()));
    world.suffer(scramble::Blow::OpenStorage);
    world.settle_anyhow(30);
    assert!(world.all_closed(), "{}", world.message());
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn what_passes_is_waited_for_before_the_tag_stays() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(30);
    let busy = contrary::Contrary::Fails("TooManyRequests", 429, Disposition::Wait(Duration::from_secs(7)));
    world.contrary.push(("release-in-azure".into(), busy));
    world.delete();
    world.visit();
    world.visit();
    assert!(!world.gone);
    world.contrary.clear();
    world.pass(Duration::from_secs(60));
    world.visit();
    world.visit();
    assert!(world.gone);
    assert_eq!(tag(&world), None);
}

/// A policy keeps tags as it wants them: nobody can see who holds the registry, and that is told, but locks nobody out.
#[test]
fn a_claim_tag_that_does_not_last_is_told_and_holds_nothing_up() {
    for way in [contrary::Contrary::Ignored, refused_for_good()] {
        let mut world = untagged();
        for step in ["claim-in-azure", "set-tags"] {
            world.contrary.push((step.into(), way.clone()));
        }
        world.settle_anyhow(80);
        assert_eq!(world.state(), "Locked", "{}", world.message());
        let findings = &world.seen.object.status.findings;
        let told = |f: &sreg_api::status::FindingStatus| f.reason == "UpkeepFailing" && f.message.contains(CLAIM_TAG);
        assert!(findings.iter().any(told), "{findings:?}");
    }
}

#[test]
fn a_holder_that_only_observes_by_now_goes_on_holding_what_it_locked() {
    let mut first = World::everyday();
    first.settle(60);
    first.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
    first.settle(20);
    assert_eq!(first.state(), "Observed", "{}", first.message());
    let mark = tag(&first).map(str::to_owned);
    let mut second = in_another_cluster(&first);
    for wants in [PublicAccess::Disabled, PublicAccess::Enabled] {
        second.respec(|o| {
            o.spec.management_policy = ManagementPolicy::Enforce;
            o.spec.public_access.desired = wants;
        });
        writes_nothing(&mut second);
        assert_eq!(second.state(), "Stalled", "{}", second.message());
        assert!(
            second.message().contains("holds this Azure registry"),
            "{}",
            second.message()
        );
    }
    shares_azure(&second, &mut first);
    first.visit();
    assert_eq!((tag(&first).map(str::to_owned), first.all_closed()), (mark, true));
}
