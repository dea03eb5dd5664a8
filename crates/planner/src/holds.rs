//! What holds planned writes to Azure back. A hold gets the steps that all before it let go on, and answers which of them go on and
//! which do not, this time, and why. In which order holds are asked stands in `compose`.

use crate::contribution::Held;
use crate::endpoints::WantedEndpoints;
use crate::plan::Step;
use crate::view::WholeView;
use crate::{attempts, dns, name_changes, preflight, release, settling};

/// Why steps may be held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// They were tried a short time ago.
    TriedLately,
    /// The operator lacks a right that they, or what comes after them, need.
    LacksRights,
    /// They change names, and nobody has approved that.
    NotApproved,
    /// Another endpoint is being removed in the same network.
    RemovesAnother,
    /// They make an endpoint whose zone is not there to take its records.
    ZoneIsMissing,
    /// They change names, and status has not recorded that yet.
    NotRecorded,
}

impl Hold {
    /// Asks it of steps that nothing has held back so far.
    pub(crate) fn of(self, view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, steps: Vec<Step>) -> Held {
        match self {
            Hold::TriedLately => attempts::hold(view, steps),
            Hold::LacksRights => preflight::hold(view, wanted, steps),
            Hold::NotApproved => name_changes::hold(view, wanted, steps),
            Hold::RemovesAnother => release::one_at_a_time(view, steps),
            Hold::ZoneIsMissing => dns::answerable::hold(view, wanted, steps),
            Hold::NotRecorded => settling::record_first(view, steps),
        }
    }
}
