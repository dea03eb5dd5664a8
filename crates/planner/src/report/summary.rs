//! Public access of the three in one word or two.

use std::fmt;
use std::str::FromStr;

use sreg_api::status::SecureRegistryStatus;
use sreg_domain::TargetKind;
use strum::IntoEnumIterator;

use crate::plan::AccessAssessment;

/// How public access stands, of all targets together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Summary {
    /// All are closed.
    Locked,
    /// All are open.
    Open,
    /// These are open.
    PartlyOpen(Vec<TargetKind>),
    /// None is known to be open, and not all are known to be closed.
    Unknown,
}

impl Summary {
    /// Of these targets; `complete`: there are no others.
    pub(crate) fn of(access: &[AccessAssessment], complete: bool) -> Summary {
        let mut open: Vec<TargetKind> = access
            .iter()
            .filter(|a| a.closed == Some(false))
            .map(|a| a.target)
            .collect();
        open.sort();
        open.dedup();
        let every_kind = TargetKind::iter().all(|kind| open.contains(&kind));
        if every_kind || (!open.is_empty() && access.iter().all(|a| a.closed == Some(false))) {
            Summary::Open
        } else if !open.is_empty() {
            Summary::PartlyOpen(open)
        } else if complete && !access.is_empty() && access.iter().all(|a| a.closed == Some(true)) {
            Summary::Locked
        } else {
            Summary::Unknown
        }
    }

    /// As status has it.
    pub(crate) fn in_status(status: &SecureRegistryStatus) -> Summary {
        let access = status.public_access.as_ref();
        let read = access.and_then(|access| access.summary.parse().ok());
        read.unwrap_or(Summary::Unknown)
    }

    /// Whether any target is open.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Summary::Open | Summary::PartlyOpen(_))
    }
}

fn names(kinds: &[TargetKind]) -> String {
    let names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Summary::Locked => f.write_str("Locked"),
            Summary::Open => f.write_str("Open"),
            Summary::PartlyOpen(kinds) => write!(f, "Open: {}", names(kinds)),
            Summary::Unknown => f.write_str("Unknown"),
        }
    }
}

impl FromStr for Summary {
    type Err = ();

    fn from_str(text: &str) -> Result<Summary, ()> {
        if let Some(kinds) = text.strip_prefix("Open: ") {
            let kind = |name: &str| name.parse().map_err(|_| ());
            return Ok(Summary::PartlyOpen(
                kinds.split(", ").map(kind).collect::<Result<_, _>>()?,
            ));
        }
        let whole = [Summary::Locked, Summary::Open, Summary::Unknown];
        whole.into_iter().find(|summary| summary.to_string() == text).ok_or(())
    }
}

/// The same as part of a sentence.
pub(crate) fn sentence(summary: &Summary) -> String {
    match summary {
        Summary::PartlyOpen(kinds) => format!("public access is open on {}", names(kinds)),
        Summary::Locked | Summary::Open | Summary::Unknown => {
            format!("public access is {}", summary.to_string().to_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_status_says_reads_back_as_what_was_meant() {
        let partly = Summary::PartlyOpen(vec![TargetKind::Registry, TargetKind::ContainerRegistry]);
        for summary in [Summary::Locked, Summary::Open, partly, Summary::Unknown] {
            assert_eq!(summary.to_string().parse(), Ok(summary));
        }
        for nonsense in ["", "Open: ", "Open: vault", "locked"] {
            assert!(nonsense.parse::<Summary>().is_err(), "{nonsense}");
        }
    }
}
