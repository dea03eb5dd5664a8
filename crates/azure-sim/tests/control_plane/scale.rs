//! A thousand registries: the world still answers at once.

use azure_sim::seed::RegistrySeed;

use crate::azure::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_registries_fit_and_each_is_found() {
    let azure = Azure::with(|seed| {
        let one = seed.registries[0].clone();
        seed.registries = (0..1000)
            .map(|n| RegistrySeed {
                name: format!("reg{n:04}"),
                ..one.clone()
            })
            .collect();
        seed.throttling.enabled = false;
    })
    .await;
    for n in [0, 500, 999] {
        let id = azure.registry().replace("contosoreg", &format!("reg{n:04}"));
        assert_eq!(azure.get(&id, REGISTRY).await.status, 200);
        azure.make_endpoint(&format!("e{n}"), &id, "amlregistry").await;
        assert_eq!(
            azure
                .sim
                .required_paths(&id, &["hub".into()])
                .iter()
                .filter(|p| !p.addresses.is_empty())
                .count(),
            1
        );
    }
    let distinct: std::collections::BTreeSet<_> =
        azure.sim.with_world(|w| w.public_addresses.values().copied().collect());
    assert_eq!(distinct.len(), azure.sim.with_world(|w| w.public_addresses.len()));
    assert!(distinct.len() > 4000);
}
