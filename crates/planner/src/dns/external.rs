//! DNS that whoever runs the resolvers makes (`dns.mode: External`).

use std::collections::BTreeSet;

use sreg_api::probe::Hop;
use sreg_domain::desired::EndpointPlace;
use sreg_domain::naming;

use crate::contribution::Contribution;
use crate::endpoints::{WantedEndpoint, WantedEndpoints, members};
use crate::evidence::{Evidence, Look};
use crate::paths::Paths;
use crate::plan::WaitReason;
use crate::published;
use crate::view::WholeView;

/// Names in a message; the ConfigMap has all.
const MOST_NAMED: usize = 2;

/// Probes decide: names are right when every path of the place gets past its dns hop.
pub(super) fn external(
    view: &WholeView<'_>,
    place: &EndpointPlace,
    (wanted, here): (&WantedEndpoints<'_>, &[&WantedEndpoint<'_>]),
    proof: (&Paths, &Evidence),
    draft: &mut Contribution,
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
            "make DNS answer for the clients of entry {} what ConfigMap {} of the operator's namespace and status.externalDns say (kubectl get sreg {} -n {} -o yaml); wrong so far: {}{more}",
            place.name,
            naming::published_dns_name(&view.desired.registry),
            view.desired.object.name,
            view.desired.object.namespace,
            open.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ")
        ),
    );
    Some(false)
}
