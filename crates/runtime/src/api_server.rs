//! What the API server can do, and which cluster's it is. Asked, not concluded from its version: a feature can be switched off.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, WatchEvent, WatchParams};
use sreg_api::VantagePoint;

use crate::api_words;

/// Longest that the answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two questions to a server that is just beginning.
const PAUSE: Duration = Duration::from_millis(250);

/// What the last word of such a stream bears.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Whether watches may begin with a stream of what is there (Kubernetes 1.34 and newer, unless switched off). Servers that do
/// not know it refuse it, or begin a watch like any other, in which the end of what is there is never said. Where it
/// cannot be told, lists do: every server has them.
pub async fn offers_streaming_lists(client: &Client) -> bool {
    let resource = ApiResource::erase::<VantagePoint>(&());
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let asked = async {
        loop {
            match ask(&api).await {
                WatchStart::Streams => return true,
                WatchStart::Lists => return false,
                // A server that has just begun, or whose definitions have, answers that its storage is initializing.
                WatchStart::NotYet => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or(false)
}

/// The namespace that every cluster has from its first moment to its last.
const OLDEST_NAMESPACE: &str = "kube-system";

/// Id of the cluster: the uid of its namespace `kube-system`, which no other cluster has.
///
/// # Errors
/// The API server does not say; the sentence has its words.
pub async fn cluster_id(client: &Client) -> Result<String, String> {
    let api: Api<Namespace> = Api::all(client.clone());
    let attempt = format!("read the uid of Namespace {OLDEST_NAMESPACE}, by which other clusters know this one");
    match tokio::time::timeout(PATIENCE, api.get_metadata(OLDEST_NAMESPACE)).await {
        Ok(Ok(namespace)) => namespace.metadata.uid.ok_or_else(|| format!("{attempt}: it has none")),
        Ok(Err(error)) => Err(format!("{attempt}: {}", api_words::of(&error))),
        Err(_) => Err(format!("{attempt}: no answer in time")),
    }
}

/// How a server answers to a watch that is to begin with what is there.
enum WatchStart {
    Streams,
    Lists,
    NotYet,
}

async fn ask(api: &Api<DynamicObject>) -> WatchStart {
    let params = WatchParams::default().initial_events().timeout(5);
    let mut events = match api.watch(&params, "0").await {
        Ok(events) => events.boxed(),
        Err(kube::Error::Api(status)) if is_busy(status.code) => return WatchStart::NotYet,
        Err(_) => return WatchStart::Lists,
    };
    while let Some(Ok(event)) = events.next().await {
        match event {
            WatchEvent::Bookmark(bookmark) => {
                if bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END) {
                    return WatchStart::Streams;
                }
            }
            WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => {}
            WatchEvent::Error(status) if is_busy(status.code) => return WatchStart::NotYet,
            WatchEvent::Error(_) => return WatchStart::Lists,
        }
    }
    WatchStart::Lists
}

/// 429 and 503 say nothing about what a server can do.
fn is_busy(code: u16) -> bool {
    code == 429 || code == 503
}
