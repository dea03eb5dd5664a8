//! How long operations take on the simulated clock, by kind. Pure; the length of one operation follows from its id, so
//! that a run with the same calls takes the same time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::json::number;

/// How long operations take.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Latencies {
    /// No time: operations have ended when the first answer arrives.
    #[default]
    None,
    /// As long as in Azure (an endpoint 460–660 s, hashicorp/terraform-provider-azurerm PR#16315; the rest by rule of thumb).
    Realistic,
    /// Realistic times this factor; 0.004 lets an endpoint take about two seconds.
    Scaled(f64),
}

/// What an operation works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Create, change or delete a private endpoint.
    Endpoint,
    /// Write or delete a zone group.
    ZoneGroup,
    /// Write or delete a zone.
    Zone,
    /// Write or delete a zone link.
    Link,
    /// Create a registry.
    RegistryCreation,
    /// Change a registry.
    RegistryChange,
    /// Delete a registry, or take regions away.
    RegistryDeletion,
    /// Create, change or delete a container registry.
    ContainerRegistry,
    /// Create a storage account.
    Storage,
    /// Change or delete a connection.
    Connection,
    /// Delete a resource group.
    ResourceGroup,
    /// Write or delete VNets, subnets, peerings.
    VirtualNetwork,
}

impl Work {
    /// Shortest and longest real length in seconds.
    fn range(self) -> (u64, u64) {
        match self {
            Work::Endpoint => (460, 660),
            Work::ZoneGroup => (20, 60),
            Work::Zone => (20, 40),
            Work::Link => (30, 90),
            Work::RegistryCreation => (300, 600),
            Work::RegistryChange => (30, 120),
            Work::RegistryDeletion => (60, 180),
            Work::ContainerRegistry => (20, 60),
            Work::Storage => (15, 30),
            Work::Connection => (10, 30),
            Work::ResourceGroup => (60, 180),
            Work::VirtualNetwork => (5, 15),
        }
    }
}

impl Latencies {
    /// The length of the operation with this id.
    pub(crate) fn length(self, work: Work, operation: &str) -> Duration {
        let (shortest, longest) = work.range();
        let seconds = shortest + number(&["latency", operation], longest - shortest + 1);
        Duration::from_secs(seconds).mul_f64(self.factor())
    }

    /// `Retry-After` of answers that ask for patience, in simulated seconds: 10 as in Azure, less where time is shorter.
    pub(crate) fn retry_after(self) -> u64 {
        match self {
            Latencies::None => 0,
            Latencies::Realistic => 10,
            Latencies::Scaled(_) => (10.0 * self.factor()).ceil() as u64,
        }
    }

    fn factor(self) -> f64 {
        match self {
            Latencies::None => 0.0,
            Latencies::Realistic => 1.0,
            Latencies::Scaled(factor) if factor.is_finite() => factor.clamp(0.0, 1000.0),
            Latencies::Scaled(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_endpoint_takes_460_to_660_seconds_and_always_the_same_for_one_operation() {
        for id in ["a", "b", "c", "d"] {
            let length = Latencies::Realistic.length(Work::Endpoint, id);
            assert!((460..=660).contains(&length.as_secs()), "{length:?}");
            assert_eq!(length, Latencies::Realistic.length(Work::Endpoint, id));
            assert!(Latencies::Scaled(0.004).length(Work::Endpoint, id) < Duration::from_millis(2_641));
        }
        assert_eq!(Latencies::None.length(Work::Endpoint, "a"), Duration::ZERO);
    }
}
