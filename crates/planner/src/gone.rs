//! Whether the registry is gone for good. That Azure does not find it any more is one source; where it is decided on for good
//! (endpoints and the way back are removed, a registry is made in its place) a second one is asked: a private endpoint whose
//! connection is still `Approved` leads to something that lives. Azure turns the connections of what is deleted to
//! `Disconnected`; a registry that was moved keeps them.

use sreg_domain::Fact;
use sreg_domain::seen::EndpointSeen;

use crate::facts::{View, not_known};
use crate::plan::Wait;

/// How sure it is.
pub(crate) enum Gone {
    /// It was seen, or could not be read.
    No,
    /// It is not found, and whether anything of it lives could not be told.
    NotKnown(Wait),
    /// It is not found where the spec says, and something of it lives: this one endpoint tells.
    Lives(String),
    /// It is not found, and nothing of it lives.
    Yes,
}

/// Asks both sources.
pub(crate) fn registry(view: &View<'_>) -> Gone {
    if !view.seen.azure.registry.is_absent() {
        return Gone::No;
    }
    let ours = |endpoint: &&EndpointSeen| endpoint.owner.as_deref() == Some(view.desired.owner.as_str());
    let mut unread = None;
    for (id, fact) in &view.seen.azure.endpoints {
        match fact {
            Fact::Seen(_) => {
                if fact.seen().filter(ours).is_some_and(is_connected) {
                    return Gone::Lives(id.name().to_owned());
                }
            }
            Fact::Absent => {}
            Fact::Unknown(_) => {
                unread = unread.or_else(|| Some(not_known(&format!("private endpoint {}", id.name()), fact)))
            }
        }
    }
    unread.map_or(Gone::Yes, Gone::NotKnown)
}

fn is_connected(endpoint: &EndpointSeen) -> bool {
    let status = endpoint.connection_status.as_deref().unwrap_or_default();
    status.eq_ignore_ascii_case("Approved")
}

/// What to do about a registry that lives and is not where the spec says.
pub(crate) fn moved(view: &View<'_>, endpoint: &str) -> String {
    let id = &view.desired.registry;
    format!(
        "Azure does not find {id} any more, yet the connection of private endpoint {endpoint} is still Approved: the registry, or what stands behind it, lives, perhaps in another resource group or subscription. Nothing is created, removed or forgotten. Find it: az resource list --name {} --resource-type Microsoft.MachineLearningServices/registries --query \"[].id\" -o tsv (in each subscription). If it was moved, delete this object (deletionPolicy: Retain leaves Azure as it is) and create one with that resourceId; if it was deleted, delete the endpoint in Azure first",
        id.name()
    )
}
