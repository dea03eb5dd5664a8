//! Times of the leader's Lease, and what must hold between them.

use std::time::Duration;

/// Which Lease is fought for, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who we are; unlike any other process, also unlike an earlier one of the same pod.
    pub identity: String,
    /// How long the Lease holds after a renewal; whole seconds, because the Lease says it in seconds.
    pub duration: Duration,
    /// How long before its end it is renewed; whole seconds.
    pub grace: Duration,
    /// How long before its end we stop to rely on it: covers clock skew between candidates and the landing of one write.
    pub margin: Duration,
    /// Pause between two reads of the Lease.
    pub read_every: Duration,
}

/// Why the times do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseSettingsError {
    /// The Lease says its duration in seconds.
    #[error("use {what} {value:?} for the leader's lease: it must be whole seconds, at least 1s")]
    WholeSeconds {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: Duration,
    },
    /// Renewal would begin before the last one has landed.
    #[error(
        "use grace {grace:?} for a lease of {duration:?}: it must be shorter, so that renewal has something to wait for"
    )]
    Grace {
        /// The grace.
        grace: Duration,
        /// The duration.
        duration: Duration,
    },
    /// The fence would lapse before a renewal was even tried often enough.
    #[error(
        "use margin {margin:?} and reads every {read_every:?} with grace {grace:?}: margin and three reads must fit into the grace, or the fence lapses before a renewal is seen"
    )]
    Margin {
        /// The margin.
        margin: Duration,
        /// The pause between reads.
        read_every: Duration,
        /// The grace.
        grace: Duration,
    },
}

impl LeaseSettings {
    /// Defaults: 30 s, renewed 20 s before its end, not relied on in the last 5 s, read every second. Renewal then starts
    /// after 10 s and has about 14 s to succeed.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        LeaseSettings {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(30),
            grace: Duration::from_secs(20),
            margin: Duration::from_secs(5),
            read_every: Duration::from_secs(1),
        }
    }

    /// Longest that a write may take under this lease: just before a renewal no more than this is surely left of it. A closing
    /// write is sent only while leadership is held for longer than a write may take; with more than this it might never be.
    pub fn longest_write(&self) -> Duration {
        self.grace
            .saturating_sub(self.margin)
            .saturating_sub(self.read_every * 2)
    }

    /// Whether the times fit together.
    ///
    /// # Errors
    /// Which two do not.
    pub fn check(&self) -> Result<(), LeaseSettingsError> {
        let LeaseSettings {
            namespace: _,
            name: _,
            identity: _,
            duration,
            grace,
            margin,
            read_every,
        } = self;
        for (what, value) in [("duration", *duration), ("grace", *grace)] {
            if value.subsec_nanos() != 0 || value.as_secs() == 0 {
                return Err(LeaseSettingsError::WholeSeconds { what, value });
            }
        }
        if grace >= duration {
            return Err(LeaseSettingsError::Grace {
                grace: *grace,
                duration: *duration,
            });
        }
        if margin.is_zero() || read_every.is_zero() || *margin + *read_every * 3 > *grace {
            let (margin, read_every, grace) = (*margin, *read_every, *grace);
            return Err(LeaseSettingsError::Margin {
                margin,
                read_every,
                grace,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut LeaseSettings)) -> Result<(), LeaseSettingsError> {
        let mut settings = LeaseSettings::new("ns", "lease", "me");
        change(&mut settings);
        settings.check()
    }

    #[test]
    fn a_write_may_take_no_longer_than_is_left_just_before_a_renewal() {
        assert_eq!(
            LeaseSettings::new("ns", "lease", "me").longest_write(),
            Duration::from_secs(13)
        );
    }

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(with(|_| {}), Ok(()));
    }

    #[test]
    fn times_that_would_let_the_fence_lapse_by_themselves_are_refused() {
        let seconds = Duration::from_secs;
        assert!(matches!(
            with(|s| s.duration = Duration::ZERO),
            Err(LeaseSettingsError::WholeSeconds { .. })
        ));
        assert!(matches!(
            with(|s| s.grace = Duration::from_millis(1500)),
            Err(LeaseSettingsError::WholeSeconds { what: "grace", .. })
        ));
        assert!(matches!(
            with(|s| s.grace = seconds(30)),
            Err(LeaseSettingsError::Grace { .. })
        ));
        // The crate's own defaults, for which the fence has no room.
        assert!(matches!(
            with(|s| s.grace = seconds(5)),
            Err(LeaseSettingsError::Margin { .. })
        ));
        assert!(matches!(
            with(|s| s.read_every = Duration::ZERO),
            Err(LeaseSettingsError::Margin { .. })
        ));
        assert!(matches!(
            with(|s| s.margin = Duration::ZERO),
            Err(LeaseSettingsError::Margin { .. })
        ));
    }
}
