//! Who resolves through whom, and settings of what exists: told in approvals, plans and findings.

use sreg_api::names::OWNER_TAG;
use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{AzureAction, Fact, StepKind};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::*;
use crate::world::*;

fn held(world: &mut World) {
    world.respec(|o| {
        o.spec.name_changes = Some(NameChangesSpec {
            wait_for: vec![NameChangesGate::Approval],
        })
    });
}

fn peer(world: &mut World, network: &str, with: &str) {
    if let Some(Fact::Seen(seen)) = world.seen.azure.virtual_networks.get_mut(&vnet(network)) {
        seen.peers.push(vnet(with));
    }
}

/// A network of another team's, peered with the hub.
fn lab(servers: &[&str]) -> VirtualNetworkSeen {
    VirtualNetworkSeen {
        id: vnet("lab"),
        location: "westeurope".into(),
        dns_servers: servers.iter().map(|s| (*s).to_owned()).collect(),
        address_space: vec!["10.150.0.0/16".into()],
        service_endpoints: Vec::new(),
        peers: vec![vnet("hub")],
    }
}

fn beside_a_lab(fact: Fact<VirtualNetworkSeen>) -> World {
    let mut world = World::everyday();
    held(&mut world);
    peer(&mut world, "hub", "lab");
    world.seen.azure.neighbours.insert(vnet("lab"), fact);
    for _ in 0..6 {
        world.visit();
    }
    world
}

fn summary(world: &World) -> String {
    let wanted = world.seen.object.status.approvals_wanted.first();
    wanted.map(|w| w.summary.clone()).unwrap_or_default()
}

fn found(world: &World, reason: FindingReason) -> Vec<String> {
    let plan = world.plan();
    let found = plan.findings.iter().filter(|f| f.reason == reason);
    found.map(|f| f.message.clone()).collect()
}

#[test]
fn networks_that_resolve_through_the_hub_are_named_to_whoever_approves_and_in_the_plan() {
    let world = beside_a_lab(Fact::Seen(lab(&["10.0.0.4"])));
    let told = summary(&world);
    assert!(
        told.contains("hub, spoke, lab (its DNS servers stand in hub)"),
        "{told}"
    );
    assert!(told.contains("office (forwards from outside Azure)"), "{told}");
    let digest = |world: &World| world.seen.object.status.approvals_wanted[0].digest.clone();
    let alone = beside_a_lab(Fact::Seen(lab(&[])));
    assert!(
        !summary(&alone).contains("lab"),
        "one that asks Azure's DNS is touched by links alone: {}",
        summary(&alone)
    );
    assert_ne!(digest(&world), digest(&alone));
    let mut approved = world;
    approved.approve();
    let mut touched = false;
    for _ in 0..20 {
        let (plan, report) = approved.visit();
        touched |= plan
            .steps()
            .flat_map(|s| &s.touches)
            .any(|t| t.contains("lab (its DNS servers stand in hub)"));
        approved.pass(report.requeue);
    }
    assert!(touched);
}

#[test]
fn a_peered_network_that_may_not_be_read_is_named_as_perhaps_touched() {
    let world = beside_a_lab(unknown(IgnoranceKind::Forbidden));
    let told = summary(&world);
    assert!(told.contains("perhaps lab (peered with hub"), "{told}");
}

/// Spokes ask domain controllers in a network of their own, which forward to the hub (cloud-adoption-framework#1009).
#[test]
fn networks_that_ask_servers_which_ask_the_hub_are_named_too() {
    let mut world = World::everyday();
    held(&mut world);
    for (name, prefix, servers, peers) in [
        ("identity", "10.160.0.0/16", "10.0.0.4", &["hub", "shop"][..]),
        ("shop", "10.170.0.0/16", "10.160.0.4", &["identity"]),
        ("plant", "10.180.0.0/16", "192.0.2.53", &["hub"]),
    ] {
        let mut network = lab(&[servers]);
        network.id = vnet(name);
        network.address_space = vec![prefix.into()];
        network.peers = peers.iter().map(|peer| vnet(peer)).collect();
        world.seen.azure.neighbours.insert(vnet(name), Fact::Seen(network));
        peer(&mut world, "hub", name);
    }
    for _ in 0..6 {
        world.visit();
    }
    let told = summary(&world);
    for part in [
        "identity (its DNS servers stand in hub)",
        "shop (its DNS servers stand in identity)",
        "perhaps plant (peered with hub, its DNS servers stand in no network that is known",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn nobody_approves_while_a_peered_network_does_not_answer() {
    let world = beside_a_lab(unknown(IgnoranceKind::Throttled));
    assert_eq!(summary(&world), "");
    assert!(world.plan().waits.iter().any(|w| w.reason == WaitReason::NotKnown));
}

#[test]
fn a_link_to_a_network_with_dns_servers_elsewhere_is_told_to_have_no_effect() {
    let mut world = World::everyday();
    peer(&mut world, "spoke", "hub");
    let servers = |world: &mut World, servers: &[&str]| {
        if let Some(Fact::Seen(spoke)) = world.seen.azure.virtual_networks.get_mut(&vnet("spoke")) {
            spoke.dns_servers = servers.iter().map(|s| (*s).to_owned()).collect();
        }
    };
    world.until("Settling", 60);
    for (own, told) in [
        (&[][..], 0),
        (&["168.63.129.16"], 0),
        (&["10.0.0.4"], 1),
        (&["8.8.8.8", "10.0.0.4"], 1),
    ] {
        servers(&mut world, own);
        assert_eq!(found(&world, FindingReason::LinkWithoutEffect).len(), told, "{own:?}");
    }
    let told = found(&world, FindingReason::LinkWithoutEffect).remove(0);
    assert!(
        told.contains("linking spoke changes nothing") && told.contains("stand in hub, whose links count"),
        "{told}"
    );
}

fn set_policy(world: &mut World, policy: &str, foreign: bool) {
    for fact in world.seen.azure.zones.values_mut() {
        let Fact::Seen(zone) = fact else { continue };
        let Fact::Seen(links) = &mut zone.links else { continue };
        for link in links.iter_mut().filter(|l| l.virtual_network == vnet("spoke")) {
            link.resolution_policy = Some(policy.into());
            if foreign {
                link.id = zone.id.child("virtualNetworkLinks", "by-hand");
            }
        }
    }
}

fn changes_policy(plan: &Plan) -> usize {
    let links = plan
        .steps()
        .filter(|s| matches!(&s.action, Action::Azure(AzureAction::LinkZone { .. })));
    links.count()
}

#[test]
fn a_link_of_ours_gets_the_policy_that_the_spec_wants_and_a_foreign_one_is_told() {
    let mut world = locked();
    set_policy(&mut world, "NxDomainRedirect", false);
    let before = world.journal.len();
    world.settle(60);
    let changed = world.journal[before..]
        .iter()
        .filter(|step| step.starts_with("set-link-policy"));
    assert_eq!(changed.count(), 3, "{:#?}", world.journal);
    assert_eq!(world.state(), "Locked");
    assert_eq!(changes_policy(&world.plan()), 0);
    set_policy(&mut world, "NxDomainRedirect", true);
    assert_eq!(changes_policy(&world.plan()), 0);
    let told = found(&world, FindingReason::SettingDiffers);
    assert_eq!(told.len(), 3);
    assert!(told[0].contains("az resource update --ids"), "{told:?}");
}

#[test]
fn a_link_that_another_object_made_in_a_shared_zone_is_told_and_neither_changed_nor_waited_for() {
    let mut world = locked();
    set_policy(&mut world, "NxDomainRedirect", false);
    for fact in world.seen.azure.zones.values_mut() {
        let Fact::Seen(zone) = fact else { continue };
        let Fact::Seen(links) = &mut zone.links else { continue };
        for link in links {
            link.tags = [(OWNER_TAG.to_owned(), "test/others/models".to_owned())].into();
        }
    }
    assert_eq!(changes_policy(&world.plan()), 0);
    let told = found(&world, FindingReason::SettingDiffers);
    assert_eq!(told.len(), 3);
    assert!(told[0].contains("was made by test/others/models (its tag"), "{told:?}");
    // The others' clients are for the others to prove.
    world.respec(|o| {
        o.spec.client_networks.retain(|n| n.name != "spoke");
        o.spec.endpoints[0].dns = None;
        o.spec.public_access.desired = PublicAccess::Enabled;
    });
    world.settle(20);
    let mut untagged = world.clone();
    world.turn();
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    // Without its tag nobody can tell whose it is: it holds the lock, and nobody is told to delete what may be another's.
    for fact in untagged.seen.azure.zones.values_mut() {
        let Fact::Seen(zone) = fact else { continue };
        let Fact::Seen(links) = &mut zone.links else { continue };
        links.iter_mut().for_each(|link| link.tags.clear());
    }
    untagged.thwarted("tag", contrary::Contrary::Ignored);
    assert_eq!(changes_policy(&untagged.plan()), 0);
    untagged.turn();
    untagged.settle_anyhow(30);
    assert!(untagged.all_open());
    let waits = untagged.plan().waits;
    let held = waits
        .iter()
        .find(|w| w.message.contains("has a name like ours and no tag"));
    assert!(
        held.is_some_and(|w| !w.message.contains("az resource delete")),
        "{waits:?}"
    );
}

#[test]
fn an_approval_mode_that_changed_is_told_with_what_to_do() {
    let mut world = locked();
    world.respec(|o| {
        o.spec.endpoints[0].approval = Some(ApprovalSpec {
            mode: ApprovalMode::Manual,
            request_message: None,
        })
    });
    let told = found(&world, FindingReason::SettingDiffers);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].contains("set Auto to keep it") && told[0].contains("az network private-endpoint delete --ids"),
        "{told:?}"
    );
    world.settle(20);
    assert_eq!(world.state(), "Locked", "telling disturbs no lock");
}

#[test]
fn what_external_dns_must_answer_is_published_follows_the_endpoints_and_goes_with_the_object() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.endpoints[0].dns = Some(DnsSpec {
            mode: Some(DnsMode::External),
            ..DnsSpec::default()
        })
    });
    for _ in 0..12 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    let Fact::Seen(data) = world.seen.cluster.published_dns.clone() else {
        panic!("{:?}", world.seen.cluster.published_dns)
    };
    let zone = &data["hub.zone"];
    assert!(
        zone.contains("$ORIGIN privatelink.blob.core.windows.net.\ncontosostore 10 IN A 10.0.0."),
        "{zone}"
    );
    assert!(zone.contains("contosoacr.westeurope.data 10 IN A"), "{zone}");
    assert!(
        data["hub.names"].contains(
            "contosostore.blob.core.windows.net. 300 IN CNAME contosostore.privatelink.blob.core.windows.net."
        )
    );
    assert!(data["hub.forwarders"].contains("zone \"blob.core.windows.net\""));
    assert!(
        data["hub.hosts"]
            .contains(" contosostore.privatelink.blob.core.windows.net contosostore.blob.core.windows.net")
    );
    // Every name that a probe demands is there, with the CNAME and the addresses that it demands.
    let paths = world.plan().assessment.paths;
    assert!(!paths.is_empty());
    for path in paths.iter().map(|p| &p.path) {
        let records = &world.seen.object.status.external_dns.as_ref().unwrap().records;
        let record = records.iter().find(|r| r.fqdn == path.fqdn).unwrap();
        assert_eq!(record.addresses, path.addresses);
        assert!(
            path.private_link_name.is_none() || record.private_link_name == path.private_link_name,
            "{record:?}"
        );
    }
    // An address that changes is followed.
    let endpoint = world.seen.azure.endpoints.values_mut().find_map(|e| match e {
        Fact::Seen(e) if e.group_id.as_deref() == Some("blob") => Some(e),
        Fact::Seen(_) | Fact::Absent | Fact::Unknown(_) => None,
    });
    if let Fact::Seen(members) = &mut endpoint.unwrap().members {
        members[0].address = "10.0.0.99".parse().unwrap();
    }
    world.visit();
    let now = world.seen.cluster.published_dns.seen().unwrap();
    assert!(now["hub.zone"].contains("contosostore 10 IN A 10.0.0.99"), "{now:?}");
    world.delete();
    for _ in 0..10 {
        if world.gone {
            break;
        }
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert!(world.gone && world.seen.cluster.published_dns.is_absent());
    assert!(position(&world, "delete-published-dns") < position(&world, "release-claim"));
}

/// Without the claim nobody deletes it any more.
#[test]
fn a_deletion_waits_for_published_dns_that_cannot_be_read_but_not_for_ever() {
    let mut world = World::everyday();
    world.settle(40);
    world.seen.cluster.published_dns = unknown(IgnoranceKind::Unreachable);
    world.delete();
    for _ in 0..4 {
        let (plan, _) = world.visit();
        assert!(!plan.steps().any(|s| s.id.kind == StepKind::RemoveFinalizer));
    }
    let waits = world.plan().waits;
    assert!(waits.iter().any(|w| w.reason == WaitReason::NotKnown), "{waits:?}");
    world.pass(Duration::from_secs(61 * 60));
    for _ in 0..4 {
        world.visit();
    }
    assert!(world.gone);
}
