//! What all gates look at: desired and seen together, with what follows from both: which targets there are, which are closed, what
//! Azure is busy with. Pure.

use std::ops::Deref;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sreg_api::conditions::State;
use sreg_domain::desired::Spec;
use sreg_domain::outside::word;
use sreg_domain::seen::{Attempt, Claim, Ignorance, IgnoranceKind, OperationSeen, RegistryDetails};
use sreg_domain::target::row;
use sreg_domain::{
    ArmId, CallFailure, Desired, Digest, Fact, LastReport, PublicNetworkAccess, Seen, TargetKind, TargetSeen,
};

use crate::advice::{advise, is_scope_absent};
use crate::attempts;
use crate::conditions::truncate;
use crate::kept::{kept, settings_closed};
use crate::plan::{AccessAssessment, Wait, WaitReason};

/// Codes that Azure means to be tried again, wherever they turn up (azure.md §3.4, §6.3).
const RETRYABLE: [&str; 6] = [
    "RetryableError",
    "ReferencedResourceNotProvisioned",
    "StorageAccountOperationInProgress",
    "AnotherOperationInProgress",
    "RetryableErrorDueToAnotherOperation",
    "TooManyRequests",
];

/// Of an object whose spec cannot be carried out: what its agents found is told as with the CRD's default.
const NEEDED_BY_DEFAULT: u32 = 3;

const ASKED_BY_DEFAULT: Duration = Duration::from_secs(30);

/// Time between visits of an object that nothing is done for.
const BROKEN_INTERVAL: Duration = Duration::from_secs(600);

/// One visit: what is wanted, what was seen, and what follows at once.
pub(crate) struct View<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) seen: &'a Seen,
    pub(crate) now: Timestamp,
    pub(crate) targets: Targets,
    pub(crate) access: Vec<AccessAssessment>,
    /// Writes that had no lasting effect yet.
    pub(crate) attempts: Vec<Attempt>,
}

/// The view of a whole object: all of [`View`], and its spec. What builds, proves and closes asks for one, so that nothing of that can be
/// planned for an object that is broken.
#[derive(Clone, Copy)]
pub(crate) struct WholeView<'a> {
    view: &'a View<'a>,
    pub(crate) spec: &'a Spec,
}

impl<'a> Deref for WholeView<'a> {
    type Target = View<'a>;

    fn deref(&self) -> &View<'a> {
        self.view
    }
}

/// What stands behind the registry, as the registry reports it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Targets {
    /// Accounts with their kinds, once each, by kind and id.
    pub(crate) accounts: Vec<(TargetKind, ArmId)>,
    /// Why they are not (known to be) all.
    pub(crate) gap: Option<Wait>,
}

impl Targets {
    /// Ids of the accounts, by kind and id.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &ArmId> {
        self.accounts.iter().map(|(_, id)| id)
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(desired: &'a Desired, seen: &'a Seen, now: Timestamp) -> View<'a> {
        let targets = targets(desired, seen, now);
        let access = access(desired, seen, &targets);
        View {
            desired,
            seen,
            now,
            targets,
            access,
            attempts: attempts::known(desired, seen, now),
        }
    }

    /// With the spec, unless the object is broken.
    pub(crate) fn whole(&self) -> Option<WholeView<'_>> {
        self.desired.whole().map(|spec| self.with(spec))
    }

    /// The same with the object's own spec.
    pub(crate) fn with<'v>(&'v self, spec: &'v Spec) -> WholeView<'v> {
        WholeView { view: self, spec }
    }

    /// How many successes in a row are a proof; of a broken object, which proves nothing any more, as many as one that says nothing asks.
    pub(crate) fn successes_needed(&self) -> u32 {
        self.whole()
            .map_or(NEEDED_BY_DEFAULT, |whole| whole.spec.verification.consecutive_successes)
    }

    /// Pause between two attempts of a probe.
    pub(crate) fn probe_interval(&self) -> Duration {
        self.whole()
            .map_or(ASKED_BY_DEFAULT, |whole| whole.spec.verification.interval)
    }

    /// Time between visits of a settled object, before jitter.
    pub(crate) fn drift_interval(&self) -> Duration {
        self.whole().map_or(BROKEN_INTERVAL, |whole| whole.spec.drift_interval)
    }

    /// What only the registry has.
    pub(crate) fn registry(&self) -> Option<&'a RegistryDetails> {
        self.seen.azure.registry_details()
    }

    /// How a target was seen.
    pub(crate) fn target(&self, id: &ArmId) -> &'a Fact<TargetSeen> {
        self.seen.azure.targets.get(id)
    }

    /// The claim is ours, if anybody's.
    pub(crate) fn claim_is_ours(&self) -> bool {
        self.seen
            .cluster
            .claim
            .seen()
            .is_some_and(|claim| claim.uid == self.desired.object.uid)
    }

    /// Zone groups, records and links of every entry are ours to write.
    pub(crate) fn names_are_ours(&self) -> bool {
        self.desired.endpoints().iter().all(|place| place.dns.is_ours())
    }

    /// The claim of another object, where it has the registry.
    pub(crate) fn claim_of_another(&self) -> Option<&Claim> {
        self.seen.cluster.claim.seen().filter(|_| !self.claim_is_ours())
    }

    /// An object that obeys the rules holds its registry, or will. One that breaks them takes no claim, unless the snapshot shows that
    /// the registry was locked in its name; where it writes nothing it needs none.
    pub(crate) fn is_held(&self) -> bool {
        let locked_by_us = || {
            let snapshot = self.seen.cluster.snapshot.seen();
            snapshot.is_some_and(|s| s.holder == self.holder())
        };
        let obeys = self.desired.is_whole() || self.desired.observe_only;
        obeys
            || match &self.seen.cluster.claim {
                Fact::Absent => locked_by_us(),
                Fact::Seen(claim) if !self.claim_is_ours() && claim.holder == self.holder() => locked_by_us(),
                // Ours, somebody else's, or not to be told: it is waited for, or said who has it.
                Fact::Seen(_) | Fact::Unknown(_) => true,
            }
    }

    /// Whether public access was closed in this object's name: the snapshot or status says so, or a closing write that arrived late did it.
    pub(crate) fn was_locked_by_us(&self) -> bool {
        let snapshot = self.seen.cluster.snapshot.seen();
        let accounts = self.registry().into_iter().flat_map(RegistryDetails::accounts);
        match snapshot.filter(|snapshot| snapshot.holder == self.holder()) {
            Some(snapshot) => snapshot.is_about(accounts),
            None => self.last().lock_has_begun() || self.was_closed_late(),
        }
    }

    /// What a target was before a closing write took it away that was on its way when an opening had put everything back.
    pub(crate) fn before_late_closing(&self, access: &AccessAssessment) -> Option<&'a Value> {
        let restored = self.seen.cluster.restored.as_ref();
        let accounts = || self.registry().into_iter().flat_map(RegistryDetails::accounts);
        let restored = restored.filter(|restored| restored.holder == self.holder() && restored.is_about(accounts()))?;
        let before = kept(restored, &access.id).filter(|_| access.closed == Some(true));
        before.filter(|before| !settings_closed(access.target, before))
    }

    /// Whether everything that is closed was closed by writes that arrived late.
    pub(crate) fn was_closed_late(&self) -> bool {
        let mut closed = self
            .access
            .iter()
            .filter(|access| access.closed != Some(false))
            .peekable();
        closed.peek().is_some() && closed.all(|access| self.before_late_closing(access).is_some())
    }

    /// Whether the snapshot says of this registry, and of no former one of its name, that an opening left rules out.
    pub(crate) fn was_restored_in_part(&self) -> bool {
        let accounts = self.registry().into_iter().flat_map(RegistryDetails::accounts);
        let snapshot = self.seen.cluster.snapshot.seen();
        snapshot.is_some_and(|snapshot| snapshot.restored_in_part && snapshot.is_about(accounts))
    }

    /// `namespace/name`, as the claim names its holder.
    pub(crate) fn holder(&self) -> String {
        self.desired.object.holder()
    }

    /// What "closed" is not said without: resource rules let somebody into the registry's own storage all the same.
    pub(crate) fn but_for(&self) -> String {
        let accounts = self.targets.ids().filter_map(|id| self.target(id).seen());
        let kept = accounts.filter(|account| !account.resource_access_rules.is_empty());
        let rules = |account: &TargetSeen| {
            let (rules, name) = (account.resource_access_rules.len(), account.id.name());
            format!("{rules} resource rules of {} {name}", account.kind())
        };
        let kept: Vec<String> = kept.map(rules).collect();
        if kept.is_empty() {
            String::new()
        } else {
            format!(", but for {}", kept.join(" and "))
        }
    }

    /// Every target is known and closed.
    pub(crate) fn all_closed(&self) -> bool {
        self.targets.gap.is_none() && !self.access.is_empty() && self.access.iter().all(|a| a.closed == Some(true))
    }

    /// Some target is known to be open.
    pub(crate) fn any_open(&self) -> bool {
        self.access.iter().any(|a| a.closed == Some(false))
    }

    /// What status said when the visit began.
    pub(crate) fn last(&self) -> &'a LastReport {
        &self.seen.object.last
    }

    /// Which state it has been in, and for how long.
    pub(crate) fn last_transition(&self) -> Option<(Option<State>, Duration)> {
        let transition = self.last().last_transition?;
        let since = self.now.duration_since(transition.at?);
        Some((transition.state, Duration::try_from(since).ok()?))
    }

    /// Some target is known to be closed.
    pub(crate) fn any_closed(&self) -> bool {
        self.access.iter().any(|a| a.closed == Some(true))
    }

    /// Every target is known and open, and nothing is under way on any: what Azure has accepted may still close it. Nobody
    /// depends on private endpoints alone.
    pub(crate) fn all_open(&self) -> bool {
        let open = |a: &AccessAssessment| a.closed == Some(false) && self.running(&a.id).is_none();
        self.targets.gap.is_none() && !self.access.is_empty() && self.access.iter().all(open)
    }

    /// The operation that Azure still carries out on a resource, as far as can be told.
    pub(crate) fn running(&self, id: &ArmId) -> Option<&'a OperationSeen> {
        let operations = self.seen.azure.operations.iter();
        operations
            .filter(|o| o.operation.resource == *id)
            .find(|o| o.state.may_run())
    }
}

/// A failure that trying again at once will not cure.
pub(crate) fn is_final(failure: &CallFailure) -> bool {
    if is_scope_absent(failure.code.as_deref()) {
        return true;
    }
    let meant_to_be_tried_again = failure
        .code
        .as_deref()
        .is_some_and(|code| RETRYABLE.iter().any(|r| r.eq_ignore_ascii_case(code)));
    !failure.disposition().passes() && !meant_to_be_tried_again
}

/// Whether asking again can help with what could not be read. Where a deletion waited for anything else, it would hold a namespace
/// hostage.
pub(crate) fn may_pass(why: &Ignorance) -> bool {
    match why.kind {
        IgnoranceKind::Throttled | IgnoranceKind::Unreachable | IgnoranceKind::Settling => true,
        IgnoranceKind::Forbidden
        | IgnoranceKind::SignIn
        | IgnoranceKind::Nonsense
        | IgnoranceKind::NotRead
        | IgnoranceKind::Refused => false,
    }
}

/// Azure's own words are cut here, so that nobody has to cut the advice after them.
const LONGEST_WORDS: usize = 640;

/// A failure in Azure's words, with what support asks for.
pub(crate) fn in_azures_words(failure: &CallFailure) -> String {
    let code = failure.code.as_deref().map(|c| format!("{c}: ")).unwrap_or_default();
    let correlation = correlation(failure.correlation_id.as_deref());
    let words = truncate(&failure.message, LONGEST_WORDS);
    format!("{}: {code}{words}{correlation}", failure.attempt)
}

/// What support asks for, at the end of a sentence.
fn correlation(id: Option<&str>) -> String {
    id.map(|id| format!(" (correlation id {id})")).unwrap_or_default()
}

/// A wait for something that could not be read. Missing rights need a person, everything else needs time.
pub(crate) fn not_known<T>(what: &str, fact: &Fact<T>) -> Wait {
    match fact {
        Fact::Unknown(why) if is_refused(why) => {
            let (reason, advice) = advise(why);
            let code = why.code.as_deref().map(|c| format!("{c}: ")).unwrap_or_default();
            Wait::new(
                reason,
                format!(
                    "{}: {code}{}{}; {advice}",
                    attempt(what, &why.attempt),
                    truncate(&why.message, LONGEST_WORDS),
                    correlation(why.correlation_id.as_deref())
                ),
            )
        }
        // The same sentence for whatever was to be read: one credential is the cause of all.
        Fact::Unknown(why) if why.kind == IgnoranceKind::SignIn => Wait::new(
            WaitReason::SignInStalled,
            format!(
                "{}{}",
                sign_in(&why.message),
                correlation(why.correlation_id.as_deref())
            ),
        ),
        Fact::Unknown(why) if why.message.is_empty() => Wait::new(
            WaitReason::NotKnown,
            format!("{} has not answered yet", attempt(what, &why.attempt)),
        ),
        Fact::Unknown(why) => Wait::new(
            WaitReason::NotKnown,
            format!(
                "{}: {}{}",
                attempt(what, &why.attempt),
                why.message,
                correlation(why.correlation_id.as_deref())
            ),
        ),
        Fact::Absent => Wait::new(WaitReason::NotKnown, format!("{what} is not there (yet)")),
        Fact::Seen(_) => Wait::new(WaitReason::NotKnown, format!("{what} is not complete yet")),
    }
}

/// A look that Azure refuses for good: rights are missing, or what holds the resource does not exist.
fn is_refused(why: &Ignorance) -> bool {
    match why.kind {
        IgnoranceKind::Forbidden => true,
        IgnoranceKind::Refused => is_scope_absent(why.code.as_deref()),
        IgnoranceKind::Throttled
        | IgnoranceKind::Unreachable
        | IgnoranceKind::Settling
        | IgnoranceKind::SignIn
        | IgnoranceKind::Nonsense
        | IgnoranceKind::NotRead => false,
    }
}

/// What whoever runs the operator can do about a credential that is refused.
pub(crate) fn sign_in(message: &str) -> String {
    format!(
        "the operator cannot sign in to Azure ({message}): its credential is expired, wrong, or not known there; renew the client secret, or put the federated credential of its identity right, and look at its settings: kubectl get deployment -A -l app.kubernetes.io/name=secure-registry-operator -o yaml"
    )
}

fn attempt(what: &str, attempt: &str) -> String {
    if attempt.is_empty() {
        format!("read {what}")
    } else {
        attempt.to_owned()
    }
}

/// A fact of a map: what nobody looked at is not known.
pub(crate) fn look_up<'a, K: Ord, T>(
    map: &'a std::collections::BTreeMap<K, Fact<T>>,
    key: &K,
    unread: &'a Fact<T>,
) -> &'a Fact<T> {
    map.get(key).unwrap_or(unread)
}

/// How long Azure may take to name what it creates behind a registry: whole registries are made within minutes.
const PROVISIONING: Duration = Duration::from_secs(15 * 60);

/// Whether nothing but the missing accounts has been waited for, for so long that Azure will not name them by itself.
fn is_stuck(seen: &Seen, now: Timestamp) -> bool {
    let last = &seen.object.last;
    if last.waited_for(WaitReason::RegistryIncompleteStalled) {
        return true;
    }
    let since = last.last_transition.and_then(|transition| transition.at);
    let since = since.and_then(|at| Duration::try_from(now.duration_since(at)).ok());
    last.waited_for(WaitReason::RegistryProvisioning) && since.is_some_and(|since| since >= PROVISIONING)
}

fn targets(desired: &Desired, seen: &Seen, now: Timestamp) -> Targets {
    let Some(registry) = seen.azure.registry_details() else {
        return Targets {
            gap: Some(not_known(
                &format!("registry {}", desired.registry.name()),
                seen.azure.registry(),
            )),
            ..Targets::default()
        };
    };
    let mut targets = Targets {
        accounts: registry.distinct_accounts(),
        gap: None,
    };
    let incomplete = registry.regions.iter().filter(|region| !region.is_complete());
    let incomplete: Vec<&str> = incomplete.map(|region| region.location.as_str()).collect();
    if let Some(account) = registry.ungranted_accounts.first() {
        targets.gap = Some(Wait::new(
            WaitReason::NotGrantedStalled,
            format!(
                "registry {} names account {account}, which stands outside its managed resource group, and no RegistryGrant lets namespace {} have a registry share it: nothing of it is read, connected, closed or opened; an administrator can add one (accounts with uses: [Shared]): kubectl edit registrygrant NAME",
                desired.registry.name(),
                desired.object.namespace
            ),
        ));
    } else if registry.regions.is_empty() || !incomplete.is_empty() {
        let regions = if incomplete.is_empty() {
            "any region".to_owned()
        } else {
            incomplete.join(", ")
        };
        let name = desired.registry.name();
        targets.gap = Some(if is_stuck(seen, now) {
            Wait::new(
                WaitReason::RegistryIncompleteStalled,
                format!(
                    "Azure names no storage account or no container registry of {name} in {regions}, and has not for {} minutes: it will not by itself. Whoever made the registry has to complete that region or make it again (look: az resource show --ids {} --query properties.regionDetails); until then it cannot be locked",
                    PROVISIONING.as_secs() / 60,
                    word(&desired.registry)
                ),
            )
        } else {
            Wait::new(
                WaitReason::RegistryProvisioning,
                format!("Azure has not yet named storage and container registry of {name} in {regions}"),
            )
        });
    }
    targets
}

/// The registry's own accounts that opening puts back though the registry does not answer: whoever waits for those does not wait for it.
/// Whom its claim tag names is not known then, so the tag must have named this very object, and no other since as far as that was seen.
/// Where Azure answers that the registry may not be read, somebody may have decided so: nothing is opened past that.
pub(crate) fn accounts_in_snapshot(desired: &Desired, seen: &Seen) -> Vec<(TargetKind, ArmId)> {
    let last = &seen.object.last;
    if last.claimed_at.is_none() || last.claim_lost_to.is_some() {
        return Vec::new();
    }
    let holder = desired.object.holder();
    let snapshot = seen.cluster.snapshot.seen().into_iter();
    let mut accounts: Vec<_> = snapshot.flat_map(|snapshot| snapshot.own_accounts(&holder)).collect();
    accounts.sort();
    accounts
}

/// It does not answer, or has no time for us.
fn does_not_answer(fact: &Fact<TargetSeen>) -> bool {
    let kind = fact.ignorance().map(|why| why.kind);
    matches!(kind, Some(IgnoranceKind::Unreachable | IgnoranceKind::Throttled))
}

/// What the switch of a target says; `None`: not read, or not said.
pub(crate) fn switch_of<'a>(seen: &'a Seen, id: &ArmId) -> Option<&'a PublicNetworkAccess> {
    seen.azure.targets.get(id).seen()?.public_network_access.as_ref()
}

/// Targets that were read, and whose words this version does not know: neither closed nor opened, and a person is told.
pub(crate) fn not_understood(view: &View<'_>) -> Vec<Wait> {
    let read = |a: &&AccessAssessment| seen_digest(view.seen, &a.id).is_some();
    let odd = view.access.iter().filter(|a| a.closed.is_none()).filter(read);
    let wait = |odd: &AccessAssessment| {
        Wait::new(
            WaitReason::SettingNotUnderstoodStalled,
            format!(
                "{} {} says {}, which this version of the operator does not know: it is neither closed nor opened; set publicNetworkAccess to Enabled or Disabled (az resource update --ids {} --set properties.publicNetworkAccess=Enabled), or use a version that knows it",
                noun(odd.target),
                odd.id.name(),
                odd.detail,
                word(&odd.id)
            ),
        )
    };
    odd.map(wait).collect()
}

/// A target as people call it.
pub(crate) fn noun(target: TargetKind) -> &'static str {
    row(target).noun
}

/// The same with its name.
pub(crate) fn named(access: &AccessAssessment) -> String {
    format!("{} {}", noun(access.target), access.id.name())
}

fn access(desired: &Desired, seen: &Seen, targets: &Targets) -> Vec<AccessAssessment> {
    let fact = seen.azure.registry();
    let registry = match fact {
        Fact::Seen(registry) => assess(TargetKind::Registry, &registry.id, fact),
        Fact::Absent => return Vec::new(),
        Fact::Unknown(_) => assess(TargetKind::Registry, &desired.registry, fact),
    };
    let mut held = Vec::new();
    if does_not_answer(fact) {
        held = accounts_in_snapshot(desired, seen);
        held.retain(|(_, id)| seen.azure.targets.contains(id));
    }
    let accounts = targets.accounts.iter().chain(&held);
    let accounts = accounts.map(|(kind, id)| assess(*kind, id, seen.azure.targets.get(id)));
    std::iter::once(registry).chain(accounts).collect()
}

fn assess(kind: TargetKind, id: &ArmId, fact: &Fact<TargetSeen>) -> AccessAssessment {
    AccessAssessment {
        target: kind,
        id: id.clone(),
        closed: fact.seen().and_then(TargetSeen::closed),
        detail: fact.seen().map(settings).unwrap_or_default(),
    }
}

/// What decides whether a target is closed, and who comes in all the same.
fn settings(target: &TargetSeen) -> String {
    let rules = target.resource_access_rules.len();
    let rules = (rules > 0).then(|| rules.to_string());
    show(&[
        ("publicNetworkAccess", target.public_network_access.as_deref()),
        ("defaultAction", target.default_action.as_deref()),
        ("bypass", target.bypass.as_deref()),
        ("resourceAccessRules", rules.as_deref()),
    ])
}

fn show(fields: &[(&str, Option<&str>)]) -> String {
    let parts: Vec<String> = fields
        .iter()
        .filter_map(|(name, value)| value.map(|v| format!("{name}={v}")))
        .collect();
    parts.join(" ")
}

/// What a target's body looked like when the plan was made.
pub(crate) fn seen_digest(seen: &Seen, id: &ArmId) -> Option<Digest> {
    seen.azure.targets.get(id).seen().map(|target| target.digest.clone())
}

/// A target's network settings in Azure's shape: what the snapshot keeps.
pub fn seen_network(seen: &Seen, id: &ArmId) -> Option<serde_json::Value> {
    seen.azure.targets.get(id).seen().map(|target| target.network.clone())
}
