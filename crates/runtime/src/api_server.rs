//! What the API server can do. Asked, not concluded from its version: a feature can be switched off.

use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, WatchEvent, WatchParams};
use sreg_api::VantagePoint;

/// Longest that the answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the last word of such a stream bears.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Whether watches may begin with a stream of what is there (Kubernetes 1.34 and newer, unless switched off). Servers that do
/// not know it refuse it, or begin a watch like any other, in which the end of what is there is never said. Where it
/// cannot be told, lists do: every server has them.
pub async fn offers_streaming_lists(client: &Client) -> bool {
    let resource = ApiResource::erase::<VantagePoint>(&());
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let asked = async {
        let params = WatchParams::default().initial_events().timeout(5);
        let Ok(events) = api.watch(&params, "0").await else {
            return false;
        };
        let mut events = events.boxed();
        while let Some(Ok(event)) = events.next().await {
            match event {
                WatchEvent::Bookmark(bookmark) => {
                    if bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END) {
                        return true;
                    }
                }
                WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => {}
                WatchEvent::Error(_) => return false,
            }
        }
        false
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or(false)
}
