//! What is known of one thing: seen, missing, or not known and why.

use serde::{Deserialize, Serialize};

use crate::ignorance::Ignorance;

/// Something observed, known to be missing, or not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact<T> {
    /// Read just now.
    Seen(T),
    /// Known not to exist. One 404 is not yet this for anything that somebody knows of.
    Absent,
    /// Could not be told.
    Unknown(Ignorance),
}

impl<T> Fact<T> {
    /// The value, if seen.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Fact::Seen(value) => Some(value),
            Fact::Absent | Fact::Unknown(_) => None,
        }
    }

    /// The value, if seen, to change it.
    pub fn seen_mut(&mut self) -> Option<&mut T> {
        match self {
            Fact::Seen(value) => Some(value),
            Fact::Absent | Fact::Unknown(_) => None,
        }
    }

    /// Whether it is known to be missing.
    pub fn is_absent(&self) -> bool {
        matches!(self, Fact::Absent)
    }

    /// Why it is not known.
    pub fn ignorance(&self) -> Option<&Ignorance> {
        match self {
            Fact::Unknown(why) => Some(why),
            Fact::Seen(_) | Fact::Absent => None,
        }
    }

    /// Changes the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Fact::Seen(value) => Fact::Seen(f(value)),
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why),
        }
    }

    /// Not looked at, because something before it was not seen.
    pub fn not_read(because: &str) -> Fact<T> {
        Fact::Unknown(Ignorance::not_read(because))
    }
}
