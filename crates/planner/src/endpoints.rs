//! Private endpoints: one for each place and target group, by deterministic name.
//!
//! | endpoint | then |
//! | --- | --- |
//! | not known | wait; its network and target count as busy |
//! | absent, another of ours holds its names while anything is closed | Stalled before anything is made |
//! | absent, everything open, its zone is not there or its networks ask another one | wait: its names would have no answer |
//! | absent, everything open, its zone takes no records from us (`dns/writable.rs`) | Stalled: its names would have no answer |
//! | absent | create, unless tried lately, forbidden, no policy makes its zone group where one has to (`dns/policy.rs`), the subnet is absent or full, or network or target are busy |
//! | not ours: its name, subnet, target and group do not fit together, or another owner's tag is on it | Stalled |
//! | ours, and our tag is lost | as any other; the tag is put back beside it (`tags.rs`), and before that it is not deleted |
//! | changing | wait |
//! | failed | delete and make again after a pause, twice; then Stalled in Azure's words for hours |
//! | succeeded, Pending | wait for the approver, with the command to type |
//! | succeeded, Rejected, … | Stalled: Azure approves none that was rejected; a person deletes it, and it is requested again |
//! | succeeded, Disconnected | nobody can use it: made again while everything is open, else Stalled, with the command |
//! | succeeded, Approved | ready; wait for names and addresses |
//!
//! Azure serialises changes per virtual network and fails badly when several endpoints of one target are made at once
//! (azure.md §3.4), so at most one is in flight per network and per target.

use std::collections::BTreeSet;

use sreg_api::names::OWNER_TAG;
use sreg_domain::desired::EndpointPlace;
use sreg_domain::naming::Belonging;
use sreg_domain::outside::word;
use sreg_domain::seen::{EndpointSeen, Member};
use sreg_domain::{ArmId, AzureAction, EndpointGroup, Fact, StepId, StepKind, TargetKind, naming, needed_endpoints};

use crate::attempts::Stubborn;
use crate::contribution::{Contribution, azure_step};
use crate::dns::policy;
use crate::plan::{EndpointAssessment, FindingReason, WaitReason};
use crate::view::{View, WholeView, look_up, not_known, not_understood, noun};
use crate::{attempts, differs, dns, names, preflight, release, tags};

mod connections;
mod room;

/// An endpoint that must exist.
pub(crate) struct WantedEndpoint<'a> {
    pub(crate) place: &'a EndpointPlace,
    pub(crate) group: EndpointGroup,
    pub(crate) target: &'a ArmId,
    pub(crate) id: ArmId,
}

impl WantedEndpoint<'_> {
    /// `hub/blob contosostore`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{} {}", self.place.name, self.group.group_id(), self.target.name())
    }
}

/// All endpoints that must exist, and whether that is all of them.
pub(crate) struct WantedEndpoints<'a> {
    pub(crate) all: Vec<WantedEndpoint<'a>>,
    /// `false` while a target, or whether a storage has a dfs side, is not known.
    pub(crate) complete: bool,
}

/// Lists what must exist. Order: place, then registry, storage, container registry.
pub(crate) fn wanted<'a>(view: &'a WholeView<'_>) -> WantedEndpoints<'a> {
    let accounts = view.targets.accounts.iter().map(|(kind, id)| (*kind, id));
    let targets = std::iter::once((TargetKind::Registry, &view.desired.registry)).chain(accounts);
    let needed = needed_endpoints(targets, &view.seen.azure.targets);
    let at = |place: &'a EndpointPlace| {
        let wanted = |(target, group): &(&'a ArmId, EndpointGroup)| WantedEndpoint {
            place,
            group: *group,
            target,
            id: id_of(view, place, target, *group),
        };
        needed.all.iter().map(wanted).collect::<Vec<_>>()
    };
    WantedEndpoints {
        all: view.spec.endpoints.iter().flat_map(at).collect(),
        complete: view.targets.gap.is_none() && needed.complete,
    }
}

/// The endpoint of a place for a target: the one that is there, whatever it was named by, else the one to be made.
fn id_of(view: &WholeView<'_>, place: &EndpointPlace, target: &ArmId, group: EndpointGroup) -> ArmId {
    let name = naming::endpoint_name_at(place, &view.desired.registry, target, group);
    let new = place
        .resource_group
        .provider("Microsoft.Network/privateEndpoints", &name);
    let serves = |e: &EndpointSeen| {
        e.target.as_ref() == Some(target)
            && e.subnet.as_ref() == Some(&place.subnet)
            && e.group_id.as_deref().and_then(EndpointGroup::of_group_id) == Some(group)
            && Belonging::of_endpoint(&view.desired.owner, e).is_ours()
    };
    let here = |id: &ArmId| id.resource_group_id().as_ref() == Some(&place.resource_group);
    let mut there = view
        .seen
        .azure
        .endpoints
        .iter()
        .filter(|(id, fact)| here(id) && fact.seen().is_some_and(serves));
    let first = there.next().map(|(id, _)| id.clone());
    match first {
        Some(first) if first != new && !there.any(|(id, _)| *id == new) => first,
        Some(_) | None => new,
    }
}

/// How one endpoint stands.
pub(crate) enum EndpointState<'a> {
    NotKnown,
    Absent,
    Foreign(&'a EndpointSeen),
    Changing,
    Failed(&'a EndpointSeen),
    Pending,
    Refused(&'a EndpointSeen),
    Ready(&'a EndpointSeen),
}

impl<'a> EndpointState<'a> {
    /// The endpoint, where it is up and connected.
    pub(crate) fn ready(self) -> Option<&'a EndpointSeen> {
        match self {
            EndpointState::Ready(endpoint) => Some(endpoint),
            EndpointState::NotKnown
            | EndpointState::Absent
            | EndpointState::Foreign(_)
            | EndpointState::Changing
            | EndpointState::Failed(_)
            | EndpointState::Pending
            | EndpointState::Refused(_) => None,
        }
    }
}

/// Judges one endpoint.
pub(crate) fn endpoint_state<'a>(view: &'a WholeView<'_>, id: &ArmId, target: &ArmId) -> EndpointState<'a> {
    let endpoint = match view.seen.azure.endpoints.get(id) {
        None | Some(Fact::Unknown(_)) => return EndpointState::NotKnown,
        Some(Fact::Absent) if view.running(id).is_some() => return EndpointState::Changing,
        Some(Fact::Absent) => return EndpointState::Absent,
        Some(Fact::Seen(endpoint)) => endpoint,
    };
    if !Belonging::of_endpoint(&view.desired.owner, endpoint).is_ours()
        || endpoint.target.as_ref().is_none_or(|t| t != target)
    {
        return EndpointState::Foreign(endpoint);
    }
    let state = endpoint.provisioning_state.to_ascii_lowercase();
    if view.running(id).is_some() {
        return EndpointState::Changing;
    }
    if state == "failed" || state == "canceled" {
        return EndpointState::Failed(endpoint);
    }
    if state != "succeeded" {
        return EndpointState::Changing;
    }
    match endpoint
        .connection_status
        .as_deref()
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        Some("approved") => EndpointState::Ready(endpoint),
        Some("pending") => EndpointState::Pending,
        Some(_) => EndpointState::Refused(endpoint),
        None => EndpointState::Changing,
    }
}

/// Names and addresses of an endpoint that is ready; `None` while they are not known or empty.
pub(crate) fn members<'a>(view: &'a WholeView<'_>, wanted: &WantedEndpoint<'_>) -> Option<&'a Vec<Member>> {
    let endpoint = endpoint_state(view, &wanted.id, wanted.target).ready()?;
    let members = endpoint.members.seen()?;
    members.iter().any(|m| !m.fqdns.is_empty()).then_some(members)
}

/// One line per wanted endpoint.
pub(crate) fn assess(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Vec<EndpointAssessment> {
    let line = |w: &WantedEndpoint<'_>| EndpointAssessment {
        place: w.place.name.clone(),
        group: w.group,
        id: w.id.clone(),
        target: w.target.clone(),
        ready: match endpoint_state(view, &w.id, w.target) {
            EndpointState::NotKnown => None,
            EndpointState::Ready(_) => Some(true),
            EndpointState::Absent
            | EndpointState::Foreign(_)
            | EndpointState::Changing
            | EndpointState::Failed(_)
            | EndpointState::Pending
            | EndpointState::Refused(_) => Some(false),
        },
    };
    wanted.all.iter().map(line).collect()
}

/// Networks and targets on which another endpoint may be in flight.
#[derive(Default)]
struct Busy(BTreeSet<ArmId>);

impl Busy {
    fn with(&mut self, wanted: &WantedEndpoint<'_>) {
        self.0.insert(wanted.place.virtual_network.clone());
        self.0.insert(wanted.target.clone());
    }

    fn holds(&self, wanted: &WantedEndpoint<'_>) -> bool {
        self.0.contains(&wanted.place.virtual_network) || self.0.contains(wanted.target)
    }
}

/// Plans creation and repair of all endpoints.
pub(crate) fn plan(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Contribution {
    let mut draft = unknown_targets(view);
    let mut busy = Busy::default();
    for w in &wanted.all {
        match endpoint_state(view, &w.id, w.target) {
            EndpointState::NotKnown | EndpointState::Changing | EndpointState::Failed(_) => busy.with(w),
            EndpointState::Absent
            | EndpointState::Foreign(_)
            | EndpointState::Pending
            | EndpointState::Refused(_)
            | EndpointState::Ready(_) => {}
        }
    }
    for w in &wanted.all {
        one(view, w, &mut busy, &mut draft);
        let seen = view.seen.azure.endpoints.get(&w.id).and_then(Fact::seen);
        if let Some(endpoint) = seen.filter(|e| e.owner.as_ref() == Some(&view.desired.owner)) {
            draft.add(differs::endpoint(w, endpoint));
        }
    }
    subnets_differ(view, &mut draft);
    draft
}

/// Waits for accounts behind the registry that could not be read, or say what nobody here understands.
pub(crate) fn unknown_targets(view: &View<'_>) -> Contribution {
    let mut draft = Contribution::default();
    for (kind, id) in &view.targets.accounts {
        let fact = view.target(id);
        if fact.is_absent() {
            draft.waiting(WaitReason::TargetAbsentStalled, account_gone(view, *kind, id));
        } else if fact.seen().is_none() {
            draft.wait(not_known(&format!("{} {}", noun(*kind), id.name()), fact));
        }
    }
    not_understood(view).into_iter().for_each(|wait| draft.wait(wait));
    draft
}

/// An account that the registry names and that does not exist any more: how to get it back.
fn account_gone(view: &View<'_>, kind: TargetKind, id: &ArmId) -> String {
    let way_back = match kind {
        TargetKind::Storage => format!(
            ". Azure keeps a deleted account for 14 days: look for it with az rest --method get --url {}, and restore it in the portal (Storage accounts, Restore) into {}",
            word(&format!(
                "/subscriptions/{}/providers/Microsoft.Storage/deletedAccounts?api-version=2023-05-01",
                id.subscription()
            )),
            id.resource_group().unwrap_or("its resource group"),
        ),
        TargetKind::Registry | TargetKind::ContainerRegistry => format!(
            ": Azure keeps no deleted {}. See who deleted it: az monitor activity-log list --resource-id {} --offset 30d. Ask Azure support, or create the registry anew",
            noun(kind),
            word(id)
        ),
    };
    format!(
        "{} {id} does not exist any more, and registry {} still names it{way_back}; a BreakGlass still opens the others",
        noun(kind),
        view.desired.registry.name()
    )
}

fn one(view: &WholeView<'_>, w: &WantedEndpoint<'_>, busy: &mut Busy, draft: &mut Contribution) {
    let unread = Fact::not_read("nobody looked at the endpoint");
    let fact = look_up(&view.seen.azure.endpoints, &w.id, &unread);
    match endpoint_state(view, &w.id, w.target) {
        EndpointState::NotKnown => draft.wait(not_known(&format!("private endpoint {}", w.label()), fact)),
        EndpointState::Absent => create(view, w, busy, draft),
        EndpointState::Foreign(endpoint) => {
            draft.waiting(WaitReason::ForeignResourceStalled, not_ours(view, w, endpoint))
        }
        EndpointState::Changing => draft.waiting(
            WaitReason::OperationInProgress,
            format!("Azure is still provisioning private endpoint {}", w.label()),
        ),
        EndpointState::Failed(endpoint) => repair(view, w, endpoint, draft),
        EndpointState::Pending => draft.waiting(WaitReason::ConnectionPending, ask_approver(w)),
        EndpointState::Refused(endpoint) => connections::refused(view, w, endpoint, draft),
        EndpointState::Ready(endpoint) => match &endpoint.members {
            Fact::Unknown(_) => draft.wait(not_known(
                &format!("names and addresses of private endpoint {}", w.label()),
                &endpoint.members,
            )),
            Fact::Seen(members) if members.iter().any(|m| !m.fqdns.is_empty()) => {}
            Fact::Seen(_) | Fact::Absent => draft.waiting(
                WaitReason::EndpointMembersPending,
                format!("private endpoint {} has no names and addresses yet", w.label()),
            ),
        },
    }
}

/// An owner that differs only in the installation's name.
fn is_of_this_name(view: &WholeView<'_>, owner: &str) -> bool {
    let named = owner.split_once('/').map(|(_, object)| object);
    named == Some(view.holder().as_str())
}

/// Why an endpoint that has our name is not ours, and what somebody can do. It may have clients: nobody is told to remove it.
fn not_ours(view: &WholeView<'_>, w: &WantedEndpoint<'_>, endpoint: &EndpointSeen) -> String {
    let other = endpoint.owner.as_deref().filter(|owner| *owner != view.desired.owner);
    let elsewhere = format!(
        "put the endpoints of entry {} into another resource group (spec.endpoints[{}].resourceGroupResourceId)",
        w.place.name, w.place.name
    );
    match other {
        Some(other) => format!(
            "private endpoint {} has the name that entry {} needs and carries the tag {OWNER_TAG} of another owner, {other}{}: if that one is gone for good, take it over with {}; otherwise {elsewhere}",
            endpoint.id,
            w.place.name,
            if is_of_this_name(view, other) {
                " (the same object, where only --installation differs: whoever plans gives the one that the operator was started with)"
            } else {
                ""
            },
            tags::merge_command(&endpoint.id, &view.desired.owner)
        ),
        None => format!(
            "private endpoint {} has the name that entry {} needs, and leads to {} ({}) from {}, not to {} ({}) from {}: {elsewhere}",
            endpoint.id,
            w.place.name,
            endpoint.target.as_ref().map_or("no target", ArmId::as_str),
            endpoint.group_id.as_deref().unwrap_or("no group"),
            endpoint.subnet.as_ref().map_or("no subnet", ArmId::as_str),
            w.target,
            w.group.group_id(),
            w.place.subnet
        ),
    }
}

/// What the owner of the target can type.
fn ask_approver(w: &WantedEndpoint<'_>) -> String {
    let owner = noun(w.group.target());
    format!(
        "private endpoint {} awaits approval by the owner of the {owner}: az network private-endpoint-connection list --id {} --query \"[?contains(properties.privateEndpoint.id, '{}')].id\" -o tsv | xargs -I% az network private-endpoint-connection approve --id %",
        w.label(),
        word(w.target),
        w.id.name()
    )
}

fn repair(view: &WholeView<'_>, w: &WantedEndpoint<'_>, endpoint: &EndpointSeen, draft: &mut Contribution) {
    if let Some(wait) = attempts::held(view, &creation(w)) {
        return draft.wait(room::with_need(view, w, wait));
    }
    // A failed creation leaves the endpoint behind (azure.md §3.4). One that was ever approved may have clients.
    if endpoint.is_approved() && !view.all_open() {
        return draft.waiting(
            WaitReason::EndpointFailedStalled,
            format!("private endpoint {} is {}, yet its connection is approved: repair it in Azure (az network private-endpoint update --ids {})", w.label(), endpoint.provisioning_state, word(&endpoint.id)),
        );
    }
    if endpoint.owner.is_none() {
        // Only what carries our tag is deleted: the tag is put back first.
        return draft.waiting(
            WaitReason::EndpointFailedStalled,
            format!(
                "private endpoint {} is {} and has lost its tag {OWNER_TAG}: it is removed and made again once the tag is back: {}",
                w.label(),
                endpoint.provisioning_state,
                tags::merge_command(&endpoint.id, &view.desired.owner)
            ),
        );
    }
    if let Some(Stubborn { tries, said, until }) = attempts::stubborn(view, &creation(w)) {
        return draft.waiting(
            WaitReason::EndpointFailedStalled,
            format!("private endpoint {} was made {tries} times and failed each time: {said}; put that right, and delete it to have it made again at once (az network private-endpoint delete --ids {}); else it is made again at {until}", w.label(), word(&endpoint.id)),
        );
    }
    draft.add(release::remove_to_make_again(view, &w.id, endpoint));
}

/// Name of the step that creates an endpoint.
pub(crate) fn creation(w: &WantedEndpoint<'_>) -> StepId {
    StepKind::CreateEndpoint.on(w.label())
}

/// Another endpoint of ours that holds the names of this one in the same zone, while they cannot be moved.
fn holder_of_its_names<'a>(view: &'a WholeView<'_>, w: &WantedEndpoint<'_>) -> Option<&'a ArmId> {
    let zone = w.place.dns.zones.get(&w.group).filter(|_| w.place.dns.is_ours())?;
    let holds = |(id, endpoint): &(&ArmId, &EndpointSeen)| {
        let same =
            endpoint.target.as_ref() == Some(w.target) && endpoint.group_id.as_deref() == Some(w.group.group_id());
        **id != w.id && same && endpoint.zones().any(|written| written == zone)
    };
    if view.all_open() {
        return None;
    }
    release::ours(view).find(holds).map(|(id, _)| id)
}

fn create(view: &WholeView<'_>, w: &WantedEndpoint<'_>, busy: &mut Busy, draft: &mut Contribution) {
    if let Some(wait) = attempts::held(view, &creation(w)) {
        return draft.wait(room::with_need(view, w, wait));
    }
    if let Some(former) = holder_of_its_names(view, w) {
        return draft.waiting(
            WaitReason::DnsChangeStalled,
            format!(
                "spec.endpoints[{}] now asks for other private endpoints, while {} serves the names of {} and public access is not open: moving the names to new addresses would cut clients off. Nothing was made or changed, and the lock holds. Undo that change; or open first (spec.publicAccess.desired: Enabled), wait until the endpoints are replaced, and lock again",
                w.place.name,
                former.name(),
                w.target.name()
            ),
        );
    }
    if let Some(unread) = unread_beside(view, w) {
        draft.wait(not_known(
            &format!("private endpoints in {}", w.place.resource_group),
            unread,
        ));
        return busy.with(w);
    }
    let unread = Fact::not_read("nobody looked at the subnet");
    let subnet = look_up(&view.seen.azure.subnets, &w.place.subnet, &unread);
    let unread_network = Fact::not_read("nobody looked at the network");
    let network = look_up(
        &view.seen.azure.virtual_networks,
        &w.place.virtual_network,
        &unread_network,
    );
    if subnet.is_absent() || network.is_absent() {
        return draft.waiting(
            WaitReason::SubnetAbsentStalled,
            format!(
                "subnet {} does not exist: create it, or correct spec.endpoints[{}].subnetResourceId",
                w.place.subnet, w.place.name
            ),
        );
    }
    if let Some(wait) = subnet.seen().and_then(|subnet| room::lacks(view, w, subnet)) {
        return draft.wait(wait);
    }
    let (Fact::Seen(_), Fact::Seen(network)) = (subnet, network) else {
        let what = if subnet.seen().is_none() {
            subnet.ignorance()
        } else {
            network.ignorance()
        };
        if let Some(why) = what {
            draft.wait(not_known::<()>(
                &format!("subnet {}", w.place.subnet.name()),
                &Fact::Unknown(why.clone()),
            ));
        }
        // What we do not know must not let another endpoint jump the queue.
        return busy.with(w);
    };
    match preflight::may_connect(view, w) {
        preflight::Permission::Free => {}
        preflight::Permission::Denied(wait) => return draft.wait(wait),
        preflight::Permission::NotKnown(wait) => {
            draft.wait(wait);
            return busy.with(w);
        }
    }
    if let Some(unseen) = policy::unseen(view, w) {
        draft.find(FindingReason::ZoneGroupPolicyNotSeen, unseen);
    }
    match policy::may_make(view, w) {
        preflight::Permission::Free => {}
        preflight::Permission::Denied(wait) => return draft.wait(wait),
        preflight::Permission::NotKnown(wait) => {
            draft.wait(wait);
            return busy.with(w);
        }
    }
    let unanswered = dns::answerable::cannot_be_answered(view, w);
    if let Some(wait) = unanswered.or_else(|| dns::writable::takes_no_records(view, w)) {
        return draft.wait(wait);
    }
    if busy.holds(w) {
        return draft.waiting(
            WaitReason::ResourceBusy,
            format!(
                "private endpoint {} is made when the one before it in {} or on {} is done",
                w.label(),
                w.place.virtual_network.name(),
                w.target.name()
            ),
        );
    }
    busy.with(w);
    draft.azure.push(crate::plan::Step {
        touches: names::touched_by_endpoint(view, w),
        ..azure_step(
            creation(w),
            AzureAction::CreateEndpoint {
                id: w.id.clone(),
                location: network.location.clone(),
                subnet: w.place.subnet.clone(),
                target: w.target.clone(),
                group: w.group,
                manual_request: w.place.manual_request.clone(),
                tags: w.place.tags.clone(),
                owner: view.desired.owner.clone(),
            },
        )
    });
}

/// Where this endpoint is to stand, something that may be it under another name, and that could not be read.
fn unread_beside<'a>(view: &'a WholeView<'_>, w: &WantedEndpoint<'_>) -> Option<&'a Fact<EndpointSeen>> {
    let wanted = wanted(view).all;
    let mut beside = view.seen.azure.endpoints.iter().filter(|(id, fact)| {
        fact.ignorance().is_some() && id.resource_group_id().as_ref() == Some(&w.place.resource_group)
    });
    let unread = beside.find(|(id, _)| !wanted.iter().any(|w| w.id == **id));
    unread.map(|(_, fact)| fact)
}

/// Components of a registry were seen to fail from another subnet than the workspace's (azure.md §1.7).
fn subnets_differ(view: &WholeView<'_>, draft: &mut Contribution) {
    for (at, place) in view.spec.endpoints.iter().enumerate() {
        let other = view
            .spec
            .endpoints
            .iter()
            .take(at)
            .find(|o| o.virtual_network == place.virtual_network);
        if let Some(other) = other {
            draft.find(
                FindingReason::SubnetsDiffer,
                format!("entries {} and {} stand in different subnets of {}: using components needs the endpoints in the workspace endpoint's own subnet", other.name, place.name, place.virtual_network.name()),
            );
        }
    }
}
