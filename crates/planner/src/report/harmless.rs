//! The exit: every text of a status and of its events passes here last, whoever's words it was made of. Each field is named, so that
//! a new one does not compile before somebody has said who reads it.
//!
//! | read by | passes |
//! | --- | --- |
//! | people | `outside::harmless` |
//! | a later visit too (steps, ids, digests, reasons, codes, poll URLs) | `outside::safe`: what can be seen stays as it is, and comes back the same |
//!
//! A key that was not safe is another one when it is read back: a poll URL that leads nowhere, a step that nobody plans. Both are
//! borne, because status may be erased at any moment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sreg_api::status::{
    ApprovalUse, ApprovalWanted, BreakGlassUse, DnsRecordStatus, EndpointStatus, ExposureStatus, FindingStatus,
    HistoryEntry, OperationStatus, ProofStatus, PublicAccessStatus, PublicClientStatus, PublishedDnsStatus,
    RefusalStatus, RollbackStatus, SecureRegistryStatus, SnapshotStatus, TargetAccessStatus, WaitStatus,
};
use sreg_domain::outside::{make_harmless as told, make_safe as key};

use super::EventNote;

/// A whole status.
pub(super) fn status(status: &mut SecureRegistryStatus) {
    let SecureRegistryStatus {
        observed_generation: _,
        conditions,
        endpoints_ready,
        paths_verified,
        grants,
        claimed_at: _,
        claim_lost_to,
        release_required: _,
        last_proof,
        stale_since: _,
        unsettled_since: _,
        public_access,
        endpoints,
        waiting_for,
        public_clients,
        findings,
        external_dns,
        operations,
        refusals,
        approvals_wanted,
        approvals_used,
        last_name_change_time: _,
        exposure,
        snapshot,
        rollback,
        break_glasses,
        history,
    } = status;
    conditions.iter_mut().for_each(condition);
    [endpoints_ready, paths_verified, grants]
        .into_iter()
        .flatten()
        .for_each(told);
    claim_lost_to.iter_mut().for_each(key);
    last_proof.iter_mut().for_each(proof);
    public_access.iter_mut().for_each(access);
    endpoints.iter_mut().for_each(endpoint);
    waiting_for.iter_mut().for_each(wait);
    public_clients.iter_mut().for_each(client);
    findings.iter_mut().for_each(finding);
    external_dns.iter_mut().for_each(published);
    operations.iter_mut().for_each(operation);
    refusals.iter_mut().for_each(refusal);
    approvals_wanted.iter_mut().for_each(wanted);
    approvals_used.iter_mut().for_each(used);
    exposure.iter_mut().for_each(exposed);
    snapshot.iter_mut().for_each(kept);
    rollback.iter_mut().for_each(rolled_back);
    break_glasses.iter_mut().for_each(emergency);
    history.iter_mut().for_each(line);
}

/// All events of a visit.
pub(super) fn events(events: &mut [EventNote]) {
    for event in events {
        let EventNote {
            warning: _,
            reason,
            action,
            note,
            alone: _,
        } = event;
        [reason, action, note].into_iter().for_each(told);
    }
}

fn condition(condition: &mut Condition) {
    let Condition {
        last_transition_time: _,
        message,
        observed_generation: _,
        reason,
        status,
        type_,
    } = condition;
    [message, reason, status, type_].into_iter().for_each(told);
}

fn proof(proof: &mut ProofStatus) {
    let ProofStatus {
        time: _,
        paths,
        evidence_digest,
    } = proof;
    told(paths);
    key(evidence_digest);
}

fn access(access: &mut PublicAccessStatus) {
    let PublicAccessStatus { summary, targets } = access;
    told(summary);
    for target in targets {
        let TargetAccessStatus {
            target,
            resource_id,
            access: _,
            detail,
            refusal,
        } = target;
        [target, detail].into_iter().chain(refusal).for_each(told);
        key(resource_id);
    }
}

fn endpoint(endpoint: &mut EndpointStatus) {
    let EndpointStatus {
        name,
        target,
        group_id,
        resource_id,
        provisioning_state,
        connection_state,
        addresses,
        fqdns,
        failing_path,
    } = endpoint;
    [name, target, group_id, provisioning_state]
        .into_iter()
        .chain(connection_state)
        .chain(addresses)
        .chain(fqdns)
        .chain(failing_path)
        .for_each(told);
    key(resource_id);
}

fn wait(wait: &mut WaitStatus) {
    let WaitStatus { reason, message, actor } = wait;
    [reason, message, actor].into_iter().for_each(told);
}

fn client(client: &mut PublicClientStatus) {
    let PublicClientStatus {
        address,
        resource_id,
        why,
    } = client;
    [address].into_iter().chain(why).for_each(told);
    key(resource_id);
}

fn finding(finding: &mut FindingStatus) {
    let FindingStatus { reason, message } = finding;
    [reason, message].into_iter().for_each(told);
}

fn published(dns: &mut PublishedDnsStatus) {
    let PublishedDnsStatus { config_map, records } = dns;
    key(config_map);
    for record in records {
        let DnsRecordStatus {
            endpoint,
            fqdn,
            private_link_name,
            addresses,
        } = record;
        [endpoint, fqdn]
            .into_iter()
            .chain(private_link_name)
            .chain(addresses)
            .for_each(told);
    }
}

fn operation(operation: &mut OperationStatus) {
    let OperationStatus {
        step,
        resource_id,
        poll_url,
        started_at: _,
    } = operation;
    [step, resource_id, poll_url].into_iter().for_each(key);
}

fn refusal(refusal: &mut RefusalStatus) {
    let RefusalStatus {
        step,
        resource_id,
        reason,
        code,
        message,
        since: _,
        at: _,
        tries: _,
        next_try: _,
    } = refusal;
    [step, resource_id, reason].into_iter().chain(code).for_each(key);
    told(message);
}

fn wanted(wanted: &mut ApprovalWanted) {
    let ApprovalWanted {
        change,
        digest,
        summary,
    } = wanted;
    [change, summary].into_iter().for_each(told);
    key(digest);
}

fn used(used: &mut ApprovalUse) {
    let ApprovalUse {
        name,
        change,
        digest,
        approved_by,
        used_at: _,
    } = used;
    [name, change, approved_by].into_iter().for_each(told);
    key(digest);
}

fn exposed(exposure: &mut ExposureStatus) {
    let ExposureStatus {
        first_public_at: _,
        first_locked_at: _,
        exposed_seconds: _,
        first_seen_public: _,
        locked_at: _,
        time_to_remediate_seconds: _,
        by_spec: _,
        evidence_digest,
    } = exposure;
    evidence_digest.iter_mut().for_each(key);
}

fn kept(snapshot: &mut SnapshotStatus) {
    let SnapshotStatus {
        config_map,
        digest,
        evidence_digest,
    } = snapshot;
    [config_map, digest, evidence_digest].into_iter().for_each(key);
}

fn rolled_back(rollback: &mut RollbackStatus) {
    let RollbackStatus {
        count: _,
        reopened_at: _,
        generation: _,
        reason,
        restored: _,
    } = rollback;
    told(reason);
}

fn emergency(emergency: &mut BreakGlassUse) {
    let BreakGlassUse {
        name,
        requested_by,
        created_at: _,
        counts_from: _,
        until: _,
        ended: _,
    } = emergency;
    [name, requested_by].into_iter().for_each(told);
}

fn line(line: &mut HistoryEntry) {
    let HistoryEntry {
        time: _,
        state,
        message,
        evidence_digest,
    } = line;
    [state, message].into_iter().for_each(told);
    evidence_digest.iter_mut().for_each(key);
}
