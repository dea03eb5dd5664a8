//! Where the agent stands: watches its `VantagePoint` and turns it into a [`Place`] that can be looked from.

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt, watcher};
use sreg_api::vantage_point::{VantagePoint, VantagePointSpec};
use sreg_probe::{AddressError, Dialer, ResolverAddress};
use tokio::sync::watch;

use super::Agent;
use crate::api_words;

/// What of a `VantagePoint` matters to its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Uid and generation of the vantage point: only probes that name them are answered from here.
    pub(super) version: (String, i64),
    pub(super) namespace: String,
    pub(super) dialer: Dialer,
    pub(super) resolver: ResolverAddress,
}

impl Place {
    fn of(meta: &ObjectMeta, spec: &VantagePointSpec) -> Result<Self, AddressError> {
        Ok(Place {
            version: (
                meta.uid.clone().unwrap_or_default(),
                meta.generation.unwrap_or_default(),
            ),
            namespace: spec.namespace.clone(),
            dialer: Dialer::from_socks5_address(spec.socks5_address.as_deref())?,
            resolver: ResolverAddress::from_text(spec.resolver_address.as_deref())?,
        })
    }
}

/// Keeps `place` at what the vantage point says; `None` while there is none to look from. While the API server cannot be
/// reached the last known place stands.
pub(super) async fn watch_vantage_point(agent: &Agent, place: &watch::Sender<Option<Place>>) {
    let name = &agent.settings.vantage_point;
    let api: Api<DeserializeGuard<VantagePoint>> = Api::all(agent.client.clone());
    let events = watcher(api, watcher::Config::default().fields(&format!("metadata.name={name}"))).default_backoff();
    follow(agent, place, events).await;
}

async fn follow(
    agent: &Agent,
    place: &watch::Sender<Option<Place>>,
    events: impl Stream<Item = Result<watcher::Event<DeserializeGuard<VantagePoint>>, watcher::Error>>,
) {
    let name = &agent.settings.vantage_point;
    let mut events = std::pin::pin!(events);
    let mut listed = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed = false,
            Ok(watcher::Event::InitApply(found)) => {
                listed = true;
                settle(agent, place, read(&found));
            }
            Ok(watcher::Event::Apply(found)) => settle(agent, place, read(&found)),
            Ok(watcher::Event::InitDone) if listed => {}
            Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) => {
                settle(agent, place, Err(format!("the VantagePoint {name} to be created")));
            }
            Err(error) => {
                tracing::warn!(vantage_point = %name, error = api_words::of_watch(&error), "cannot watch the VantagePoint, trying again");
                if place.borrow().is_none() {
                    agent.report(|health| health.waits_for = Some(format!("the VantagePoint {name} to be readable")));
                }
            }
        }
    }
}

fn read(found: &DeserializeGuard<VantagePoint>) -> Result<Place, String> {
    match &found.0 {
        Ok(vantage_point) => Place::of(&vantage_point.metadata, &vantage_point.spec)
            .map_err(|error| format!("a usable VantagePoint: {error}")),
        Err(invalid) => Err(format!("a readable VantagePoint: {}", invalid.error)),
    }
}

fn settle(agent: &Agent, place: &watch::Sender<Option<Place>>, read: Result<Place, String>) {
    let name = &agent.settings.vantage_point;
    let (found, missing) = match read {
        Ok(found) => (Some(found), None),
        Err(missing) => (None, Some(missing)),
    };
    match (&found, &missing) {
        (Some(found), _) => tracing::info!(vantage_point = %name, namespace = %found.namespace, "vantage point found"),
        (None, missing) => {
            tracing::warn!(vantage_point = %name, "waiting for {}", missing.as_deref().unwrap_or_default())
        }
    }
    agent.report(|health| {
        health.placed = found.is_some();
        health.waits_for = missing;
    });
    place.send_if_modified(|now| {
        let moved = *now != found;
        *now = found;
        moved
    });
}

#[cfg(test)]
mod tests {
    use sreg_api::vantage_point::VantageNetwork;

    use super::*;

    #[test]
    fn a_vantage_point_with_an_unusable_address_is_no_place() {
        let spec = |socks5: Option<&str>, resolver: Option<&str>| VantagePointSpec {
            network: VantageNetwork::OnPremises,
            virtual_network_resource_id: None,
            namespace: "vantage".to_owned(),
            service_account_name: "office-agent".to_owned(),
            socks5_address: socks5.map(str::to_owned),
            resolver_address: resolver.map(str::to_owned),
        };
        let of = |spec: &VantagePointSpec| Place::of(&ObjectMeta::default(), spec);
        let place = of(&spec(Some("localhost:1080"), Some("10.200.0.10"))).unwrap();
        assert_eq!(place.dialer, Dialer::Socks5("localhost:1080".to_owned()));
        assert_eq!(
            place.resolver,
            ResolverAddress::Address("10.200.0.10:53".parse().unwrap())
        );
        assert!(of(&spec(Some("localhost"), None)).is_err());
        assert!(of(&spec(None, Some("dns.contoso.example"))).is_err());
    }
}
