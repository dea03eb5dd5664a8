//! DNS that an Azure Policy makes (`dns.mode: Policy`). It acts minutes after an endpoint, if at all, and calls an endpoint compliant that
//! has any zone group: so what would make one is looked for before the endpoint, and what it wrote is compared afterwards.
//!
//! | endpoint | then |
//! | --- | --- |
//! | absent, each absent one of its entry is covered by an assignment | made |
//! | absent, one of them is not, or nobody knows | none of the entry is made; with `policyAssignments: Assume`, or while anything is closed, made and told |
//! | without a zone group, no assignment covers it | Stalled |
//! | without a zone group, otherwise | waited for for half an hour, then Stalled |
//! | its zone group is Failed, or points at a zone that nobody asks for these names | Stalled |
//! | its zone group succeeded, and records are missing or wrong | waited for until names have not changed for a minute, then Stalled |
//! | its zone group succeeded, and records cannot be read | told: each path is proven anyway |

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use sreg_api::registry::DnsMode;
use sreg_domain::outside::word;
use sreg_domain::seen::{Coverage, EndpointSeen, ZoneGroupPolicy, ZoneGroupSeen};
use sreg_domain::{ArmId, EndpointGroup, Fact, ProvisioningState, duration};

use super::records::{differing, wanted_records};
use super::{both, zone_groups};
use crate::contribution::Contribution;
use crate::endpoints::{WantedEndpoint, endpoint_state, members, wanted};
use crate::plan::{FindingReason, Wait, WaitReason};
use crate::preflight::Permission;
use crate::view::{WholeView, look_up, not_known};

/// What the assignments do about an endpoint.
enum Cover {
    Yes,
    /// Nobody could look.
    NotKnown(Fact<()>),
    /// None makes a zone group that helps, and what those that come near lack.
    No(Vec<String>),
}

fn cover(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> Cover {
    let unread = Fact::not_read("nobody looked at what is assigned");
    let fact = look_up(&view.seen.azure.zone_group_policies, &w.id, &unread);
    let Fact::Seen(policies) = fact else {
        return Cover::NotKnown(fact.clone().map(drop));
    };
    let name = view.desired.cloud.zone(w.group);
    let misplaced = |policy: &ZoneGroupPolicy| policy.zone.clone().filter(|z| !z.name().eq_ignore_ascii_case(&name));
    let fits = |p: &ZoneGroupPolicy| p.covers == Coverage::Yes && misplaced(p).is_none();
    if policies.iter().any(fits) {
        return Cover::Yes;
    }
    let lacks = policies.iter().map(|p| {
        let assignment = &p.assignment;
        match (p.covers, misplaced(p)) {
            (_, Some(zone)) => format!("{assignment} writes to {zone}, where nobody looks for names of {name}"),
            (Coverage::OtherKind, None) => {
                format!("{assignment} is for {} connections only", kind(!is_manual(view, w)))
            }
            (Coverage::Perhaps, None) => format!("whether {assignment} does, its condition or effect does not tell us"),
            (Coverage::Yes, None) => format!("{assignment} does"),
        }
    });
    Cover::No(lacks.collect())
}

fn is_manual(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> bool {
    let there = view.seen.azure.endpoints.get(&w.id).and_then(Fact::seen);
    there.map_or(w.place.manual_request.is_some(), |endpoint| endpoint.manual)
}

fn kind(manual: bool) -> &'static str {
    if manual { "manual" } else { "automatic" }
}

/// Says of an endpoint whose zone group is left to a policy, and that is made whatever is seen of one, that none was seen.
pub(crate) fn unseen(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> Option<String> {
    if w.place.dns.mode != DnsMode::Policy || !is_made_anyway(view, w) {
        return None;
    }
    match cover(view, w) {
        Cover::Yes => None,
        Cover::NotKnown(fact) => Some(format!(
            "whether a policy makes the zone group of private endpoint {} could not be told ({}): it is made all the same",
            w.label(),
            fact.ignorance().map_or("nobody looked", |why| why.message.as_str())
        )),
        Cover::No(lacks) => Some(format!("{}: it is made all the same", uncovered(view, w, &lacks))),
    }
}

/// Stated by the spec; or clients depend on private endpoints already, because this object has closed the public side. A registry that was
/// created closed, or that others closed, has no clients of ours yet.
fn is_made_anyway(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> bool {
    w.place.dns.policies_assumed || (view.any_closed() && view.was_locked_by_us())
}

/// Whether an endpoint may be made: its first zone group, and all of its entry, are somebody else's to make.
pub(crate) fn may_make(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> Permission {
    if w.place.dns.mode != DnsMode::Policy || is_made_anyway(view, w) {
        return Permission::Free;
    }
    let own = cover(view, w);
    match own {
        Cover::NotKnown(fact) => {
            let wait = not_known(&format!("policy assignments of {}", w.place.resource_group), &fact);
            Permission::NotKnown(Wait {
                message: format!("{}; {}", wait.message, or_state(w)),
                ..wait
            })
        }
        Cover::No(lacks) => Permission::Denied(Wait::new(
            WaitReason::DnsByPolicyStalled,
            format!(
                "{}. Nothing is made for entry {} before one does: {}",
                uncovered(view, w, &lacks),
                w.place.name,
                who_acts(view, w)
            ),
        )),
        Cover::Yes => match all_of_entry_are_covered(view, w) {
            true => Permission::Free,
            false => Permission::Denied(Wait::new(
                WaitReason::DnsByPolicyStalled,
                format!(
                    "private endpoint {} is made when policies cover all endpoints of entry {}, which they do not yet, as is said of each; {}",
                    w.label(),
                    w.place.name,
                    or_state(w)
                ),
            )),
        },
    }
}

/// Nothing is half built for names that do not come.
fn all_of_entry_are_covered(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> bool {
    let absent = |id: &ArmId| view.seen.azure.endpoints.get(id).is_some_and(Fact::is_absent);
    let all = wanted(view).all;
    let mut entry = all.iter().filter(|o| o.place.name == w.place.name && absent(&o.id));
    entry.all(|other| matches!(cover(view, other), Cover::Yes))
}

fn uncovered(view: &WholeView<'_>, w: &WantedEndpoint<'_>, lacks: &[String]) -> String {
    let near = match lacks {
        [] => String::new(),
        lacks => format!(" ({})", lacks.join("; ")),
    };
    format!(
        "no policy that is assigned to {} is seen to make a zone group for private endpoint {}, groupId {} with a connection of kind {}{near}",
        w.place.resource_group,
        w.label(),
        w.group.group_id(),
        kind(is_manual(view, w))
    )
}

/// What a person can do where no policy serves an endpoint.
fn who_acts(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> String {
    let (group, place) = (w.group.group_id(), w.place);
    let manual = is_manual(view, w);
    let definition = match w.group {
        _ if manual => "no built-in policy looks at manual connections: approval.mode: Auto makes automatic ones, or the definition has to look at manualPrivateLinkServiceConnections too".to_owned(),
        EndpointGroup::AmlRegistry => "no built-in policy knows amlregistry: the landing zones' Deploy-Private-DNS-Generic can be assigned for it".to_owned(),
        EndpointGroup::Blob | EndpointGroup::Dfs => format!("built in: \"Configure a private DNS Zone ID for {group} groupID\""),
        EndpointGroup::ContainerRegistry => "built in: \"Configure Container registries to use private DNS zones\"".to_owned(),
    };
    format!(
        "whoever manages Azure Policy assigns one with deployIfNotExists of zone groups for groupId {group} and {} connections, handed zone {} ({definition}), such as az policy assignment create --name dns-{group} --policy DEFINITION --scope {} --mi-system-assigned --location LOCATION --params PARAMETERS, and remediates what exists (az policy remediation create --name dns-{group} --policy-assignment ASSIGNMENT --resource-group {}); {}; or set dns.mode: Managed, Existing or External for entry {}",
        kind(manual),
        view.desired.cloud.zone(w.group),
        word(&place.resource_group),
        word(place.resource_group.name()),
        or_state(w),
        place.name
    )
}

fn or_state(w: &WantedEndpoint<'_>) -> String {
    format!(
        "if one does so that is not seen here, set spec.endpoints[{}].dns.policyAssignments: Assume",
        w.place.name
    )
}

/// Judges zone groups and records of a place.
pub(super) fn plan(view: &WholeView<'_>, here: &[&WantedEndpoint<'_>], draft: &mut Contribution) -> Option<bool> {
    let mut verdict = Some(true);
    for w in here {
        let ready = match endpoint_state(view, &w.id, w.target).ready() {
            Some(endpoint) => one(view, w, endpoint, draft),
            None => Some(false),
        };
        verdict = both(verdict, ready);
    }
    verdict
}

fn one(
    view: &WholeView<'_>,
    w: &WantedEndpoint<'_>,
    endpoint: &EndpointSeen,
    draft: &mut Contribution,
) -> Option<bool> {
    let groups = zone_groups(w, endpoint, draft)?;
    let succeeded = |g: &&ZoneGroupSeen| g.provisioning_state == ProvisioningState::Succeeded;
    match groups.iter().find(succeeded) {
        Some(group) => records(view, w, group, draft),
        None => {
            missing_group(view, w, groups, draft);
            Some(false)
        }
    }
}

/// A policy that has not made a zone group by then will not without somebody's help: Azure evaluates what is new within about a
/// quarter of an hour.
const POLICY_IS_LATE: Duration = Duration::from_secs(30 * 60);

/// Time may bring a zone group; after that, or where no policy ever makes one, a person has to.
fn missing_group(view: &WholeView<'_>, w: &WantedEndpoint<'_>, groups: &[ZoneGroupSeen], draft: &mut Contribution) {
    let since = view.seen.memory.since_name_change.unwrap_or_default();
    let (label, who) = (w.label(), who_acts(view, w));
    let mut stalled = |message: String| draft.waiting(WaitReason::DnsByPolicyStalled, message);
    if let Some(failed) = groups
        .iter()
        .find(|g| g.provisioning_state == ProvisioningState::Failed)
    {
        return stalled(format!(
            "zone group {} of private endpoint {label}, which an Azure Policy made, is Failed: see its deployment, and remediate it; {who}",
            failed.id
        ));
    }
    if let Cover::No(lacks) = cover(view, w)
        && groups.is_empty()
        && !w.place.dns.policies_assumed
    {
        return stalled(format!("{}: {who}", uncovered(view, w, &lacks)));
    }
    if since >= POLICY_IS_LATE {
        return stalled(format!(
            "no Azure Policy has made a zone group for private endpoint {label} in {}, also if it calls the endpoint compliant: {who}",
            duration::show(POLICY_IS_LATE)
        ));
    }
    draft.looks.push(POLICY_IS_LATE.saturating_sub(since));
    draft.waiting(
        WaitReason::DnsByPolicyPending,
        format!(
            "no Azure Policy has made a zone group for private endpoint {label} yet; one that is assigned acts within about a quarter of an hour; see whether one is: az policy assignment list --resource-group {} --subscription {} --disable-scope-strict-match",
            word(w.place.resource_group.name()),
            word(w.place.resource_group.subscription())
        ),
    );
}

/// How late records may be after their zone group.
const RECORDS_LAG: Duration = Duration::from_secs(60);

/// What a policy calls compliant is a zone group; what clients need are its records.
fn records(
    view: &WholeView<'_>,
    w: &WantedEndpoint<'_>,
    group: &ZoneGroupSeen,
    draft: &mut Contribution,
) -> Option<bool> {
    // The endpoint gate says what is missing.
    let members = members(view, w)?;
    let name = view.desired.cloud.zone(w.group);
    let zones: Vec<&ArmId> = group
        .zones
        .iter()
        .filter(|z| z.name().eq_ignore_ascii_case(&name))
        .collect();
    if zones.is_empty() {
        draft.waiting(
            WaitReason::DnsByPolicyStalled,
            format!(
                "zone group {} of private endpoint {}, which an Azure Policy made, is Succeeded and writes to no zone {name}: nobody finds the names of {} there. Whoever manages Azure Policy corrects the zone that it is handed, {}",
                group.id,
                w.label(),
                w.target.name(),
                again(w, group)
            ),
        );
        return Some(false);
    }
    let wanted = wanted_records(view, w, members);
    let unread = Fact::not_read("nobody looked at its records");
    let mut wrong = Vec::new();
    for zone in zones {
        match look_up(&view.seen.azure.records_by_policy, zone, &unread) {
            Fact::Seen(held) => wrong.extend(differences(&wanted, held, zone)),
            Fact::Absent => wrong.push(format!("{zone} does not exist")),
            Fact::Unknown(why) => draft.find(
                FindingReason::RecordsNotRead,
                format!(
                    "records of private DNS zone {zone}, which an Azure Policy has written to, could not be read ({}): whether those of private endpoint {} are there is for the paths to prove",
                    why.message,
                    w.label()
                ),
            ),
        }
    }
    if wrong.is_empty() {
        return Some(true);
    }
    let memory = &view.seen.memory;
    let since = memory.name_changed.or(memory.since_name_change).unwrap_or_default();
    let said = format!(
        "zone group {} of private endpoint {}, which an Azure Policy made and calls compliant, is Succeeded, and {}",
        group.id,
        w.label(),
        wrong.join("; ")
    );
    if since < RECORDS_LAG {
        draft.looks.push(RECORDS_LAG.saturating_sub(since));
        draft.waiting(WaitReason::DnsByPolicyPending, format!("{said}; it may be late"));
    } else {
        let message = format!(
            "{said}: clients of that zone get a wrong answer, or none. Azure writes records when a zone group is written and never looks again: {}",
            again(w, group)
        );
        draft.waiting(WaitReason::DnsByPolicyStalled, message);
    }
    Some(false)
}

/// How a policy is brought to write records again.
fn again(w: &WantedEndpoint<'_>, group: &ZoneGroupSeen) -> String {
    format!(
        "have the zone group made again: az network private-endpoint dns-zone-group delete --ids {}, then az policy remediation create --name dns-{} --policy-assignment ASSIGNMENT --resource-group {}",
        word(&group.id),
        w.group.group_id(),
        word(w.place.resource_group.name())
    )
}

/// What a zone lacks or has otherwise, in words.
fn differences(
    wanted: &BTreeMap<String, BTreeSet<IpAddr>>,
    held: &BTreeMap<String, Vec<IpAddr>>,
    zone: &ArmId,
) -> Vec<String> {
    let show = |addresses: &mut dyn Iterator<Item = &IpAddr>| {
        addresses.map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let one = |(name, is_held): (&String, bool)| {
        let right = wanted.get(name).map(|a| show(&mut a.iter())).unwrap_or_default();
        let there = held.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        let there = there.map(|(_, a)| show(&mut a.iter())).unwrap_or_default();
        if is_held {
            format!("record {name} in {zone} holds {there} instead of {right}: another endpoint's")
        } else {
            format!("record {name} ({right}) is missing in {zone}")
        }
    };
    differing(wanted, held).into_iter().map(one).collect()
}
