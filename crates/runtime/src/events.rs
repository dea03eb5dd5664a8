//! Publishes what `report` says happened, as Kubernetes events, through the one shared recorder. The API limits the lengths
//! and the recorder does not, so they are cut here; whatever asks for an event, its words are harmless. An event that cannot be published is logged: it is never worth a pass.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};
use sreg_domain::desired::ObjectRef;
use sreg_domain::outside;
use sreg_planner::EventNote;

use crate::api_words;
use crate::context::Context;

/// Longest note that the API takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// Longest reason and action.
const LONGEST_WORD: usize = 128;

/// Publishes events about an object of this kind.
pub(crate) async fn publish<K: Resource<DynamicType = ()>>(
    context: &Context,
    object: &ObjectRef,
    events: &[EventNote],
) {
    let regarding = regarding::<K>(object);
    for transition in events {
        let event = Event {
            type_: if transition.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: cut(&transition.reason, LONGEST_WORD),
            action: cut(&transition.action, LONGEST_WORD),
            note: Some(cut(&transition.note, LONGEST_NOTE)),
            secondary: None,
        };
        let Ok(limit) = context.writer().time_for_a_write() else {
            return;
        };
        // The shared recorder counts events of one reason together and keeps the first one's note.
        let recorder = if transition.alone {
            Recorder::new(context.client.clone(), context.reporter.clone())
        } else {
            context.recorder.clone()
        };
        match tokio::time::timeout(limit, recorder.publish(&event, &regarding)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(
                reason = event.reason,
                error = api_words::of(&error),
                "cannot publish event"
            ),
            Err(_) => tracing::warn!(reason = event.reason, "cannot publish event: no answer in time"),
        }
    }
}

fn regarding<K: Resource<DynamicType = ()>>(object: &ObjectRef) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: Some(object.namespace.clone()),
        name: Some(object.name.clone()),
        uid: Some(object.uid.clone()),
        ..ObjectReference::default()
    }
}

/// A text for people, at most so many bytes.
fn cut(text: &str, longest: usize) -> String {
    outside::cut(&outside::harmless(text), longest).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_between_characters_to_what_the_api_takes() {
        assert_eq!(cut("short", LONGEST_NOTE), "short");
        let long = "ü".repeat(1000);
        let note = cut(&long, LONGEST_NOTE);
        assert!(
            note.len() <= LONGEST_NOTE && note.len() > LONGEST_NOTE - 4,
            "{}",
            note.len()
        );
        assert!(note.ends_with('…') && note.starts_with("üü"));
        assert_eq!(cut("a\n\u{1b}[2K\u{202e}b", LONGEST_NOTE), "a \u{fffd}[2K\u{fffd}b");
    }
}
