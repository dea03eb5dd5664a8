//! The in-process API server behind a gate: requests that are refused, lost or never sent.

use http::{Method, Request};
use kube::client::Body;

use super::api_server::ApiServer;
use super::campaign::courier::Courier;
use super::campaign::gate::{Call, Gate, Side};
use super::wire::{Reply, query, refuse, respond, target};

impl ApiServer {
    /// A client whose requests pass a gate.
    pub fn client_through(&self, gate: Gate) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, gate) = (server.clone(), gate.clone());
            async move {
                server
                    .answer_through(&gate, request)
                    .await
                    .map_err(tower::BoxError::from)
            }
        });
        kube::Client::new(service, "default")
    }

    async fn answer_through(&self, gate: &Gate, request: Request<Body>) -> Result<Reply, std::io::Error> {
        // A read that names no version is a consistent one: it can be late or refused, never old. Every read has to be of
        // that kind, so only watches lag ([`Courier`]). What happens where they lag for good is told in `past`.
        let old_will_do = query(request.uri()).contains_key("resourceVersion");
        let watches = query(request.uri()).contains_key("watch");
        let frozen = self.lock().past.is_some();
        assert!(
            frozen || watches || !(request.method() == Method::GET && old_will_do),
            "{} accepts an old answer",
            request.uri()
        );
        let passage = gate.enter(call_of(&request)).await;
        if let Some(code) = passage.refused() {
            let reason = match code {
                409 => "Conflict",
                429 => "TooManyRequests",
                _ => "ServiceUnavailable",
            };
            return Ok(respond(&refuse(code, reason, "refused by the test")));
        }
        let before = self.lock().version;
        let reply = self.answer(request).await;
        let changed = self.lock().version != before;
        match gate.leave(passage, changed).await {
            true => Err(std::io::Error::other("the answer was lost")),
            false => reply,
        }
    }

    /// Watch events go this way from now on.
    pub fn deliver_by(&self, courier: Courier) {
        self.lock().courier = courier;
    }

    /// Asks the courier.
    pub fn courier<T>(&self, ask: impl FnOnce(&Courier) -> T) -> T {
        ask(&self.lock().courier)
    }
}

/// What a request is called in plans: no version, no group, and events all alike.
fn call_of(request: &Request<Body>) -> Call {
    let name = match target(request.uri().path()) {
        None => String::new(),
        Some(target) if target.key.0 == "events" => "events".to_owned(),
        Some(target) => {
            let (plural, namespace, name) = &target.key;
            let parts = [
                namespace.as_str(),
                plural,
                name,
                if target.status { "status" } else { "" },
            ];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            parts.join("/")
        }
    };
    Call::new(Side::Cluster, request.method().as_str(), &name)
}
