//! Deletion: the same arrow with another plan. It never creates anything (it only puts back what it could not remove as a whole),
//! treats what is gone as done, and always ends.
//!
//! | policy | public access | endpoints of ours |
//! | --- | --- | --- |
//! | Retain, or Observe | any | left |
//! | DeleteEndpoints | everything open, or the registry is gone and nothing of it lives | zone group, then endpoint |
//! | DeleteEndpoints | the registry is not found, but something of it lives | wait for a quarter of an hour, because Azure may still be deleting it; then left, said so |
//! | DeleteEndpoints | open, but somebody else's endpoint keeps the public names private and our zone stays linked | left, said so |
//! | DeleteEndpoints | open, but a lock keeps the endpoint or its records, or it may not be deleted | left whole, said so |
//! | DeleteEndpoints | anything closed | left, said so: deleting would strand clients |
//! | DeleteEndpoints | cannot be told | wait while waiting can help, else left, said so |
//! | DeleteEndpoints | how an operation on a target stands cannot be read | wait for a quarter of an hour, then left, said so |
//! | DeleteEndpoints | Azure refuses, or is out of reach, for too long | left, said so |
//!
//! Then probes, what was published for external DNS, snapshot and claim (kept while anything is closed, or may be: the one is the way back, the other says whose it is), and
//! last the finalizer.

use std::time::Duration;

use sreg_api::conditions::State;
use sreg_api::names::{CLAIM_TAG, OWNER_TAG};
use sreg_api::registry::{DeletionPolicy, PublicAccess};
use sreg_domain::naming::Belonging;
use sreg_domain::outside::word;
use sreg_domain::seen::OperationSeen;
use sreg_domain::target::kind_of;
use sreg_domain::{ArmId, ClusterAction, Fact, StepKind, duration, naming};

use crate::break_glass::{self, BreakGlassState};
use crate::contribution::{Contribution, cluster_step};
use crate::gone::{self, Gone};
use crate::plan::{FindingReason, Step, WaitReason};
use crate::removal::{self, Removal};
use crate::view::{View, may_pass, not_known, noun};
use crate::{attempts, azure_claim, evidence, published, release, stranding};

/// Plans the end, in waves.
pub(crate) fn plan(view: &View<'_>) -> (Contribution, Vec<Vec<Step>>) {
    let mut draft = Contribution::default();
    left_open(view, &mut draft);
    if !view.seen.object.has_finalizer {
        return (draft, Vec::new());
    }
    azure(view, &mut draft);
    // What is not tried now does not take the turn of what is.
    let tried = attempts::hold(view, std::mem::take(&mut draft.azure));
    let turns = release::one_at_a_time(view, tried.free);
    draft.azure = turns.free;
    draft.add(tried.said);
    draft.waits.extend(turns.said.waits);
    draft.aside.extend(turns.said.aside);
    draft.azure.append(&mut draft.put_back);
    draft.probes = probes(view, &mut draft);
    give_up(view, &mut draft);
    let mut waves = vec![std::mem::take(&mut draft.probes), std::mem::take(&mut draft.azure)];
    if waves.iter().all(Vec::is_empty) && draft.waits.is_empty() {
        waves = release_cluster(view, &mut draft);
    } else if waves.get(1).is_some_and(Vec::is_empty) && draft.waits.is_empty() {
        waves.extend(release_cluster(view, &mut draft));
    }
    waves.retain(|wave| !wave.is_empty());
    (draft, waves)
}

/// How long a deletion tries, and how much longer for each endpoint: Azure takes up to eleven minutes for one (azure.md §3.4).
pub(crate) const PATIENCE: Duration = Duration::from_secs(15 * 60);

fn patience(view: &View<'_>) -> Duration {
    let endpoints = u32::try_from(release::ours(view).count()).unwrap_or(u32::MAX);
    PATIENCE.saturating_mul(endpoints.saturating_add(1))
}

/// Whether the object has been deleted for longer than this.
pub(crate) fn lasts(view: &View<'_>, longer_than: Duration) -> bool {
    view.last_transition()
        .is_some_and(|(state, since)| state == Some(State::Deleting) && since >= longer_than)
}

/// What cannot be removed in good time (a resource lock, a policy that denies it, Azure out of reach, a probe that may not be
/// deleted) is left in place: a namespace is never held hostage.
fn give_up(view: &View<'_>, draft: &mut Contribution) {
    let patience = patience(view);
    let steps = draft
        .azure
        .iter()
        .chain(&draft.probes)
        .map(|step| step.action.to_string());
    let waits = draft.waits.iter().map(|wait| wait.message.clone());
    let left: Vec<String> = steps.chain(waits).collect();
    if left.is_empty() || !lasts(view, patience) {
        return;
    }
    leave(draft, patience, &left);
    draft.azure.clear();
    draft.probes.clear();
    draft.waits.clear();
}

fn leave(draft: &mut Contribution, after: Duration, left: &[String]) {
    draft.find(
        FindingReason::LeftInPlace,
        format!(
            "given up after {}, left in place: {}",
            duration::show(after),
            left.join("; ")
        ),
    );
}

/// Whoever deletes an object that holds its registry open must know that nobody closes it any more.
fn left_open(view: &View<'_>, draft: &mut Contribution) {
    if !view.any_open() || view.claim_of_another().is_some() {
        return;
    }
    let registry = view.desired.registry.name();
    let why = match (break_glass::state(view), break_glass::left_open(view)) {
        _ if view.desired.public_access == PublicAccess::Enabled => {
            "the spec desired it (publicAccess.desired: Enabled)".to_owned()
        }
        (BreakGlassState::Active { name, requested_by, .. }, _) => {
            format!("BreakGlass {name} by {requested_by} held it open, and its end is not waited for")
        }
        (_, Some((name, _))) => format!("BreakGlass {name} had opened it, and it was not locked again yet"),
        _ => "it was not (completely) locked".to_owned(),
    };
    draft.find(
        FindingReason::LeftOpen,
        format!("public access of {registry} is left open: {why}; without this object nothing closes it"),
    );
}

fn azure(view: &View<'_>, draft: &mut Contribution) {
    let wanted = view.desired.deletion == DeletionPolicy::DeleteEndpoints && !view.desired.observe_only;
    if !wanted {
        return retained(view, draft);
    }
    if let Some(wrong) = view.desired.what_is_wrong() {
        return draft.find(
            FindingReason::LeftInPlace,
            format!("private endpoints are left in place: the object is not valid: {wrong}"),
        );
    }
    if view.desired.whole().is_some_and(|spec| spec.approval_demanded) {
        return draft.find(
            FindingReason::LeftInPlace,
            "private endpoints are left in place: a RegistryGrant demands that changes of names are approved, and a deletion asks nobody; drop their entries from spec.endpoints first",
        );
    }
    if view.claim_of_another().is_some() {
        return draft.find(
            FindingReason::LeftInPlace,
            "endpoints are left in place: another object owns this Azure registry",
        );
    }
    if let Some(mark) = azure_claim::elsewhere(view) {
        return draft.find(
            FindingReason::LeftInPlace,
            format!(
                "endpoints are left in place: {} holds this Azure registry now",
                azure_claim::named(&mark)
            ),
        );
    }
    let gone = match gone::registry(view) {
        Gone::Yes => true,
        Gone::No => false,
        Gone::NotKnown(wait) if may_still_be_told(view) => return draft.wait(wait),
        Gone::NotKnown(_) => false,
        // What is deleted with the registry may take Azure some minutes more.
        Gone::Lives(sign) if !lasts(view, PATIENCE) => {
            return draft.waiting(WaitReason::NotKnown, gone::perhaps_being_deleted(view, &sign));
        }
        Gone::Lives(sign) => {
            return draft.find(
                FindingReason::LeftInPlace,
                format!("private endpoints are left in place: {}", gone::moved(view, &sign)),
            );
        }
    };
    let busy = view.access.iter().filter_map(|a| Some((a, view.running(&a.id)?)));
    let busy: Vec<_> = busy.filter(|_| !gone).collect();
    let waited_for = |(_, operation): &&(_, &OperationSeen)| operation.state.runs() || !lasts(view, PATIENCE);
    if let Some((access, _)) = busy.iter().find(waited_for) {
        return draft.waiting(
            WaitReason::OperationInProgress,
            format!("Azure is still changing {} {}", access.target, access.id.name()),
        );
    }
    if !gone && !view.all_open() {
        if let Some(wait) = access_may_become_known(view) {
            return draft.wait(wait);
        }
        let why = match busy.first() {
            _ if view.any_closed() => "public access is closed, so deleting them would strand clients".to_owned(),
            Some((access, _)) => format!(
                "Azure was changing {} {}, how that ended could not be read for {}, and if it closed public access deleting them would strand clients",
                access.target,
                access.id.name(),
                duration::show(PATIENCE)
            ),
            None => "whether public access is open cannot be told, and deleting them might strand clients".to_owned(),
        };
        let left: Vec<_> = release::ours(view).map(|(id, _)| word(id)).collect();
        if !left.is_empty() {
            let (name, namespace) = (&view.desired.object.name, &view.desired.object.namespace);
            draft.find(
                FindingReason::LeftInPlace,
                format!(
                    "private endpoints are left in place: {why}; the claim of {namespace}/{name} on the registry and the way back stay with them. To have them removed, declare {name} again in {namespace} with spec.publicAccess.desired: Enabled, and delete it once it is open; or, once no client needs them: az network private-endpoint delete --ids {}",
                    left.join(" ")
                ),
            );
        }
        return;
    }
    links_stay(view, draft);
    for (id, endpoint) in release::without_tag(view) {
        draft.find(
            FindingReason::LeftInPlace,
            format!(
                "private endpoint {id} is left in place: it has lost its tag {OWNER_TAG}, and only what carries it is removed. Remove it by hand: az network private-endpoint delete --ids {}",
                word(&endpoint.id)
            ),
        );
    }
    let all: Vec<_> = release::ours(view).collect();
    for (id, endpoint) in all {
        if removal::approval_is_demanded(view, id) {
            draft.find(
                FindingReason::LeftInPlace,
                format!("private endpoint {id} is left in place: a RegistryGrant demands that changes of names are approved where it stands, and a deletion asks nobody. Remove it by hand: az network private-endpoint delete --ids {}", word(&endpoint.id)),
            );
            continue;
        }
        if let Some(stranded) = stranding::strands(view, None, endpoint) {
            let why = stranded.why(endpoint, false);
            draft.find(
                FindingReason::LeftInPlace,
                format!("private endpoint {id} is left in place: {why}"),
            );
            continue;
        }
        match removal::next(view, id, endpoint) {
            Removal::Next(step) => draft.azure.push(*step),
            Removal::PutBack(step) => draft.put_back.push(*step),
            Removal::Wait(wait) => draft.wait(wait),
            Removal::Stays(why) => draft.find(
                FindingReason::LeftInPlace,
                format!("private endpoint {id} is left in place: {}", why.message),
            ),
        }
    }
    for (id, fact) in &view.seen.azure.endpoints {
        match fact {
            Fact::Unknown(why) if may_pass(why) => {
                draft.wait(not_known(&format!("private endpoint {}", id.name()), fact))
            }
            Fact::Unknown(_) => draft.find(
                FindingReason::LeftInPlace,
                format!("private endpoint {id} could not be read and is left in place"),
            ),
            Fact::Seen(_) | Fact::Absent => {}
        }
    }
}

/// What the default leaves: told by what status knows, because nothing has to be looked at for it.
fn retained(view: &View<'_>, draft: &mut Contribution) {
    let is_foreign = |id: &ArmId| {
        let seen = view.seen.azure.endpoints.get(id).and_then(Fact::seen);
        seen.is_some_and(|endpoint| !Belonging::of_endpoint(&view.desired.owner, endpoint).is_ours())
    };
    let made = view.last().endpoints.iter().filter(|e| e.exists && !is_foreign(&e.id));
    let made: Vec<_> = made.map(|e| word(&e.id)).collect();
    if made.is_empty() || view.desired.observe_only || azure_claim::is_held_by_another(view) {
        return;
    }
    let way_back = if view.any_closed() {
        format!(
            ", and so do the way back (ConfigMap {} of the operator's namespace) and the claim: whoever declares the registry again under this namespace and name goes on",
            naming::snapshot_name(&view.desired.registry)
        )
    } else {
        String::new()
    };
    draft.find(
        FindingReason::LeftInPlace,
        format!(
            "deletionPolicy: Retain: private endpoints, their records, zones and links stay, public access stays as it is{way_back}; once no client needs the endpoints: az network private-endpoint delete --ids {}",
            made.join(" ")
        ),
    );
}

/// Some endpoint, or something that the registry named, could not be read, and asking again can help.
fn may_still_be_told(view: &View<'_>) -> bool {
    let azure = &view.seen.azure;
    let endpoints = azure.endpoints.values().filter_map(Fact::ignorance);
    let accounts = azure.accounts_left.values().filter_map(Fact::ignorance);
    endpoints.chain(accounts).any(may_pass)
}

/// Zones and links may serve others and are never deleted. Without records they answer that there is no such name, for as long as the
/// public names still lead to them (azure.md §3.2).
fn links_stay(view: &View<'_>, draft: &mut Contribution) {
    for zone in view.seen.azure.zones.values().filter_map(Fact::seen) {
        let links = zone.links.seen().map(Vec::as_slice).unwrap_or_default();
        let asking = links.iter().filter(|link| !link.falls_back());
        let asking: Vec<&str> = asking.map(|link| link.virtual_network.name()).collect();
        if !asking.is_empty() {
            draft.find(
                FindingReason::LeftInPlace,
                format!(
                    "private DNS zone {} stays linked to {}: without its records these networks get no answer for names that still lead there, up to an hour, or for as long as other private endpoints of the target exist; delete the links first where that matters",
                    zone.id,
                    asking.join(", ")
                ),
            );
        }
    }
}

/// A wait, if some access is not known, nothing is known to be closed, and asking again can help.
fn access_may_become_known(view: &View<'_>) -> Option<crate::plan::Wait> {
    if view.access.iter().any(|a| a.closed == Some(true)) {
        return None;
    }
    let azure = &view.seen.azure;
    let registry = (&view.desired.registry, azure.registry());
    let mut all = std::iter::once(registry).chain(azure.targets.accounts());
    let (id, fact) = all.find(|(_, fact)| fact.ignorance().is_some_and(may_pass))?;
    let what = kind_of(id).map_or("target", noun);
    Some(not_known(&format!("{what} {}", id.name()), fact))
}

fn probes(view: &View<'_>, draft: &mut Contribution) -> Vec<Step> {
    let mut steps = Vec::new();
    for (point, fact) in &view.seen.cluster.probes {
        match fact {
            Fact::Seen(probe) => steps.push(evidence::deletion(point, probe)),
            Fact::Absent => {}
            Fact::Unknown(why) if may_pass(why) => {
                draft.wait(not_known(&format!("the probe of VantagePoint {point}"), fact))
            }
            Fact::Unknown(_) => draft.find(
                FindingReason::LeftInPlace,
                format!("the probe of VantagePoint {point} could not be read and is left in place"),
            ),
        }
    }
    steps
}

/// The claim tag goes with the claim. One that cannot be removed is told, and holds nothing up; what passes is waited for.
fn in_azure(view: &View<'_>, draft: &mut Contribution) -> Option<Step> {
    let step = azure_claim::release(view)?;
    let may_write = view.desired.is_whole() && !view.desired.observe_only;
    let why = match attempts::held(view, &step.id) {
        _ if !may_write => "nothing is written to Azure for an object that is not valid, or only observes".to_owned(),
        None => return Some(step),
        Some(wait) if !attempts::is_stalled(view, &step.id) && !lasts(view, patience(view)) => {
            draft.wait(wait);
            return None;
        }
        Some(refused) => refused.message,
    };
    draft.find(
        FindingReason::LeftInPlace,
        format!(
            "tag {CLAIM_TAG} stays on the registry, and keeps other clusters from it: {}; az tag update --resource-id {} --operation Delete --tags {}",
            why,
            word(&view.desired.registry),
            word(&format!("{CLAIM_TAG}={}", view.desired.claim_mark()))
        ),
    );
    None
}

/// Waits for those of our ConfigMaps that could not be read, if there are any and asking again can help.
fn unread(view: &View<'_>, draft: &mut Contribution) -> bool {
    let (cluster, registry) = (&view.seen.cluster, &view.desired.registry);
    if lasts(view, patience(view)) {
        return false;
    }
    let published = cluster.published_dns.ignorance().filter(|why| may_pass(why));
    let snapshot = cluster.snapshot.ignorance().filter(|why| may_pass(why));
    if published.is_some() {
        let what = format!("ConfigMap {}", naming::published_dns_name(registry));
        draft.wait(not_known(&what, &cluster.published_dns));
    }
    if snapshot.is_some() {
        let what = format!("ConfigMap {}", naming::snapshot_name(registry));
        draft.wait(not_known(&what, &cluster.snapshot));
    }
    published.or(snapshot).is_some()
}

fn release_cluster(view: &View<'_>, draft: &mut Contribution) -> Vec<Vec<Step>> {
    let mut waves = Vec::new();
    let registry = &view.desired.registry;
    let ours = match &view.seen.cluster.claim {
        Fact::Unknown(why) if may_pass(why) && !lasts(view, patience(view)) => {
            draft.wait(not_known(
                &format!("claim {}", naming::claim_name(registry)),
                &view.seen.cluster.claim,
            ));
            return waves;
        }
        Fact::Seen(_) => view.claim_is_ours(),
        Fact::Absent | Fact::Unknown(_) => false,
    };
    let open_or_gone = view.all_open() || matches!(gone::registry(view), Gone::Yes);
    // A visit of its own: what is left of the cluster goes only once nothing in Azure says that we hold it.
    if ours && open_or_gone {
        let step = in_azure(view, draft);
        if step.is_some() || !draft.waits.is_empty() {
            return step.map(|step| vec![step]).into_iter().collect();
        }
    }
    // Without the claim nobody deletes these any more, so that what could not be read just now is waited for.
    if ours && unread(view, draft) {
        return waves;
    }
    if ours && let Some(step) = published::deletion(view) {
        waves.push(vec![step]);
    }
    let kept = view
        .seen
        .cluster
        .snapshot
        .seen()
        .or(view.seen.cluster.restored.as_ref());
    if ours && open_or_gone && kept.is_some() {
        let config_map = naming::snapshot_name(registry);
        waves.push(vec![cluster_step(
            StepKind::DeleteSnapshot,
            ClusterAction::DeleteSnapshot { config_map },
        )]);
    }
    if ours && open_or_gone {
        waves.push(vec![cluster_step(
            StepKind::ReleaseClaim,
            ClusterAction::ReleaseClaim {
                lease: naming::claim_name(registry),
            },
        )]);
    }
    // Were it allowed to, it would have been done by now.
    let long = patience(view).saturating_mul(2);
    if !waves.is_empty() && lasts(view, long) {
        let left: Vec<String> = waves.drain(..).flatten().map(|step| step.action.to_string()).collect();
        leave(draft, long, &left);
    }
    waves.push(vec![cluster_step(
        StepKind::RemoveFinalizer,
        ClusterAction::RemoveFinalizer,
    )]);
    waves
}
