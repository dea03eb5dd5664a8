//! The claim in Azure: a tag of the registry names the one object, of all clusters, that holds it. The Lease decides within a cluster;
//! the tag decides between clusters, because it stands where all of them look.
//!
//! | the tag names | then |
//! | --- | --- |
//! | nobody, or what no operator wrote; it never named this object | it is set, and nothing else: the next visit goes by what it finds |
//! | the same; it named this object before, or an operator that knew of no tag locked it | it is put back beside everything else |
//! | the same; this object has lost the registry to another cluster | as if it named that one: who had lost it gets nothing back by a wiped tag |
//! | the same; the tag is not taken, or does not last (a policy keeps tags) | it is upkeep from then on, and told as failing |
//! | another object of this cluster | as if it named nobody: the Lease is ours by then |
//! | an object of another cluster | Stalled, naming it; nothing is written |
//! | the same; a grant says `TakeOver`, and the tag never named this object | it is set, and nothing else |
//! | this object, or one of its name that was there before | go on |
//!
//! Two clusters that set it at once find one of the two names there. Whoever finds the other's stops, and never takes it back by
//! itself: an object that held a registry and lost it would fight for it. What cannot be read is not judged here. What was locked in
//! this object's name is opened in an emergency also before the tag names it: whoever waits for that does not wait for a tag.

use std::collections::BTreeMap;

use sreg_api::names::CLAIM_TAG;
use sreg_domain::TargetSeen;
use sreg_domain::claim_mark::ClaimMark;
use sreg_domain::outside::word;
use sreg_domain::{AzureAction, StepId, StepKind};

use crate::contribution::{Contribution, Next, azure_step};
use crate::plan::{FindingReason, Step, Wait, WaitReason};
use crate::view::View;
use crate::{attempts, claims};

/// Who holds the registry, as far as Azure says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TagHolder {
    /// The registry is not there, or was not read.
    NotKnown,
    /// This object.
    Ours,
    /// Nobody, or an object of this cluster whose Lease is ours by now; or it may be taken over.
    Free,
    /// An object of another cluster.
    Elsewhere(ClaimMark),
}

/// What the tag says.
pub(crate) fn holder(view: &View<'_>) -> TagHolder {
    let Some(registry) = view.registry() else {
        return TagHolder::NotKnown;
    };
    let ours = view.desired.claim_mark();
    match ClaimMark::of(&view.desired.registry, &registry.tags) {
        Some(mark) if mark.has_name_of(&ours) => TagHolder::Ours,
        Some(mark) if mark.cluster != ours.cluster && !may_take_over(view) => TagHolder::Elsewhere(mark),
        // That somebody wiped the tag gives nothing back to whoever had lost the registry.
        Some(_) | None => recorded_loss(view).map_or(TagHolder::Free, TagHolder::Elsewhere),
    }
}

fn recorded_loss(view: &View<'_>) -> Option<ClaimMark> {
    view.last().claim_lost_to.clone()
}

/// Who holds the registry since this object lost it: for status, until the tag names this object again.
pub(crate) fn lost_to(view: &View<'_>) -> Option<ClaimMark> {
    match holder(view) {
        TagHolder::Ours => None,
        TagHolder::Elsewhere(mark) if was_ours(view) => Some(mark),
        TagHolder::Elsewhere(_) | TagHolder::Free | TagHolder::NotKnown => recorded_loss(view),
    }
}

/// The object of another cluster that the tag names, whoever may take over from it.
fn foreigner(view: &View<'_>) -> Option<ClaimMark> {
    let registry = view.registry()?;
    let mark = ClaimMark::of(&view.desired.registry, &registry.tags)?;
    (mark.cluster != view.desired.cluster).then_some(mark)
}

/// Nobody else can have taken the registry meanwhile: the tag named this object before, or an operator that knew of no tag locked it.
fn goes_on(view: &View<'_>) -> bool {
    was_ours(view) || (view.was_locked_by_us() && foreigner(view).is_none())
}

/// The object of another cluster that holds the registry.
pub(crate) fn elsewhere(view: &View<'_>) -> Option<ClaimMark> {
    match holder(view) {
        TagHolder::Elsewhere(mark) => Some(mark),
        TagHolder::NotKnown | TagHolder::Ours | TagHolder::Free => None,
    }
}

/// Whether another object holds the registry, of this cluster or of another one.
pub(crate) fn is_held_by_another(view: &View<'_>) -> bool {
    view.claim_of_another().is_some() || elsewhere(view).is_some()
}

/// Whether the tag names this object.
pub(crate) fn is_ours(view: &View<'_>) -> bool {
    holder(view) == TagHolder::Ours
}

/// Whether the tag named this object once.
pub(crate) fn was_ours(view: &View<'_>) -> bool {
    view.last().claimed_at.is_some()
}

/// Whether opening need not wait for the tag.
pub(crate) fn lets_open(view: &View<'_>) -> bool {
    match holder(view) {
        TagHolder::NotKnown | TagHolder::Ours => true,
        TagHolder::Free => was_ours(view) || view.was_locked_by_us(),
        TagHolder::Elsewhere(_) => false,
    }
}

fn may_take_over(view: &View<'_>) -> bool {
    !was_ours(view) && view.desired.is_whole() && claims::take_over_is_granted(view)
}

/// Plans the tag. Where nothing else may be planned, what this object locked may still be opened.
pub(crate) fn plan(view: &View<'_>) -> (Contribution, Next) {
    let mut draft = Contribution::default();
    let next = match holder(view) {
        // Under Observe nothing is written that another could fight over.
        TagHolder::NotKnown | TagHolder::Ours => Next::GoOn,
        TagHolder::Elsewhere(mark) => {
            draft.wait(held(view, &mark));
            Next::Stop
        }
        TagHolder::Free if view.desired.observe_only || goes_on(view) || is_unwritable(view) => Next::GoOn,
        TagHolder::Free => {
            if let Some(registry) = view.seen.azure.registry().seen() {
                if let Some(former) = foreigner(view) {
                    draft.find(FindingReason::TakenOver, taken_over(view, &former));
                }
                if view.running(&registry.id).is_none() {
                    draft.azure.push(claim(view, registry));
                } else {
                    draft.waiting(
                        WaitReason::OperationInProgress,
                        format!("Azure is still changing registry {}", registry.id.name()),
                    );
                }
            }
            Next::Stop
        }
    };
    (draft, next)
}

/// The tag was not taken, or did not last, as often as a person is asked to look: a policy keeps tags as it wants them. Then no cluster
/// can see who holds the registry, and waiting longer helps nobody. From then on the tag is upkeep, and told as such.
fn is_unwritable(view: &View<'_>) -> bool {
    let registry = view.seen.azure.registry().seen();
    let registry = registry.filter(|_| foreigner(view).is_none() && holder(view) == TagHolder::Free);
    registry.is_some_and(|registry| attempts::is_stalled(view, &step_name(registry)))
}

/// Whether this object holds the registry as far as Azure can say, for status: the tag names it, or cannot be written.
pub(crate) fn counts_as_ours(view: &View<'_>) -> bool {
    is_ours(view) || is_unwritable(view)
}

fn step_name(registry: &TargetSeen) -> StepId {
    StepKind::ClaimInAzure.on(registry.id.name())
}

/// The tag as it is to be, for the upkeep of the registry's tags, where it names somebody else.
pub(crate) fn missing(view: &View<'_>) -> BTreeMap<String, String> {
    if is_ours(view) { BTreeMap::new() } else { wanted(view) }
}

/// The tag as it is to be.
pub(crate) fn wanted(view: &View<'_>) -> BTreeMap<String, String> {
    BTreeMap::from([(CLAIM_TAG.to_owned(), view.desired.claim_mark().to_string())])
}

fn claim(view: &View<'_>, registry: &TargetSeen) -> Step {
    azure_step(
        step_name(registry),
        AzureAction::SetTags {
            id: registry.id.clone(),
            tags: wanted(view),
            removed: Vec::new(),
            expected: registry.digest.clone(),
        },
    )
}

/// Takes the tag away, where it names this object.
pub(crate) fn release(view: &View<'_>) -> Option<Step> {
    let registry = view.seen.azure.registry().seen().filter(|_| is_ours(view))?;
    Some(azure_step(
        StepKind::ReleaseInAzure.on(registry.id.name()),
        AzureAction::SetTags {
            id: registry.id.clone(),
            tags: BTreeMap::new(),
            removed: vec![CLAIM_TAG.to_owned()],
            expected: registry.digest.clone(),
        },
    ))
}

pub(crate) fn held(view: &View<'_>, mark: &ClaimMark) -> Wait {
    let (name, namespace) = (&view.desired.object.name, &view.desired.object.namespace);
    let holder = named(mark);
    let way_out = if was_ours(view) {
        format!(
            "it was taken over there: delete this object (kubectl delete sreg {name} -n {namespace}); or, to have it back, delete the one there and write this one's name into the tag: az tag update --resource-id {} --operation Merge --tags {}",
            word(&view.desired.registry),
            word(&format!("{CLAIM_TAG}={}", view.desired.claim_mark()))
        )
    } else {
        format!(
            "to move it here, an administrator lets namespace {namespace} take it over (RegistryGrant, registries with operations: [TakeOver]); else delete this object (kubectl delete sreg {name} -n {namespace})"
        )
    };
    Wait::new(
        WaitReason::ClaimedElsewhereStalled,
        format!("{holder} holds this Azure registry (tag {CLAIM_TAG}): {way_out}"),
    )
}

fn taken_over(view: &View<'_>, former: &ClaimMark) -> String {
    format!(
        "this registry was held by {}; a RegistryGrant lets namespace {} take it over, and the object there stops",
        named(former),
        view.desired.object.namespace
    )
}

pub(crate) fn named(mark: &ClaimMark) -> String {
    format!(
        "SecureRegistry {}/{} of the cluster with the id {} (its operator's log names it)",
        mark.namespace, mark.name, mark.cluster
    )
}
