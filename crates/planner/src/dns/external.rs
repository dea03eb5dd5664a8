//! DNS that somebody else makes: an Azure Policy, or whoever runs the resolvers.

use std::collections::BTreeSet;
use std::time::Duration;

use sreg_api::probe::Hop;
use sreg_domain::desired::EndpointPlace;
use sreg_domain::seen::ZoneGroupSeen;
use sreg_domain::{EndpointGroup, Fact, duration, naming};

use super::both;
use crate::draft::Draft;
use crate::endpoints::{Standing, Wanted, WantedEndpoints, members, standing};
use crate::evidence::{Evidence, Look};
use crate::facts::{View, not_known};
use crate::paths::Paths;
use crate::plan::WaitReason;
use crate::published;

pub(super) fn by_policy(view: &View<'_>, here: &[&Wanted<'_>], draft: &mut Draft) -> Option<bool> {
    let mut verdict = Some(true);
    for w in here {
        let Standing::Ready(endpoint) = standing(view, &w.id, w.target) else {
            verdict = both(verdict, Some(false));
            continue;
        };
        let succeeded = |groups: &Vec<ZoneGroupSeen>| {
            groups
                .iter()
                .any(|g| g.provisioning_state.eq_ignore_ascii_case("Succeeded"))
        };
        match &endpoint.zone_groups {
            Fact::Seen(groups) if succeeded(groups) => {}
            Fact::Seen(groups) => {
                missing_group(view, w, groups, draft);
                verdict = both(verdict, Some(false));
            }
            Fact::Absent => {
                missing_group(view, w, &[], draft);
                verdict = both(verdict, Some(false));
            }
            unknown => {
                draft.wait(not_known(
                    &format!("zone groups of private endpoint {}", w.label()),
                    unknown,
                ));
                verdict = both(verdict, None);
            }
        }
    }
    verdict
}

/// A policy that has not made a zone group by then will not without somebody's help: Azure evaluates what is new within about a
/// quarter of an hour.
const POLICY_IS_LATE: Duration = Duration::from_secs(30 * 60);

/// Time may bring a zone group; after that, or where no built-in policy ever makes one, a person has to.
fn missing_group(view: &View<'_>, w: &Wanted<'_>, groups: &[ZoneGroupSeen], draft: &mut Draft) {
    let since = view.seen.memory.since_name_change.unwrap_or_default();
    let group = w.group.group_id();
    let who = format!(
        "whoever manages Azure Policy for {} assigns one that deploys zone groups for groupId {group}, and remediates what exists (az policy remediation create --policy-assignment ASSIGNMENT --resource-group {}), or set dns.mode: Managed, Existing or External for entry {}",
        w.place.resource_group,
        w.place.resource_group.name(),
        w.place.name
    );
    let label = w.label();
    let failed = groups
        .iter()
        .find(|g| g.provisioning_state.eq_ignore_ascii_case("Failed"));
    if let Some(failed) = failed {
        return draft.waiting(
            WaitReason::DnsByPolicyStalled,
            format!("zone group {} of private endpoint {label}, which an Azure Policy made, is Failed: see its deployment, and remediate it; {who}", failed.id),
        );
    }
    if w.place.manual_request.is_some() && groups.is_empty() {
        return draft.waiting(
            WaitReason::DnsByPolicyStalled,
            format!("private endpoint {label} has a connection that is approved by hand, and the built-in policies make zone groups for automatic ones only: {who}; or set approval.mode: Auto before the endpoint is made"),
        );
    }
    if since >= POLICY_IS_LATE {
        return draft.waiting(
            WaitReason::DnsByPolicyStalled,
            format!("no Azure Policy has made a zone group for private endpoint {label} in {}, also if it calls the endpoint compliant: {who}", duration::show(POLICY_IS_LATE)),
        );
    }
    draft.looks.push(POLICY_IS_LATE.saturating_sub(since));
    let builtin = match w.group {
        EndpointGroup::AmlRegistry => " (no built-in policy knows amlregistry)",
        EndpointGroup::Blob | EndpointGroup::Dfs | EndpointGroup::ContainerRegistry => "",
    };
    draft.waiting(
        WaitReason::DnsByPolicyPending,
        format!("no Azure Policy has made a zone group for private endpoint {label} yet{builtin}: if none is assigned, {who}"),
    );
}

/// Names in a message; the ConfigMap has all.
const MOST_NAMED: usize = 2;

/// Probes decide: names are right when every path of the place gets past its dns hop.
pub(super) fn external(
    view: &View<'_>,
    place: &EndpointPlace,
    (wanted, here): (&WantedEndpoints<'_>, &[&Wanted<'_>]),
    proof: (&Paths, &Evidence),
    draft: &mut Draft,
) -> Option<bool> {
    if here.iter().any(|w| members(view, w).is_none()) {
        return Some(false);
    }
    let (paths, evidence) = proof;
    let resolves = |look: &Look| match look {
        Look::Passes(_) | Look::Fails(Hop::Tcp | Hop::Tls | Hop::Http, ..) => true,
        Look::Fails(Hop::Dns, ..) | Look::Nothing(_) => false,
    };
    let unresolved: BTreeSet<&str> = paths
        .all
        .iter()
        .zip(&evidence.looks)
        .filter(|(r, look)| here.iter().any(|w| w.id == r.endpoint) && !resolves(look))
        .map(|(r, _)| r.path.fqdn.as_str())
        .collect();
    if unresolved.is_empty() {
        return Some(true);
    }
    let records = published::records(view, wanted, place).unwrap_or_default();
    let open: Vec<String> = records
        .iter()
        .filter(|record| unresolved.contains(record.fqdn.as_str()))
        .map(published::Record::show)
        .collect();
    let more = match open.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    draft.waiting(
        WaitReason::DnsExternalPending,
        format!(
            "make DNS answer for the clients of entry {} what ConfigMap {} of the operator's namespace and status.externalDns say; wrong so far: {}{more}",
            place.name,
            naming::published_dns_name(&view.desired.registry),
            open.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ")
        ),
    );
    Some(false)
}
