//! What the lock waits for besides proof. Each gate that is not open is a wait that names who must act.
//!
//! | gate | open when |
//! | --- | --- |
//! | accounts that are not the registry's own | each is acknowledged under `sharedAccounts` |
//! | links of ours | each is to a client network, or to one that is waived |
//! | subnets that a firewall lets in | each is of a client network, or of one that is waived |
//! | perimeters | nothing is in one, or a `ChangeApproval` acknowledges it; a lock that only comes back only tells |
//! | dnsSettle | that long has passed since names last changed by a write of ours |
//! | DNS servers | those of every client network are known, so that each is asked |
//! | recent public clients | everybody came through our endpoints, or is accepted; policy Warn only reports, so does a lock that only comes back |
//! | way back | nothing forbids opening again, or a `ChangeApproval` acknowledges it; no resource lock forbids closing whatever is open |
//! | Approval | a `ChangeApproval` of kind Lockdown names the digest |
//! | Window | the window is open; a lock that only comes back does not wait for it |

use std::time::Duration;

use sreg_api::ChangeKind;
use sreg_api::names::OWNER_TAG;
use sreg_api::registry::{LockdownGate, RecentPublicClientsPolicy};
use sreg_domain::desired::{ClientNetwork, NetworkPlace};
use sreg_domain::naming::Belonging;
use sreg_domain::outside::word;
use sreg_domain::preimage::{DigestKind, DigestLine, Preimage};
use sreg_domain::seen::{IgnoranceKind, LinkSeen};
use sreg_domain::{ArmId, Digest, Fact, duration, naming};

use crate::approvals;
use crate::callers::{Outsider, outsiders, unread_network};
use crate::contribution::Contribution;
use crate::dns_servers;
use crate::firewall;
use crate::obstacles;
use crate::paths::Paths;
use crate::plan::{FindingReason, Wait, WaitReason};
use crate::settling::since_name_change;
use crate::view::{View, WholeView, named, not_known};
use crate::window;

/// Whether a change is approved by digest. `None`: approvals could not be read.
pub(crate) fn approved(view: &View<'_>, change: ChangeKind, digest: &Digest) -> Option<bool> {
    match &view.seen.cluster.approvals {
        Fact::Seen(_) => Some(approvals::given(view, change, digest).next().is_some()),
        Fact::Absent => Some(false),
        Fact::Unknown(_) => None,
    }
}

/// Whether the lock waits for an approval: the spec wants one, or something would forbid opening again.
pub(crate) fn needs_approval(view: &View<'_>) -> bool {
    view.whole()
        .is_some_and(|whole| whole.spec.gates.contains(&LockdownGate::Approval))
        || !obstacles::known(view).is_empty()
        || firewall::unknown_perimeter(view).is_some()
}

/// What an approval of kind `Lockdown` covers: closing every target, the required paths, and what would forbid the way back.
/// It does not depend on which targets are closed already, so it survives a lock that is half done.
pub(crate) fn lockdown_digest(view: &WholeView<'_>, paths: &Paths) -> Option<Digest> {
    if view.targets.gap.is_some() || !paths.gaps.is_empty() || paths.all.is_empty() || obstacles::unread(view).is_some()
    {
        return None;
    }
    let desired = view.desired;
    let mut preimage = Preimage::of(DigestKind::Lockdown);
    preimage.add(DigestLine::Object(&desired.object.uid));
    preimage.extend(desired.edition().map(DigestLine::Generation));
    preimage.extend(view.access.iter().map(|a| DigestLine::Closes(&a.id)));
    preimage.extend(paths.all.iter().map(|r| DigestLine::Path {
        network: &r.network,
        fqdn: &r.path.fqdn,
    }));
    preimage.extend(view.spec.client_networks.iter().map(DigestLine::Network));
    preimage.extend(view.spec.waived.keys().map(DigestLine::UnprovenNetwork));
    preimage.extend(shared(view).map(DigestLine::SharedAccount));
    preimage.extend(
        view.spec
            .waived_hosts
            .keys()
            .map(|host| DigestLine::UnprovenHost(host.as_str())),
    );
    firewall::add_losses(view, &mut preimage);
    obstacles::add_known(view, &mut preimage);
    Some(preimage.digest())
}

/// Waits for every gate that is not open. Empty: the lock may go on.
pub(crate) fn closed(view: &WholeView<'_>, paths: &Paths, draft: &mut Contribution) -> Vec<Wait> {
    let mut waits = links_left(view);
    waits.extend(shared_accounts(view, draft));
    waits.extend(firewall::unproven_subnets(view));
    waits.extend(settling(view, draft));
    waits.extend(dns_servers_unknown(view));
    waits.extend(public_clients(view, draft));
    waits.extend(way_back(view, paths, draft));
    waits.extend(window_gate(view, draft));
    waits
}

/// Networks that this object once linked and that its spec has forgotten: they still ask our zones, and nothing proves their paths.
/// What other objects link to a zone that is shared is theirs to prove.
fn links_left(view: &WholeView<'_>) -> Vec<Wait> {
    let known = |network: &ArmId| {
        let client = |c: &ClientNetwork| c.place == NetworkPlace::VirtualNetwork(network.clone());
        view.spec.client_networks.iter().any(client) || view.spec.waived.contains_key(network)
    };
    let zones = view.seen.azure.zones.values().filter_map(Fact::seen);
    let links = zones.filter_map(|zone| zone.links.seen()).flatten();
    let ours = |link: &&LinkSeen| Belonging::of_link(&view.desired.owner, link).is_ours();
    let left = links.filter(ours).filter(|link| !known(&link.virtual_network));
    left.map(|link| {
        let network = link.virtual_network.name();
        let message = if naming::owner_in(&link.tags).is_some() {
            format!(
                "{network} was linked by us and is neither under clientNetworks nor under unprovenNetworks any more: list it under spec.clientNetworks or spec.unprovenNetworks, or delete the link: az resource delete --ids {}",
                word(&link.id)
            )
        } else {
            format!(
                "link {} to {network} has a name like ours and no tag {OWNER_TAG}, so that this object or another one may have made it: list {network} under spec.clientNetworks or spec.unprovenNetworks, or have whoever uses the link tag it again",
                link.id
            )
        };
        Wait::new(WaitReason::VantagePointMissing, message)
    })
    .collect()
}

/// Accounts behind the registry that Azure did not make for it. Others use them, and nothing proves the others' paths.
pub(crate) fn shared<'a>(view: &'a WholeView<'_>) -> impl Iterator<Item = &'a ArmId> {
    let own = view.registry().and_then(|r| r.managed_resource_group.as_ref());
    view.targets
        .ids()
        .filter(move |id| id.resource_group_id().as_ref() != own)
}

fn shared_accounts(view: &WholeView<'_>, draft: &mut Contribution) -> Vec<Wait> {
    let mut waits = Vec::new();
    for id in shared(view) {
        match view.spec.shared_accounts.get(id) {
            Some(reason) => draft.find(
                FindingReason::SharedAccount,
                format!("{id} is not the registry's own; the lock closes it for everybody who uses it (acknowledged: {reason})"),
            ),
            None => waits.push(Wait::new(WaitReason::SharedAccountNotAcknowledged, format!(
                    "{id} is not in the managed resource group of the registry, so others may use it: the lock would close it for them too. Ask its owner, then list it under spec.sharedAccounts with resourceId and reason"
                ))),
        }
    }
    waits
}

/// Networks whose DNS servers are not known: one of them may answer publicly.
fn dns_servers_unknown(view: &WholeView<'_>) -> Option<Wait> {
    let unknown = |network: &&ClientNetwork| dns_servers::of(view.seen, network).is_none();
    let network = view.spec.client_networks.iter().find(unknown)?;
    let what = format!("the DNS servers of client network {}", network.name);
    let unread = Fact::not_read("nobody looked at it yet");
    let fact = match &network.place {
        NetworkPlace::VirtualNetwork(id) => view.seen.azure.virtual_networks.get(id),
        NetworkPlace::OnPremises(_) => None,
    };
    let nonsense = fact.and_then(Fact::seen).and_then(dns_servers::nonsense);
    Some(match nonsense {
        Some(why) => Wait::new(WaitReason::DnsServersNotUnderstoodStalled, why),
        None => not_known(&what, fact.unwrap_or(&unread)),
    })
}

/// How much of `dnsSettle` is left.
pub(crate) fn settle_left(view: &WholeView<'_>) -> Duration {
    let needed = view.spec.verification.dns_settle;
    needed.saturating_sub(since_name_change(view).unwrap_or(Duration::ZERO))
}

fn settling(view: &WholeView<'_>, draft: &mut Contribution) -> Option<Wait> {
    let left = settle_left(view);
    if left.is_zero() {
        return None;
    }
    draft.looks.push(left);
    Some(Wait::new(
        WaitReason::DnsSettling,
        format!(
            "names changed, or were not all known, less than dnsSettle ({}) ago: caches may hold former answers until {}",
            duration::show(view.spec.verification.dns_settle),
            crate::conditions::from_now(view.now, left)
        ),
    ))
}

/// Names of clients in a message; status lists more.
const MOST_NAMED: usize = 5;

fn who_came(found: &[Outsider<'_>], window: Duration) -> String {
    let named: Vec<String> = found.iter().take(MOST_NAMED).map(Outsider::show).collect();
    let more = match found.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "in the last {} clients came that did not go through the private endpoints: {}{more}: move them, or list them under spec.verification.recentPublicClients.accept",
        duration::show(window),
        named.join(", ")
    )
}

/// Who came lately without going through our endpoints.
fn public_clients(view: &WholeView<'_>, draft: &mut Contribution) -> Option<Wait> {
    let wanted = view.spec.verification.recent_public_clients.as_ref()?;
    let told = |wait: Wait| (wait.reason, wait.message);
    let (reason, message) = match &view.seen.azure.recent_public_clients {
        Fact::Seen(clients) => {
            let found = outsiders(view.spec, view.seen, clients);
            let told_from_private = |o: &Outsider<'_>| !o.why.is_empty();
            match (found.first()?, unread_network(view.spec, view.seen)) {
                (first, Some((id, fact))) if told_from_private(first) => {
                    let unread = Fact::not_read("nobody looked at it yet");
                    told(not_known(&format!("the prefixes of {id}"), fact.unwrap_or(&unread)))
                }
                _ => (WaitReason::RecentPublicClients, who_came(&found, wanted.window)),
            }
        }
        Fact::Absent => told(not_known(
            "recent public clients",
            &Fact::<()>::not_read("nobody asked for them yet"),
        )),
        // Azure has answered, and nothing can be told from that: a matter for people.
        Fact::Unknown(why) if why.kind == IgnoranceKind::Refused => (
            WaitReason::RecentPublicClients,
            format!(
                "{}: {} (or set spec.verification.recentPublicClients.policy: Warn)",
                why.attempt, why.message
            ),
        ),
        unknown => told(not_known("recent public clients", unknown)),
    };
    match wanted.policy {
        RecentPublicClientsPolicy::Block if !view.last().relocks(view.any_closed()) => Some(Wait::new(reason, message)),
        RecentPublicClientsPolicy::Block | RecentPublicClientsPolicy::Warn => {
            draft.find(FindingReason::PublicClient, message);
            None
        }
        RecentPublicClientsPolicy::Ignore => None,
    }
}

/// Whether the way back is known, and what people have to say of it.
fn way_back(view: &WholeView<'_>, paths: &Paths, draft: &mut Contribution) -> Vec<Wait> {
    if let Some(wait) = obstacles::unread(view) {
        return vec![wait];
    }
    draft.add(obstacles::tell(view));
    let refused = obstacles::to_all_closing(view);
    if !refused.is_empty() {
        // Once it may be closed there is something else to approve.
        return refused;
    }
    approval(view, paths, draft).into_iter().collect()
}

fn approval(view: &WholeView<'_>, paths: &Paths, draft: &mut Contribution) -> Option<Wait> {
    let obstacles = obstacles::known(view);
    draft.add(firewall::tell_of_policies(view));
    let perimeter = firewall::unknown_perimeter(view);
    if obstacles.is_empty() && perimeter.is_none() && !view.spec.gates.contains(&LockdownGate::Approval) {
        return None;
    }
    // While paths are not known there is nothing to approve; the paths' own wait says so.
    let digest = lockdown_digest(view, paths)?;
    let not_counted = approvals::who_may(view, ChangeKind::Lockdown, &digest);
    match approved(view, ChangeKind::Lockdown, &digest) {
        Some(true) => None,
        None => Some(not_known("ChangeApprovals", &view.seen.cluster.approvals)),
        Some(false) => Some(Wait::new(
            WaitReason::LockdownApproval,
            match (obstacles.first(), perimeter) {
                (None, Some(access)) => format!(
                    "the network security perimeter of {} lets in whom the operator cannot know, and closing takes that away: take it out of the perimeter, or acknowledge it by a ChangeApproval with change: Lockdown and digest {digest}{not_counted}",
                    named(access)
                ),
                (None, None) => {
                    format!(
                        "approve the lockdown: create a ChangeApproval with change: Lockdown and digest {digest}{not_counted}"
                    )
                }
                (Some(obstacle), _) => format!(
                    "the way back is not free ({obstacle}): remove that, or acknowledge it by a ChangeApproval with change: Lockdown and digest {digest}{not_counted}{}",
                    stays_open(view)
                ),
            },
        )),
    }
}

/// Of which targets an approval closes nothing, because Azure would refuse it.
fn stays_open(view: &WholeView<'_>) -> String {
    match obstacles::not_closed(view) {
        names if names.is_empty() => String::new(),
        names => format!("; {} would stay open, the others would be closed", names.join(", ")),
    }
}

fn window_gate(view: &WholeView<'_>, draft: &mut Contribution) -> Option<Wait> {
    if !view.spec.gates.contains(&LockdownGate::Window) || view.last().relocks(view.any_closed()) {
        return None;
    }
    let closed = |opens: Option<jiff::Timestamp>| {
        match opens {
        Some(at) => Wait::new(WaitReason::WindowClosed, format!("the lockdown window opens at {at}")),
        None => Wait::new(WaitReason::WindowNeverOpensStalled, "the lockdown window never opens: correct spec.publicAccess.lockdown.window (a date such as 31 February does not come)".to_owned()),
    }
    };
    let Some(wanted) = &view.spec.window else {
        return Some(closed(None));
    };
    match window::state(wanted, view.now) {
        window::WindowState::Open(_) => None,
        window::WindowState::Closed(opens) => {
            if let Some(at) = opens {
                draft
                    .looks
                    .push(Duration::try_from(at.duration_since(view.now)).unwrap_or(Duration::ZERO));
            }
            Some(closed(opens))
        }
    }
}
