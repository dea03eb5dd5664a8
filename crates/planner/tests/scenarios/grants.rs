//! What administrators grant a namespace: without it nothing is read, written or shown; taking it away stops writes, keeps locks and
//! opens nothing; what a grant demands no object can weaken.

use std::time::Duration;

use sreg_api::BreakGlassPhase::Ignored;
use sreg_api::grant::{AccountUse, NetworkUse, RegistryOperation};
use sreg_api::registry::{DeletionPolicy, ManagementPolicy, PublicAccess, RollbackPolicy, RollbackSpec};
use sreg_domain::grants::Requirements;
use sreg_domain::{Action, Grant, Grants, Purpose, TargetKind};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::emergencies::{phase, told};
use super::*;
use crate::world::grants::{everything, everything_but};
use crate::world::*;

const LOOK: Purpose = Purpose::Registry(RegistryOperation::Observe);
const LOCK: Purpose = Purpose::Registry(RegistryOperation::Lock);
const OPEN: Purpose = Purpose::Registry(RegistryOperation::Open);

/// What the everyday object names.
const NAMED: [Purpose; 6] = [
    LOOK,
    LOCK,
    Purpose::Network(NetworkUse::Endpoints),
    Purpose::Network(NetworkUse::Links),
    Purpose::Network(NetworkUse::Clients),
    Purpose::PrivateDnsZone,
];

fn azure_writes(plan: &Plan) -> usize {
    plan.steps().filter(|s| matches!(s.action, Action::Azure(_))).count()
}

/// For an hour and a half nothing is written, whatever happens to the world meanwhile.
fn nothing_is_written(world: &mut World) {
    for _ in 0..8 {
        let (plan, _) = world.visit();
        assert_eq!(azure_writes(&plan), 0, "{}", sreg_planner::render(&plan));
        world.pass(Duration::from_secs(660));
    }
}

fn demanding(world: &World, requires: Requirements) -> Grant {
    Grant {
        name: "networks".into(),
        requires: Ok(requires),
        ..everything(&world.object)
    }
}

#[test]
fn without_a_grant_nothing_is_read_written_or_shown_and_it_is_said_who_can_give_one() {
    let mut world = World::everyday();
    world.regrant(Some(Grants::default()));
    let (plan, report) = world.visit();
    assert!(plan.waves.is_empty(), "{}", sreg_planner::render(&plan));
    assert_eq!(report.gauges.waits, [WaitReason::NotGrantedStalled]);
    assert_eq!(world.state(), "Stalled");
    for part in [
        "no RegistryGrant lets namespace ml-platform look at registry /subscriptions/",
        "(registries with operations: [Lock])",
        "put private endpoints into subnet /subscriptions/",
        "(virtualNetworks with uses: [Endpoints])",
        "use VantagePoint ",
    ] {
        assert!(world.message().contains(part), "{}", world.message());
    }
    // All that is missing is in it, so that an administrator who follows it is done.
    assert!(!world.message().contains("more"), "{}", world.message());
    let status = &world.seen.object.status;
    assert_eq!(
        (&status.public_access, &status.grants, status.endpoints.len()),
        (&None, &None, 0)
    );
    world.regrant(None);
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    assert_eq!(world.seen.object.status.grants.as_deref(), Some("everything"));
}

#[test]
fn taking_anything_away_from_a_lock_stops_writes_keeps_it_closed_and_giving_it_back_goes_on() {
    for taken in NAMED {
        let mut world = locked();
        world.take_away(&[taken]);
        // Somebody opens an account by hand meanwhile: even that is not undone.
        world.suffer(crate::world::scramble::Blow::OpenStorage);
        nothing_is_written(&mut world);
        assert_eq!(world.state(), "Stalled", "{taken:?}");
        assert!(
            world.message().contains("no RegistryGrant"),
            "{taken:?}: {}",
            world.message()
        );
        assert!(world.closed().values().any(|closed| *closed), "{taken:?}");
        world.regrant(None);
        world.settle(80);
        assert_eq!(world.state(), "Locked", "{taken:?}: {}", world.message());
    }
}

#[test]
fn taking_anything_away_at_any_visit_on_the_way_to_the_lock_stops_it_there() {
    for visits in 0..24 {
        for taken in NAMED {
            let mut world = World::everyday();
            world.settle_anyhow(visits);
            world.take_away(&[taken]);
            let before = world.closed();
            nothing_is_written(&mut world);
            assert_eq!(world.closed(), before, "{taken:?} after {visits} visits");
        }
    }
}

/// Looking costs reads that all share; clients depend on what is closed.
#[test]
fn what_only_a_person_can_end_is_looked_at_the_more_seldom_the_longer_it_lasts_unless_something_is_closed() {
    let longest = |mut world: World| {
        world.take_away(&[Purpose::Network(NetworkUse::Endpoints)]);
        let mut looks = Vec::new();
        for _ in 0..120 {
            let (_, report) = world.visit();
            assert_eq!(world.state(), "Stalled", "{}", world.message());
            looks.push(report.requeue.as_secs());
            world.pass(report.requeue);
        }
        (looks[1], looks.into_iter().max().unwrap())
    };
    let (first, open) = longest(World::everyday());
    assert!(first <= 130 && open == 600, "{first} then {open}");
    let (_, closed) = longest(locked());
    assert!(closed <= 130, "{closed}");
}

#[test]
fn a_vantage_point_that_is_not_granted_is_not_asked() {
    let mut world = World::everyday();
    let mut grant = everything(&world.object);
    grant.vantage_points.remove("spoke-agent");
    world.regrant(Some(Grants::new(vec![grant])));
    nothing_is_written(&mut world);
    assert!(
        world.message().contains("use VantagePoint spoke-agent"),
        "{}",
        world.message()
    );
    assert!(world.seen.cluster.probes.values().all(|probe| probe.seen().is_none()));
}

#[test]
fn what_nobody_may_open_stays_closed_whatever_the_spec_an_emergency_or_a_rollback_wants() {
    let mut world = locked();
    world.take_away(&[OPEN]);
    let (plan, _) = world.settle(20);
    let warned = plan
        .findings
        .iter()
        .find(|f| f.reason == FindingReason::OpeningNotGranted);
    assert!(warned.unwrap().message.starts_with("a BreakGlass will have no effect"));
    assert_eq!(world.state(), "Locked");
    world.break_glass(60);
    world.visit();
    assert_eq!(phase(&mut world, "incident-0"), Ignored);
    let message = told(&mut world, "incident-0").message;
    assert!(
        message.contains("no RegistryGrant lets namespace ml-platform open"),
        "{message}"
    );
    nothing_is_written(&mut world);
    assert!(world.all_closed());
    world.pass(Duration::from_secs(7200));
    world.turn_ungranted(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    nothing_is_written(&mut world);
    assert!(world.all_closed() && world.state() == "Stalled", "{}", world.message());
    assert!(
        world.message().starts_with("spec.publicAccess.desired: "),
        "{}",
        world.message()
    );
    world.turn_ungranted(|o| {
        o.spec.public_access.desired = PublicAccess::Disabled;
        o.spec.public_access.rollback = Some(RollbackSpec {
            on_failure: RollbackPolicy::Reopen,
            grace_period: "15m".into(),
        });
    });
    nothing_is_written(&mut world);
    assert!(world.all_closed());
    assert!(world.message().contains("rollback.onFailure"), "{}", world.message());
}

#[test]
fn looking_takes_no_more_than_looking() {
    let mut world = World::everyday();
    let others: Vec<Purpose> = Purpose::all().filter(|purpose| *purpose != LOOK).collect();
    world.take_away(&others);
    world.turn_ungranted(|o| {
        o.spec.management_policy = ManagementPolicy::Observe;
        o.spec.endpoints.clear();
        o.spec.client_networks.clear();
    });
    world.settle_anyhow(3);
    assert_eq!(world.state(), "Observed", "{}", world.message());
    world.turn_ungranted(|o| o.spec.management_policy = ManagementPolicy::Enforce);
    world.settle_anyhow(3);
    assert_eq!(world.state(), "Stalled");
}

#[test]
fn what_a_grant_demands_holds_and_is_told_where_the_spec_says_less() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.verification.dns_settle = "1m".into();
        o.spec.verification.consecutive_successes = 1;
    });
    let strict = demanding(
        &world,
        Requirements {
            lockdown_approval: true,
            minimum_dns_settle: Duration::from_secs(3600),
            minimum_consecutive_successes: 3,
            ..Requirements::default()
        },
    );
    // One that demands nothing covers the same: it takes nothing away from what the other demands.
    world.regrant(Some(Grants::new(vec![everything(&world.object), strict])));
    assert_eq!(
        world.desired.spec.as_ref().unwrap().verification.dns_settle,
        Duration::from_secs(3600)
    );
    assert_eq!(
        world.desired.spec.as_ref().unwrap().verification.consecutive_successes,
        3
    );
    let (plan, _) = world.until("AwaitingApproval", 60);
    let told = plan
        .findings
        .iter()
        .find(|f| f.reason == FindingReason::GrantDemands)
        .unwrap();
    assert_eq!(
        told.message,
        "RegistryGrant networks demands what the spec does not: publicAccess.lockdown.waitFor: [Approval], verification.dnsSettle: 1h, verification.consecutiveSuccesses: 3"
    );
    assert_eq!(world.seen.object.status.grants.as_deref(), Some("everything, networks"));
    world.approve();
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}

/// Which grants an object stands on is shown as they are now, also while what is left is not enough.
#[test]
fn status_names_the_grants_that_are_left_to_a_locked_object() {
    let mut world = locked();
    let (mut registry, mut networks) = (everything(&world.object), everything(&world.object));
    let mut unrelated = everything(&world.object);
    registry.name = "registry".into();
    registry
        .scopes
        .retain(|purpose, _| matches!(purpose, Purpose::Registry(_)));
    registry.vantage_points.clear();
    networks.name = "networks".into();
    networks
        .scopes
        .retain(|purpose, _| !matches!(purpose, Purpose::Registry(_)));
    unrelated.name = "unrelated".into();
    unrelated
        .scopes
        .retain(|purpose, _| matches!(purpose, Purpose::LogAnalyticsWorkspace));
    unrelated.vantage_points.clear();
    let mut stands_on = |grants: &[&Grant], wanted: Option<&str>, state: &str| {
        world.regrant(Some(Grants::new(grants.iter().map(|grant| (*grant).clone()).collect())));
        for _ in 0..4 {
            let (plan, report) = world.visit();
            assert_eq!(azure_writes(&plan), 0, "{}", sreg_planner::render(&plan));
            world.pass(report.requeue);
        }
        let status = &world.seen.object.status;
        assert_eq!(
            (status.grants.as_deref(), world.state().as_str()),
            (wanted, state),
            "{}",
            world.message()
        );
        assert!(world.all_closed());
        status.clone()
    };
    stands_on(
        &[&registry, &networks, &unrelated],
        Some("networks, registry"),
        "Locked",
    );
    let looked_at = stands_on(&[&registry, &unrelated], Some("registry"), "Stalled");
    assert!(looked_at.public_access.is_some());
    // Without a look at the registry nothing is shown, nor on what it would stand.
    let untold = stands_on(&[&networks], None, "Stalled");
    assert_eq!((untold.public_access, untold.endpoints.len()), (None, 0));
    stands_on(&[], None, "Stalled");
    stands_on(&[&registry, &networks], Some("networks, registry"), "Locked");
}

#[test]
fn evidence_that_could_not_live_as_long_as_a_grant_demands_is_refused() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.verification.max_age = "1m".into();
        o.spec.verification.consecutive_successes = 2;
    });
    let strict = demanding(
        &world,
        Requirements {
            minimum_consecutive_successes: 3,
            ..Requirements::default()
        },
    );
    world.regrant(Some(Grants::new(vec![strict])));
    assert!(
        world
            .desired
            .what_is_wrong()
            .unwrap()
            .contains("a RegistryGrant demands 3 successes")
    );
}

#[test]
fn a_field_that_a_grant_forbids_is_refused_with_its_name() {
    let mut world = World::everyday();
    let strict = demanding(
        &world,
        Requirements {
            forbidden_fields: ["spec.endpoints.dns.linkVirtualNetworks".to_owned()].into(),
            ..Requirements::default()
        },
    );
    world.regrant(Some(Grants::new(vec![everything(&world.object), strict])));
    nothing_is_written(&mut world);
    assert_eq!(
        world.message(),
        "spec.endpoints.dns.linkVirtualNetworks: RegistryGrant networks forbids this field: remove it, or ask whoever administers that grant"
    );
    // Whoever writes the spec can act, and sees which grants it stands on.
    let status = &world.seen.object.status;
    let actors: Vec<_> = status.waiting_for.iter().map(|w| w.actor.to_string()).collect();
    assert_eq!(
        (actors, status.grants.as_deref()),
        (vec!["User".to_owned()], Some("everything, networks"))
    );
}

/// An emergency ends while the spec names what nobody grants any more: said is who can have it locked again.
#[test]
fn what_an_emergency_leaves_open_for_want_of_a_grant_says_who_can_have_it_locked_again() {
    let mut world = locked();
    world.break_glass(60);
    world.settle(20);
    assert!(world.all_open(), "{}", world.message());
    world.take_away(&[Purpose::PrivateDnsZone]);
    world.pass(Duration::from_secs(3700));
    for _ in 0..4 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    let told: Vec<&str> = world
        .seen
        .object
        .status
        .waiting_for
        .iter()
        .map(|w| w.message.as_str())
        .collect();
    let says = "it is locked again once the grants let its namespace name all that it names: whoever administers them, kubectl edit registrygrant";
    assert!(told.iter().any(|message| message.contains(says)), "{told:#?}");
}

#[test]
fn a_grant_that_is_not_understood_holds_what_it_covers_also_where_another_covers_it() {
    let mut world = locked();
    let odd = Grant {
        name: "odd".into(),
        requires: Err("spec.requires.minimumDnsSettle: \"soon\" must be a duration".into()),
        ..everything(&world.object)
    };
    world.regrant(Some(Grants::new(vec![everything(&world.object), odd])));
    nothing_is_written(&mut world);
    assert!(
        world
            .message()
            .contains("RegistryGrant odd, which covers it, is not understood"),
        "{}",
        world.message()
    );
    assert!(world.all_closed());
}

#[test]
fn an_object_without_a_grant_can_be_deleted_and_leaves_azure_as_it_is() {
    for taken in [LOOK, LOCK] {
        let mut world = locked();
        world.respec(|o| o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints);
        world.settle(20);
        let before = standing_endpoints(&world);
        world.take_away(&[taken]);
        world.delete();
        for _ in 0..6 {
            let (plan, _) = world.visit();
            assert_eq!(azure_writes(&plan), 0, "{}", sreg_planner::render(&plan));
            world.pass(Duration::from_secs(5));
        }
        assert!(world.gone, "{}", world.message());
        assert_eq!((standing_endpoints(&world), world.all_closed()), (before, true));
    }
}

#[test]
fn an_endpoint_whose_subnet_is_not_granted_any_more_stays_when_its_entry_is_dropped() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(60);
    let before = standing_endpoints(&world);
    let mut grants = everything(&world.object);
    let subnets = Purpose::Network(NetworkUse::Endpoints);
    grants.scopes.insert(subnets, vec![vnet("other")]);
    world.regrant(Some(Grants::new(vec![grants])));
    world.turn_ungranted(|o| {
        o.spec.endpoints[0].subnet_resource_id = format!("{}/subnets/endpoints", vnet("other"));
    });
    world.look_around();
    for _ in 0..40 {
        world.visit();
        world.pass(Duration::from_secs(30));
    }
    assert_eq!(standing_endpoints(&world), 2 * before, "{}", world.message());
    let stays = world
        .seen
        .object
        .status
        .findings
        .iter()
        .chain([])
        .map(|f| f.message.clone());
    let waits = world.seen.object.status.waiting_for.iter().map(|w| w.message.clone());
    let said: Vec<String> = stays.chain(waits).collect();
    assert!(
        said.iter()
            .any(|m| m.contains("no RegistryGrant lets namespace ml-platform write to")),
        "{said:#?}"
    );
}

#[test]
fn sharing_and_shared_accounts_take_grants_of_their_own() {
    for (taken, path) in [
        (AccountUse::Sharing, "spec.sharing"),
        (AccountUse::Shared, "spec.sharedAccounts"),
    ] {
        let mut world = World::everyday();
        let account = format!("{SUB}/resourceGroups/others/providers/Microsoft.Storage/storageAccounts/theirs");
        world.turn_ungranted(|o| {
            o.spec.sharing = Some(sreg_api::registry::SharingSpec {
                workspace_storage_account_resource_ids: vec![account.clone()],
            });
            o.spec.shared_accounts = vec![sreg_api::registry::SharedAccountSpec {
                resource_id: account.clone(),
                reason: "they know".into(),
            }];
        });
        assert!(world.desired.is_whole());
        world.regrant(Some(everything_but(&world.object, &[Purpose::Account(taken)])));
        let wrong = world.desired.what_is_wrong().unwrap();
        assert!(wrong.starts_with(&format!("{path}: ")), "{wrong}");
        nothing_is_written(&mut world);
    }
}

/// Whoever can write a registry can have it name anybody's account.
#[test]
fn an_account_of_others_that_a_registry_names_is_neither_read_connected_closed_nor_opened_without_a_grant() {
    let theirs = id(&format!(
        "{SUB}/resourceGroups/theirs/providers/Microsoft.Storage/storageAccounts/vault"
    ));
    let shared = Purpose::Account(AccountUse::Shared);
    let names_it = |world: &mut World| {
        let mut account = open_storage("contosostore", false);
        account.id = theirs.clone();
        account.public_network_access = Some("Disabled".into());
        world
            .seen
            .azure
            .targets
            .insert(theirs.clone(), sreg_domain::Fact::Seen(account));
        change_registry(world, |registry| {
            let accounts = registry.regions[0].accounts.entry(TargetKind::Storage).or_default();
            accounts.push(Some(theirs.clone()));
        });
    };
    for wish in [PublicAccess::Enabled, PublicAccess::Disabled] {
        let mut world = World::everyday();
        world.turn_ungranted(|o| o.spec.public_access.desired = wish);
        names_it(&mut world);
        world.take_away(&[shared]);
        for _ in 0..40 {
            let (plan, _) = world.visit();
            for step in plan.steps() {
                let text = format!("{:?}", step.action);
                assert!(!text.contains("/theirs/"), "{text}");
            }
            world.pass(Duration::from_secs(120));
        }
        assert_eq!(world.closed().get("vault"), Some(&true), "{:?}", world.closed());
        let waits = &world.seen.object.status.waiting_for;
        let told = waits
            .iter()
            .find(|w| w.reason == "NotGrantedStalled")
            .map(|w| w.message.as_str());
        let says = "names account /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/theirs/";
        assert!(
            told.is_some_and(|m| m.contains(says) && m.contains("accounts with uses: [Shared]")),
            "{waits:?}"
        );
    }
}

#[test]
fn nothing_of_another_holder_is_shown_to_whoever_may_not_look() {
    let mut world = locked();
    let snapshot = world.seen.cluster.snapshot.clone();
    world.claimed_by("owners/models");
    world.seen.object.status = Default::default();
    world.seen.cluster.snapshot = snapshot;
    world.regrant(Some(Grants::default()));
    world.break_glass(60);
    world.visit();
    world.visit();
    let message = told(&mut world, "incident-0").message;
    let status = serde_json::to_string(&world.seen.object.status).unwrap();
    for word in ["owners", "sreg-snapshot", "10.0.", "Closed", "Locked"] {
        assert!(
            !status.contains(word) && !message.contains(word),
            "{word}: {message}\n{status}"
        );
    }
    for kind in [
        "RegistryFound",
        "EndpointsReady",
        "DnsReady",
        "PublicAccessDisabled",
        "TagsCompliant",
    ] {
        assert_eq!(world.condition(kind).unwrap().0, "Unknown", "{kind}");
    }
}

#[test]
fn what_external_dns_must_answer_is_taken_away_only_by_whoever_published_it() {
    let mut world = World::everyday();
    world.claimed_by("owners/models");
    let published = std::collections::BTreeMap::from([("hosts".to_owned(), "10.0.1.4 contoso".to_owned())]);
    world.seen.cluster.published_dns = sreg_domain::Fact::Seen(published.clone());
    world.seen.object.has_finalizer = true;
    world.regrant(Some(Grants::default()));
    world.delete();
    for _ in 0..4 {
        world.visit();
    }
    assert!(world.gone);
    assert_eq!(world.seen.cluster.published_dns, sreg_domain::Fact::Seen(published));
}

#[test]
fn a_deletion_asks_nobody_so_what_needs_an_approval_by_a_grant_stays() {
    let mut world = World::everyday();
    let strict = demanding(
        &world,
        Requirements {
            name_changes_approval: true,
            ..Requirements::default()
        },
    );
    world.regrant(Some(Grants::new(vec![strict])));
    world.turn_ungranted(|o| {
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
        o.spec.public_access.desired = PublicAccess::Enabled;
    });
    for _ in 0..60 {
        world.approve();
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    let before = standing_endpoints(&world);
    assert!(before > 0, "{}", world.message());
    world.delete();
    for _ in 0..6 {
        world.visit();
    }
    assert_eq!((world.gone, standing_endpoints(&world)), (true, before));
}

/// A claim is kept beyond the end of its object while anything may be closed in its name.
#[test]
fn what_a_deleted_object_left_locked_stays_its_own_until_it_comes_again_or_somebody_may_take_it_over() {
    let mut world = locked();
    world.delete();
    for _ in 0..4 {
        world.visit();
    }
    assert!(world.gone && world.all_closed());
    let claim = world.seen.cluster.claim.seen().cloned().unwrap();
    let gone = sreg_domain::Fact::Seen(sreg_domain::seen::Claim { alive: false, ..claim });
    // Another one of the namespace opens nothing of it.
    let mut other = world.clone();
    other.come_again();
    other.object.metadata.name = Some("another".into());
    other.seen.cluster.claim = gone.clone();
    other.turn_ungranted(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    other.take_away(&[Purpose::Registry(RegistryOperation::TakeOver)]);
    nothing_is_written(&mut other);
    assert!(other.all_closed());
    for part in [
        "SecureRegistry ml-platform/contoso-models, which is gone",
        "operations: [TakeOver]",
    ] {
        assert!(other.message().contains(part), "{}", other.message());
    }
    // An administrator lets it go on.
    other.regrant(None);
    let (plan, _) = other.visit();
    assert!(plan.findings.iter().any(|f| f.reason == FindingReason::TakenOver));
    other.settle_anyhow(10);
    assert!(other.all_closed(), "it never locked it itself: {}", other.message());
    other.approve();
    other.settle_anyhow(10);
    assert!(other.all_open(), "{}", other.message());
    // The same namespace and name need nobody.
    world.come_again();
    world.seen.cluster.claim = gone;
    world.turn_ungranted(|_| {});
    world.take_away(&[Purpose::Registry(RegistryOperation::TakeOver)]);
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}
