//! Claim, registry, endpoints, DNS.

use sreg_api::grant::{NetworkUse, RegistryOperation};
use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{CallFailure, Cause, EndpointGroup, Fact, Grants, Purpose, TargetKind};
use sreg_planner::plan::FindingReason;

use crate::world::contrary::Contrary;
use crate::world::policies::DnsPolicy;
use crate::world::scramble::Blow;
use crate::world::*;
use crate::worlds::*;

/// So many visits while a write does not do what it should.
fn thwarted(step: &str, contrary: Contrary, visits: usize) -> World {
    let mut world = World::everyday();
    world.thwarted(step, contrary);
    for _ in 0..visits {
        world.visit();
    }
    world
}

fn nothing_is_there(world: &mut World) {
    see_registry(&mut world.seen.azure, Fact::Absent);
    world.seen.azure.endpoints.values_mut().for_each(|e| *e = Fact::Absent);
}

/// Name and world.
pub fn cases() -> Vec<Case> {
    vec![
        ("a_new_object_claims_first_then_begins", World::everyday),
        ("two_regions_need_dfs_too_and_endpoints_are_made_one_by_one", || {
            let mut world = World::two_regions(SPEC);
            world.visit();
            world
        }),
        ("endpoints_in_two_networks_are_made_side_by_side", || {
            let mut world = World::everyday();
            world.respec(|o| {
                let mut other = o.spec.endpoints[0].clone();
                other.name = "far".into();
                other.subnet_resource_id = format!("{}/subnets/endpoints", vnet("far"));
                other.dns.as_mut().unwrap().link_virtual_networks = Some(vec![vnet("far").to_string()]);
                o.spec.endpoints.push(other);
                let mut client = o.spec.client_networks[0].clone();
                client.name = "far".into();
                client.virtual_network_resource_id = Some(vnet("far").to_string());
                client.vantage_point = "far-agent".into();
                o.spec.client_networks.push(client);
                o.spec.client_networks[2].endpoint = Some("hub".into());
            });
            world.visit();
            world.visit();
            world
        }),
        ("two_entries_in_one_network_are_mentioned", || {
            with_spec(|spec| {
                let mut other = spec.endpoints[0].clone();
                other.name = "second".into();
                other.subnet_resource_id = format!("{}/subnets/second", vnet("hub"));
                let dns = other.dns.as_mut().unwrap();
                dns.mode = Some(DnsMode::External);
                dns.link_virtual_networks = None;
                spec.endpoints.push(other);
                spec.client_networks[2].endpoint = Some("hub".into());
            })
        }),
        ("tags_that_are_lost_or_copied_are_told", || {
            let mut world = with_spec(|_| {});
            world.settle(60);
            world.respec(|o| drop(o.spec.tags.insert("costCenter".into(), "7".into())));
            world.seen.azure.odd =
                vec!["a link of a private DNS zone names no network (x, below y): it is left out".into()];
            let mut copy = endpoint(&mut world).clone();
            copy.id = id(&format!(
                "{SUB}/resourceGroups/net-hub/providers/Microsoft.Network/privateEndpoints/copied"
            ));
            world.seen.azure.endpoints.insert(copy.id.clone(), Fact::Seen(copy));
            world.visit();
            let lost = endpoint(&mut world);
            lost.owner = None;
            lost.tags.clear();
            world
        }),
        ("a_claim_of_another_object_stalls", || {
            fresh(|w| w.claimed_by("other/registry"))
        }),
        ("a_claim_of_an_object_that_is_gone_stays_with_its_name", || {
            fresh(|w| {
                w.left_claimed_by("other/registry");
                w.take_away(&[Purpose::Registry(RegistryOperation::TakeOver)]);
            })
        }),
        (
            "a_claim_of_an_object_that_is_gone_is_taken_over_where_that_is_granted",
            || fresh(|w| w.left_claimed_by("other/registry")),
        ),
        ("an_endpoint_where_nobody_may_write_any_more_stays", || {
            let mut world = World::everyday();
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            world.settle(60);
            let mut grant = grants::everything(&world.object);
            grant
                .scopes
                .insert(Purpose::Network(NetworkUse::Endpoints), vec![vnet("other")]);
            world.regrant(Some(Grants::new(vec![grant])));
            world.turn_ungranted(|o| {
                o.spec.endpoints[0].subnet_resource_id = format!("{}/subnets/endpoints", vnet("other"));
            });
            for _ in 0..30 {
                world.visit();
                world.pass(std::time::Duration::from_secs(60));
            }
            world
        }),
        ("a_claim_of_our_former_self_is_taken_over", || {
            fresh(|w| w.left_claimed_by("ml-platform/contoso-models"))
        }),
        ("an_absent_registry_stalls", || fresh(nothing_is_there)),
        ("an_absent_registry_is_created_closed", || {
            let mut world = with_spec(|spec| {
                spec.registry.create = Some(CreateSpec {
                    location: "westeurope".into(),
                    additional_locations: vec!["northeurope".into()],
                });
                spec.registry.managed_resource_group_access = ManagedResourceGroupAccess::GrantOperator;
            });
            nothing_is_there(&mut world);
            world.record_creation("5eed");
            world
        }),
        (
            "a_registry_is_created_only_after_the_claim_says_so",
            World::to_be_created,
        ),
        ("a_registry_without_accounts_is_waited_for", || {
            fresh(|w| {
                change_registry(w, |registry| {
                    registry.regions[0].accounts.insert(TargetKind::Storage, vec![None]);
                });
            })
        }),
        ("a_registry_that_may_not_be_read_says_what_to_grant", || {
            fresh(|w| see_registry(&mut w.seen.azure, unknown(IgnoranceKind::Forbidden)))
        }),
        ("a_credential_that_is_refused_is_for_whoever_runs_the_operator", || {
            fresh(|w| see_registry(&mut w.seen.azure, unknown(IgnoranceKind::SignIn)))
        }),
        ("a_write_without_an_answer_is_sent_again_after_a_pause", || {
            thwarted("create-endpoint", Contrary::Unanswered, 3)
        }),
        ("a_write_without_effect_is_sent_again_after_a_pause", || {
            thwarted("create-endpoint", Contrary::Ignored, 4)
        }),
        ("tags_that_do_not_last_hold_nothing_up", || {
            let mut world = locked();
            world.thwarted("set-tags", Contrary::PutBack);
            world.suffer(Blow::Retag);
            for _ in 0..12 {
                let (plan, report) = world.visit();
                if plan.findings.iter().any(|f| f.reason == FindingReason::UpkeepFailing) {
                    break;
                }
                world.pass(report.requeue);
            }
            world
        }),
        ("before_the_first_look_nothing_is_known", || {
            let mut world = World::everyday();
            see_registry(&mut world.seen.azure, unknown(IgnoranceKind::Unreachable));
            world
        }),
        ("a_registry_that_cannot_be_read_is_not_known", || {
            fresh(|w| see_registry(&mut w.seen.azure, unknown(IgnoranceKind::Unreachable)))
        }),
        ("tags_and_exemption_are_set_one_after_the_other", || {
            let mut world = with_spec(|spec| {
                spec.registry.managed_resource_group_access = ManagedResourceGroupAccess::GrantOperator;
                spec.registry.tags.insert("costCenter".into(), "4711".into());
            });
            see_registry(&mut world.seen.azure, Fact::Seen(open_registry()));
            world
        }),
        ("sharing_adds_a_rule_to_the_workspaces_storage", || {
            with_spec(|spec| {
                let id = format!("{SUB}/resourceGroups/ws/providers/Microsoft.Storage/storageAccounts/workspace");
                spec.sharing = Some(SharingSpec {
                    workspace_storage_account_resource_ids: vec![id],
                });
            })
        }),
        ("sharing_with_absent_storage_holds_nothing_else_up", || {
            let mut world = with_spec(|spec| {
                let id = format!("{SUB}/resourceGroups/ws/providers/Microsoft.Storage/storageAccounts/workspace");
                spec.sharing = Some(SharingSpec {
                    workspace_storage_account_resource_ids: vec![id],
                });
            });
            world
                .seen
                .azure
                .shared_storage
                .values_mut()
                .for_each(|s| *s = Fact::Absent);
            world
        }),
        ("an_absent_subnet_stalls", || {
            let mut world = World::everyday();
            world.seen.azure.subnets.values_mut().for_each(|s| *s = Fact::Absent);
            world
        }),
        ("a_deny_assignment_stalls_its_target_and_says_what_to_grant", || {
            let mut world = World::everyday();
            world.denials = denied("Microsoft.Storage/*");
            world.visit();
            world.visit();
            world
        }),
        ("an_endpoint_in_the_making_is_waited_for", || {
            let mut world = World::everyday();
            world.slow = true;
            world.visit();
            world.visit();
            world
        }),
        ("a_foreign_endpoint_of_our_name_is_left_alone", || {
            fresh(|w| endpoint(w).owner = Some("somebody".into()))
        }),
        (
            "rights_that_are_missing_anywhere_are_told_before_anything_is_built",
            || {
                fresh(|w| {
                    w.seen.azure.endpoints.values_mut().for_each(|e| *e = Fact::Absent);
                    w.allowed_all_but(&[
                        "Microsoft.ContainerRegistry/registries/write",
                        "Microsoft.Network/virtualNetworks/subnets/join/action",
                    ]);
                })
            },
        ),
        ("rights_that_cannot_be_looked_at_are_a_finding", || {
            fresh(|w| {
                w.seen.azure.endpoints.values_mut().for_each(|e| *e = Fact::Absent);
                let registry = w.desired.registry.clone();
                w.seen
                    .azure
                    .rights
                    .insert(registry, unknown(IgnoranceKind::Unreachable));
            })
        }),
        ("a_failed_endpoint_is_removed_to_be_made_again", || {
            fresh(|w| {
                let e = endpoint(w);
                e.provisioning_state = "Failed".into();
                e.connection_status = None;
            })
        }),
        ("an_endpoint_that_azure_refused_stalls_in_azures_words", || {
            let mut world = World::everyday();
            world.slow = true;
            world.visit();
            world.visit();
            let id = first_endpoint(&world);
            endpoint(&mut world).provisioning_state = "Failed".into();
            let message = "disallowed by policy \"no endpoints\"";
            let failure = CallFailure {
                code: Some("RequestDisallowedByPolicy".into()),
                status: Some(403),
                correlation_id: Some("c-17".into()),
                ..CallFailure::local("create private endpoint x", Cause::Refused, message)
            };
            let mut failed = operation(&world, id, OperationState::Failed(failure));
            failed.operation.step = sreg_domain::StepKind::CreateEndpoint.on("hub/amlregistry contosoreg");
            world.seen.azure.operations = vec![failed];
            world
        }),
        ("a_pending_connection_names_the_command_for_its_approver", || {
            let mut world = World::everyday();
            world.respec(|o| {
                o.spec.endpoints[0].approval = Some(ApprovalSpec {
                    mode: ApprovalMode::Manual,
                    request_message: Some("please".into()),
                });
            });
            for _ in 0..4 {
                world.visit();
            }
            world
        }),
        ("a_rejected_connection_stalls", || {
            let mut world = locked();
            endpoint(&mut world).connection_status = Some("Rejected".into());
            endpoint(&mut world).connection_description = Some("not you".into());
            world
        }),
        ("an_endpoint_without_names_is_waited_for", || {
            let mut world = settling();
            endpoint(&mut world).members = Fact::Seen(Vec::new());
            world
        }),
        ("a_network_linked_to_another_zone_stalls_and_names_it", || {
            fresh(|w| {
                let zone = linked_elsewhere("dns", "privatelink.blob.core.windows.net", "hub");
                w.seen.azure.zones_elsewhere = Fact::Seen(vec![zone]);
            })
        }),
        (
            "a_network_linked_to_another_teams_zone_is_named_and_holds_nothing_up",
            || {
                fresh(|w| {
                    let zone = linked_elsewhere("team-x", "privatelink.blob.core.windows.net", "team-x");
                    w.seen.azure.zones_elsewhere = Fact::Seen(vec![zone]);
                })
            },
        ),
        ("an_existing_zone_that_is_absent_stalls", || {
            with_spec(|spec| {
                let zone =
                    |name: &str| format!("{SUB}/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/{name}");
                let dns = dns(spec);
                dns.mode = Some(DnsMode::Existing);
                dns.private_dns_zone_resource_ids = Some(ZoneIds {
                    registry: zone("privatelink.api.azureml.ms"),
                    blob: zone("privatelink.blob.core.windows.net"),
                    dfs: None,
                    container_registry: zone("privatelink.azurecr.io"),
                });
            })
        }),
        ("a_record_of_another_endpoint_is_never_overwritten", || {
            let mut world = World::everyday();
            for _ in 0..3 {
                world.visit();
            }
            for fact in world.seen.azure.zones.values_mut() {
                if let Fact::Seen(zone) = fact {
                    zone.owner = None;
                    zone.records = Fact::Seen([("contosostore".to_owned(), vec!["10.9.9.9".parse().unwrap()])].into());
                }
            }
            world
        }),
        ("a_foreign_zone_group_that_fits_is_accepted", || {
            let mut world = locked();
            let endpoint = endpoint(&mut world);
            let by_policy = endpoint.id.child("privateDnsZoneGroups", "deployedByPolicy");
            if let Fact::Seen(groups) = &mut endpoint.zone_groups {
                groups[0].id = by_policy;
            }
            world
        }),
        ("records_move_to_another_zone_only_while_everything_is_open", || {
            let mut world = locked();
            world.respec(|o| {
                dns(&mut o.spec).zone_resource_group_resource_id = Some(format!("{SUB}/resourceGroups/dns"))
            });
            for fact in world.seen.azure.zones.values_mut() {
                if let Fact::Seen(zone) = fact {
                    zone.links = Fact::Seen(Vec::new());
                }
            }
            world.visit();
            world
        }),
        ("zone_groups_that_no_policy_makes_stall", || {
            let mut world = World::everyday();
            world.respec(|o| {
                *dns(&mut o.spec) = DnsSpec {
                    mode: Some(DnsMode::Policy),
                    ..DnsSpec::default()
                }
            });
            for _ in 0..5 {
                world.visit();
            }
            world.pass(std::time::Duration::from_secs(3600));
            world
        }),
        ("zone_groups_by_policy_are_waited_for", || {
            let mut world = World::everyday();
            world.respec(|o| {
                *dns(&mut o.spec) = DnsSpec {
                    mode: Some(DnsMode::Policy),
                    ..DnsSpec::default()
                }
            });
            for _ in 0..5 {
                world.visit();
            }
            world
        }),
        ("nothing_is_made_that_no_policy_serves", || {
            let mut world = World::by_policy();
            let served = [EndpointGroup::Blob, EndpointGroup::ContainerRegistry];
            world.dns_policies = Fact::Seen(vec![DnsPolicy::of(&served)]);
            for _ in 0..5 {
                world.visit();
            }
            world
        }),
        ("what_is_stated_of_policies_is_believed_and_told", || {
            let mut world = World::by_policy();
            world.dns_policies = Fact::Seen(Vec::new());
            world.respec(|o| dns(&mut o.spec).policy_assignments = Some(PolicyAssignments::Assume));
            world.visit();
            world
        }),
        ("records_that_a_policy_wrote_are_compared", || {
            let mut world = World::by_policy();
            for _ in 0..5 {
                world.visit();
            }
            world.policies_act();
            *world.records_of_hub_team(EndpointGroup::Blob) = unknown(IgnoranceKind::Forbidden);
            if let Fact::Seen(records) = world.records_of_hub_team(EndpointGroup::AmlRegistry) {
                records.clear();
            }
            world.pass(std::time::Duration::from_secs(3600));
            world
        }),
        ("external_dns_is_told_what_to_answer", || {
            let mut world = World::everyday();
            world.respec(|o| {
                *dns(&mut o.spec) = DnsSpec {
                    mode: Some(DnsMode::External),
                    ..DnsSpec::default()
                }
            });
            for _ in 0..6 {
                world.visit();
            }
            world
        }),
        ("links_come_when_records_are_complete", || {
            let mut world = locked();
            world.suffer(Blow::RemoveRecords(0));
            if let Some(Fact::Seen(zone)) = world.seen.azure.zones.values_mut().next() {
                zone.links = Fact::Seen(Vec::new());
            }
            world.visit();
            world
        }),
        ("a_change_of_names_is_recorded_before_its_first_write", || {
            let mut world = locked();
            world.suffer(Blow::RemoveRecords(0));
            world
        }),
        ("name_changes_wait_for_their_approval", || {
            with_spec(|spec| {
                spec.name_changes = Some(NameChangesSpec {
                    wait_for: vec![NameChangesGate::Approval],
                })
            })
        }),
    ]
}
