//! Watches of the in-process API server: what is there first, where asked for, then every change until the time is up.

use std::collections::HashMap;
use std::convert::Infallible;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use super::api_server::ApiServer;
use super::campaign::courier::Delivery;
use super::wire::{Reply, Target, selects};

impl ApiServer {
    pub(super) fn watch(&self, target: &Target, query: &HashMap<String, String>) -> Reply {
        let (target, query) = (
            Target {
                key: target.key.clone(),
                status: false,
            },
            query.clone(),
        );
        let seconds = query
            .get("timeoutSeconds")
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(300);
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds);
        let (first, from) = self.initial_events(&target, &query);
        let events = stream::iter(first).chain(self.later_events(target, query, from, deadline));
        let frames = events.map(|line| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{line}\n")))));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }

    fn initial_events(&self, target: &Target, query: &HashMap<String, String>) -> (Vec<Value>, u64) {
        let store = self.lock();
        if query.get("sendInitialEvents").map(String::as_str) != Some("true") {
            return (
                Vec::new(),
                query
                    .get("resourceVersion")
                    .and_then(|version| version.parse().ok())
                    .unwrap_or(0),
            );
        }
        let (objects, version) = store.watched();
        let selected = objects
            .iter()
            .filter(|(key, object)| selects(target, query, key, object));
        let mut events: Vec<Value> = selected
            .map(|(_, object)| json!({"type": "ADDED", "object": object}))
            .collect();
        events.push(
            json!({"type": "BOOKMARK", "object": {"kind": "Bookmark", "apiVersion": "v1", "metadata": {
            "resourceVersion": version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}}}),
        );
        (events, version)
    }

    fn later_events(
        &self,
        target: Target,
        query: HashMap<String, String>,
        from: u64,
        deadline: tokio::time::Instant,
    ) -> impl Stream<Item = Value> + Send + use<> {
        let server = self.clone();
        let versions = self.changes();
        stream::unfold((from, versions, None), move |(seen, mut versions, again)| {
            let (server, query) = (server.clone(), query.clone());
            let target = Target {
                key: target.key.clone(),
                status: false,
            };
            async move {
                if let Some(line) = again {
                    return Some((line, (seen, versions, None)));
                }
                let mut seen = seen;
                loop {
                    versions.mark_unchanged();
                    let (next, delivery, looked_to) = {
                        let mut store = server.lock();
                        let (next, looked_to) =
                            store.event_after(seen, |event| selects(&target, &query, &event.key, &event.object));
                        let delivery = next.as_ref().map(|event| store.deliver(event));
                        (next, delivery, looked_to)
                    };
                    let Some(event) = next else {
                        seen = looked_to;
                        tokio::time::timeout_at(deadline, versions.changed()).await.ok()?.ok()?;
                        continue;
                    };
                    seen = event.version;
                    let line = json!({"type": event.kind, "object": event.object});
                    match delivery {
                        Some(Delivery::Never) => continue,
                        Some(Delivery::LastOf(until)) => {
                            tokio::time::sleep_until(until).await;
                            if server.lock().is_outdated(&event) {
                                continue;
                            }
                            return Some((line, (seen, versions, None)));
                        }
                        Some(Delivery::Twice) => return Some((line.clone(), (seen, versions, Some(line)))),
                        Some(Delivery::Once) | None => return Some((line, (seen, versions, None))),
                    }
                }
            }
        })
    }
}
