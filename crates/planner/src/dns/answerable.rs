//! Whether names will have an answer once an endpoint exists. With the first endpoint of a target its public names lead to
//! `privatelink.`: whoever asks a zone of that name without the record gets no answer, open or not (azure.md §3.2).
//!
//! | everything open, and the zone of the endpoint's names | then |
//! | --- | --- |
//! | is there, and no network of the place asks another one of its name | the endpoint is made |
//! | is not named, not known, or has to exist and does not; or a network asks another one, or may | it is not, and holds up no other |
//! | is made by us and not there yet | it is made a visit after the zone was seen; under Observe it is told with the zone |

use sreg_api::registry::DnsMode;
use sreg_domain::seen::ZoneSeen;
use sreg_domain::{Action, ArmId, AzureAction, Fact};

use crate::contribution::Held;
use crate::endpoints::{WantedEndpoint, WantedEndpoints};
use crate::plan::{Step, Wait, WaitReason};
use crate::view::WholeView;

/// Why an endpoint is not made: its records could not be written where its networks ask, and only somebody else changes that.
pub(crate) fn cannot_be_answered(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> Option<Wait> {
    if is_free(view, w) {
        return None;
    }
    let Some(zone) = w.place.dns.zones.get(&w.group) else {
        return Some(waits(w));
    };
    let may_come = match view.seen.azure.zones.get(zone) {
        Some(Fact::Seen(_)) => true,
        Some(Fact::Absent) => w.place.dns.mode == DnsMode::Managed,
        Some(Fact::Unknown(_)) | None => false,
    };
    (!may_come || others_are_asked(view, w, zone)).then(|| waits(w))
}

/// Holds endpoints whose zone we make until it is seen: a write that says nothing and does nothing would else cost names.
pub(crate) fn hold(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, steps: Vec<Step>) -> Held {
    if view.desired.observe_only {
        return Held::free(steps);
    }
    let early = |step: &Step| {
        let Action::Azure(AzureAction::CreateEndpoint { id, .. }) = &step.action else {
            return None;
        };
        let w = wanted.all.iter().find(|w| w.id == *id)?;
        let zone = w.place.dns.zones.get(&w.group);
        let there = zone
            .and_then(|zone| view.seen.azure.zones.get(zone))
            .is_some_and(|zone| zone.seen().is_some());
        (!there && !is_free(view, w)).then(|| waits(w))
    };
    let mut held = Held::default();
    for step in steps {
        match early(&step) {
            Some(wait) => {
                held.said.wait(wait);
                held.back.push(step);
            }
            None => held.free.push(step),
        }
    }
    held
}

/// Others keep the records; or something is closed: clients depend on endpoints then, and what was lost is made again all the same.
pub(super) fn is_free(view: &WholeView<'_>, w: &WantedEndpoint<'_>) -> bool {
    !w.place.dns.is_ours() || view.any_closed()
}

fn waits(w: &WantedEndpoint<'_>) -> Wait {
    Wait::new(
        WaitReason::DnsPending,
        format!(
            "private endpoint {} is made once its private DNS zone can take its records: before that, networks that ask a zone of that name would get no answer for names that resolve today",
            w.label()
        ),
    )
}

/// A network of the place asks another zone of that name, or may.
fn others_are_asked(view: &WholeView<'_>, w: &WantedEndpoint<'_>, zone: &ArmId) -> bool {
    let elsewhere = match &view.seen.azure.zones_elsewhere {
        Fact::Seen(zones) => zones.as_slice(),
        Fact::Absent => &[],
        Fact::Unknown(_) => return true,
    };
    let same_name = |other: &&ZoneSeen| other.id != *zone && other.id.name().eq_ignore_ascii_case(zone.name());
    let asks = |other: &ZoneSeen| match &other.links {
        Fact::Seen(links) => links.iter().any(|l| w.place.dns.links.contains(&l.virtual_network)),
        Fact::Absent => false,
        Fact::Unknown(_) => true,
    };
    elsewhere.iter().filter(same_name).any(asks)
}
