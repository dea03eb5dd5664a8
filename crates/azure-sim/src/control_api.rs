//! `/_sim/…`: what tests and people may do from outside the story. Documented in the crate's README. Not in the journal.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::arm::answer::{ArmError, JsonResponse};
use crate::data_plane::{DataPlaneFault, RegistryDenial};
use crate::faults::FaultRule;
use crate::json::merge;
use crate::log_analytics::Caller;
use crate::oracle;
use crate::received::Received;
use crate::simulator::Simulator;
use crate::world::Switches;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockChange {
    advance_seconds: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Decision {
    id: String,
}

/// Answers a request.
pub(crate) fn serve(simulator: &Simulator, received: &Received) -> JsonResponse {
    route(simulator, received).unwrap_or_else(|refusal| refusal.answer())
}

fn route(simulator: &Simulator, received: &Received) -> Result<JsonResponse, ArmError> {
    let rest = received.path.strip_prefix("/_sim").unwrap_or("").trim_end_matches('/');
    let get = received.method == Method::GET;
    match (received.method.as_str(), rest) {
        ("GET", "/world") => Ok(world(simulator, received.parameter("under").unwrap_or(""))),
        ("GET", "/journal") => journal(simulator, received),
        ("GET", "/switches") => Ok(JsonResponse::new(200, json!(simulator.switches()))),
        ("POST" | "PATCH", "/switches") => switches(simulator, received),
        ("GET", "/faults") => Ok(JsonResponse::new(200, json!(simulator.faults()))),
        ("POST", "/faults") => {
            simulator.inject(body::<FaultRule>(received)?);
            Ok(JsonResponse::new(201, json!(simulator.faults())))
        }
        ("DELETE", "/faults") => {
            simulator.clear_faults();
            Ok(JsonResponse::empty(204))
        }
        (_, "/data-plane/faults") => data_plane_faults(simulator, received),
        ("POST", "/data-plane/registry-denial") => {
            simulator
                .data_plane_faults()
                .set_registry_denial(body::<RegistryDenial>(received)?);
            Ok(JsonResponse::empty(204))
        }
        ("GET", "/clock") => Ok(clock(simulator)),
        ("POST", "/clock") => {
            let ClockChange { advance_seconds } = body(received)?;
            let by = Duration::try_from_secs_f64(advance_seconds)
                .map_err(|_| ArmError::bad_request("advanceSeconds is a number of seconds, not negative."))?;
            simulator.advance(by);
            Ok(clock(simulator))
        }
        ("GET", "/operations") => Ok(JsonResponse::new(200, json!(simulator.running_operations()))),
        ("POST", "/connections/approve") => decided(simulator.approve(&body::<Decision>(received)?.id)),
        ("POST", "/connections/reject") => decided(simulator.reject(&body::<Decision>(received)?.id)),
        ("POST", "/callers") => {
            simulator.add_caller(body::<Caller>(received)?);
            Ok(JsonResponse::empty(204))
        }
        ("GET" | "POST", "/required-paths") => required_paths(simulator, received),
        (_, resource) if resource.starts_with("/resources/") => {
            by_hand(simulator, received, resource.trim_start_matches("/resources"))
        }
        (_, _) if get => Err(ArmError::new(
            404,
            "NotFound",
            format!("There is no {} here; see the README.", received.path),
        )),
        (_, _) => Err(ArmError::method(&received.method, &received.path)),
    }
}

fn body<T: DeserializeOwned>(received: &Received) -> Result<T, ArmError> {
    serde_json::from_slice(&received.body).map_err(|e| ArmError::bad_request(format!("{}: {e}", received.path)))
}

fn world(simulator: &Simulator, under: &str) -> JsonResponse {
    simulator.with_world(|world| {
        let resources: Vec<Value> = world
            .resources
            .values()
            .filter(|r| crate::permissions::within(&r.id, under))
            .map(|r| json!({ "id": r.id, "kind": r.kind, "etag": r.etag, "changedAt": r.changed_at.as_secs_f64(), "body": r.body }))
            .collect();
        JsonResponse::new(
            200,
            json!({ "resources": resources, "networks": world.networks, "publicAddresses": world.public_addresses,
                "switches": world.switches }),
        )
    })
}

fn journal(simulator: &Simulator, received: &Received) -> Result<JsonResponse, ArmError> {
    let since = received.parameter("since").unwrap_or("0");
    let since = since
        .parse()
        .map_err(|_| ArmError::bad_request("since is a sequence number."))?;
    let records = simulator.records_since(since);
    let first = simulator.journal().first_kept();
    Ok(JsonResponse::new(
        200,
        json!({ "firstKept": first, "last": simulator.journal().last(), "records": records }),
    ))
}

/// The switches that the body names change, the others stay.
fn switches(simulator: &Simulator, received: &Received) -> Result<JsonResponse, ArmError> {
    let patch: Value = body(received)?;
    let mut all = json!(simulator.switches());
    merge(&mut all, &patch);
    let wanted: Switches =
        serde_json::from_value(all).map_err(|e| ArmError::bad_request(format!("{}: {e}", received.path)))?;
    simulator.set_switches(|present| *present = wanted);
    Ok(JsonResponse::new(200, json!(simulator.switches())))
}

fn data_plane_faults(simulator: &Simulator, received: &Received) -> Result<JsonResponse, ArmError> {
    let faults = simulator.data_plane_faults();
    match received.method.as_str() {
        "GET" => Ok(JsonResponse::new(200, json!(faults.list()))),
        "POST" => {
            let number = faults.add(body::<DataPlaneFault>(received)?);
            Ok(JsonResponse::new(201, json!({ "number": number })))
        }
        "DELETE" => {
            match received.parameter("number").map(str::parse) {
                None => faults.clear(),
                Some(Ok(number)) => {
                    faults.remove(number);
                }
                Some(Err(_)) => return Err(ArmError::bad_request("number is the number of a fault.")),
            }
            Ok(JsonResponse::empty(204))
        }
        _ => Err(ArmError::method(&received.method, &received.path)),
    }
}

fn clock(simulator: &Simulator) -> JsonResponse {
    let clock = simulator.clock();
    JsonResponse::new(
        200,
        json!({ "seconds": clock.now().as_secs_f64(), "timestamp": clock.timestamp().to_string() }),
    )
}

fn decided(found: bool) -> Result<JsonResponse, ArmError> {
    match found {
        true => Ok(JsonResponse::empty(204)),
        false => Err(ArmError::new(
            404,
            "NotFound",
            "There is no connection or endpoint with this id.",
        )),
    }
}

fn required_paths(simulator: &Simulator, received: &Received) -> Result<JsonResponse, ArmError> {
    let asked = received.parameter("registry").unwrap_or("");
    let found = simulator.with_world(|world| oracle::registry_id(world, asked));
    let Some(registry) = found else {
        return Err(ArmError::new(
            404,
            "NotFound",
            format!("There is no registry '{asked}'."),
        ));
    };
    let networks: Vec<String> = received
        .query
        .iter()
        .filter(|(name, _)| name == "network")
        .flat_map(|(_, value)| value.split(','))
        .map(str::to_owned)
        .collect();
    let exposure = simulator.with_world(|world| oracle::exposure(world, &registry));
    let open: Vec<&String> = exposure.iter().filter(|(_, open)| *open).map(|(id, _)| id).collect();
    let paths = simulator.required_paths(&registry, &networks);
    Ok(JsonResponse::new(
        200,
        json!({ "registry": registry, "paths": paths, "publiclyOpen": open }),
    ))
}

fn by_hand(simulator: &Simulator, received: &Received, id: &str) -> Result<JsonResponse, ArmError> {
    let missing = || ArmError::not_found(id);
    match received.method.as_str() {
        "GET" => {}
        "PATCH" => {
            let patch: Value = body(received)?;
            simulator
                .change_by_hand(id, |b| merge(b, &patch))
                .then_some(())
                .ok_or_else(missing)?;
        }
        "PUT" => simulator.put_by_hand(id, body(received)?),
        "DELETE" => {
            simulator.delete_by_hand(id).then_some(()).ok_or_else(missing)?;
            return Ok(JsonResponse::empty(204));
        }
        _ => return Err(ArmError::method(&received.method, id)),
    }
    simulator
        .with_world(|world| world.get(id).map(|r| JsonResponse::new(200, r.body.clone())))
        .ok_or_else(missing)
}
