//! What of a world counts: equal keys are one state to the model, and one question to the planner. Everything that the planner, the
//! agents, the approver and the model itself read goes in. Every value is taken apart to its last field, so that a new one does
//! not compile until somebody has decided whether it counts.
//!
//! Left out is
//!
//! * what only people read: messages, events, transition times, names of people; and the history, which nothing but a deletion that
//!   is given up reads (the scenarios' matter);
//! * what nothing in the model changes: tags of targets, subnets, deny assignments, operations, …;
//! * what follows from what is in: a subject from its paths, a target's settings from its digest.
//!
//! That each field is seen is tested (`apart`).

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sreg_api::BreakGlassStatus;
use sreg_api::probe::{ConnectivityProbeSpec, ConnectivityProbeStatus, PathResult, ProbePath};
use sreg_api::status::{
    ApprovalWanted, BreakGlassUse, ExposureStatus, RefusalStatus, RollbackStatus, SecureRegistryStatus,
};
use sreg_domain::action::{Snapshot, SnapshotTarget};
use sreg_domain::seen::{
    ApprovalSeen, AzureSeen, BreakGlassSeen, Claim, ClusterSeen, EndpointSeen, LinkSeen, Member, Memory, ObjectSeen,
    ProbeSeen, Round, VantagePointSeen, ZoneGroupSeen, ZoneSeen,
};
use sreg_domain::{Fact, Seen};

use crate::world::World;

/// Round numbers as they are told apart: only whether two are equal counts, not which they are.
#[derive(Default)]
pub(crate) struct Numbers(Option<Vec<i64>>);

impl Numbers {
    /// In order of appearance.
    pub(crate) fn in_order() -> Numbers {
        Numbers(Some(Vec::new()))
    }

    /// As they are.
    fn raw() -> Numbers {
        Numbers(None)
    }

    pub(crate) fn of(&mut self, number: i64) -> i64 {
        let Some(known) = &mut self.0 else { return number };
        if number <= 0 {
            return number;
        }
        let at = known.iter().position(|k| *k == number).unwrap_or_else(|| {
            known.push(number);
            known.len() - 1
        });
        i64::try_from(at).unwrap() + 1
    }
}

/// What a plan follows from.
pub(crate) fn plan_key(world: &World, seen: &Seen) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut numbers = Numbers::raw();
    hash_world(world, &mut numbers, &mut hasher);
    let snapshot = world.seen.cluster.snapshot.seen();
    snapshot.map(|s| s.evidence_digest.as_str()).hash(&mut hasher);
    hash_memory(&seen.memory, &mut numbers, &mut hasher);
    (seen.nonce, world.desired.object.generation).hash(&mut hasher);
    hasher.finish()
}

pub(crate) fn hash_memory(memory: &Memory, numbers: &mut Numbers, hasher: &mut impl Hasher) {
    let Memory {
        // Its operators have none: no plan of theirs depends on it.
        known_for: _,
        round,
        lost_for,
        since_name_change,
        name_changed,
        // The model leaves pauses of one process to the scenarios: its operators remember what status says.
        attempts: _,
        zone_groups: _,
    } = memory;
    if let Some(Round { number, subject, age }) = round {
        (numbers.of(*number), subject.as_str(), age).hash(hasher);
    }
    (round.is_some(), lost_for, since_name_change, name_changed).hash(hasher);
}

/// What names depend on: an operator that sees another value than before takes it as a name change.
pub(crate) fn names(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_endpoints(world, &mut hasher);
    for zone in world.seen.azure.zones.values().filter_map(Fact::seen) {
        let links = zone
            .links
            .seen()
            .map(|all| all.iter().map(|l| l.id.key()).collect::<Vec<_>>());
        (zone.id.key(), links).hash(&mut hasher);
    }
    hasher.finish()
}

/// The value, if any; which kind of fact it is goes in.
fn known<'a, T>(fact: &'a Fact<T>, hasher: &mut impl Hasher) -> Option<&'a T> {
    std::mem::discriminant(fact).hash(hasher);
    fact.seen()
}

/// The values of a list; how many there are goes in.
fn each<'a, T>(fact: &'a Fact<Vec<T>>, hasher: &mut impl Hasher) -> &'a [T] {
    let values = known(fact, hasher).map_or(&[][..], Vec::as_slice);
    values.len().hash(hasher);
    values
}

fn hash_endpoints(world: &World, hasher: &mut impl Hasher) {
    for (key, fact) in &world.seen.azure.endpoints {
        key.key().hash(hasher);
        let Some(endpoint) = known(fact, hasher) else { continue };
        // What does not count follows from the id, which is a digest of it.
        let EndpointSeen {
            id: _,
            location: _,
            subnet: _,
            // Whose it is is no name, and told apart beside this.
            owner: _,
            tags: _,
            provisioning_state,
            target: _,
            group_id: _,
            manual: _,
            connection_status,
            connection_description: _,
            network_interfaces: _,
            members,
            zone_groups,
            digest: _,
        } = endpoint;
        (provisioning_state, connection_status).hash(hasher);
        for Member {
            member: _,
            fqdns,
            address,
        } in each(members, hasher)
        {
            address.hash(hasher);
            fqdns.iter().for_each(|name| name.as_str().hash(hasher));
        }
        for ZoneGroupSeen {
            id,
            provisioning_state,
            zones,
        } in each(zone_groups, hasher)
        {
            (id.key(), provisioning_state).hash(hasher);
            zones.iter().for_each(|zone| zone.key().hash(hasher));
        }
    }
}

/// The world; without who remembers what.
pub(crate) fn hash_world(world: &World, numbers: &mut Numbers, hasher: &mut impl Hasher) {
    // The spec is `desired`, and only its public access changes. The clock stands still. The next address is a name like another.
    let World {
        object: _,
        // Part of `desired`, and no other in the model.
        cluster: _,
        unread: _,
        // Part of `desired`.
        grants: _,
        desired,
        seen,
        now: _,
        cascades: _,
        slow: _,
        refuses: _,
        refuses_what_stands: _,
        broken,
        silent,
        liars: _,
        public_servers: _,
        mute_servers: _,
        odd_registry_names: _,
        gone,
        addresses: _,
        nasty: _,
        locks: _,
        locks_answer: _,
        denials: _,
        unread_denials: _,
        unread_denials_at: _,
        dns_policies: _,
        undeletable: _,
        journal: _,
        // No write of the model's is thwarted by these.
        contrary: _,
        undo: _,
        writes: _,
    } = world;
    format!("{:?} {:?}", desired.public_access, desired.grants).hash(hasher);
    (broken, silent, gone).hash(hasher);
    let Seen {
        at: _,
        nonce: _,
        object,
        cluster,
        azure,
        memory: _,
    } = seen;
    let ObjectSeen {
        has_finalizer,
        deleting,
        spec_edited_by,
        // Follows from the status.
        last: _,
        status,
    } = object;
    (has_finalizer, deleting, spec_edited_by).hash(hasher);
    hash_status(status, desired.object.generation, hasher);
    hash_cluster(cluster, numbers, hasher);
    hash_azure(azure, hasher);
    hash_endpoints(world, hasher);
    for endpoint in world.seen.azure.endpoints.values().filter_map(Fact::seen) {
        endpoint.owner.hash(hasher);
    }
}

fn hash_cluster(cluster: &ClusterSeen, numbers: &mut Numbers, hasher: &mut impl Hasher) {
    let ClusterSeen {
        claim,
        vantage_points,
        probes,
        snapshot,
        restored,
        // Nobody here has external DNS.
        published_dns: _,
        approvals,
        break_glasses,
    } = cluster;
    if let Some(Claim {
        holder: _,
        uid,
        alive,
        creates,
    }) = known(claim, hasher)
    {
        (uid, alive, creates).hash(hasher);
    }
    for (point, fact) in vantage_points {
        point.hash(hasher);
        let Some(seen) = known(fact, hasher) else { continue };
        // They stay where they are, the same from beginning to end.
        let VantagePointSeen {
            uid: _,
            generation: _,
            network: _,
            virtual_network: _,
            namespace: _,
            service_account: _,
            alive,
            renewed: _,
        } = seen;
        known(alive, hasher).hash(hasher);
    }
    for (point, fact) in probes {
        point.hash(hasher);
        if let Some(probe) = known(fact, hasher) {
            hash_probe(probe, numbers, hasher);
        }
    }
    restored.is_some().hash(hasher);
    // Its evidence is a digest of the round, whose number is only a name; the model keeps which round and subject it was.
    if let Some(Snapshot {
        holder: _,
        targets,
        evidence_digest: _,
        managed_resource_group: _,
        restored_in_part,
        restored_at: _,
    }) = known(snapshot, hasher)
    {
        restored_in_part.hash(hasher);
        for (id, SnapshotTarget { kind: _, network }) in targets {
            (id, network).hash(hasher);
        }
    }
    for ApprovalSeen {
        name: _,
        change,
        digest,
        approved_by: _,
        uid: _,
        status,
    } in each(approvals, hasher)
    {
        let told = status.as_ref().map(|s| s.phase);
        (std::mem::discriminant(change), digest.as_str(), told).hash(hasher);
    }
    for BreakGlassSeen {
        name: _,
        uid,
        status,
        created_at,
        duration: _,
        reason: _,
        requested_by: _,
    } in each(break_glasses, hasher)
    {
        (uid, created_at).hash(hasher);
        let told = status.as_ref().map(|told| {
            let BreakGlassStatus {
                phase,
                until,
                message: _,
            } = told;
            (phase.to_string(), time(until))
        });
        told.hash(hasher);
    }
}

fn hash_probe(probe: &ProbeSeen, numbers: &mut Numbers, hasher: &mut impl Hasher) {
    let ProbeSeen {
        namespace: _,
        name: _,
        generation,
        spec,
        status,
        // Only told.
        silent_since: _,
    } = probe;
    let ConnectivityProbeSpec {
        secure_registry: _,
        vantage_point: _,
        vantage_point_uid: _,
        vantage_point_generation: _,
        service_account_name: _,
        subject,
        round,
        interval_milliseconds: _,
        consecutive_successes: _,
        dns_servers: _,
        paths,
    } = spec;
    (numbers.of(*round), subject, paths.len()).hash(hasher);
    for ProbePath {
        fqdn,
        service: _,
        addresses,
        private_link_name: _,
    } in paths
    {
        (fqdn, addresses).hash(hasher);
    }
    status.is_some().hash(hasher);
    let Some(status) = status else { return };
    let ConnectivityProbeStatus {
        observed_generation,
        round,
        subject,
        summary: _,
        first_failure: _,
        results,
    } = status;
    // Whether it answers the question of now: no other generation ever comes back.
    let current = *observed_generation == Some(*generation);
    (current, numbers.of(*round), subject, results.len()).hash(hasher);
    for result in results {
        let PathResult {
            fqdn,
            outcome,
            hop,
            message: _,
            addresses,
            cname_chain: _,
            silent_dns_servers: _,
            successes,
            failures,
            last_transition_time: _,
        } = result;
        let kinds = (
            std::mem::discriminant(outcome),
            hop.as_ref().map(std::mem::discriminant),
        );
        (fqdn, kinds, addresses, successes, failures).hash(hasher);
    }
}

fn hash_azure(azure: &AzureSeen, hasher: &mut impl Hasher) {
    let AzureSeen {
        principal: _,
        targets,
        discovery: _,
        deny_assignments: _,
        // On their own: names depend on them.
        endpoints: _,
        accounts_left: _,
        subnets: _,
        virtual_networks: _,
        neighbours: _,
        zones,
        zones_elsewhere: _,
        // Worked out from the rest when it is seen.
        zone_group_policies: _,
        records_by_policy: _,
        shared_storage: _,
        recent_public_clients: _,
        reopening_obstacles: _,
        removal_obstacles: _,
        closing_obstacles: _,
        odd: _,
        locks: _,
        rights: _,
        operations: _,
        also_changed: _,
    } = azure;
    for (_, fact) in targets.iter() {
        known(fact, hasher).map(|target| target.digest.as_str()).hash(hasher);
    }
    for (id, fact) in zones {
        id.key().hash(hasher);
        let Some(zone) = known(fact, hasher) else { continue };
        let ZoneSeen {
            id: _,
            owner,
            tags: _,
            links,
            records,
        } = zone;
        owner.hash(hasher);
        for LinkSeen {
            id,
            virtual_network,
            completed,
            resolution_policy: _,
            tags,
        } in each(links, hasher)
        {
            (id.key(), virtual_network.key(), completed, tags).hash(hasher);
        }
        known(records, hasher).hash(hasher);
    }
}

fn hash_status(status: &SecureRegistryStatus, generation: i64, hasher: &mut impl Hasher) {
    let SecureRegistryStatus {
        observed_generation,
        release_required,
        claimed_at,
        claim_lost_to,
        conditions,
        endpoints_ready: _,
        paths_verified: _,
        grants: _,
        last_proof: _,
        stale_since: _,
        unsettled_since,
        public_access: _,
        endpoints: _,
        waiting_for: _,
        public_clients: _,
        findings: _,
        external_dns: _,
        operations: _,
        refusals,
        approvals_wanted,
        approvals_used: _,
        last_name_change_time,
        exposure,
        snapshot: _,
        rollback,
        break_glasses,
        history: _,
    } = status;
    (
        *observed_generation == Some(generation),
        release_required,
        conditions.len(),
    )
        .hash(hasher);
    (claimed_at.is_some(), claim_lost_to.is_some()).hash(hasher);
    // Anything of it is at least a tick ago, or younger than patience.
    time(unsettled_since).hash(hasher);
    for Condition {
        last_transition_time: _,
        message: _,
        observed_generation: _,
        reason,
        status,
        type_,
    } in conditions
    {
        let ready = (type_ == "Ready").then_some(reason);
        (type_, status, ready).hash(hasher);
    }
    refusals.len().hash(hasher);
    for RefusalStatus {
        step,
        resource_id: _,
        reason,
        code,
        message: _,
        since,
        at,
        tries,
        next_try,
    } in refusals
    {
        (step, reason, code, tries, time(since), time(at), time(next_try)).hash(hasher);
    }
    approvals_wanted.len().hash(hasher);
    for ApprovalWanted {
        change,
        digest,
        summary: _,
    } in approvals_wanted
    {
        (change, digest).hash(hasher);
    }
    time(last_name_change_time).hash(hasher);
    let exposure = exposure.as_ref().map(|exposure| {
        let ExposureStatus {
            first_public_at: _,
            first_locked_at: _,
            exposed_seconds: _,
            first_seen_public,
            locked_at,
            time_to_remediate_seconds,
            by_spec,
            evidence_digest,
        } = exposure;
        // Since when it was exposed is for people.
        let seen = (first_seen_public.is_some(), time_to_remediate_seconds.is_some());
        (seen, time(locked_at), *by_spec, evidence_digest.is_some())
    });
    exposure.hash(hasher);
    let rollback = rollback.as_ref().map(|rollback| {
        let RollbackStatus {
            count,
            reopened_at,
            generation: of,
            reason: _,
            restored,
        } = rollback;
        (*count, time(reopened_at), *of == generation, *restored)
    });
    rollback.hash(hasher);
    break_glasses.len().hash(hasher);
    for BreakGlassUse {
        name,
        requested_by: _,
        created_at,
        counts_from,
        until,
        ended,
    } in break_glasses
    {
        (name, time(created_at), time(counts_from), time(until), ended).hash(hasher);
    }
}

fn time(time: &Option<Time>) -> Option<Timestamp> {
    time.as_ref().map(|t| t.0)
}
