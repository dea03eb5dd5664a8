//! The registry discovery endpoint (azure.md §2): where a client learns its hosts. 403 means both "no access" and "does not
//! exist". Pure.

use serde_json::json;

use crate::arm::answer::{ArmError, JsonResponse};
use crate::arm::registries::by_name;
use crate::arm::registry_accounts::discovery;
use crate::clock::Clock;
use crate::control::Control;
use crate::permissions::allowed;
use crate::world::World;

/// The registry name in a discovery path.
pub(crate) fn registry_in(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/registrymanagement/v1.0/registries/")?;
    rest.trim_end_matches('/')
        .strip_suffix("/discovery")
        .filter(|name| !name.is_empty() && !name.contains('/'))
}

/// Answers a discovery request; the second value is the object id of who asked.
pub(crate) fn serve(
    world: &World,
    control: &Control,
    clock: &Clock,
    headers: &http::HeaderMap,
    name: &str,
) -> (JsonResponse, Option<String>) {
    let checked = crate::tokens::bearer(headers)
        .ok_or_else(|| ArmError::new(401, "UserError", "Bearer token not provided."))
        .and_then(|token| crate::tokens::check(control, token, clock));
    let (principal, audience) = match checked {
        Ok(checked) => checked,
        Err(refusal) => return (error(401, "UserError", &refusal.message), None),
    };
    let object_id = Some(principal.object_id.clone());
    if audience.contains("vault.azure") || audience.contains("graph.microsoft") {
        return (
            error(401, "UserError", "The token was issued for another audience."),
            object_id,
        );
    }
    let action = "Microsoft.MachineLearningServices/registries/read";
    let found = by_name(world, name).filter(|r| allowed(world, &principal, action, &r.id));
    let answer = match found {
        Some(registry) => JsonResponse::new(200, discovery(world, &registry.id, &control.tenant)),
        None => error(
            403,
            "UserError",
            &format!("User/tenant/subscription is not allowed to access registry {name}"),
        ),
    };
    (answer, object_id)
}

fn error(status: u16, code: &str, message: &str) -> JsonResponse {
    JsonResponse::new(
        status,
        json!({ "error": {"code": code, "message": message, "details": []}, "statusCode": status }),
    )
}
