//! What the lock waits for besides proof. Each gate that is not open is a wait that names who must act.
//!
//! | gate | open when |
//! | --- | --- |
//! | links of ours | each is to a client network, or to one that is waived |
//! | dnsSettle | that long has passed since names last changed by a write of ours |
//! | recent public clients | nobody, or everybody accepted; policy Warn only reports, so does a lock that only comes back |
//! | way back | nothing forbids opening again, or a `ChangeApproval` acknowledges it |
//! | Approval | a `ChangeApproval` of kind Lockdown names the digest |
//! | Window | the window is open; a lock that only comes back does not wait for it |
//! | Rollout | a rollout has reached the object |

use std::time::Duration;

use sreg_api::ChangeKind;
use sreg_api::registry::{LockdownGate, RecentPublicClientsPolicy};
use sreg_domain::desired::{ClientNetwork, NetworkPlace};
use sreg_domain::seen::{IgnoranceKind, PublicClient};
use sreg_domain::{ArmId, Digest, Fact, duration, naming};

use crate::draft::Draft;
use crate::facts::{View, not_known, relocks};
use crate::paths::Paths;
use crate::plan::{FindingReason, Wait, WaitReason};
use crate::prefix::Prefix;
use crate::settling::since_name_change;
use crate::window;

/// Whether a change is approved by digest. `None`: approvals could not be read.
pub(crate) fn approved(view: &View<'_>, change: ChangeKind, digest: &Digest) -> Option<bool> {
    match &view.seen.cluster.approvals {
        Fact::Seen(approvals) => Some(approvals.iter().any(|a| a.change == change && a.digest == *digest)),
        Fact::Absent => Some(false),
        Fact::Unknown(_) => None,
    }
}

/// Whether the lock waits for an approval: the spec wants one, or something would forbid opening again.
pub(crate) fn needs_approval(view: &View<'_>) -> bool {
    let obstacles = view.seen.azure.reopening_obstacles.seen();
    view.desired.gates.contains(&LockdownGate::Approval) || obstacles.is_some_and(|o| !o.is_empty())
}

/// What an approval of kind `Lockdown` covers: closing every target, the required paths, and what would forbid the way back.
/// It does not depend on which targets are closed already, so it survives a lock that is half done.
pub(crate) fn lockdown_digest(view: &View<'_>, paths: &Paths) -> Option<Digest> {
    if view.targets.gap.is_some() || !paths.gaps.is_empty() || paths.all.is_empty() {
        return None;
    }
    // An object made again is approved again.
    let mut parts = vec![format!("object {}", view.desired.object.uid)];
    parts.extend(view.access.iter().map(|a| format!("close {}", a.id.key())));
    parts.extend(paths.all.iter().map(|r| format!("path {} {}", r.network, r.path.fqdn)));
    // A name alone could be pointed at another network after the approval; a waiver takes a network out of it.
    parts.extend(view.desired.client_networks.iter().map(|n| format!("network {n:?}")));
    parts.extend(view.desired.waived.keys().map(|id| format!("unproven {}", id.key())));
    parts.extend(
        view.seen
            .azure
            .reopening_obstacles
            .seen()
            .into_iter()
            .flatten()
            .map(|o| format!("obstacle {o}")),
    );
    parts.sort();
    Some(Digest::of_parts(parts.iter().map(String::as_str)))
}

/// Waits for every gate that is not open. Empty: the lock may go on.
pub(crate) fn closed(view: &View<'_>, paths: &Paths, draft: &mut Draft) -> Vec<Wait> {
    let mut waits = links_left(view);
    waits.extend(settling(view, draft));
    waits.extend(public_clients(view, draft));
    waits.extend(approval(view, paths, draft));
    waits.extend(window_gate(view, draft));
    waits.extend(rollout(view));
    waits
}

/// Networks that we once linked and that the spec has forgotten: they still ask our zones, and nothing proves their paths.
fn links_left(view: &View<'_>) -> Vec<Wait> {
    let known = |network: &ArmId| {
        let client = |c: &ClientNetwork| c.place == NetworkPlace::VirtualNetwork(network.clone());
        view.desired.client_networks.iter().any(client) || view.desired.waived.contains_key(network)
    };
    let zones = view.seen.azure.zones.values().filter_map(Fact::seen);
    let links = zones.filter_map(|zone| zone.links.seen()).flatten();
    let left = links
        .filter(|link| link.id.name() == naming::link_name(&link.virtual_network) && !known(&link.virtual_network));
    left.map(|link| Wait {
        reason: WaitReason::VantagePointMissing,
        message: format!(
            "{} was linked by us and is neither under clientNetworks nor under unprovenNetworks any more: list it, or delete the link {}",
            link.virtual_network.name(),
            link.id
        ),
    })
    .collect()
}

/// How much of `dnsSettle` is left.
pub(crate) fn settle_left(view: &View<'_>) -> Duration {
    let needed = view.desired.verification.dns_settle;
    needed.saturating_sub(since_name_change(view).unwrap_or(Duration::ZERO))
}

fn settling(view: &View<'_>, draft: &mut Draft) -> Option<Wait> {
    let left = settle_left(view);
    if left.is_zero() {
        return None;
    }
    draft.looks.push(left);
    Some(Wait {
        reason: WaitReason::DnsSettling,
        message: format!(
            "names changed, or were not all known, less than dnsSettle ({}) ago: caches may hold former answers until {}",
            duration::show(view.desired.verification.dns_settle),
            crate::conditions::from_now(view.now, left)
        ),
    })
}

/// Clients that came from public addresses and that nobody accepted cutting off.
pub(crate) fn unaccepted<'a>(clients: &'a [PublicClient], accept: &[String]) -> Vec<&'a PublicClient> {
    let accepted: Vec<Prefix> = accept.iter().filter_map(|a| Prefix::parse(a)).collect();
    let is_accepted = |client: &PublicClient| {
        client
            .address
            .parse()
            .is_ok_and(|address| accepted.iter().any(|prefix| prefix.holds(address)))
    };
    clients.iter().filter(|client| !is_accepted(client)).collect()
}

fn public_clients(view: &View<'_>, draft: &mut Draft) -> Option<Wait> {
    let wanted = view.desired.verification.recent_public_clients.as_ref()?;
    let told = |wait: Wait| (wait.reason, wait.message);
    let (reason, message) = match &view.seen.azure.recent_public_clients {
        Fact::Seen(clients) => {
            let found = unaccepted(clients, &wanted.accept);
            let first = found.first()?;
            let more = if found.len() > 1 {
                format!(" and {} more", found.len() - 1)
            } else {
                String::new()
            };
            (
                WaitReason::RecentPublicClients,
                format!(
                    "{}{more} reached {} over public access in the last {}: move these clients, or list them under verification.recentPublicClients.accept",
                    first.address,
                    first.target.name(),
                    duration::show(wanted.window)
                ),
            )
        }
        Fact::Absent => told(not_known(
            "recent public clients",
            &Fact::<()>::not_read("nobody asked for them yet"),
        )),
        // Azure has answered, and nothing can be told from that: a matter for people.
        Fact::Unknown(why) if why.kind == IgnoranceKind::Refused => (
            WaitReason::RecentPublicClients,
            format!(
                "{}: {} (or set verification.recentPublicClients.policy: Warn)",
                why.attempt, why.message
            ),
        ),
        unknown => told(not_known("recent public clients", unknown)),
    };
    match wanted.policy {
        RecentPublicClientsPolicy::Block if !relocks(&view.seen.object.status, view.any_closed()) => {
            Some(Wait { reason, message })
        }
        RecentPublicClientsPolicy::Block | RecentPublicClientsPolicy::Warn => {
            draft.find(FindingReason::PublicClient, message);
            None
        }
        RecentPublicClientsPolicy::Ignore => None,
    }
}

fn approval(view: &View<'_>, paths: &Paths, draft: &mut Draft) -> Option<Wait> {
    let obstacles = match &view.seen.azure.reopening_obstacles {
        Fact::Seen(obstacles) => obstacles.as_slice(),
        Fact::Absent => &[],
        unknown => return Some(not_known("what would forbid opening again", unknown)),
    };
    for obstacle in obstacles {
        draft.find(FindingReason::ReopeningForbidden, obstacle.clone());
    }
    if obstacles.is_empty() && !view.desired.gates.contains(&LockdownGate::Approval) {
        return None;
    }
    // While paths are not known there is nothing to approve; the paths' own wait says so.
    let digest = lockdown_digest(view, paths)?;
    match approved(view, ChangeKind::Lockdown, &digest) {
        Some(true) => None,
        None => Some(not_known("ChangeApprovals", &view.seen.cluster.approvals)),
        Some(false) => Some(Wait {
            reason: WaitReason::LockdownApproval,
            message: match obstacles.first() {
                None => {
                    format!("approve the lockdown: create a ChangeApproval with change: Lockdown and digest {digest}")
                }
                Some(obstacle) => format!(
                    "opening again would be forbidden ({obstacle}): remove that, or acknowledge it by a ChangeApproval with change: Lockdown and digest {digest}"
                ),
            },
        }),
    }
}

fn window_gate(view: &View<'_>, draft: &mut Draft) -> Option<Wait> {
    if !view.desired.gates.contains(&LockdownGate::Window) || relocks(&view.seen.object.status, view.any_closed()) {
        return None;
    }
    let closed = |opens: Option<jiff::Timestamp>| Wait {
        reason: WaitReason::WindowClosed,
        message: match opens {
            Some(at) => format!("the lockdown window opens at {at}"),
            None => "the lockdown window never opens: correct lockdown.window".to_owned(),
        },
    };
    let Some(wanted) = &view.desired.window else {
        return Some(closed(None));
    };
    match window::standing(wanted, view.now) {
        window::Standing::Open(_) => None,
        window::Standing::Closed(opens) => {
            if let Some(at) = opens {
                draft
                    .looks
                    .push(Duration::try_from(at.duration_since(view.now)).unwrap_or(Duration::ZERO));
            }
            Some(closed(opens))
        }
    }
}

fn rollout(view: &View<'_>) -> Option<Wait> {
    if !view.desired.gates.contains(&LockdownGate::Rollout) {
        return None;
    }
    match &view.seen.cluster.rollout {
        Fact::Seen(true) => None,
        Fact::Seen(false) | Fact::Absent => Some(Wait {
            reason: WaitReason::RolloutPending,
            message:
                "no LockdownRollout has reached this object, and this version has none to offer yet: take Rollout out of lockdown.waitFor, or wait for the version that has"
                    .into(),
        }),
        unknown @ Fact::Unknown(_) => Some(not_known("LockdownRollouts", unknown)),
    }
}
