//! Gates, proof, closing, opening, deletion.

use std::time::Duration;

use sreg_api::ChangeKind;
use sreg_api::grant::RegistryOperation;
use sreg_api::registry::*;
use sreg_api::status::RollbackStatus;
use sreg_domain::grants::Requirements;
use sreg_domain::seen::*;
use sreg_domain::{ArmId, Fact, Grants, Purpose, StepKind};

use crate::world::scramble::Blow;
use crate::world::*;
use crate::worlds::*;

/// Name and world.
pub fn cases() -> Vec<Case> {
    vec![
        ("names_settle_before_the_proof", settling),
        ("a_missing_vantage_point_is_named", || {
            let mut world = gated(|_| {});
            world
                .seen
                .cluster
                .vantage_points
                .insert("spoke-agent".into(), Fact::Absent);
            world
        }),
        ("a_vantage_point_elsewhere_proves_nothing", || {
            let mut world = gated(|_| {});
            if let Some(Fact::Seen(point)) = world.seen.cluster.vantage_points.get_mut("spoke-agent") {
                point.virtual_network = Some(vnet("hub"));
            }
            world
        }),
        ("a_silent_agent_is_named", || {
            let mut world = gated(|_| {});
            world.silent.insert("spoke-agent".into());
            world.answer();
            world
        }),
        ("an_agent_that_can_judge_no_path_is_for_people", || {
            let mut world = gated(|_| {});
            world.liars.insert("spoke-agent".into(), people::Lie::SeesNothing);
            world.answer();
            world.until("Stalled", 40);
            world
        }),
        ("dns_servers_that_nobody_can_ask_are_for_people", || {
            let mut world = gated(|_| {});
            if let Some(Fact::Seen(spoke)) = world.seen.azure.virtual_networks.get_mut(&vnet("spoke")) {
                spoke.dns_servers = vec!["10.0.0.4".into(), "dc-1.corp.example".into()];
            }
            world
        }),
        ("a_host_that_no_endpoint_carries_is_named", || {
            let mut world = gated(|_| {});
            world.seen.azure.discovery = Fact::Seen(vec![
                registry_name("westeurope"),
                "cert-westeurope.experiments.azureml.net".parse().unwrap(),
            ]);
            world
        }),
        ("a_host_that_is_waived_is_told", || {
            let mut world = gated(|spec| {
                spec.unproven_hosts = vec![UnprovenHostSpec {
                    fqdn: "cert-westeurope.experiments.azureml.net".into(),
                    reason: "jobs run elsewhere (CHG-17)".into(),
                }];
            });
            world.seen.azure.discovery = Fact::Seen(vec![
                registry_name("westeurope"),
                "cert-westeurope.experiments.azureml.net".parse().unwrap(),
            ]);
            world
        }),
        ("dns_servers_elsewhere_make_a_link_useless_and_are_asked", || {
            let mut world = World::everyday();
            if let Some(Fact::Seen(spoke)) = world.seen.azure.virtual_networks.get_mut(&vnet("spoke")) {
                spoke.dns_servers = vec!["10.0.0.4".into(), "10.0.0.6".into()];
            }
            world.public_servers.insert("10.0.0.6".into());
            for _ in 0..20 {
                let (_, report) = world.visit();
                world.pass(report.requeue);
            }
            world
        }),
        ("settings_of_what_exists_are_compared", || {
            let mut world = locked();
            world.respec(|o| {
                o.spec.endpoints[0].approval = Some(ApprovalSpec {
                    mode: ApprovalMode::Manual,
                    request_message: None,
                });
                let dns = o.spec.endpoints[0].dns.get_or_insert_default();
                dns.resolution_policy = Some(ResolutionPolicy::NxDomainRedirect);
            });
            world
        }),
        ("without_discovery_paths_are_not_known", || {
            let mut world = gated(|_| {});
            world.seen.azure.discovery = unknown(IgnoranceKind::Nonsense);
            world
        }),
        ("recent_public_clients_hold_the_lock", || {
            clients(RecentPublicClientsPolicy::Block)
        }),
        ("recent_public_clients_are_reported", || {
            clients(RecentPublicClientsPolicy::Warn)
        }),
        ("a_failing_path_is_named_with_its_hop", || {
            let mut world = gated(|_| {});
            world.broken.insert(("office".into(), "contosoacr.azurecr.io".into()));
            world.answer();
            world
        }),
        ("what_closing_does_not_close_is_a_finding_with_its_command", || {
            let mut world = locked();
            change_storage(&mut world, |storage| {
                storage.as_storage().shared_keys = true;
                storage.ip_rules = vec!["203.0.113.7".into()];
            });
            change_acr(&mut world, |registry| {
                registry.as_acr().anonymous_pull = true;
                registry.as_acr().admin_user = true;
                registry.ip_rules = vec!["203.0.113.7".into()];
            });
            world
        }),
        (
            "a_resource_lock_over_everything_that_is_open_is_told_and_not_run_into",
            || {
                let mut world = gated(|_| {});
                world.locks = vec![LockSeen {
                    id: format!("{SUB}/providers/Microsoft.Authorization/locks/hands-off"),
                    level: "ReadOnly".into(),
                }];
                world
            },
        ),
        ("the_lockdown_waits_for_its_approval", || {
            gated(lockdown(vec![LockdownGate::Approval], None))
        }),
        ("what_forbids_the_way_back_has_to_be_acknowledged", || {
            let mut world = gated(|_| {});
            world.seen.azure.reopening_obstacles = Fact::Seen(vec![obstacle(
                "policy \"registries are private\" denies publicNetworkAccess=Enabled",
            )]);
            world
        }),
        ("an_approved_lockdown_goes_on", || {
            let mut world = gated(lockdown(vec![LockdownGate::Approval], None));
            let digest = world.plan().assessment.lockdown_digest.unwrap();
            let approval = ApprovalSeen {
                name: "ok".into(),
                change: ChangeKind::Lockdown,
                digest,
                approved_by: "joe".into(),
                uid: "uid".into(),
                status: None,
            };
            world.seen.cluster.approvals = Fact::Seen(vec![approval]);
            world
        }),
        ("a_withdrawn_approval_is_missed_before_the_break_glass_ends", || {
            let mut world = gated(lockdown(vec![LockdownGate::Approval], None));
            world.approve();
            world.settle(60);
            world.pass(Duration::from_secs(600));
            world.break_glass(60);
            world.until("BreakGlass", 10);
            world.seen.cluster.approvals = Fact::Seen(Vec::new());
            world
        }),
        ("a_deleted_endpoint_of_a_locked_registry_is_a_loss", || {
            let mut world = locked();
            let id = first_endpoint(&world);
            world.seen.azure.endpoints.insert(id, Fact::Absent);
            world
        }),
        ("an_outage_after_the_lock_is_called_one", || {
            let mut world = locked();
            see_registry(&mut world.seen.azure, unknown(IgnoranceKind::Unreachable));
            world
        }),
        ("the_lockdown_waits_for_its_window", || {
            let window = WindowSpec {
                schedule: "0 22 * * 2".into(),
                time_zone: "Europe/Amsterdam".into(),
                duration: "2h".into(),
            };
            gated(lockdown(vec![LockdownGate::Window], Some(window)))
        }),
        ("a_proof_round_opens_when_all_gates_are_green", || {
            let mut world = settling();
            world.pass(Duration::from_secs(4000));
            world
        }),
        ("a_proof_in_the_making_is_waited_for", || {
            let mut world = gated(|_| {});
            if let Some(Fact::Seen(probe)) = world.seen.cluster.probes.get_mut("office-agent") {
                probe.status.as_mut().unwrap().results[0].successes = 1;
            }
            world
        }),
        ("the_snapshot_is_written_before_anything_closes", || gated(|_| {})),
        ("the_registry_closes_first_and_alone", || {
            let mut world = gated(|_| {});
            world.visit();
            world
        }),
        ("storage_and_container_registry_close_next", || {
            let mut world = gated(|_| {});
            world.visit();
            world.visit();
            world
        }),
        ("a_target_that_may_not_be_written_does_not_hold_up_the_others", || {
            let mut world = gated(|_| {});
            world.visit();
            world.visit();
            world.denials = denied("Microsoft.Storage/*/write");
            // What would not open again either is acknowledged first.
            world.visit();
            world.approve();
            world
        }),
        ("a_refused_registry_does_not_hold_up_the_others", || {
            let mut world = gated(|_| {});
            world.visit();
            let targets = &mut world.seen.object.status.public_access.as_mut().unwrap().targets;
            targets[0].refusal = Some("policy says no".into());
            world
        }),
        ("a_locked_and_proven_registry_needs_nothing", locked),
        ("what_was_closed_before_the_object_came_has_nothing_to_restore", || {
            let mut world = locked();
            world.seen.cluster.snapshot = Fact::Absent;
            world
        }),
        ("drift_is_named_and_proven_again_before_closing", || {
            let mut world = locked();
            world.suffer(Blow::OpenStorage);
            world
        }),
        ("a_path_lost_after_the_lock_holds_and_alerts", || {
            let mut world = locked();
            world
                .broken
                .insert(("spoke".into(), "contosostore.blob.core.windows.net".into()));
            world.answer();
            world
        }),
        ("a_silent_agent_after_the_lock_is_never_a_reason_to_open", || {
            let mut world = locked();
            reopening(&mut world);
            world.broken.clear();
            world.silent.insert("spoke-agent".into());
            world.answer();
            world
        }),
        ("a_lost_path_opens_a_new_round_where_reopen_was_chosen", || {
            let mut world = locked();
            reopening(&mut world);
            world.seen.memory.round = None;
            world
        }),
        ("a_confirmed_loss_is_recorded_before_the_snapshot_is_restored", || {
            let mut world = locked();
            reopening(&mut world);
            world.seen.memory.round = None;
            world.visit();
            world.pass(Duration::from_secs(1));
            world
        }),
        (
            "a_loss_that_one_vantage_point_tells_of_opens_only_after_a_pause",
            || {
                let mut world = locked();
                reopening_on_one_word(&mut world);
                world.seen.memory.round = None;
                world.visit();
                world.pass(Duration::from_secs(60));
                world
            },
        ),
        ("after_a_rollback_the_next_lock_waits", || {
            let mut world = locked();
            reopening(&mut world);
            world.seen.memory.round = None;
            for _ in 0..3 {
                world.visit();
                world.pass(Duration::from_secs(1));
            }
            world.pass(Duration::from_secs(60));
            world
        }),
        ("a_rollback_that_status_records_restores_the_snapshot", || {
            let mut world = locked();
            reopening(&mut world);
            world.seen.memory.round = None;
            for _ in 0..2 {
                world.visit();
                world.pass(Duration::from_secs(1));
            }
            world
        }),
        ("after_the_third_rollback_only_a_new_spec_locks_again", || {
            let mut world = locked();
            reopening(&mut world);
            world.seen.object.status.rollback = Some(RollbackStatus {
                count: 3,
                reopened_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(world.now)),
                generation: world.desired.object.generation,
                reason: "spoke cannot reach contosostore".into(),
                restored: false,
            });
            world.visit();
            world
        }),
        (
            "a_snapshot_that_holds_nonsense_while_something_is_closed_stalls",
            || {
                let mut world = locked();
                world.suffer(Blow::OpenStorage);
                for _ in 0..2 {
                    world.visit();
                    world.pass(Duration::from_secs(60));
                }
                world.seen.cluster.snapshot = unknown(IgnoranceKind::Nonsense);
                world
            },
        ),
        ("a_break_glass_restores_what_was_before", || {
            let mut world = locked();
            world.seen.cluster.break_glasses = glass(&world, 60, 0);
            world
        }),
        ("an_open_break_glass_holds_everything_open", || {
            let mut world = locked();
            world.pass(Duration::from_secs(60));
            world.seen.cluster.break_glasses = glass(&world, 60, 0);
            world.visit();
            world
        }),
        ("a_break_glass_beyond_the_longest_time_is_over", || {
            let mut world = settling();
            world.seen.cluster.break_glasses = glass(&world, 600, 300);
            world
        }),
        ("an_object_that_breaks_a_rule_is_looked_at_and_left_alone", || {
            let mut world = locked();
            world.misspec(bad_window);
            world
        }),
        ("what_nobody_granted_is_left_alone", || {
            let mut world = locked();
            world.regrant(Some(Grants::default()));
            world
        }),
        ("that_nobody_may_open_it_again_is_told_before_the_lock", || {
            let mut world = fresh(|_| {});
            world.take_away(&[Purpose::Registry(RegistryOperation::Open)]);
            world
        }),
        ("what_a_grant_demands_is_told", || {
            let mut world = fresh(|_| {});
            let mut grant = grants::everything(&world.object);
            grant.requires = Ok(Requirements {
                lockdown_approval: true,
                ..Requirements::default()
            });
            world.regrant(Some(Grants::new(vec![grant])));
            world
        }),
        ("an_object_that_breaks_a_rule_is_opened_in_an_emergency", || {
            let mut world = locked();
            world.misspec(bad_window);
            world.seen.cluster.break_glasses = glass(&world, 60, 0);
            world
        }),
        ("a_break_glass_under_observe_stalls", || {
            let mut world = locked();
            world.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
            world.seen.cluster.break_glasses = glass(&world, 60, 0);
            world
        }),
        ("desired_enabled_restores_and_forgets", || {
            let mut world = locked();
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            world
        }),
        ("an_open_registry_needs_nothing", || {
            let mut world = World::everyday();
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            world.settle(40);
            world
        }),
        ("observe_says_what_would_be_done", || {
            with_spec(|spec| spec.management_policy = ManagementPolicy::Observe)
        }),
        ("an_endpoint_dropped_while_locked_is_released", || {
            let mut world = locked();
            world.respec(|o| o.spec.endpoints[0].subnet_resource_id = format!("{}/subnets/other", vnet("hub")));
            world.visit();
            world
        }),
        ("an_endpoint_dropped_while_open_goes_after_its_zone_group", || {
            let mut world = settling();
            world.respec(|o| o.spec.endpoints[0].subnet_resource_id = format!("{}/subnets/other", vnet("hub")));
            // The first one that takes its place is made.
            world.visit();
            world
        }),
        ("deletion_retains_what_is_locked", || {
            let mut world = locked();
            world.delete();
            world
        }),
        ("deletion_of_endpoints_degrades_where_it_would_strand_clients", || {
            let mut world = locked();
            world.respec(|o| o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints);
            world.delete();
            world
        }),
        ("deletion_of_endpoints_removes_zone_groups_first", || {
            let mut world = settling();
            world.respec(|o| o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints);
            world.delete();
            world
        }),
        ("rules_that_the_lock_takes_away_are_named", || {
            let mut world = gated(|_| {});
            change_storage(&mut world, |s| {
                s.default_action = Some("Deny".into());
                s.ip_rules = vec!["203.0.113.0/24".into()];
                s.virtual_network_rules = vec![vnet("hub").child("subnets", "build").to_string()];
            });
            world
        }),
        ("subnet_rules_that_azure_may_not_show_are_told_before_the_lock", || {
            let mut world = gated(|_| {});
            change_acr(&mut world, |acr| acr.default_action = Some("Deny".into()));
            world
        }),
        (
            "a_zone_that_is_locked_read_only_keeps_its_endpoint_from_being_made",
            || {
                let mut world = World::everyday();
                while !world.seen.azure.zones.values().any(|zone| zone.seen().is_some()) {
                    let (_, report) = world.visit();
                    world.pass(report.requeue);
                }
                let mut zones = world.seen.azure.zones.keys();
                let blob = zones.find(|zone| zone.name().contains("blob")).unwrap();
                world.locks = vec![LockSeen {
                    id: format!("{blob}/providers/Microsoft.Authorization/locks/hands-off"),
                    level: "ReadOnly".into(),
                }];
                world
            },
        ),
        ("a_subnet_of_a_network_that_nobody_answers_for_holds_the_lock", || {
            let mut world = gated(|_| {});
            change_storage(&mut world, |s| {
                s.default_action = Some("Deny".into());
                s.virtual_network_rules = vec![vnet("stranger").child("subnets", "build").to_string()];
            });
            world
        }),
        (
            "storage_that_stays_enabled_where_a_policy_speaks_of_it_is_told_before_the_lock",
            || {
                let mut world = gated(|_| {});
                change_storage(&mut world, |s| {
                    s.resource_access_rules = vec!["/subscriptions/1/workspace".into()]
                });
                let by = "by \"Storage accounts should disable public network access\"; to exempt: az policy exemption create --name secure-registry --exemption-category Waiver --policy-assignment /a --scope /s";
                let denies =
                    |write: &str| obstacle(&format!("policy assignment \"guard\" denies {write} contosostore {by}"));
                // One about the container registry is not blamed for it.
                let others = obstacle("policy assignment \"acr\" denies opening contosoacr by \"another\"");
                world.seen.azure.reopening_obstacles = Fact::Seen(vec![others, denies("opening")]);
                let account = storage("contosostore");
                world.seen.azure.closing_obstacles = [(account, vec![denies("closing")])].into();
                world
            },
        ),
        ("a_perimeter_is_approved_before_it_is_closed", || {
            let mut world = gated(|_| {});
            change_storage(&mut world, |s| {
                s.public_network_access = Some("SecuredByPerimeter".into())
            });
            world
        }),
        ("a_setting_that_nobody_knows_is_neither_closed_nor_opened", || {
            let mut world = gated(|_| {});
            change_storage(&mut world, |s| {
                s.public_network_access = Some("DisabledOnTuesdays".into())
            });
            world
        }),
        ("a_rule_that_azure_refuses_to_have_back_is_named", || {
            let mut world = gated(|_| {});
            let subnet = vnet("hub").child("subnets", "build").to_string();
            change_storage(&mut world, |s| {
                s.default_action = Some("Deny".into());
                s.virtual_network_rules = vec![subnet.clone()];
            });
            world.settle(20);
            world.pass(Duration::from_secs(3600));
            world.refuses.insert(subnet, false);
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            world.visit();
            world
        }),
        ("secondary_hosts_of_a_storage_are_named_and_hold_nothing_up", || {
            let mut world = gated(|_| {});
            change_storage(&mut world, |storage| {
                let host = "contosostore-secondary.blob.core.windows.net";
                storage.as_storage().secondary_hosts = vec![host.parse().unwrap()];
            });
            world
        }),
        ("what_else_changed_with_a_write_is_told", || {
            let mut world = locked();
            let many = (0..9).map(|at| format!("/properties/policies/p{at}"));
            let also = |resource: ArmId, kind: StepKind, fields: Vec<String>| AlsoChanged {
                step: kind.on(resource.name()),
                resource,
                fields,
            };
            world.seen.azure.also_changed = vec![
                also(
                    storage("contosostore"),
                    StepKind::Close,
                    vec!["/properties/minimumTlsVersion".into()],
                ),
                also(acr(), StepKind::Close, many.collect()),
            ];
            world
        }),
        ("a_running_operation_is_not_disturbed", || {
            let mut world = gated(|_| {});
            world.visit();
            world.seen.azure.operations = vec![operation(
                &world,
                id(REGISTRY),
                OperationState::Running {
                    retry_after: Some(Duration::from_secs(7)),
                },
            )];
            world
        }),
    ]
}
