//! What is not found, what is gone, what cannot go.

use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{Fact, TargetKind};

use crate::world::*;
use crate::worlds::*;

fn every_connection(world: &mut World, status: &str) {
    for endpoint in world.seen.azure.endpoints.values_mut() {
        if let Fact::Seen(endpoint) = endpoint {
            endpoint.connection_status = Some(status.into());
        }
    }
}

/// Name and world.
pub fn cases() -> Vec<Case> {
    vec![
        (
            "a_registry_that_is_not_found_though_a_connection_is_approved_stalls",
            || {
                let mut world = locked();
                see_registry(&mut world.seen.azure, Fact::Absent);
                world
            },
        ),
        ("a_subscription_that_does_not_exist_is_for_people", || {
            fresh(|w| see_registry(&mut w.seen.azure, no_such_subscription()))
        }),
        ("accounts_that_azure_never_names_are_for_people", || {
            let mut world = World::everyday();
            change_registry(&mut world, |registry| {
                registry.regions[0].accounts.remove(&TargetKind::Storage);
            });
            for _ in 0..20 {
                world.visit();
                world.pass(std::time::Duration::from_secs(60));
            }
            world
        }),
        ("a_storage_account_that_somebody_deleted_is_for_people", || {
            let mut world = locked();
            world.seen.azure.targets.insert(storage("contosostore"), Fact::Absent);
            world
        }),
        ("a_container_registry_that_somebody_deleted_is_for_people", || {
            let mut world = locked();
            world.seen.azure.targets.insert(acr(), Fact::Absent);
            world
        }),
        ("a_connection_that_is_gone_is_told_while_locked", || {
            let mut world = locked();
            every_connection(&mut world, "Disconnected");
            world
        }),
        ("a_connection_that_is_gone_is_made_again_while_open", || {
            let mut world = with_spec(|spec| spec.public_access.desired = PublicAccess::Enabled);
            world.settle(60);
            every_connection(&mut world, "Disconnected");
            world
        }),
        ("an_endpoint_that_a_lock_keeps_stays_whole", || {
            let mut world = with_spec(|spec| spec.public_access.desired = PublicAccess::Enabled);
            world.settle(60);
            world.locks = vec![LockSeen {
                id: format!("{SUB}/providers/Microsoft.Authorization/locks/hands-off"),
                level: "CanNotDelete".into(),
            }];
            world.respec(|o| o.spec.endpoints[0].subnet_resource_id = format!("{}/subnets/other", vnet("hub")));
            world
        }),
        ("a_shared_account_is_acknowledged_first", || gated_on_shared(Vec::new())),
        ("an_acknowledged_account_is_told", || {
            let shared = |id: String| SharedAccountSpec {
                resource_id: id,
                reason: "the data team knows (CHG-18)".into(),
            };
            gated_on_shared(vec![
                shared(storage("contosostore").to_string()),
                shared(acr().to_string()),
            ])
        }),
        ("a_window_that_never_opens_is_a_mistake", || {
            let window = WindowSpec {
                schedule: "0 0 31 2 *".into(),
                time_zone: "UTC".into(),
                duration: "2h".into(),
            };
            gated(lockdown(vec![LockdownGate::Window], Some(window)))
        }),
    ]
}

fn gated_on_shared(acknowledged: Vec<SharedAccountSpec>) -> World {
    let mut world = gated(|spec| spec.shared_accounts = acknowledged);
    let another = id(&format!("{SUB}/resourceGroups/azureml-rg-another"));
    change_registry(&mut world, |registry| registry.managed_resource_group = Some(another));
    world
}
