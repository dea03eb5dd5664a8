//! What the three kinds of targets have in common: public access and tags in their bodies, and the connections of endpoints
//! (azure.md §3.3).

use serde_json::{Map, Value};

use super::answer::{ArmError, JsonResponse};
use super::call::{Call, Headers};
use super::connections;
use crate::json::{set, text};
use crate::latency::Work;
use crate::operations::Last;
use crate::targets::TargetKind;
use crate::world::ConnectionsApi;

/// Refuses a value of `publicNetworkAccess` that the type does not have.
pub(super) fn check_access(asked: &Map<String, Value>, values: &[&str]) -> Result<(), ArmError> {
    match asked.get("publicNetworkAccess").map(|v| v.as_str().unwrap_or("")) {
        Some(value) if !values.contains(&value) => Err(ArmError::new(
            400,
            "InvalidRequestPropertyValue",
            format!(
                "The value '{value}' is not a valid value for property publicNetworkAccess. The valid values are: {}.",
                values.join(", ")
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Writes the tags of a request that holds some.
pub(super) fn write_tags(body: &mut Value, patch: &Value) {
    if let Some(tags) = patch.get("tags").filter(|t| t.is_object()) {
        set(body, &["tags"], tags.clone());
    }
}

/// Answers requests for the connections of any target.
pub(crate) fn serve_connection(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let (id, target_id) = (call.path.text.clone(), call.path.parent());
    let Some(kind) = call.world.get(&target_id).and_then(|t| TargetKind::of(&t.kind)) else {
        return Err(call.parent_missing(&target_id));
    };
    if kind == TargetKind::Registry {
        match call.world.switches.registry_connections {
            ConnectionsApi::Present => {}
            ConnectionsApi::NotFound => return Err(ArmError::not_found(&id)),
            ConnectionsApi::Forbidden => {
                let said = format!("The action is not allowed on '{id}'.");
                return Err(ArmError::new(403, "AuthorizationFailed", said));
            }
        }
    }
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => decide(call, kind, &id),
        "DELETE" => drop_connection(call, kind, &id),
        _ => Err(call.no_such_method()),
    }
}

/// Approves or rejects: the body holds a status and perhaps a description.
fn decide(call: &mut Call<'_>, kind: TargetKind, id: &str) -> Result<JsonResponse, ArmError> {
    let body = call.body()?;
    let state = "/properties/privateLinkServiceConnectionState";
    let status = text(&body, &format!("{state}/status")).to_owned();
    let description = text(&body, &format!("{state}/description")).to_owned();
    if !["Approved", "Rejected", "Pending"]
        .iter()
        .any(|s| s.eq_ignore_ascii_case(&status))
    {
        let said = format!("The connection status '{status}' is not valid.");
        return Err(ArmError::new(400, "InvalidRequestContent", said));
    }
    let Some(endpoint) = connections::endpoint_of(call.world, id) else {
        return Err(ArmError::not_found(id));
    };
    if status.eq_ignore_ascii_case("Approved") && connections::is_rejected(call.world, &endpoint) {
        let said = "Approving rejected private endpoint connections is not supported.";
        return Err(ArmError::new(400, "BadRequest", said.to_owned()));
    }
    let own = (format!("{}/write", super::versions::spelled(&call.path.kind())), id);
    let target = call.path.parent();
    let action = crate::permissions::approval_action(&super::path::kind_of(&target));
    call.require_linked(&action, &target, (&own.0, own.1))?;
    if kind == TargetKind::Storage {
        connections::set_state(call.world, &endpoint, &status, &description, call.now);
        return call.path_answer(200);
    }
    let operation = call.start(Work::Connection, Last::Resource(id.to_owned()), move |world, at| {
        connections::set_state(world, &endpoint, &status, &description, at);
        Ok(())
    });
    call.accepted(200, id, &operation, Headers::AsyncOperation)
}

fn drop_connection(call: &mut Call<'_>, kind: TargetKind, id: &str) -> Result<JsonResponse, ArmError> {
    if call.world.get(id).is_none() {
        return Ok(JsonResponse::empty(204));
    }
    if kind == TargetKind::Storage {
        connections::disconnect(call.world, id, call.now);
        return Ok(JsonResponse::empty(200));
    }
    let gone = id.to_owned();
    let operation = call.start(Work::Connection, Last::NoContent, move |world, at| {
        connections::disconnect(world, &gone, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

/// Answers requests for the private link resources of any target.
pub(crate) fn serve_link_resources(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let target = call.path.parent();
    if call.method != http::Method::GET {
        return Err(call.no_such_method());
    }
    if call.world.get(&target).is_none() {
        return Err(call.parent_missing(&target));
    }
    let all = connections::private_link_resources(call.world, &target);
    match call.path.is_collection() {
        true => Ok(JsonResponse::list(all)),
        false => {
            let found = all
                .into_iter()
                .find(|g| text(g, "/name").eq_ignore_ascii_case(call.path.name()));
            found
                .map(|g| JsonResponse::new(200, g))
                .ok_or_else(|| ArmError::not_found(&call.path.text))
        }
    }
}
