//! The worlds that testbeds are made of: seeds from `examples/azure/`, and where the examples' objects look from.

use anyhow::{Context, Result};
use azure_sim::Simulator;
use azure_sim::seed::Seed;

use crate::{TestbedOptions, Vantage, repository};

/// A hub and a peered spoke with an agent each, an on-premises network behind a forwarder, looked at by the operator itself,
/// and an uninvolved network that must not break.
pub fn demo() -> Result<TestbedOptions> {
    seeded("demo.yaml")
}

/// The same with a registry in two regions.
pub fn two_regions() -> Result<TestbedOptions> {
    seeded("two-regions.yaml")
}

fn seeded(file: &str) -> Result<TestbedOptions> {
    let seed = Seed::load(&repository().join("examples/azure").join(file)).context("read the example's seed")?;
    // Ids are the simulator's to make: ask a world built from the same seed.
    let built = Simulator::new(seed.clone());
    let network = |name: &str| {
        let suffix = format!("/virtualnetworks/{name}");
        let found = built.with_world(|w| {
            w.resources
                .iter()
                .find(|(k, _)| k.ends_with(&suffix))
                .map(|(_, r)| r.id.clone())
        });
        found.with_context(|| format!("{file} has no virtual network {name}"))
    };
    let azure_dns = "168.63.129.16:53".to_owned();
    let vantages = vec![
        Vantage {
            name: "hub-agent".into(),
            network: "hub".into(),
            virtual_network: Some(network("hub")?),
            resolver: azure_dns.clone(),
            embedded: false,
        },
        Vantage {
            name: "spoke-a-agent".into(),
            network: "spoke-a".into(),
            virtual_network: Some(network("spoke-a")?),
            resolver: azure_dns,
            embedded: false,
        },
        Vantage {
            name: "office".into(),
            network: "office".into(),
            virtual_network: None,
            resolver: "10.200.0.53:53".into(),
            embedded: true,
        },
    ];
    Ok(TestbedOptions { seed, vantages })
}
