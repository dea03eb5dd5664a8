//! Orders between writes, and what a teardown may contain.

use std::collections::{BTreeMap, BTreeSet};

use sreg_api::names::ZONE_GROUP;
use sreg_api::registry::DeletionPolicy;
use sreg_domain::seen::OperationState;
use sreg_domain::{Action, ArmId, AzureAction, ClusterAction, Fact};

use super::{Lint, azure, proof};
use crate::removal;

pub(super) fn check(lint: &mut Lint<'_>) {
    one_write_per_resource(lint);
    nothing_in_flight(lint);
    serial(lint);
    zone_group_before_endpoint(lint);
    records_before_links(lint);
    recorded_before_names_change(lint);
}

/// A status that would hide a change of names from the next process is brought up to date first (deletion closes nothing).
fn recorded_before_names_change(lint: &mut Lint<'_>) {
    let new = |step: &crate::plan::Step| {
        step.action.changes_names() && !removal::puts_back(lint.desired, lint.seen, &step.action)
    };
    let changes = lint.plan.steps().any(new);
    let hidden = changes
        && !lint.seen.object.deleting
        && lint
            .desired
            .whole()
            .is_some_and(|spec| crate::settling::would_be_hidden(spec, lint.seen));
    lint.demand("order", !hidden, || {
        "names change before status has recorded that they will".into()
    });
}

fn one_write_per_resource(lint: &mut Lint<'_>) {
    let plan = lint.plan;
    for wave in &plan.waves {
        let ids: Vec<&ArmId> = wave.iter().filter_map(azure).map(AzureAction::resource).collect();
        let once: BTreeSet<&ArmId> = ids.iter().copied().collect();
        lint.demand("order", ids.len() == once.len(), || {
            "two writes on one resource in one wave".into()
        });
    }
}

fn nothing_in_flight(lint: &mut Lint<'_>) {
    let plan = lint.plan;
    for action in plan.steps().filter_map(azure) {
        let id = action.resource();
        // Azure refuses what comes too early; nothing that cannot be read keeps anybody from the way back.
        let in_the_way = |state: &OperationState| state.runs() || state.may_run() && !action.is_opening();
        let mut operations = lint.seen.azure.operations.iter();
        let busy = operations.any(|o| o.operation.resource == *id && in_the_way(&o.state));
        lint.demand("order", !busy, || format!("{id} has an operation in flight"));
    }
}

fn serial(lint: &mut Lint<'_>) {
    let (desired, seen) = (lint.desired, lint.seen);
    let mut busy: BTreeMap<ArmId, usize> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for place in desired.endpoints() {
        for (group, target) in proof::needed(desired, seen).unwrap_or_default() {
            let state = super::ownership::endpoint_of(desired, seen, place, group, &target)
                .map(|e| e.provisioning_state.to_ascii_lowercase());
            if matches!(state.as_deref(), Some("creating" | "updating" | "deleting")) {
                taken.insert(place.virtual_network.clone());
                taken.insert(target);
            }
        }
    }
    for action in lint.plan.steps().filter_map(azure) {
        if let AzureAction::CreateEndpoint { subnet, target, .. } = action {
            for id in subnet.parent().into_iter().chain([target.clone()]) {
                *busy.entry(id).or_default() += 1;
            }
        }
    }
    for (id, count) in busy {
        lint.demand("serial", count == 1 && !taken.contains(&id), || {
            format!("{count} endpoints at once on {id}")
        });
    }
}

fn zone_group_before_endpoint(lint: &mut Lint<'_>) {
    let plan = lint.plan;
    for action in plan.steps().filter_map(azure) {
        let AzureAction::DeleteEndpoint { id, .. } = action else {
            continue;
        };
        let Some(endpoint) = lint.seen.azure.endpoints.get(id).and_then(Fact::seen) else {
            continue;
        };
        let gone = match &endpoint.zone_groups {
            Fact::Seen(groups) => !groups.iter().any(|g| g.id.name().eq_ignore_ascii_case(ZONE_GROUP)),
            Fact::Absent => true,
            Fact::Unknown(_) => false,
        };
        lint.demand("order", gone, || format!("{id} is deleted before its zone group"));
        let never_approved = endpoint.provisioning_state.eq_ignore_ascii_case("Failed")
            || endpoint.provisioning_state.eq_ignore_ascii_case("Canceled");
        let never_approved = never_approved
            && !endpoint
                .connection_status
                .as_deref()
                .is_some_and(|s| s.eq_ignore_ascii_case("Approved"));
        let stranded = !(proof::all_open(lint.seen) || never_approved || proof::is_gone(lint.desired, lint.seen));
        lint.demand("order", !stranded, || format!("deleting {id} may strand clients"));
    }
}

fn records_before_links(lint: &mut Lint<'_>) {
    let (desired, seen, plan) = (lint.desired, lint.seen, lint.plan);
    for action in plan.steps().filter_map(azure) {
        let AzureAction::LinkZone { id, .. } = action else {
            continue;
        };
        let Some(zone) = id.parent() else { continue };
        let held = seen
            .azure
            .zones
            .get(&zone)
            .and_then(Fact::seen)
            .and_then(|z| z.records.seen());
        let Some(held) = held else {
            lint.break_rule("order", format!("{zone} is linked while its records are not known"));
            continue;
        };
        for place in desired
            .endpoints()
            .iter()
            .filter(|p| p.dns.zones.values().any(|z| *z == zone))
        {
            for (group, target) in proof::needed(desired, seen).unwrap_or_default() {
                if place.dns.zones.get(&group) != Some(&zone) {
                    continue;
                }
                let members = proof::ready(desired, seen, place, group, &target).and_then(|e| e.members.seen());
                let complete = members.is_some_and(|members| {
                    members
                        .iter()
                        .flat_map(|m| m.fqdns.iter().map(move |f| (f, m.address)))
                        .all(|(fqdn, address)| {
                            let record = desired.cloud.record_name(group, fqdn);
                            record.is_none_or(|name| {
                                held.get(&name).is_some_and(|addresses| addresses.contains(&address))
                            })
                        })
                });
                lint.demand("order", complete, || {
                    format!("{zone} is linked before the records of {target} are complete")
                });
            }
        }
    }
}

/// What a teardown may contain, and where its finalizer stands.
pub(super) fn teardown(lint: &mut Lint<'_>) {
    let plan = lint.plan;
    let removes = |action: &Action| matches!(action, Action::Cluster(ClusterAction::RemoveFinalizer));
    let ends = plan.steps().any(|s| removes(&s.action));
    if !lint.seen.object.deleting {
        return lint.demand("teardown", !ends, || {
            "the finalizer goes though nobody deletes the object".into()
        });
    }
    for step in plan.steps() {
        let allowed = match &step.action {
            back if removal::puts_back(lint.desired, lint.seen, back) => true,
            Action::Azure(azure) => match azure {
                AzureAction::SetTags { tags, removed, .. } if tags.is_empty() => !removed.is_empty(),
                AzureAction::DeleteEndpoint { .. } | AzureAction::DeleteZoneGroup { .. } => {
                    lint.desired.deletion == DeletionPolicy::DeleteEndpoints
                }
                AzureAction::CreateRegistry { .. }
                | AzureAction::SetTags { .. }
                | AzureAction::MergeTags { .. }
                | AzureAction::GrantManagedGroupAccess { .. }
                | AzureAction::CreateEndpoint { .. }
                | AzureAction::CreateZone { .. }
                | AzureAction::LinkZone { .. }
                | AzureAction::PutZoneGroup { .. }
                | AzureAction::Edit { .. } => false,
            },
            Action::Cluster(cluster) => match cluster {
                ClusterAction::ReleaseClaim { .. }
                | ClusterAction::RemoveFinalizer
                | ClusterAction::DeleteSnapshot { .. }
                | ClusterAction::DeletePublishedDns { .. }
                | ClusterAction::PublishDns { .. }
                | ClusterAction::MarkProbe { .. }
                | ClusterAction::DeleteProbe { .. } => true,
                ClusterAction::Claim { .. }
                | ClusterAction::RecordCreation { .. }
                | ClusterAction::AddFinalizer
                | ClusterAction::WriteSnapshot { .. }
                | ClusterAction::ApplyProbe(_)
                | ClusterAction::OpenRound { .. } => false,
            },
        };
        lint.demand("teardown", allowed, || {
            format!("{} has no place in a teardown", step.action)
        });
    }
    if ends {
        let last = plan
            .waves
            .last()
            .is_some_and(|wave| wave.iter().all(|s| removes(&s.action)));
        let azure = plan.steps().filter_map(azure).count();
        lint.demand("teardown", last && azure == 0, || {
            "the finalizer does not go last".into()
        });
    }
    let forgets = plan
        .steps()
        .any(|s| matches!(s.action, Action::Cluster(ClusterAction::DeleteSnapshot { .. })));
    let closed = proof::closedness(lint.seen).is_some_and(|all| all.values().any(|closed| *closed != Some(false)));
    let lives = lint.seen.azure.registry().is_absent() && !proof::is_gone(lint.desired, lint.seen);
    let needed = forgets && (closed || lives);
    lint.demand("teardown", !needed, || {
        "the snapshot goes while something is closed, or may be".into()
    });
}
