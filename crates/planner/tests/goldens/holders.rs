//! Whose registry it is, of all clusters, and who opens what somebody else closed.

use sreg_api::registry::PublicAccess;
use sreg_domain::Fact;

use crate::world::*;
use crate::worlds::*;

const ANOTHER: &str =
    "0c0c0c0c-0000-4000-8000-000000000002/ml-platform/contoso-models/22222222-2222-3333-4444-555555555555";

/// The registry's claim tag names another object, or none.
fn tagged(mut world: World, by: Option<&str>) -> World {
    let mark = by.map(|object| world.mark_of(object));
    world.tag_claim(mark.as_deref());
    world
}

pub fn cases() -> Vec<Case> {
    vec![
        (
            "a_registry_that_nobody_holds_is_claimed_in_azure_before_anything_else",
            || {
                let mut world = tagged(World::everyday(), None);
                world.seen.object.has_finalizer = true;
                world
            },
        ),
        ("a_registry_that_another_cluster_holds_is_left_alone", || {
            let mut world = tagged(locked(), Some(ANOTHER));
            world.regrant(Some(sreg_domain::Grants::new(vec![{
                let mut grant = grants::everything(&world.object);
                grant.scopes.remove(&sreg_domain::Purpose::Registry(
                    sreg_api::grant::RegistryOperation::TakeOver,
                ));
                grant
            }])));
            world
        }),
        (
            "a_registry_that_another_cluster_holds_is_taken_over_where_that_is_granted",
            || tagged(World::everyday(), Some(ANOTHER)),
        ),
        ("what_somebody_else_closed_waits_for_an_approval_to_be_opened", || {
            let mut world = locked();
            world.seen.cluster.snapshot = Fact::Absent;
            world.suffer(scramble::Blow::EraseStatus);
            world.visit();
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            world
        }),
        (
            "resource_rules_on_the_registrys_own_storage_are_named_at_the_lock",
            || {
                let mut world = locked();
                change_storage(&mut world, |s| {
                    s.resource_access_rules = vec![format!(
                        "{SUB}/resourceGroups/others/providers/Microsoft.MachineLearningServices/workspaces/theirs"
                    )];
                });
                world
            },
        ),
        ("intervals_that_are_shorter_than_the_operator_serves_are_raised", || {
            let mut world = World::everyday();
            world.respec(|o| {
                o.spec.drift.interval = "1s".into();
                o.spec.verification.interval = "100ms".into();
            });
            world
        }),
    ]
}
