//! Whether a zone takes an endpoint's records from us. It is asked before the endpoint is made: with that its target's public names lead
//! to the zone (azure.md §3.2), and a zone group that is refused leaves every network that asks the zone without an answer.
//!
//! | everything open, and over the zone or one of the endpoint's own records | then |
//! | --- | --- |
//! | a lock `ReadOnly`, or of a level that nobody here knows | the endpoint is not made; the lock is named |
//! | a lock `CanNotDelete`, `NotSpecified`; one on the zone's other records or links | it is made |
//! | a deny assignment on joining the zone, or on writing the zone group, for us or everybody | it is not made; it is named |
//! | one that names or excludes groups | it is made: nobody can tell, and it may be ours |
//! | which records it will have is not known, and one of the zone is locked so | it is not made |
//! | locks or deny assignments could not be read | it is not made |

use sreg_api::names::ZONE_GROUP;
use sreg_domain::outside::word;
use sreg_domain::seen::LockSeen;
use sreg_domain::{ArmId, Fact};

use super::answerable::is_free;
use crate::endpoints::WantedEndpoint;
use crate::plan::{Wait, WaitReason};
use crate::view::{WholeView, look_up, not_known};
use crate::{names, preflight};

const JOIN: &str = "Microsoft.Network/privateDnsZones/join/action";
const WRITE_GROUP: &str = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/write";

/// Why an endpoint is not made: the zone of its names takes no records from us, or nobody knows whether it does.
pub(crate) fn takes_no_records(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> Option<Wait> {
    if is_free(view, w) {
        return None;
    }
    let zone = w.place.dns.zones.get(&w.group)?;
    view.seen.azure.zones.get(zone).and_then(Fact::seen)?;
    locked(view, w, zone).or_else(|| denied(view, w, zone))
}

fn locked(view: &WholeView<'_>, w: &WantedEndpoint<'_>, zone: &ArmId) -> Option<Wait> {
    let unread = Fact::not_read("nobody looked for resource locks");
    let what = format!("resource locks on {zone}");
    let locks = match look_up(&view.seen.azure.locks, zone, &unread) {
        Fact::Seen(locks) => locks,
        // The zone was read: one "not found" for its locks tells nothing.
        Fact::Absent => {
            let unread = Fact::<()>::not_read("Azure answered that the zone does not exist, and it was read");
            return Some(not_known(&what, &unread));
        }
        unknown @ Fact::Unknown(_) => return Some(not_known(&what, unknown)),
    };
    let records = names::records_of_target(view, w.group, w.target);
    let concerns = |lock: &&LockSeen| lock.covers(zone) || names::lock_reaches(lock, zone, records.as_ref());
    let mut forbidding = locks.iter().filter(|lock| lock.forbids_writes() != Some(false));
    let lock = forbidding.find(concerns)?;
    Some(Wait::new(
        WaitReason::ZoneLockedStalled,
        format!(
            "{}: a resource lock ({}) on {} {} every write there; whoever set it removes it: az lock delete --ids {}",
            not_made(w, zone),
            lock.level,
            lock.scope(),
            if lock.forbids_writes().is_some() {
                "forbids"
            } else {
                "may forbid"
            },
            word(&lock.id)
        ),
    ))
}

fn denied(view: &WholeView<'_>, w: &WantedEndpoint<'_>, zone: &ArmId) -> Option<Wait> {
    let (group, zone_group) = (&w.place.resource_group, w.id.child("privateDnsZoneGroups", ZONE_GROUP));
    let on_zone = preflight::denied(view, zone, zone, JOIN).map(|denial| (denial, JOIN));
    let on_group = || preflight::denied(view, group, &zone_group, WRITE_GROUP).map(|denial| (denial, WRITE_GROUP));
    if let Some((denial, action)) = on_zone.or_else(on_group) {
        return Some(Wait::new(
            WaitReason::DenyAssignmentStalled,
            format!(
                "{}: {} forbids it ({action}): {}",
                not_made(w, zone),
                preflight::denial_named(denial),
                preflight::exemption(view, denial)
            ),
        ));
    }
    preflight::unread_denials(view, zone, zone, JOIN)
        .or_else(|| preflight::unread_denials(view, group, &zone_group, WRITE_GROUP))
}

fn not_made(w: &WantedEndpoint<'_>, zone: &ArmId) -> String {
    format!(
        "private endpoint {} is not made, because its records could not be written into private DNS zone {zone}, and networks that ask that zone would get no answer for names that resolve today",
        w.label()
    )
}
