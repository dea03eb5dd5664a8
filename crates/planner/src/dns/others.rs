//! DNS that somebody else makes: an Azure Policy, or whoever runs the resolvers.

use sreg_api::probe::Hop;
use sreg_domain::Fact;
use sreg_domain::desired::EndpointPlace;
use sreg_domain::seen::ZoneGroupSeen;

use super::both;
use crate::draft::Draft;
use crate::endpoints::{Standing, Wanted, members, standing};
use crate::evidence::{Evidence, Look};
use crate::facts::{View, not_known};
use crate::paths::Paths;
use crate::plan::WaitReason;

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
            Fact::Seen(_) | Fact::Absent => {
                draft.waiting(
                    WaitReason::DnsByPolicyPending,
                    format!("no Azure Policy has made a zone group for private endpoint {} yet: check its assignment and remediation (built-in policies know no amlregistry and no manual connections), or set dns.mode: Managed", w.label()),
                );
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

/// Probes decide: names are right when every path of the place gets past its dns hop.
pub(super) fn external(
    view: &View<'_>,
    place: &EndpointPlace,
    here: &[&Wanted<'_>],
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
    let unresolved = paths
        .all
        .iter()
        .zip(&evidence.looks)
        .filter(|(r, look)| here.iter().any(|w| w.id == r.endpoint) && !resolves(look));
    let mut open: Vec<String> = unresolved
        .map(|(r, _)| format!("{} → {}", r.path.fqdn, r.path.addresses.join(" ")))
        .collect();
    if open.is_empty() {
        return Some(true);
    }
    open.sort();
    open.dedup();
    draft.waiting(
        WaitReason::DnsExternalPending,
        format!(
            "make DNS answer for the clients of entry {}: {}",
            place.name,
            open.join("; ")
        ),
    );
    Some(false)
}
